"""The supervisor keeps its servers' logs from filling the disk."""

from __future__ import annotations

import os
from pathlib import Path

from toolkit.release.platforms.supervisor import truncate, remove_oldest


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


def test_only_the_newest_logs_are_kept(tmp_path: Path) -> None:
    for age in range(5):
        log = tmp_path / f"{age}.log"
        log.write_text("a line\n", encoding="utf-8")
        os.utime(log, (1000 - age, 1000 - age))
    remove_oldest(tmp_path, kept=2)
    assert {log.name for log in tmp_path.iterdir()} == {"0.log", "1.log"}
