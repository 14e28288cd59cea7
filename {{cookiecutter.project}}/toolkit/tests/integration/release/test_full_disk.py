"""The disk of the serving machine is full: running servers go on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.release.errors import RolledBack
from toolkit.release.status import look
from toolkit.tests.disks import SmallDisk
from toolkit.tests.workshop import Workshop

PATIENCE_S = 10


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallDisk]:
    """The disk of releases and supervisors."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with SmallDisk.mounted(tmp_path / "state") as disk:
        yield disk


@pytest.mark.parametrize("free_blocks", [0, 4, 12])
def test_17_a_release_that_finds_no_room_is_rolled_back_and_is_not_called_bad(
    disk: SmallDisk, workshop: Workshop, free_blocks: int
) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"two")
    workshop.promote(first, workshop.staging)
    servers = workshop.machine.observe(workshop.staging).instances
    disk.fill(free_blocks)
    with pytest.raises(RolledBack) as refusal:
        workshop.promote(second, workshop.staging)
    assert refusal.value.exit_code == 30
    assert "No space left on device" in refusal.value.why
    assert refusal.value.state == f"staging serves {first.version}, as before"
    assert workshop.machine.observe(workshop.staging).instances == servers
    assert workshop.ledger().history("staging")[0].outcome == "aborted"
    disk.make_room()
    assert workshop.machine.plan_promotion(workshop.staging, None).record == second
    workshop.promote(second, workshop.staging)


def test_17_a_failed_install_leaves_room_for_the_record_of_how_it_ended(
    disk: SmallDisk,
) -> None:
    shop = Workshop.open(disk.folder / "clone", None)
    shop.promote(shop.release(b"one"), shop.staging)
    second = shop.release(b"two")
    disk.fill(free_blocks=12)
    try:
        with pytest.raises(RolledBack, match="rolled back") as refusal:
            shop.promote(second, shop.staging)
        assert "No space left on device" in refusal.value.why
        assert shop.ledger().history("staging")[0].outcome == "aborted"
    finally:
        disk.make_room()
        shop.close()


def test_17_a_supervisor_on_a_full_disk_keeps_its_servers_and_starts_the_dead_ones_again(
    disk: SmallDisk, workshop: Workshop
) -> None:
    workshop.promote(workshop.release(), workshop.staging)
    killed, spared = workshop.machine.observe(workshop.staging).instances
    disk.fill()
    os.kill(killed.pid, signal.SIGKILL)
    time.sleep(1)
    os.kill(spared.pid, 0)
    disk.make_room()
    deadline = time.monotonic() + PATIENCE_S
    while look(workshop.machine, workshop.ledger(), workshop.staging).drift or {
        instance.pid for instance in workshop.machine.observe(workshop.staging).instances
    } == {killed.pid, spared.pid}:
        assert time.monotonic() < deadline, "it did not recover"
        time.sleep(0.05)
    assert spared in workshop.machine.observe(workshop.staging).instances
