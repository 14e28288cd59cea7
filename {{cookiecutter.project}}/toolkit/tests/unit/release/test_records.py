"""A release record is complete and consistent, or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from toolkit.release.errors import HistoryCorrupt
from toolkit.release.records import Record, digest_of, parse, sha256

ARTIFACTS = {"model.onnx": sha256(b"model"), "requirements.txt": sha256(b"lock")}
RECORD = Record(
    version="0123456789ab-" + sha256(b"model")[:8],
    commit="0123456789abcdef0123456789abcdef01234567",
    digest=digest_of(ARTIFACTS),
    model_sha256=sha256(b"model"),
    data_sha256=sha256(b"data"),
    artifacts=ARTIFACTS,
    evidence={"gate.json": sha256(b"{}")},
    gate="passed",
)
FILES = {"model.onnx": b"model", "requirements.txt": b"lock", "gate.json": b"{}"}


def test_a_record_survives_its_own_file() -> None:
    assert parse(RECORD.to_json(), "a test") == RECORD


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"schema": 2}, "schema is not 1"),
        ({"surprise": 1}, "keys are not those"),
        ({"version": "latest"}, "'latest' is no version"),
        ({"version": "ffffffffffff-00000000"}, "does not match its commit and model"),
        ({"digest": "sha256:" + "0" * 64}, "digest does not match its artifacts"),
        ({"artifacts": ARTIFACTS | {"model.onnx": sha256(b"other")}}, "digest does not match"),
        ({"artifacts": None}, "NoneType"),
        ({"artifacts": {"../model.onnx": "0" * 64}}, "is no plain file name"),
    ],
)
def test_33_an_edited_record_is_refused(change: dict[str, Any], why: str) -> None:
    document = json.loads(RECORD.to_json()) | change
    with pytest.raises(HistoryCorrupt) as refusal:
        parse(json.dumps(document).encode(), "the tag release/x")
    assert why in refusal.value.why
    assert "the tag release/x" in refusal.value.what


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null"])
def test_33_a_truncated_record_is_refused(content: bytes) -> None:
    with pytest.raises(HistoryCorrupt):
        parse(content, "a test")


def test_a_bundle_is_checked_against_its_record() -> None:
    assert RECORD.damage(FILES) is None
    assert RECORD.damage(FILES | {"model.onnx": b"other"}) == (
        "model.onnx is not the file that was released"
    )
    assert RECORD.damage({"model.onnx": b"model"}) == "requirements.txt is missing"


def test_the_digest_covers_names_and_contents() -> None:
    renamed = {"model2.onnx": ARTIFACTS["model.onnx"]}
    assert digest_of(renamed) != digest_of({"model.onnx": ARTIFACTS["model.onnx"]})
    assert digest_of(ARTIFACTS) == digest_of(dict(reversed(ARTIFACTS.items())))
