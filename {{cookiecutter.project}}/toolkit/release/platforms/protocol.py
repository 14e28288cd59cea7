"""What the engine asks of a platform, and what a platform tells of the servers that run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..canary.traffic import Replay
from ..canary.verdict import Side
from ..records import Record


@dataclass(frozen=True)
class Instance:
    """One running server.

    Parameters
    ----------
    release, digest : str
        What it was started from.
    address : str
        Reaches this server and no other: ``http://host:port``, a container's name, or ``pod/name``.
    pid : int
        Its process, on the machine that serves; 0 where that is another one.
    state : str
        starting, ready, draining or failed.
    restarts : int
        How often it was started again after a crash.
    """

    release: str
    digest: str
    address: str
    pid: int
    state: str
    restarts: int


@dataclass(frozen=True)
class Observation:
    """What an environment runs now, seen from outside git.

    Parameters
    ----------
    endpoint : str
        Where its customers ask, for `Platform.ask`; empty when nothing serves.
    instances : tuple of Instance
    trouble : str
        What keeps it from its desired state, with the tail of the log, or empty.
    """

    endpoint: str
    instances: tuple[Instance, ...]
    trouble: str

    def drift(self, release: str) -> str:
        """Say how this differs from serving a release (empty: nothing), or return an empty text."""
        if not release:
            return "servers run, though git says nothing should" if self.instances else ""
        if not self.instances:
            return self.trouble or "nothing runs"
        others = {instance.release for instance in self.instances} - {release}
        if others:
            return f"{', '.join(sorted(others))} runs"
        unready = [instance.address for instance in self.instances if instance.state != "ready"]
        return f"{', '.join(unready)} not ready" if unready else self.trouble


class Platform(Protocol):
    """What the engine asks of a platform. Every verb may be repeated without harm.

    `Unreachable` says that a verb could not look, or cannot tell what it has done.
    """

    def locate(self) -> None:
        """Make sure that this is the place which release.toml means; else `PreconditionFailed`."""

    def render(
        self, record: Record, bundle: Callable[[], Mapping[str, bytes]], event: str
    ) -> dict[str, bytes]:
        """Return the manifests of this release here, by file name; nothing is touched.

        ``event`` is the id of the event that wants them.
        """

    def examine(self, desired: Mapping[str, bytes]) -> None:
        """Refuse, before anything is touched, what would not be taken; `PreconditionFailed`."""

    def require(self, record: Record, bundle: Mapping[str, bytes]) -> None:
        """Look whether a release can be brought here, and do no more; `ArtifactGone` if not.

        A rollback waits for this: nobody else is asked about what is already here.
        """

    def warning(self, record: Record, bundle: Mapping[str, bytes]) -> str:
        """Say what is odd about a release, and no reason not to promote it; or an empty text."""

    def preflight(self, record: Record, bundle: Callable[[], Mapping[str, bytes]]) -> None:
        """Bring the release here, ready to start; `NotServing` if that cannot be done."""

    def apply(
        self,
        desired: Mapping[str, bytes],
        event: str,
        guard: Callable[[], None],
        told: Callable[[str], None],
    ) -> None:
        """Make the environment serve this desired state without losing a request.

        ``event`` names the state; ``guard`` is asked last, when nobody else can come in between,
        and raises when the event is no longer the newest; ``told`` hears what happens meanwhile.
        `NotServing` when the new servers do not get ready.
        """

    def canary(
        self,
        desired: Mapping[str, bytes],
        before: Mapping[str, bytes],
        instances: int,
        event: str,
        guard: Callable[[], None],
        told: Callable[[str], None],
    ) -> None:
        """Make some servers serve the desired state, and the others what served before.

        As `apply` does it; an `apply` of either state follows.
        """

    def answered(self, address: str, mark: str) -> tuple[Side, str]:
        """Return the predictions of one server since a mark, and the mark of now; "" is no mark.

        `Undecided` where a server does not tell what it has answered.
        """

    def replay(self, requests: Sequence[Any], per_second: int) -> Replay:
        """Return who asks the environment about held-out customers, as customers would."""

    def stop(self, event: str, guard: Callable[[], None]) -> None:
        """Let every server finish its requests and end."""

    def observe(self) -> Observation:
        """Look at what runs."""

    def changed(self, desired: Mapping[str, bytes]) -> str:
        """Say what somebody has changed by hand in a desired state, or return an empty text."""

    def stored(self) -> list[str]:
        """Return the releases that are on this host, ready to start."""

    def discard(self, release: str) -> None:
        """Take a release from this host; one that is not there is no trouble."""

    def ask(self, address: str, path: str, body: Any = None) -> Any:
        """Return the JSON that one instance answers; `NotServing` if it does not."""
