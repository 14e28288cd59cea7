"""Nothing is released that has not passed its scan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolkit.release.errors import GateRefused
from toolkit.release.scan import require_image, require_passed

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
SCANNED = {
    "schema": 2,
    "digest": DIGEST,
    "image_id": OTHER,
    "verdict": "passed",
    "tree_clean": True,
}


def leave(root: Path, content: str) -> bytes:
    """Write a scan's evidence to reports/."""
    file = root / "reports" / "scanned.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(content, encoding="utf-8")
    return file.read_bytes()


def test_a_bundle_that_has_passed_its_scan_may_be_released(tmp_path: Path) -> None:
    content = leave(tmp_path, json.dumps(SCANNED))
    assert require_passed(tmp_path, DIGEST) == content
    require_image(content, OTHER)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"verdict": "failed"}, "its verdict is 'failed', not 'passed'"),
        ({"verdict": None}, "its verdict is None"),
        ({"digest": OTHER}, f"it is about the bundle {OTHER}, not {DIGEST}"),
        ({"digest": ""}, f"not {DIGEST}"),
        ({"tree_clean": False}, "uncommitted changes"),
        ({"schema": 1}, "its schema is 1, not 2"),
    ],
)
def test_a_bundle_that_has_not_passed_its_scan_is_refused(
    tmp_path: Path, change: dict[str, object], why: str
) -> None:
    leave(tmp_path, json.dumps(SCANNED | change))
    with pytest.raises(GateRefused) as refused:
        require_passed(tmp_path, DIGEST)
    assert why in refused.value.why
    assert refused.value.next_step.startswith("invoke build, then nox -s scan")


def test_the_scan_of_another_image_is_refused() -> None:
    with pytest.raises(GateRefused) as refused:
        require_image(json.dumps(SCANNED).encode(), DIGEST)
    assert refused.value.why == f"it is about the image {OTHER}, not {DIGEST}"


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 1', "\x00"])
def test_a_scan_that_cannot_be_read_is_no_pass(tmp_path: Path, content: str) -> None:
    with pytest.raises(GateRefused, match="has not passed a scan"):
        require_passed(tmp_path, DIGEST)
    leave(tmp_path, content)
    with pytest.raises(GateRefused, match="has not passed a scan"):
        require_passed(tmp_path, DIGEST)
