"""What releases have in common is on a serving machine once, and only as long as one needs it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from toolkit.release.platforms.installation import run_inside
from toolkit.release.platforms.process import ProcessPlatform
from toolkit.release.records import Record
from toolkit.release.status import look
from toolkit.tests.workshop import Workshop, empty_wheel


def staged(workshop: Workshop, release: Record) -> Path:
    """Return the folder of a release's packages."""
    home = workshop.state / "releases" / release.version
    key = str(json.loads((home / "complete").read_bytes())["packages"])
    return workshop.state / "packages" / key


def test_releases_with_one_lock_share_their_packages_until_none_needs_them(
    workshop: Workshop,
) -> None:
    other_lock = {"requirements.txt": b"# another lock\n"}
    first, second = workshop.release(b"one"), workshop.release(b"two")
    third = workshop.release(b"three", others=other_lock)
    for release in (first, second, third):
        workshop.promote(release, workshop.staging)
    shared, own = staged(workshop, first), staged(workshop, third)
    assert staged(workshop, second) == shared != own
    platform = ProcessPlatform(workshop.staging, workshop.machine.policy)
    platform.discard(first.version)
    assert shared.is_dir()
    platform.discard(second.version)
    assert not shared.exists() and own.is_dir()
    assert not look(workshop.machine, workshop.ledger(), workshop.staging).drift


def test_a_release_sees_the_packages_of_its_lock(workshop: Workshop) -> None:
    # The wheel stands in for a package of the index: both are installed in the same way.
    bundle = {"requirements.txt": b"", "stand_in-1-py3-none-any.whl": empty_wheel()}
    names = "import importlib.metadata as m; print(*(one.name for one in m.distributions()))"
    assert "stand-in" in run_inside(bundle, names)


def test_a_release_whose_packages_are_gone_is_laid_out_again(workshop: Workshop) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"two")
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    packages = staged(workshop, first)
    (packages / "complete").unlink()
    seen = look(workshop.machine, workshop.ledger(), workshop.staging)
    assert "could not start now" in str(seen)
    assert workshop.rollback(workshop.staging).release == first.version
    python = workshop.state / "releases" / first.version / "venv" / "bin" / "python"
    path = subprocess.run(
        [str(python), "-I", "-c", "import sys; print(*sys.path)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert str(packages) in path
