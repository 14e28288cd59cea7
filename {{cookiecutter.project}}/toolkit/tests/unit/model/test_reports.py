"""A report is written completely or not at all, and no value breaks its page."""

import json
import os
from pathlib import Path

import pytest

from toolkit.reports import files as reports


def test_json_is_written_to_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "a.json"
    reports.write_json(path, {"a": 1})
    assert json.loads(path.read_bytes()) == {"a": 1}


def test_a_nan_is_an_error_and_keeps_the_old_report(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    reports.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        reports.write_json(path, {"a": float("nan")})
    assert json.loads(path.read_bytes()) == {"a": 1}


def test_a_full_disk_keeps_the_old_report_and_leaves_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    reports.write_bytes(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        reports.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_cell_cannot_break_its_table() -> None:
    page = reports.table(("column",), [["a|b\n<img>"]])
    assert page == "| column |\n| --- |\n| a\\|b &lt;img> |\n"
