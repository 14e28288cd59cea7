"""The release policy: ``release.toml``, read once into frozen objects.

An unknown key, a wrong type or a missing value is refused: a policy that is half understood
protects nobody.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from .canary.verdict import Rules
from .errors import ConfigurationError
from .freeze import Freeze

SCHEMA = 1
# What `invoke propose` does with a release: it opens an issue, or promotes at once.
PROPOSE, PROMOTE = "propose", "promote"
Table = TypeVar("Table")


@dataclass(frozen=True)
class ApprovalPolicy:
    """Who must agree to a promotion, a table ``[environments.<name>.approval]``.

    Parameters
    ----------
    needed : int
        How many people.
    by : tuple of str
        The e-mail addresses of those who may; empty: whoever may push a tag here.
    author_may_approve : bool
        Whether the approval of whoever wrote the released commit counts.
    signed : bool
        Whether an approval must carry a signature by a key in ``allowed_signers``.
    """

    needed: int = 1
    by: tuple[str, ...] = ()
    author_may_approve: bool = False
    signed: bool = False


@dataclass(frozen=True)
class CanaryPolicy(Rules):
    """How a release is tried before all customers meet it, ``[environments.<name>.canary]``.

    Parameters
    ----------
    instances : int
        How many of the environment's servers run it meanwhile: they get that share of requests.
    window_s : int
        Seconds that a window lasts; `Rules` says how many there are and what is judged.
    requests_per_s : int
        How often the bundle's held-out customers are asked about where too few real ones come.
    """

    instances: int = 1
    window_s: int = 10
    requests_per_s: int = 20

    @property
    def longest_s(self) -> int:
        """The seconds that it may take, with the first window, in which it only listens."""
        return (self.looks * self.windows + 1) * self.window_s


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
    approval : ApprovalPolicy or None
        Whether a promotion wants an ``invoke approve`` of exactly that release first, and whose.
    canary : CanaryPolicy or None
        Whether some servers try a release before the others get it.
    soak_minutes : int
        How long a release serves in the environment before until it may come here.
    nightly : str
        What ``invoke propose`` does here after the nightly training: propose or promote.
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
    approval: ApprovalPolicy | None = None
    canary: CanaryPolicy | None = None
    soak_minutes: int | None = None
    nightly: str = PROPOSE
    ready_timeout_s: int = 60
    after: str | None = None

    @property
    def agent(self) -> str:
        """Who else brings what the environment's branch says, or empty: the engine does."""
        return ""

    @property
    def place(self) -> str:
        """Where it serves, in words."""
        return f"{self.instances} instances on {self.host}:{self.port}"


AGENTS = ("argocd", "flux")


@dataclass(frozen=True, kw_only=True)
class ClusterEnvironment(Environment):
    """An environment on ``platform = "kubernetes"``; its manifests say the rest.

    Parameters
    ----------
    cluster : str
        Which cluster it is: the UID of its namespace kube-system, which no other one has.
    namespace : str
        Where its objects are.
    timeout_s : int
        Seconds that a change may take until every pod is ready.
    context : str or None
        The kubectl context that reaches the cluster. None: the one that is chosen there.
    overlay : str or None
        The folder of its manifests. None: ``deploy/overlays/<name>``.
    gitops : str or None
        The agent that brings what the branch says, `AGENTS`. None: the engine does.
    """

    host: str = ""
    port: int = 0
    instances: int = 0
    cluster: str
    namespace: str
    timeout_s: int = 180
    context: str | None = None
    overlay: str | None = None
    gitops: str | None = None

    def __post_init__(self) -> None:
        if self.gitops not in (None, *AGENTS):
            raise ValueError(f"gitops must be {' or '.join(AGENTS)}, not {self.gitops!r}")

    @property
    def agent(self) -> str:
        """The agent in the cluster, or empty."""
        return self.gitops or ""

    @property
    def place(self) -> str:
        """Where it serves, in words."""
        return f"namespace {self.namespace} of cluster {self.cluster}"


