"""An issue is opened once, and its failure fails nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from toolkit.release.forge.client import GITHUB, GITLAB, Forge, ForgeFailed
from toolkit.release.forge.issues import open_issue, publish
from toolkit.release.git import Repository
from toolkit.release.progress import Progress
from toolkit.tests.listener import listening
from toolkit.tests.stand_in_forge import GITHUB as TEAM
from toolkit.tests.stand_in_forge import GITLAB as PROJECT
from toolkit.tests.stand_in_forge import TOKEN, StandInForge, job
from toolkit.tests.workshop import git

FORGES = [(GITHUB, TEAM, "body", "comments"), (GITLAB, PROJECT, "description", "notes")]


@pytest.mark.parametrize(("name", "path", "text", "comments"), FORGES)
def test_a_repeated_subject_becomes_a_comment_on_the_open_issue(
    name: str, path: str, text: str, comments: str
) -> None:
    stand_in = StandInForge()
    with listening(answer=stand_in) as listener:
        forge = Forge(name, listener.address + path, TOKEN)
        first = open_issue(forge, "The drill failed", "9 s")
        assert open_issue(forge, "The drill failed", "9 s\n") == first
        assert stand_in.comments == []
        assert open_issue(forge, "The drill failed", "8 s") == first
        assert open_issue(forge, "Another matter", "8 s") != first
    (issue, other) = stand_in.lists["issues"]
    assert (issue["title"], issue[text], other["title"]) == (
        *("The drill failed", "9 s", "Another matter"),
    )
    assert stand_in.comments == [("1", "8 s")]
    assert f"POST /issues/1/{comments}" in stand_in.calls


def test_a_pull_request_of_the_same_title_is_no_issue() -> None:
    request = {"title": "Promote", "pull_request": {}, "number": 1, "body": None}
    stand_in = StandInForge({"issues": [request]})
    with listening(answer=stand_in) as listener:
        open_issue(Forge(GITHUB, listener.address + TEAM, TOKEN), "Promote", "text")
    assert [issue["title"] for issue in stand_in.lists["issues"]] == ["Promote", "Promote"]
    assert stand_in.comments == []


@pytest.mark.parametrize("answer", [b"{}", b"[1]", b'[{"title": "Promote"}]', b"null"])
def test_an_answer_of_another_kind_is_a_failure(answer: bytes) -> None:
    with (
        listening(body=answer) as listener,
        pytest.raises(ForgeFailed, match="did not answer"),
    ):
        open_issue(Forge(GITHUB, listener.address, TOKEN), "Promote", "text")


def publish_from_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, Any]
) -> str:
    """Publish an issue with a job's variables, and return its address."""
    git(tmp_path, "init", "--quiet")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return publish(Repository(tmp_path), "The drill failed", "9 s", Progress())


def test_a_job_prints_the_address_of_its_issue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening(answer=StandInForge()) as listener:
        address = publish_from_job(tmp_path, monkeypatch, job(GITLAB, listener.address))
    assert address == "https://forge.example/1"
    assert f"issue: {address}" in capsys.readouterr().err


def test_without_a_forge_one_line_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish_from_job(tmp_path, monkeypatch, {}) == ""
    assert "no issue was opened: no forge was found" in capsys.readouterr().err


@pytest.mark.parametrize("refused", ["GET /issues", "POST /issues"])
def test_the_error_of_a_forge_that_refuses_does_not_hold_the_token(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    refused: str,
) -> None:
    with listening(answer=StandInForge(refused=refused)) as listener:
        assert publish_from_job(tmp_path, monkeypatch, job(GITHUB, listener.address)) == ""
    output = capsys.readouterr().err
    assert "no issue was opened: GitHub answered 403: not with ***" in output
    assert TOKEN not in output


def test_a_dead_forge_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish_from_job(tmp_path, monkeypatch, job(GITHUB, "http://127.0.0.1:9")) == ""
    assert "no issue was opened: GitHub gave no readable answer" in capsys.readouterr().err
