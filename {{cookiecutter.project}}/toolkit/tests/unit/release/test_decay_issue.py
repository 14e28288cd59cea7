"""A release that ranks customers worse than it did is one issue, however many nights say so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolkit.release import decay
from toolkit.release.errors import PreconditionFailed
from toolkit.tests.command_line import CommandLine
from toolkit.tests.listener import listening
from toolkit.tests.stand_in_forge import StandInForge, job
from toolkit.tests.workshop import Workshop

PROD = ("--env", "prod")
FELL = {
    **{"environment": "prod", "release": "c0ffee", "state": "fell"},
    "sentence": "release c0ffee ranks customers worse than it did: roc_auc 0.7800",
}


def night(folder: Path, found: dict[str, Any] | None) -> None:
    """Write what a nightly training leaves about the release that serves."""
    (folder / "reports").mkdir(exist_ok=True)
    (folder / "reports" / "nightly.json").write_text(json.dumps({"decay": found}))


def test_two_nights_that_find_the_same_fall_are_one_issue(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke, stand_in = CommandLine.of(workshop), StandInForge()
    night(workshop.folder, FELL)
    with listening(answer=stand_in) as listener:
        for name, value in job("GitHub", listener.address).items():
            monkeypatch.setenv(name, value)
        for _ in range(2):
            done = invoke.run("decay", *PROD)
            assert done.returncode == 0
            assert FELL["sentence"] in done.stderr
        night(workshop.folder, FELL | {"sentence": "release c0ffee: roc_auc 0.7700"})
        assert invoke.run("decay", *PROD).returncode == 0
    (issue,) = stand_in.lists["issues"]
    assert issue["title"] == "c0ffee ranks the customers of prod worse than it did"
    assert issue["body"].startswith(FELL["sentence"])
    [(_, comment)] = stand_in.comments
    assert comment.startswith("release c0ffee: roc_auc 0.7700")


@pytest.mark.parametrize("found", [None, FELL | {"state": "fine"}, FELL | {"state": "waiting"}])
def test_any_other_state_opens_no_issue(
    workshop: Workshop, found: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(workshop.folder, found)
    stand_in = StandInForge()
    with listening(answer=stand_in) as listener:
        for name, value in job("GitHub", listener.address).items():
            monkeypatch.setenv(name, value)
        done = CommandLine.of(workshop).run("decay", *PROD)
    assert done.returncode == 0
    assert (FELL["sentence"] if found else "prod is not watched") in done.stderr
    assert stand_in.calls == []


def test_a_night_of_another_environment_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PreconditionFailed) as missing:
        decay.read(tmp_path, "prod")
    assert "it cannot be read" in missing.value.why
    night(tmp_path, FELL)
    with pytest.raises(PreconditionFailed) as other:
        decay.read(tmp_path, "staging")
    assert other.value.why == "it is about prod, not staging"
