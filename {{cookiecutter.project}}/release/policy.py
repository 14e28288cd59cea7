"""The release policy: ``release.toml``, read once into frozen objects.

An unknown key, a wrong type or a missing value is refused: a policy that is half understood
protects nobody.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from .errors import ConfigurationError

SCHEMA = 1


@dataclass(frozen=True)
class Environment:
    """One place where releases serve, a table ``[environments.<name>]``.

    Parameters
    ----------
    name : str
        Also the name of its branch, ``env/<name>``.
    platform : str
        Which module of ``release/platforms`` drives it.
    host, port : str, int
        Where its customers ask.
    instances : int
        How many servers share that port.
    approval : bool
        Whether a promotion wants an ``invoke approve`` of exactly that release first.
    ready_timeout_s : int
        Seconds that a new server may take until it answers ``/ready``.
    after : str or None
        The environment before this one in the file: a release is verified there first.
    """

    name: str
    platform: str
    host: str
    port: int
    instances: int
    approval: bool = False
    ready_timeout_s: int = 60
    after: str | None = None


@dataclass(frozen=True)
class ImagePolicy:
    """How a release becomes a container image, the table ``[image]``.

    Parameters
    ----------
    repository : str
        Where ``invoke build --push`` sends it: a registry's host and a path.
    max_mb : int
        A larger image is refused.
    """

    repository: str
    max_mb: int


@dataclass(frozen=True)
class Policy:
    """Everything that ``release.toml`` says.

    Parameters
    ----------
    project : str
        Names this project's folder among others on a serving machine.
    serve : tuple of str
        Arguments after ``python`` that start a server; the platform adds ``--bundle`` and its
        sockets.
    max_bundle_mb : int
        A bundle above this many megabytes does not belong into git.
    lease_s : int
        Seconds that a promotion may hold an environment before it counts as dead.
    environments : tuple of Environment
        In the order in which a release passes through them.
    image : ImagePolicy or None
        None where a release has no image: the ``process`` platform runs the bundle itself.
    """

    project: str
    serve: tuple[str, ...]
    max_bundle_mb: int
    lease_s: int
    environments: tuple[Environment, ...]
    image: ImagePolicy | None = None

    def environment(self, name: str) -> Environment:
        """Return the environment called ``name``; `ConfigurationError` if there is none."""
        for environment in self.environments:
            if environment.name == name:
                return environment
        known = ", ".join(environment.name for environment in self.environments)
        raise ConfigurationError(
            f"there is no environment {name!r}",
            why=f"release.toml has {known}",
            state="nothing was changed",
            next_step="name one of them with --env, or add a table to release.toml",
        )


def load(path: Path) -> Policy:
    """Read ``release.toml``; `ConfigurationError` names the first thing that is wrong with it."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _refuse(path, f"it cannot be read: {error}") from None
    if document.pop("schema", None) != SCHEMA:
        raise _refuse(path, f"schema must be {SCHEMA}")
    tables = document.pop("environments", None)
    if not isinstance(tables, dict) or not tables:
        raise _refuse(path, "it names no environment")
    environments: list[Environment] = []
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise _refuse(path, f"environments.{name} must be a table")
        after = environments[-1].name if environments else None
        values = _checked(path, f"environments.{name}.", Environment, table, {"name", "after"})
        environments.append(Environment(name=name, after=after, **values))
    table = document.pop("image", None)
    image = None
    if table is not None:
        if not isinstance(table, dict):
            raise _refuse(path, "image must be a table")
        image = ImagePolicy(**_checked(path, "image.", ImagePolicy, table, set()))
    values = _checked(path, "", Policy, document, {"environments", "image"})
    return Policy(environments=tuple(environments), image=image, **values)


def _checked(
    path: Path, where: str, kind: type, table: Mapping[str, Any], derived: set[str]
) -> dict[str, Any]:
    """Hold a table against a dataclass: every key known, every type right, nothing missing."""
    hints = get_type_hints(kind)
    wanted = {field.name: field for field in fields(kind) if field.name not in derived}
    for key in table:
        if key not in wanted:
            raise _refuse(path, f"{where}{key} is not a setting; known are {', '.join(wanted)}")
    values = {}
    for key, field in wanted.items():
        if key not in table:
            if field.default is MISSING:
                raise _refuse(path, f"{where}{key} is missing")
            continue
        values[key] = _typed(path, where + key, table[key], hints[key])
    return values


def _typed(path: Path, where: str, value: Any, hint: Any) -> Any:
    if hint == tuple[str, ...]:
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            raise _refuse(path, f"{where} must be a list of strings")
        return tuple(value)
    # `type` and not `isinstance`: True is an int, and `port = true` is a mistake.
    if type(value) is not hint or value == "":
        raise _refuse(path, f"{where} must be of type {hint.__name__}, not {value!r}")
    if hint is int and value < 1:
        raise _refuse(path, f"{where} must be at least 1, not {value}")
    return value


def _refuse(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path.name} is not a release policy",
        why=why,
        state="nothing was changed",
        next_step=f"mend {path.name}; its comments say what each setting means",
    )
