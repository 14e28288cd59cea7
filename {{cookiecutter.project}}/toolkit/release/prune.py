"""Removes releases that a serving machine no longer needs; git keeps them all."""

from __future__ import annotations

from .checks import refuse_a_lock
from .engine import Machine
from .event import VERIFIED
from .ledger import Ledger
from .plan import known_good, serving
from .platforms import platform_of
from .signing import counted


def needed(machine: Machine, ledger: Ledger) -> set[str]:
    """Return the releases that some environment may have to serve.

    Those are the release that it should serve, those that run, the target of a rollback, and the
    newest that were verified there, as many as ``keep`` in ``release.toml``.
    """
    kept: set[str] = set()
    for environment in machine.policy.environments:
        history = ledger.history(environment.name)
        refuse_a_lock(history, environment.name)
        current = serving(ledger, ledger.head(environment.name)).version
        running = {one.release for one in machine.observe(environment).instances}
        counting = counted(ledger, machine.policy, history)
        verified = [event.release for event in counting if event.outcome == VERIFIED]
        newest = list(dict.fromkeys(verified))[: machine.policy.keep]
        kept |= {current, *running, *known_good(counting, current)[:1], *newest}
    return kept


def unneeded(machine: Machine) -> list[str]:
    """Return the releases on this machine that no environment may have to serve."""
    kept = needed(machine, Ledger.open(machine.repository))
    stored = {
        release
        for environment in machine.policy.environments
        for release in platform_of(environment, machine.policy).stored()
    }
    return sorted(stored - kept)


def prune(machine: Machine, releases: list[str]) -> None:
    """Remove releases from this machine; a rollback to one of them would have to stage it again."""
    for environment in machine.policy.environments:
        platform = platform_of(environment, machine.policy)
        # Environments may share a host, where the first one removes it for all.
        for release in set(releases).intersection(platform.stored()):
            platform.discard(release)
