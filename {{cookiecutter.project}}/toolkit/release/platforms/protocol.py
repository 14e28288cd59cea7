"""The interface of a platform, and its view of the servers that run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..canary.traffic import Replay
from ..canary.verdict import Side
from ..records import Record

# What a server is for: for customers, as a release that is tried, or as the release before that it
# is compared with, both as young and with the same share of new connections.
STABLE, CANARY, CONTROL = "stable", "canary", "control"
# The environment variable of the last two: a client that kept its connection would load one of them
# for as long as it lives. Servers of releases before it ignore it.
CONNECTIONS = ("CONNECTIONS", "close")


def url_of(host: str, port: int) -> str:
    """Return the URL of an address.

    Examples
    --------
    >>> url_of("127.0.0.1", 8000), url_of("::1", 8000)
    ('http://127.0.0.1:8000', 'http://[::1]:8000')
    """
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@dataclass(frozen=True)
class Instance:
    """One running server.

    Parameters
    ----------
    release, digest : str
        The release that it was started from.
    address : str
        Reaches only this server: ``http://host:port``, a container's name, or ``pods/name:port``.
    pid : int
        Its process on the serving machine; 0 where that is not this one.
    state : str
        starting, ready, draining or failed.
    restarts : int
        How often it was restarted after a crash.
    track : str
        `STABLE`, `CANARY` or `CONTROL`.
    """

    release: str
    digest: str
    address: str
    pid: int
    state: str
    restarts: int
    track: str = STABLE


@dataclass(frozen=True)
class Observation:
    """What an environment runs now, on its platform.

    Parameters
    ----------
    endpoint : str
        The address for its clients and for `Platform.ask`; empty when nothing serves.
    instances : tuple of Instance
    trouble : str
        What keeps it from its desired state, with the end of the log, or empty.
    since : str
        Since when all of them serve the one release that they do, by a clock that no command sets,
        as an ISO 8601 time; a restart of a crashed server does not change it. Empty where they
        serve several, or that is not known.
    """

    endpoint: str
    instances: tuple[Instance, ...]
    trouble: str
    since: str = ""

    def drift(self, release: str) -> str:
        """Return how this differs from serving a release (empty: none), or an empty text."""
        if not release:
            return "servers run, though none should" if self.instances else ""
        if not self.instances:
            return self.trouble or "nothing runs"
        others = {instance.release for instance in self.instances} - {release}
        if others:
            return f"{', '.join(sorted(others))} runs"
        if any(instance.track != STABLE for instance in self.instances):
            return "servers of a canary run"
        unready = [instance.address for instance in self.instances if instance.state != "ready"]
        return f"{', '.join(unready)} not ready" if unready else self.trouble


@dataclass(frozen=True)
class Unseen(Observation):
    """No observation: the platform does not answer or refuses to, and ``trouble`` says how."""


def compared(observation: Observation) -> list[str]:
    """Return the addresses of a canary and its control; without any, that of the environment."""
    tried = [one.address for one in observation.instances if one.track in (CANARY, CONTROL)]
    return tried or [observation.endpoint]


class Platform(Protocol):
    """A platform, as the engine uses it. Every method may be repeated without harm.

    Every method raises `Unreachable` where the platform does not answer, so that its state or the
    effect of the call is unknown.
    """

    def locate(self) -> None:
        """Make sure that this is the place of release.toml, or raise `PreconditionFailed`."""

    def render(
        self, record: Record, bundle: Callable[[], Mapping[str, bytes]], event: str
    ) -> dict[str, bytes]:
        """Return the manifests of a release for this environment, by file name; nothing is touched.

        ``event`` is the id of the event that they are for.
        """

    def examine(self, desired: Mapping[str, bytes]) -> None:
        """Raise `PreconditionFailed` for a state that would be refused; nothing is touched."""

    def require(self, record: Record, bundle: Mapping[str, bytes]) -> None:
        """Raise `ArtifactGone` if a release is not available; nothing is touched.

        A rollback waits for this: no registry is asked about what is already here.
        """

    def warning(self, record: Record, bundle: Mapping[str, bytes]) -> str:
        """Return what is unusual about a release, as a warning, or an empty text."""

    def preflight(self, record: Record, bundle: Callable[[], Mapping[str, bytes]]) -> None:
        """Stage the release here, ready to start; `NotServing` where the machine cannot."""

    def apply(
        self,
        desired: Mapping[str, bytes],
        event: str,
        guard: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        """Make the environment serve this desired state without losing a request.

        ``event`` names the state. ``guard`` is called last, when no other command can interfere,
        and raises if the event is no longer the newest. ``report`` receives the progress.
        `ReleaseFailed` when the new servers do not become ready by their own fault, `NotServing`
        when it is another's, or not known to be theirs.
        """

    def canary(
        self,
        desired: Mapping[str, bytes],
        before: Mapping[str, bytes],
        instances: int,
        event: str,
        guard: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        """Make some servers serve the desired state, and as many young ones the state before.

        Those are the `CANARY` and its `CONTROL`; fewer where the environment has no more. Any
        others go on as they are. As `apply`; an `apply` of one of the states follows, which ends
        both.
        """

    def answered(self, address: str, mark: str) -> tuple[Side, str]:
        """Return the predictions of one server since a mark, and the new mark; "" is no mark.

        `Undecided` where a server's answers cannot be read.
        """

    def replay(self, requests: Sequence[Any], per_second: int) -> Replay:
        """Return a replay of held-out customers to a canary and its control, in equal measure."""

    def stop(self, event: str, guard: Callable[[], None]) -> None:
        """Let every server finish its requests, and end it."""

    def observe(self) -> Observation:
        """Return what runs."""

    def changed(self, desired: Mapping[str, bytes]) -> str:
        """Return what was changed by hand in a desired state, or an empty text."""

    def unready(self, record: Record) -> str:
        """Return why a release could not start here at once, or an empty text.

        It need not be lost: `preflight` may be able to stage it again.
        """

    def stored(self) -> list[str]:
        """Return the releases that are staged on this host."""

    def discard(self, release: str) -> None:
        """Remove a release from this host, if it is there."""

    def ask(self, address: str, path: str, body: Any = None) -> Any:
        """Return one instance's answer, parsed from JSON.

        `NotServing` if there is none, `ReleaseFailed` if it is an error.
        """
