"""The disk of the repository is full: the old state is intact, and works again with free space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.release.errors import CrashResidue, PreconditionFailed
from toolkit.release.progress import Progress
from toolkit.release.records import Record
from toolkit.release.status import look
from toolkit.tests.disks import SmallDisk
from toolkit.tests.in_memory import InMemoryPlatform
from toolkit.tests.workshop import Workshop, git


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """The disk of the repository."""
    with SmallDisk.mounted(tmp_path / "disk") as disk:
        yield disk


def impatient(shop: Workshop) -> Workshop:
    """Return the workshop with a lease that ends at once."""
    policy = replace(shop.machine.policy, lease_s=-60)
    return replace(shop, machine=replace(shop.machine, policy=policy))


@pytest.mark.parametrize("has_remote", [False, True])
def test_17_a_disk_that_is_full_at_any_write_stops_a_promotion_before_it_touches_anything(
    disk: SmallDisk, tmp_path: Path, platform: InMemoryPlatform, has_remote: bool
) -> None:
    remote = tmp_path / "remote.git" if has_remote else None
    shop = impatient(Workshop.open(disk.folder / "clone", remote))
    first, second = shop.release(b"one"), shop.release(b"two")
    shop.promote(first, shop.staging)
    refusals = 0
    for free_blocks in range(20):
        before = shop.ledger().history("staging")
        disk.fill(free_blocks)
        try:
            shop.promote(second, shop.staging)
            break
        except PreconditionFailed as refusal:
            assert "No space left" in refusal.why or "couldn't write" in refusal.why
            assert refusal.state.startswith(f"staging serves {first.version}, as before")
            refusals += 1
        finally:
            disk.make_room()
        assert platform.release == first
        assert git(shop.folder, "fsck", "--no-dangling") == ""
        after = shop.ledger().history("staging")
        if after != before:
            # The remote had accepted the lock before the disk was full.
            assert has_remote and after[0].is_pending and after[1:] == before
            with pytest.raises(CrashResidue):
                shop.promote(second, shop.staging)
            assert shop.machine.recover(shop.staging, Progress()).outcome == "aborted"
    assert refusals >= 3, "blob, commit and reference each need room"
    assert look(shop.machine, shop.ledger(), shop.staging).release == second.version
    assert platform.release == second


def test_17_an_outcome_that_finds_no_room_is_recorded_by_recover(
    disk: SmallDisk, platform: InMemoryPlatform
) -> None:
    shop = impatient(Workshop.open(disk.folder / "clone", None))
    first, second = shop.release(b"one"), shop.release(b"two")
    shop.promote(first, shop.staging)

    def fill_the_disk(record: Record) -> None:
        disk.fill()

    platform.before_apply = fill_the_disk
    with pytest.raises(PreconditionFailed, match="could not be recorded") as refusal:
        shop.promote(second, shop.staging)
    assert refusal.value.state.startswith(f"{second.version} in staging: verified; locked until")
    assert "invoke recover --env staging" in refusal.value.next_step
    disk.make_room()
    assert shop.machine.recover(shop.staging, Progress()).outcome == "verified"
    assert not look(shop.machine, shop.ledger(), shop.staging).drift
