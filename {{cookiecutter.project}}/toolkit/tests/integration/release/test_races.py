"""Promotions that start at the same time: one wins, the others name it, a rollback preempts all."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.release import engine
from toolkit.release.engine import Machine
from toolkit.release.errors import ReleaseError
from toolkit.release.git import Repository
from toolkit.release.progress import Progress
from toolkit.release.records import Record
from toolkit.release.status import look
from toolkit.tests.in_memory import InMemoryPlatform
from toolkit.tests.workshop import Workshop, git

CLONES = 5
LOCKED = 13


@pytest.fixture
def clones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Workshop]]:
    """One remote, and clones of it whose staging is on the same platform."""
    platform = InMemoryPlatform()
    monkeypatch.setattr(engine, "platform_of", lambda *_: platform)
    first = Workshop.open(tmp_path / "clone-0", tmp_path / "remote.git")
    shops = [first]
    for number in range(1, CLONES):
        folder = tmp_path / f"clone-{number}"
        git(tmp_path, "clone", "--quiet", str(tmp_path / "remote.git"), str(folder))
        git(folder, "config", "user.name", f"Ada {number}")
        git(folder, "config", "user.email", f"ada.{number}@example.com")
        shops.append(Workshop(folder, replace(first.machine, repository=Repository(folder))))
    yield shops
    platform.close()


def at_once(acts: list[Callable[[], object]]) -> list[object]:
    """Run all acts at the same time; return results and errors in the acts' order."""
    results: list[object] = [None] * len(acts)
    begin = threading.Barrier(len(acts))

    def run(number: int) -> None:
        begin.wait()
        try:
            results[number] = acts[number]()
        except ReleaseError as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def promotion(shop: Workshop, release: Record) -> Callable[[], object]:
    """Return a promotion that was planned before any other started."""
    machine = Machine(Repository(shop.folder), shop.machine.policy)
    plan = machine.plan_promotion(shop.staging, release.version)
    return lambda: machine.promote(plan, Progress())


def one_of(clones: list[Workshop], count: int) -> None:
    """Start so many promotions at once, and check that exactly one of them wins."""
    release = clones[0].release(b"model")
    acts = [promotion(clones[number % CLONES], release) for number in range(count)]
    results = at_once(acts)
    codes = Counter(one.exit_code if isinstance(one, ReleaseError) else 0 for one in results)
    assert codes == {0: 1, LOCKED: count - 1}, [str(one) for one in results]
    seen = look(clones[0].machine, clones[0].ledger(), clones[0].staging)
    assert (seen.release, seen.drift) == (release.version, "")


def a_rollback_among(clones: list[Workshop], count: int) -> None:
    """Start a rollback among so many promotions, and check that it completes."""
    shop = clones[0]
    release = shop.release(b"another model")
    machine = Machine(Repository(shop.folder), shop.machine.policy)
    back = machine.plan_rollback(shop.staging, None)
    acts = [promotion(clones[number % CLONES], release) for number in range(count)]
    *others, rolled = at_once([*acts, lambda: machine.rollback(back, Progress(), "a test")])
    assert not isinstance(rolled, ReleaseError), str(rolled)
    for one in others:
        assert not isinstance(one, ReleaseError) or one.exit_code == LOCKED, str(one)
    seen = look(shop.machine, shop.ledger(), shop.staging)
    assert (seen.release, seen.drift) == (back.record.version, "")


def test_7_of_promotions_at_once_one_wins_and_a_rollback_among_them_completes(
    clones: list[Workshop],
) -> None:
    for _ in range(2):
        one_of(clones, 20)
    a_rollback_among(clones, 20)


@pytest.mark.endurance
def test_7_of_fifty_promotions_at_once_one_wins_in_each_of_twenty_rounds(
    clones: list[Workshop],
) -> None:
    for _ in range(20):
        one_of(clones, 50)
        clones[0].promote(clones[0].release(b"one more"), clones[0].staging)
        a_rollback_among(clones, 50)
        clones[0].unhold(clones[0].staging)
