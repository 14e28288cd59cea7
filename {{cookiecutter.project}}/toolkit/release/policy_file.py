"""Reads ``release.toml`` strictly into a `Policy`.

An unknown key, a wrong type or a missing value is refused: a policy that is half understood
protects nobody.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from .errors import ConfigurationError
from .git import GitFailed, Repository
from .policy import PROMOTE, PROPOSE, ClusterEnvironment, Environment, Policy
from .records import Record

FILE_NAME = "release.toml"
SCHEMAS = (1, 2)
Table = TypeVar("Table")
# Decided by a cluster's manifests and its autoscaler: no settings of its environments.
NOT_IN_A_CLUSTER = {"host": "", "port": 0, "instances": 0, "ready_timeout_s": 60}


def load(path: Path) -> Policy:
    """Read ``release.toml``; `ConfigurationError` names the first mistake."""
    try:
        return parse(path.read_bytes(), path)
    except OSError as error:
        raise _refuse(path, f"it cannot be read: {error}") from None


def parse(content: bytes, path: Path) -> Policy:
    """Parse a policy; ``path`` is for error messages."""
    try:
        document = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _refuse(path, f"it cannot be read: {error}") from None
    schema = document.pop("schema", None)
    if type(schema) is not int or schema not in SCHEMAS:
        raise _refuse(path, f"schema must be {SCHEMAS[-1]}")
    tables = document.pop("environments", None)
    if not isinstance(tables, dict) or not tables:
        raise _refuse(path, "it names no environment")
    environments: list[Environment] = []
    for name, table in tables.items():
        after = environments[-1].name if environments else None
        fixed: dict[str, Any] = {"name": name, "after": after}
        kind: type[Environment] = Environment
        if isinstance(table, dict) and table.get("platform") == "kubernetes":
            kind, fixed = ClusterEnvironment, fixed | NOT_IN_A_CLUSTER
        environments.append(_read(path, f"environments.{name}", kind, table, fixed))
    fixed = {"environments": tuple(environments), "root": path.parent, "schema": schema}
    policy = _read(path, "", Policy, document, fixed)
    _check_consistency(path, policy)
    return policy


def of_head(repository: Repository) -> Policy:
    """Return the policy of the commit that is checked out, whatever lies in the working tree."""
    commit = repository.head()
    try:
        content = repository.read("cat-file", "blob", f"{commit}:{FILE_NAME}")
    except GitFailed as error:
        why = f"commit {commit[:12]} does not hold it: {error}"
        raise _refuse(Path(FILE_NAME), why) from None
    return parse(content, repository.root / FILE_NAME)


def at_commit(read: Callable[[str], bytes], commit: str, today: Policy) -> Policy:
    """Return the policy at a commit; today's where that one cannot be read.

    Parameters
    ----------
    read : callable
        Returns the content of an object of git, given as ``<commit>:<path>``, or raises
        `GitFailed`.
    """
    try:
        return _parsed(read(f"{commit}:{FILE_NAME}"))
    except (GitFailed, ConfigurationError):
        return today


@lru_cache(maxsize=1000)
def _parsed(content: bytes) -> Policy:
    """Parse a policy of git: most commits have that of the one before."""
    return parse(content, Path(FILE_NAME))


def deciding_commit(record: Record, anchor: str | None, is_merged: bool) -> str:
    """Return the commit whose policy counts for a release: its own once that has been merged.

    A commit that is not on the default branch could say what it likes: there ``anchor`` decides,
    the newest commit of that branch.
    """
    return record.commit if is_merged or anchor is None else anchor


def _check_consistency(path: Path, policy: Policy) -> None:
    """Refuse settings that are valid each, but not together."""
    names = {environment.name for environment in policy.environments}
    for freeze in policy.freezes:
        unknown = set(freeze.environments) - names
        if unknown:
            raise _refuse(path, f"freeze {freeze.name!r} names {', '.join(sorted(unknown))}")
    for environment in policy.environments:
        where = f"environments.{environment.name}"
        approval, canary = environment.approval, environment.canary
        if approval and approval.by and len(set(approval.by)) < approval.needed:
            raise _refuse(path, f"{where}.approval.by names fewer people than are needed")
        if isinstance(environment, ClusterEnvironment):
            _check_cluster(path, policy, environment)
        elif canary and canary.instances >= environment.instances:
            raise _refuse(path, f"{where}.canary.instances must leave a server to compare with")
        if canary and canary.longest_s >= policy.lease_s:
            longest = f"{canary.longest_s} s, lease_s is {policy.lease_s}"
            raise _refuse(path, f"{where}.canary may take {longest}: it would count as killed")
        if environment.nightly not in (PROPOSE, PROMOTE):
            raise _refuse(path, f"{where}.nightly must be {PROPOSE} or {PROMOTE}")
        if environment.soak_minutes and not environment.after:
            raise _refuse(path, f"{where}.soak_minutes: there is no environment before it")
        if environment.unmerged and environment.after:
            raise _refuse(path, f"{where}.unmerged: only the first environment may say so")


def _check_cluster(path: Path, policy: Policy, environment: ClusterEnvironment) -> None:
    where = f"environments.{environment.name}"
    if environment.canary and environment.gitops:
        why = f"{environment.gitops} updates all pods as soon as it sees the release"
        raise _refuse(path, f"{where}.canary is not possible: {why}")
    # The canary, the update, and if that fails its undoing.
    longest_s = 2 * environment.timeout_s
    if environment.canary:
        longest_s += environment.timeout_s + environment.canary.longest_s
    if longest_s >= policy.lease_s:
        longest = f"{longest_s} s with its undoing, lease_s is {policy.lease_s}"
        raise _refuse(path, f"{where}: a change may take {longest}: it would count as killed")
    if policy.image is None:
        raise _refuse(path, f"{where} needs the image of a release, and there is no [image]")


def _read(path: Path, where: str, kind: type[Table], table: Any, fixed: Mapping[str, Any]) -> Table:
    """Make a dataclass from a table: every key known, every type right, no key missing."""
    if not isinstance(table, dict):
        raise _refuse(path, f"{where} must be a table")
    prefix = f"{where}." if where else ""
    hints = get_type_hints(kind)
    wanted = {field.name: field for field in fields(cast(Any, kind)) if field.name not in fixed}
    for key in table:
        if key not in wanted:
            known = ", ".join(wanted)
            raise _refuse(path, f"{prefix}{key} is not a setting; the settings are {known}")
    values = dict(fixed)
    for key, field in wanted.items():
        if key in table:
            values[key] = _typed(path, prefix + key, table[key], hints[key])
        elif field.default is MISSING:
            raise _refuse(path, f"{prefix}{key} is missing")
    try:
        return kind(**values)
    except ValueError as error:
        raise _refuse(path, f"{where}: {error}") from None


def _typed(path: Path, where: str, value: Any, hint: Any) -> Any:
    choices = [choice for choice in get_args(hint) or (hint,) if choice is not NoneType]
    if get_origin(hint) is tuple:
        return _typed_list(path, where, value, choices[0])
    if is_dataclass(choices[0]) and isinstance(choices[0], type):
        return _read(path, where, choices[0], value, {})
    if choices == [float] and type(value) is int:
        value = float(value)
    # `type` and not `isinstance`: True is an int, and `port = true` is a mistake.
    if type(value) not in choices or value == "":
        names = " or ".join(choice.__name__ for choice in choices)
        raise _refuse(path, f"{where} must be of type {names}, not {value!r}")
    if type(value) is int and value < 1:
        raise _refuse(path, f"{where} must be at least 1, not {value}")
    if type(value) is float and not 0 < value < math.inf:
        raise _refuse(path, f"{where} must be a number above 0, not {value}")
    return value


def _typed_list(path: Path, where: str, value: Any, kind: type) -> tuple[Any, ...]:
    if is_dataclass(kind):
        if not isinstance(value, list):
            raise _refuse(path, f"{where} must be tables, [[{where}]]")
        return tuple(_read(path, where, kind, table, {}) for table in value)
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise _refuse(path, f"{where} must be a list of strings")
    return tuple(value)


def _refuse(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path.name} is not a valid release policy",
        why=why,
        state="nothing was changed",
        next_step=f"fix {path.name}; its comments explain each setting",
    )
