"""The release policy: what ``release.toml`` says, as frozen objects; `policy_file` reads it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from .canary.verdict import Rules
from .errors import ConfigurationError
from .freeze import Freeze

# The schema of release.toml since which a release's commit must be on the default branch, and the
# authors of all that comes with it may not approve it. Older releases keep the rules of their time.
MERGED_SINCE = 2

# The most windows of a canary that pass until both sides are steady, and do not count.
WARM_UP = 4
# Over all looks at the second servers of a canary; at each a twentieth, with the two by default.
ALPHA_AGAIN = 0.1

# What `invoke propose` does with a release: open an issue, or promote it at once.
PROPOSE, PROMOTE = "propose", "promote"


@dataclass(frozen=True)
class ApprovalPolicy:
    """Who must approve a promotion, a table ``[environments.<name>.approval]``.

    Parameters
    ----------
    needed : int
        How many people.
    by : tuple of str
        The e-mail addresses of those who may approve; empty: all who may push a tag.
    author_may_approve : bool
        Whether the approval of the released commit's author counts.
    signed : bool
        Whether an approval must carry a signature by a key in ``allowed_signers``.
    """

    needed: int = 1
    by: tuple[str, ...] = ()
    author_may_approve: bool = False
    signed: bool = False


@dataclass(frozen=True)
class CanaryPolicy(Rules):
    """How a release is tried on some servers first, ``[environments.<name>.canary]``.

    Parameters
    ----------
    instances : int
        How many servers run it, beside as many that run the release before.
    window_s : int
        Seconds that a window lasts; `Rules` has the number of windows and the limits.
    requests_per_s : int
        How many of the bundle's held-out customers are replayed where too few requests come.
    """

    instances: int = 1
    window_s: int = 10
    requests_per_s: int = 20

    @property
    def longest_s(self) -> int:
        """The seconds that it may take on its first servers, with a window to count requests."""
        return (1 + WARM_UP + self.looks * self.windows) * self.window_s

    @property
    def again(self) -> CanaryPolicy:
        """The rules for other servers of a release that was slower on the first.

        Most that are not slower would have failed by chance at the first; one that is has to be
        found a second time.
        """
        return replace(self, alpha=ALPHA_AGAIN)


@dataclass(frozen=True)
class Environment:
    """A place where releases serve, a table ``[environments.<name>]``.

    Parameters
    ----------
    name : str
        Also the name of its branch, ``env/<name>``.
    platform : str
        The module of ``toolkit.release.platforms`` that drives it.
    host, port : str, int
        The address for its clients.
    instances : int
        How many servers share that port.
    approval : ApprovalPolicy or None
        Whose approval a promotion requires, if any.
    canary : CanaryPolicy or None
        Whether some servers try a release before the others.
    soak_minutes : int
        How long a release must serve in the environment before this one.
    nightly : str
        What ``invoke propose`` does after the nightly training: propose or promote.
    ready_timeout_s : int
        Seconds until a new server must be ready.
    unmerged : bool
        Whether a release of a commit that is not on the default branch may be promoted here. Only
        the first environment may say so: from there it goes no further.
    after : str or None
        The environment before this one in the file, where a release must be verified first.
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
    unmerged: bool = False
    after: str | None = None

    @property
    def agent(self) -> str:
        """The agent that deploys the environment's branch, or empty: the engine does."""
        return ""

    @property
    def place(self) -> str:
        """Its address, for people."""
        return f"{self.instances} instances on {self.host}:{self.port}"


AGENTS = ("argocd", "flux")


@dataclass(frozen=True, kw_only=True)
class ClusterEnvironment(Environment):
    """An environment on ``platform = "kubernetes"``; its manifests have the rest.

    Parameters
    ----------
    cluster : str
        The UID of the cluster's namespace kube-system, which no other cluster has.
    namespace : str
        The namespace of its objects.
    timeout_s : int
        Seconds that a change may take until every pod is ready.
    context : str or None
        The kubectl context of the cluster. None: the current one.
    overlay : str or None
        The folder of its manifests. None: ``deploy/overlays/<name>``.
    gitops : str or None
        The agent that deploys the branch, one of `AGENTS`. None: the engine does.
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
        """Its address, for people."""
        return f"namespace {self.namespace} of cluster {self.cluster}"


@dataclass(frozen=True)
class ImagePolicy:
    """How a release becomes a container image, the table ``[image]``.

    Parameters
    ----------
    repository : str
        Where ``invoke build --push`` pushes it: a registry's host and a path.
    max_mb : int
        Megabytes; a larger image is refused.
    """

    repository: str
    max_mb: int


@dataclass(frozen=True)
class SigningPolicy:
    """Which of what a release job writes must be signed, the table ``[signing]``.

    Parameters
    ----------
    events : bool
        Whether events and release tags without a signature count for nothing.
    by : tuple of str
        The principals whose keys in ``allowed_signers`` may sign them.
    """

    events: bool
    by: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """The content of ``release.toml``.

    Parameters
    ----------
    project : str
        The name of this project's folder on a serving machine.
    serve : tuple of str
        Arguments after ``python`` that start a server; the platform adds ``--bundle`` and its
        sockets.
    max_bundle_mb : int
        A larger bundle is refused: git keeps it.
    lease_s : int
        Seconds that a promotion may lock an environment before it counts as killed.
    environments : tuple of Environment
        In the order in which a release passes through them.
    image : ImagePolicy or None
        None where a release has no image: the ``process`` platform runs the bundle itself.
    freezes : tuple of Freeze
    keep : int
        How many verified releases of an environment ``invoke prune`` keeps on a machine.
    log_mb : int
        Megabytes at which a server's log begins anew on the platforms ``process`` and ``docker``;
        the one before is kept beside it.
    drill_budget_s : int
        Seconds that a rollback drill may take.
    verify : tuple of str
        Arguments after ``python`` that compute again what the gate's evidence says, at the root
        of an export of the commit; the build adds ``--reports`` and a folder. It must be set to
        build, and may be missing in an older commit's file.
    score : tuple of str
        Arguments after ``python`` that score a table with a release, at the root of an export of
        its commit; the command adds ``--reports`` and ``--request``. Older files have none.
    scan : bool
        Whether only a bundle is released that has passed ``nox -s scan``.
    signing : SigningPolicy or None
        Whose signatures events and release tags need. None: nobody's.
    schema : int
        Of the file: older ones keep the rules of their time.
    root : pathlib.Path
        The folder of ``release.toml``, to which paths in it are relative.
    """

    project: str
    serve: tuple[str, ...]
    max_bundle_mb: int
    lease_s: int
    environments: tuple[Environment, ...]
    image: ImagePolicy | None = None
    freezes: tuple[Freeze, ...] = ()
    keep: int = 5
    log_mb: int = 50
    drill_budget_s: int = 120
    verify: tuple[str, ...] = ()
    score: tuple[str, ...] = ()
    scan: bool = True
    signing: SigningPolicy | None = None
    schema: int = MERGED_SINCE
    root: Path = Path()

    @property
    def signers(self) -> tuple[str, ...]:
        """Who must sign events and release tags; empty where nobody must."""
        return self.signing.by if self.signing and self.signing.events else ()

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
            next_step="choose one of them with --env, or add a table to release.toml",
        )
