"""Whoever wants to know is told how a change has ended, and never stands in its way."""

from __future__ import annotations

import json

import pytest

from toolkit.release.event import Event
from toolkit.release.notice import VARIABLE, tell
from toolkit.release.progress import Progress
from toolkit.tests.listener import listening

EVENT = Event(
    "rollback",
    "0123456789ab-01234567",
    "sha256:1",
    "verified",
    previous="ba9876543210-76543210",
    actor="Ada <ada@example.com>",
    reason="customers complained",
)


def test_a_notice_has_a_text_for_people_and_fields_for_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listening() as listener:
        monkeypatch.setenv(VARIABLE, f"{listener.address}/hooks/secret")
        tell("prod", EVENT, Progress())
    ((path, headers, body),) = listener.requests
    told = json.loads(body)
    assert (path, headers["Content-Type"]) == ("/hooks/secret", "application/json")
    assert told["text"] == (
        "prod: rollback of 0123456789ab-01234567: verified (customers complained)"
    )
    assert (told["environment"], told["kind"], told["outcome"]) == ("prod", "rollback", "verified")
    assert told["previous"] == "ba9876543210-76543210"


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://127.0.0.1:9/planted-secret", "ConnectionRefusedError"),
        ("file:///planted-secret", "is not an http(s) address"),
        ("http://planted-secret:port", "InvalidURL"),
        ("http://127.0.0.1:9/planted secret", "InvalidURL"),
    ],
)
def test_a_dead_or_senseless_address_breaks_nothing_and_is_never_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], address: str, why: str
) -> None:
    monkeypatch.setenv(VARIABLE, address)
    tell("prod", EVENT, Progress())
    said = capsys.readouterr().err
    assert "the notice did not arrive: " in said and why in said
    assert "planted" not in said


def test_an_answer_that_is_an_error_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening(status=500) as listener:
        monkeypatch.setenv(VARIABLE, listener.address)
        tell("prod", EVENT, Progress())
    assert "it was answered with 500" in capsys.readouterr().err


def test_nobody_is_told_where_nobody_wants_to_know(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    tell("prod", EVENT, Progress())
    assert capsys.readouterr().err == ""
