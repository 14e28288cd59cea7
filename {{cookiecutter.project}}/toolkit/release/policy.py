"""The release policy: what ``release.toml`` says, as frozen objects; `policy_file` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .canary.verdict import Rules
from .errors import ConfigurationError
from .freeze import Freeze

# What `invoke propose` does with a release: it opens an issue, or promotes at once.
PROPOSE, PROMOTE = "propose", "promote"


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
