"""The outcome of a change is sent to a webhook, whose failure never fails the change."""

from __future__ import annotations

import json

import pytest

from toolkit.release.event import Event
from toolkit.release.notice import VARIABLE, notify
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
        notify("prod", EVENT, Progress())
    ((path, headers, body),) = listener.requests
    document = json.loads(body)
    assert (path, headers["Content-Type"]) == ("/hooks/secret", "application/json")
    assert document["text"] == (
        "prod: rollback of 0123456789ab-01234567: verified (customers complained)"
    )
    assert (document["environment"], document["kind"], document["outcome"]) == (
        "prod",
        "rollback",
        "verified",
    )
    assert document["previous"] == "ba9876543210-76543210"


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
    notify("prod", EVENT, Progress())
    output = capsys.readouterr().err
    assert "the notification failed: " in output and why in output
    assert "planted" not in output


def test_an_error_of_the_webhook_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening(status=500) as listener:
        monkeypatch.setenv(VARIABLE, listener.address)
        notify("prod", EVENT, Progress())
    assert "the webhook answered 500" in capsys.readouterr().err


def test_without_an_address_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    notify("prod", EVENT, Progress())
    assert capsys.readouterr().err == ""
