"""The release board: environments, history and findings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from toolkit.release import board
from toolkit.release.event import Event
from toolkit.release.freeze import Freeze
from toolkit.release.ledger import CANARY
from toolkit.release.policy import Policy
from toolkit.release.records import EVIDENCE_NAME, FILE_NAME, Record, sha256
from toolkit.tests.history import History, good_week
from toolkit.tests.page import Page
from toolkit.tests.workshop import git

NOW = datetime(2026, 12, 24, 12, tzinfo=UTC)
WINTER = Freeze("winter", ("prod",), datetime(2026, 12, 20), datetime(2027, 1, 2), "UTC")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """The history of a good week."""
    with good_week(tmp_path_factory.mktemp("original")) as history:
        yield history


@pytest.fixture
def history(original: History, tmp_path: Path) -> History:
    """A copy of it, to change."""
    return original.copy(tmp_path)


def board_of(history: History, policy: Policy | None = None) -> Page:
    chosen = policy or history.shop.machine.policy
    return Page(board.page(history.audit(chosen), history.shop.ledger(), chosen, NOW).decode())


def lines(page: Page) -> str:
    return " ".join(page.text.split())


def test_the_board_shows_what_serves_since_when_and_by_whom(original: History) -> None:
    page = board_of(original)
    text = lines(page)
    served = original.releases[0]
    assert text.count("Ada") > 4
    assert f"prod {served.version}" in text
    assert "a rollback by Ada" in text and "on hold since a rollback" in text
    assert "✓ takes releases" in text
    assert served.digest in text and served.model_sha256 in text
    assert "8 events, 3 releases, ✓ no findings; origin has the same" in text
    assert page.addresses == [] and "script" not in page.tags


def test_the_timeline_has_one_row_a_change_the_newest_first(original: History) -> None:
    rows = board.timeline(original.audit(), original.shop.ledger())
    assert [row.event.time for row in rows] == sorted(
        (row.event.time for row in rows), reverse=True
    )
    events: dict[str, list[tuple[str, str]]] = {"staging": [], "prod": []}
    for row in rows:
        events[row.environment].append((f"{row.event.kind} {row.event.outcome}", row.level))
    assert events["prod"] == [
        ("rollback verified", "good"),
        ("promote verified", "good"),
        ("promote verified", "good"),
    ]
    assert events["staging"][:2] == [("promote verified", "good"), ("promote rolled-back", "bad")]


def test_findings_stand_on_top_and_at_their_events(history: History) -> None:
    history.forge("staging", history.shop.release(b"ungated", gate="failed"))
    text = lines(board_of(history))
    bad = history.commits("staging")[-1][:12]
    assert text.index("1 finding staging first bad event: " + bad) < text.index("Environments")
    assert "✗ failed" in text and "see findings" in text


def test_a_freeze_is_shown_while_it_holds(original: History) -> None:
    policy = replace(original.shop.machine.policy, freezes=(WINTER,))
    assert "frozen until 2027-01-02 00:00:00Z: winter" in lines(board_of(original, policy))


def test_a_pending_change_is_shown_beside_what_served_before_it(history: History) -> None:
    record = history.releases[1]
    begun = Event("promote", record.version, record.digest, "pending", history.releases[2].version)
    history.shop.ledger().append("staging", begun, {FILE_NAME: record.to_json()})
    text = lines(board_of(history))
    assert f"a promote of {record.version} is running, or was killed" in text
    assert f"staging {history.releases[2].version}" in text


def with_evidence(history: History, content: object) -> Record:
    """Release something with this evidence."""
    record = history.shop.release(b"measured")
    files = history.shop.ledger().bundle(record.version)
    history.untag(f"release/{record.version}")
    evidence = json.dumps(content).encode()
    record = replace(record, evidence={EVIDENCE_NAME: sha256(evidence)})
    files |= {EVIDENCE_NAME: evidence, FILE_NAME: record.to_json()}
    history.shop.ledger().add_release(record, files, "a release\n")
    return record


def test_figures_are_shown_whatever_they_mean(history: History) -> None:
    metrics = {"roc_auc": {"value": 0.84219, "low": 0.8}, "cost": 12, "notes": "<b>none</b>"}
    history.forge("staging", with_evidence(history, {"verdict": "passed", "metrics": metrics}))
    text = lines(board_of(history))
    assert "roc_auc 0.8422" in text and "cost 12" in text
    assert "notes" not in text


def test_unreadable_evidence_is_shown_as_unreadable(history: History) -> None:
    history.forge("staging", with_evidence(history, ["passed"]))
    assert "✗ its evidence cannot be read" in lines(board_of(history))


def test_a_canary_is_drawn_at_its_event(history: History) -> None:
    record = history.releases[0]
    output = Event("promote", record.version, record.digest, "verified", canary="pass: p95 2 ms")
    analysis = {"quantiles_ms": {"baseline": [1.0] * 101, "canary": [2.0] * 101}}
    files = {FILE_NAME: record.to_json(), CANARY: json.dumps(analysis).encode()}
    history.shop.ledger().append("staging", output, files)
    page = board_of(history)
    assert "canary pass: p95 2 ms" in lines(page)
    assert page.tags.count("svg") == 1
    history.shop.ledger().append("staging", output, files | {CANARY: b"{"})
    assert board_of(history).tags.count("svg") == 1


def test_no_name_and_no_reason_becomes_markup(history: History) -> None:
    evil = "<script>alert(1)</script><img src=x>"
    history.shop.unhold(history.shop.prod)
    history.shop.hold(history.shop.prod, evil)
    page = board_of(history)
    assert evil in page.text
    assert "script" not in page.tags and "img" not in page.tags


def test_a_repository_without_a_release_has_a_board(history: History) -> None:
    for name in ("staging", "prod"):
        for repository in (history.shop.folder, history.remote):
            git(repository, "update-ref", "-d", f"refs/heads/env/{name}")
    assert "No release yet." in lines(board_of(history))