# What a cluster's manifests and its autoscaler decide: no settings of its environments.
NOT_IN_A_CLUSTER = {"host": "", "port": 0, "instances": 0, "ready_timeout_s": 60}


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
    freezes : tuple of Freeze
    keep : int
        How many verified releases of an environment ``invoke prune`` leaves on a machine.
    drill_budget_s : int
        Seconds in which a rollback that is only practised must be done.
    root : pathlib.Path
        The folder in which ``release.toml`` is: others that it names are found from there.
    """

    project: str
    serve: tuple[str, ...]
    max_bundle_mb: int
    lease_s: int
    environments: tuple[Environment, ...]
    image: ImagePolicy | None = None
    freezes: tuple[Freeze, ...] = ()
    keep: int = 5
    drill_budget_s: int = 120
    root: Path = Path()

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
        return parse(path.read_bytes(), path)
    except OSError as error:
        raise _refuse(path, f"it cannot be read: {error}") from None


def parse(content: bytes, path: Path) -> Policy:
    """Understand a policy, from whichever commit; ``path`` is what an error names."""
    try:
        document = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _refuse(path, f"it cannot be read: {error}") from None
    if document.pop("schema", None) != SCHEMA:
        raise _refuse(path, f"schema must be {SCHEMA}")
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
    fixed = {"environments": tuple(environments), "root": path.parent}
    policy = _read(path, "", Policy, document, fixed)
    _hold_together(path, policy)
    return policy


def _hold_together(path: Path, policy: Policy) -> None:
    """Refuse settings that are right each, and wrong together."""
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
            _hold_a_cluster_together(path, policy, environment)
        elif canary and canary.instances >= environment.instances:
            raise _refuse(path, f"{where}.canary.instances must leave a server to compare with")
        if canary and canary.longest_s >= policy.lease_s:
            longest = f"{canary.longest_s} s, lease_s is {policy.lease_s}"
            raise _refuse(path, f"{where}.canary may take {longest}: it would count as dead")
        if environment.nightly not in (PROPOSE, PROMOTE):
            raise _refuse(path, f"{where}.nightly must be {PROPOSE} or {PROMOTE}")
        if environment.soak_minutes and not environment.after:
            raise _refuse(path, f"{where}.soak_minutes: there is no environment before it")


def _hold_a_cluster_together(path: Path, policy: Policy, environment: ClusterEnvironment) -> None:
    where = f"environments.{environment.name}"
    if environment.canary and environment.gitops:
        why = f"{environment.gitops} changes all pods over as soon as it sees the release"
        raise _refuse(path, f"{where}.canary cannot be: {why}")
    # The canary, the way there, and if that fails the way back.
    longest_s = 2 * environment.timeout_s
    if environment.canary:
        longest_s += environment.timeout_s + environment.canary.longest_s
    if longest_s >= policy.lease_s:
        longest = f"{longest_s} s with its way back, lease_s is {policy.lease_s}"
        raise _refuse(path, f"{where}: a change may take {longest}: it would count as dead")
    if policy.image is None:
        raise _refuse(path, f"{where} wants the image of a release, and there is no [image]")


def _read(path: Path, where: str, kind: type[Table], table: Any, fixed: Mapping[str, Any]) -> Table:
    """Make a dataclass from a table: every key known, every type right, nothing missing."""
    if not isinstance(table, dict):
        raise _refuse(path, f"{where} must be a table")
    prefix = f"{where}." if where else ""
    hints = get_type_hints(kind)
    wanted = {field.name: field for field in fields(cast(Any, kind)) if field.name not in fixed}
    for key in table:
        if key not in wanted:
            known = ", ".join(wanted)
            raise _refuse(path, f"{prefix}{key} is not a setting; known are {known}")
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
        f"{path.name} is not a release policy",
        why=why,
        state="nothing was changed",
        next_step=f"mend {path.name}; its comments say what each setting means",
    )
