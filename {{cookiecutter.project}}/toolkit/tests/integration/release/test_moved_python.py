"""The Python of a release that was laid out before has moved: it is laid out again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from toolkit.release.checks import known_bad
from toolkit.release.progress import Progress
from toolkit.release.records import Record
from toolkit.release.status import look
from toolkit.tests.workshop import Workshop


def python_of(workshop: Workshop, release: Record) -> Path:
    return workshop.state / "releases" / release.version / "venv" / "bin" / "python"


def move_away(workshop: Workshop, release: Record) -> Path:
    """Let a release's interpreter be of a Python that is gone; return where that was."""
    python = python_of(workshop, release)
    gone = workshop.folder.parent / "3.13.0" / "bin" / "python3"
    python.unlink()
    python.symlink_to(gone)
    return gone


@pytest.fixture
def two(workshop: Workshop) -> tuple[Record, Record]:
    """Two releases, the second of which serves."""
    first, second = workshop.release(b"one"), workshop.release(b"two")
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    return first, second


def test_a_rollback_finds_the_python_of_its_target_moved_and_installs_it_again(
    workshop: Workshop, two: tuple[Record, Record]
) -> None:
    first, second = two
    before = look(workshop.machine, workshop.ledger(), workshop.staging)
    assert before.targets == {first.version: ""}
    assert "could not start now" not in str(before)
    gone = move_away(workshop, first)
    seen = look(workshop.machine, workshop.ledger(), workshop.staging)
    assert f"rollback to {first.version} could not start now: its Python" in str(seen)
    assert f"{gone} is gone; a rollback would install it again" in str(seen)
    assert not seen.drift
    assert workshop.rollback(workshop.staging).outcome == "verified"
    assert known_bad(workshop.ledger().history("staging")) == {second.version}


def test_a_python_of_another_minor_version_has_not_the_packages(
    workshop: Workshop, two: tuple[Record, Record]
) -> None:
    first, _ = two
    [library] = (python_of(workshop, first).parents[1] / "lib").iterdir()
    library.rename(library.with_name("python2.7"))
    seen = look(workshop.machine, workshop.ledger(), workshop.staging)
    assert "does not run; a rollback would install it again" in seen.targets[first.version]
    assert workshop.rollback(workshop.staging).outcome == "verified"
    assert library.is_dir()


def test_deploy_installs_what_should_serve_again_and_starts_its_dead_servers(
    workshop: Workshop, two: tuple[Record, Record]
) -> None:
    _, second = two
    move_away(workshop, second)
    for instance in workshop.machine.observe(workshop.staging).instances:
        os.kill(instance.pid, signal.SIGKILL)
    assert look(workshop.machine, workshop.ledger(), workshop.staging).drift
    workshop.machine.deploy(workshop.staging, Progress())
    assert not look(workshop.machine, workshop.ledger(), workshop.staging).drift


def test_a_target_whose_folder_is_gone_is_named(
    workshop: Workshop, two: tuple[Record, Record]
) -> None:
    first, _ = two
    python_of(workshop, first).parents[2].rename(workshop.folder.parent / "elsewhere")
    seen = look(workshop.machine, workshop.ledger(), workshop.staging)
    assert "does not exist; a rollback would install it again" in seen.targets[first.version]
