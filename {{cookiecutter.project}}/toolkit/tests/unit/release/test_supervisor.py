"""The supervisor ends no server for the fault of another, and keeps logs from filling the disk."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import NoReturn

import pytest

from toolkit.release.platforms import supervisor
from toolkit.release.platforms.supervisor import (
    LONGEST_BACKOFF_S,
    Slot,
    Supervisor,
    Worker,
    backoff_s,
    remove_oldest,
    truncate,
)

PATIENCE_S = 10


def test_a_long_log_is_truncated_while_its_server_writes_on(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with log.open("ab", buffering=0) as server:
        server.write(b"x" * 100)
        truncate(log, max_bytes=100)
        assert log.stat().st_size == 100
        server.write(b"y")
        truncate(log, max_bytes=100)
        server.write(b"z")
    assert log.read_bytes() == b"z"
    assert (tmp_path / "server.log.old").read_bytes() == b"x" * 100 + b"y"


def test_on_a_full_disk_a_long_log_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(source: Path, target: Path) -> NoReturn:
        target.write_bytes(b"xx")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", half)
    log = tmp_path / "server.log"
    log.write_bytes(b"x" * 101)
    truncate(log, max_bytes=100)
    assert log.read_bytes() == b""
    assert list(tmp_path.iterdir()) == [log]


def test_only_the_newest_logs_and_those_in_use_are_kept(tmp_path: Path) -> None:
    for age in range(5):
        log = tmp_path / f"{age}.log"
        log.write_text("a line\n", encoding="utf-8")
        os.utime(log, (1000 - age, 1000 - age))
    remove_oldest(tmp_path, kept=2, used=[tmp_path / "4.log"])
    assert {log.name for log in tmp_path.iterdir()} == {"0.log", "1.log", "4.log"}


def test_the_wait_before_a_restart_grows_to_a_limit_however_many_there_were() -> None:
    waits = [backoff_s(restarts) for restarts in range(5001)]
    assert waits[:3] == [0.1, 0.2, 0.4]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_BACKOFF_S


def test_a_response_without_an_end_does_not_hold_up_the_supervisor(tmp_path: Path) -> None:
    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                while True:
                    connection.sendall(b"H")
                    time.sleep(0.01)
            except OSError:
                pass

    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        address = "http://{}:{}".format(*listener.getsockname())
        assert not Worker({}, process, address, tmp_path / "log", 0.0).is_ready()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def sleeping(listener: socket.socket, folder: Path, command: list[str]) -> Worker:
    """Return a server that does nothing, or another command."""
    spec = {"release": "a", "digest": "d", "ready_timeout_s": 1, "command": command}
    return Worker.start(spec, listener, folder / "server.log")


def test_a_server_that_cannot_be_started_again_holds_up_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with supervisor.listen("127.0.0.1", 0) as listener:
        first, second = (Slot(listener, sleeping(listener, tmp_path, asleep)) for _ in range(2))
        one = Supervisor(tmp_path, slots=[first, second])
        for slot in (first, second):
            assert slot.worker is not None
            slot.worker.process.kill()
            slot.worker.process.wait()
        assert first.worker is not None
        first.worker.spec["command"] = [str(tmp_path / "gone")]
        for _ in range(3):
            first.retry_at = 0.0
            for slot in (first, second):
                one.attempt(one.revive, slot)
        assert second.worker is not None
        assert second.worker.is_alive()
        assert (first.restarts, second.restarts) == (3, 1)
        assert one.trouble == ""
        second.worker.process.kill()
        second.worker.process.wait()
    # Reported once.
    assert capsys.readouterr().err.count("Traceback") == 1


def test_slots_serve_since_the_release_of_one_of_them_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        day = 0

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Clock:
            cls.day += 1
            return cls(2026, 11, cls.day, tzinfo=tz)

    def serving(*digests: str) -> str:
        one.slots = [slot_of(digest) for digest in digests]
        one.note_since()
        return one.since[:10] if len(one.digests) == 1 else ""

    def slot_of(digest: str) -> Slot:
        return Slot(listener, replace(worker, spec={"digest": digest}))

    monkeypatch.setattr(supervisor, "datetime", Clock)
    with supervisor.listen("127.0.0.1", 0) as listener:
        worker = sleeping(listener, tmp_path, [sys.executable, "-c", ""])
        worker.process.wait()
        one = Supervisor(tmp_path)
        assert serving("a") == "2026-11-01"
        # A crash, and one more server.
        assert serving("a", "a") == "2026-11-01"
        assert serving("a", "b") == ""
        assert serving("b", "b") == "2026-11-03"
        assert serving() == ""
        assert serving("b", "b") == "2026-11-05"


def test_a_fault_of_the_supervisor_itself_is_reported_and_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = Supervisor(tmp_path)
    (tmp_path / "desired.json").write_text("{", encoding="utf-8")
    one.attempt(one.read_desired)
    assert "JSONDecodeError" in one.trouble
    assert "JSONDecodeError" in capsys.readouterr().err
