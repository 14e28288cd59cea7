"""What the release commands send to the forge."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from toolkit.tests.command_line import CommandLine
from toolkit.tests.listener import listening
from toolkit.tests.stand_in_forge import TOKEN, StandInForge, job
from toolkit.tests.workshop import Workshop, git

PROD = ("--env", "prod")


def join(monkeypatch: pytest.MonkeyPatch, forge: str, address: str) -> None:
    """Run the following commands as a forge's job."""
    for name, value in job(forge, address).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("forge", ["GitHub", "GitLab"])
def test_a_proposal_opens_one_issue_however_often_it_is_typed(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, forge: str
) -> None:
    release, invoke, stand_in = workshop.release(), CommandLine.of(workshop), StandInForge()
    workshop.record_promotion(release, workshop.staging)
    with listening(answer=stand_in) as listener:
        join(monkeypatch, forge, listener.address)
        assert invoke.json("propose", *PROD, "--dry-run")["issue"] == ""
        assert stand_in.calls == []
        first, second = invoke.json("propose", *PROD), invoke.run("propose", *PROD)
    (issue,) = stand_in.lists["issues"]
    assert issue["title"] == f"Promote {release.version} to prod"
    assert (first["issue"], first["release"]) == (issue["html_url"], release.version)
    assert second.stdout.startswith(f"# {issue['title']}\n")
    assert stand_in.comments == []
    assert TOKEN not in second.stdout + second.stderr


def test_without_a_forge_or_with_a_dead_one_the_proposal_is_printed(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, invoke = workshop.release(), CommandLine.of(workshop)
    workshop.record_promotion(release, workshop.staging)
    for why in ("no forge was found", "GitHub gave no readable answer"):
        output = invoke.run("propose", *PROD, "--version", release.version)
        assert output.returncode == 0
        assert f"$ invoke promote --env prod --version {release.version}" in output.stdout
        assert f"no issue was opened: {why}" in output.stderr
        join(monkeypatch, "GitHub", "http://127.0.0.1:9")


def test_where_policy_says_so_a_proposal_is_a_promotion_with_all_its_checks(
    workshop: Workshop,
) -> None:
    release = workshop.release()
    prod = replace(workshop.prod, nightly="promote")
    policy = replace(workshop.machine.policy, environments=(workshop.staging, prod))
    shop = replace(workshop, machine=replace(workshop.machine, policy=policy))
    invoke = CommandLine.of(shop)
    shop.promote(release, shop.staging)
    assert invoke.run("propose", *PROD).returncode == 11
    assert invoke.run("approve", *PROD).returncode == 0
    assert invoke.json("propose", *PROD, "--dry-run")["command"] == "promote"
    event = invoke.json("propose", *PROD)
    assert (event["kind"], event["outcome"]) == ("promote", "verified")
    assert invoke.json("propose", *PROD)["nothing_to_do"]


def test_a_drill_that_fails_opens_an_issue_and_still_fails(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke, stand_in = CommandLine.of(workshop), StandInForge()
    rot = workshop.folder.parent / "rot"
    rotting = f"while|{rot}|exit 7 its licence has expired".encode()
    first, second = workshop.release(rotting), workshop.release(b"two")
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    rot.touch()
    drill = ("drill", "--env", "staging", "--sandbox")
    with listening(answer=stand_in) as listener:
        join(monkeypatch, "GitHub", listener.address)
        assert invoke.run(*drill).returncode == 42
        assert stand_in.calls == []
        output = invoke.run(*drill, "--issue")
        assert output.returncode == 42
    (issue,) = stand_in.lists["issues"]
    assert issue["title"] == "The drill of staging failed"
    assert "    error: the drill of staging could not roll back to" in issue["body"]
    assert "      next:" in issue["body"]
    assert f"issue: {issue['html_url']}" in output.stderr
    join(monkeypatch, "GitHub", "http://127.0.0.1:9")
    silent = invoke.run(*drill, "--issue")
    assert silent.returncode == 42
    assert "no issue was opened: GitHub gave no readable answer" in silent.stderr


def test_a_drill_with_nothing_to_go_back_to_opens_an_issue_and_a_frozen_one_does_not(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.record_promotion(workshop.release(), workshop.staging)
    invoke, stand_in = CommandLine.of(workshop), StandInForge()
    drill = ("drill", "--env", "staging", "--yes", "--issue")
    with listening(answer=stand_in) as listener:
        join(monkeypatch, "GitHub", listener.address)
        assert invoke.run(*drill).returncode == 40
        (issue,) = stand_in.lists["issues"]
        assert issue["title"] == "The drill of staging failed"
        assert "staging has no release to roll back to" in issue["body"]
        policy = workshop.folder / "release.toml"
        freeze = 'name = "now"\nenvironments = ["staging"]\ntime_zone = "UTC"\n'
        window = "begins = 2020-01-01T00:00:00\nends = 2999-01-01T00:00:00\n"
        text = policy.read_text(encoding="utf-8")
        policy.write_text(f"{text}[[freezes]]\n{freeze}{window}", encoding="utf-8")
        assert invoke.run(*drill).returncode == 12
    assert stand_in.written() == ["POST /issues"]


@pytest.fixture
def invoke(workshop: Workshop) -> CommandLine:
    """The command line in a repository with one ruleset."""
    ruleset = workshop.folder / ".github" / "rulesets" / "main.json"
    ruleset.parent.mkdir(parents=True)
    ruleset.write_text(json.dumps({"name": "main", "rules": [{"type": "deletion"}]}))
    return CommandLine(workshop.folder)


def test_the_forge_protects_what_the_files_say(
    invoke: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = StandInForge()
    with listening(answer=stand_in) as listener:
        join(monkeypatch, "GitHub", listener.address)
        planned = invoke.run("protect", "--dry-run")
        assert "in a real run:\nruleset main: created\n" in planned.stderr
        assert stand_in.written() == []
        assert invoke.json("protect")["rules"] == {"ruleset main": "created"}
        assert invoke.json("protect")["rules"] == {"ruleset main": "already so"}
    assert stand_in.written() == ["POST /rulesets"]


@pytest.mark.parametrize("refused", ["GET /rulesets", "POST /rulesets"])
def test_a_forge_that_refuses_gives_a_plain_error(
    invoke: CommandLine, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    with listening(answer=StandInForge(refused=refused)) as listener:
        join(monkeypatch, "GitHub", listener.address)
        output = invoke.run("protect", "--json")
    assert output.returncode == 14
    assert "GitHub answered 403" in output.stderr
    assert TOKEN not in output.stdout + output.stderr


def test_without_a_token_or_a_forge_nothing_is_protected(invoke: CommandLine) -> None:
    assert invoke.run("protect").returncode == 2
    git(invoke.folder, "remote", "set-url", "origin", "git@github.com:team/churn.git")
    output = invoke.run("protect")
    assert output.returncode == 2
    assert "neither GITHUB_TOKEN nor GITLAB_TOKEN is set" in output.stderr
