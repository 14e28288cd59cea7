"""The GitHub workflows of a fresh repository, run: green, red where they must be, released and back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pipelines
import pytest
from github_job import Outcome, Run
from github_runner import GitHub
from living import Living
from pipelines import FAULTS, TOKEN, Project, write_a_sentence

from demo.changes import learn_more_slowly

PULL_REQUEST = ("pull-request.yml", "pull_request")
MAIN = ("main.yml", "push")
WAITING = Outcome("skipped")


@pytest.fixture(scope="module")
def project(living: Living, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with pipelines.project(living, tmp_path_factory.mktemp("github")) as project:
        yield project


@pytest.fixture(scope="module")
def github(project: Project) -> GitHub:
    return GitHub(project.machine, project.remote)


@pytest.fixture(scope="module")
def green(project: Project, github: GitHub) -> Run:
    """Return the run of a pull request that breaks nothing."""
    project.propose("harmless", write_a_sentence)
    done = github.run(*PULL_REQUEST, "harmless")
    print(done)
    return done


@pytest.fixture(scope="module")
def red(project: Project, github: GitHub, green: Run) -> dict[str, Run]:
    """Return the runs of pull requests with a fault each, of one check each."""
    plan = {key: outcome for key, outcome in green.outcomes.items() if key == "plan"}
    for branch, fault in FAULTS.items():
        project.propose(branch, fault.plant)
    with ThreadPoolExecutor() as threads:
        begun = {
            branch: threads.submit(
                github.run, *PULL_REQUEST, branch, only={"session": [fault.session]}, given=plan
            )
            for branch, fault in FAULTS.items()
        }
    return {branch: run.result() for branch, run in begun.items()}


@dataclass(frozen=True)
class Release:
    """A commit on main on its way, and what was served on that way.

    Parameters
    ----------
    to_staging, unapproved, to_prod : Run
    staging, prod : str
        The releases that were served at the end.
    """

    to_staging: Run
    unapproved: Run
    to_prod: Run
    staging: str
    prod: str


def release(project: Project, github: GitHub, given: dict[str, Outcome]) -> Release:
    """Release what is on main; prod waits for an approval, and does without it what it must."""
    to_staging = github.run(
        *MAIN, only={"session": ["data"]}, given=given | {"production": WAITING}
    )
    print(to_staging)
    before = {key: each for key, each in to_staging.outcomes.items() if key != "production"}
    unapproved = github.run(*MAIN, given=before)
    project.repository.ask("approve", "--env", "prod")
    to_prod = github.run(*MAIN, given=before)
    print(to_prod)
    served = [project.served(environment) for environment in ("staging", "prod")]
    return Release(to_staging, unapproved, to_prod, *served)


@pytest.fixture(scope="module")
def releases(project: Project, github: GitHub) -> list[Release]:
    """Return two releases; the checks have run, as far as they do here, for the first."""
    first = release(project, github, {})
    learn_more_slowly(project.repository)
    project.repository.git("push", "--quiet", "origin", "main")
    second = release(project, github, {"checks": Outcome("success")})
    return [first, second]


@pytest.fixture(scope="module")
def rollback(github: GitHub, releases: list[Release]) -> Run:
    done = github.run("rollback.yml", "workflow_dispatch", inputs={"environment": "prod"})
    print(done)
    return done


def test_a_pull_request_is_green_on_a_fresh_repository(project: Project, green: Run) -> None:
    ended = {name: job.result for name, job in green.jobs.items() if name.startswith("check ")}
    assert ended == {f"check {session}": "success" for session in project.sessions}
    assert green.jobs["gate"].result == green.result == "success"


def test_a_check_shows_and_keeps_its_reports(green: Run) -> None:
    for name, job in green.jobs.items():
        if name.startswith("check "):
            session = name.removeprefix("check ")
            report = "quick-gate" if session == "gate" else session
            page = green.folder / "artifacts" / f"reports-{session}" / f"{report}.md"
            assert page.read_text(encoding="utf-8") in job.summary


@pytest.mark.parametrize("branch", FAULTS)
def test_a_fault_is_red_in_its_check_and_at_the_gate(red: dict[str, Run], branch: str) -> None:
    check = red[branch].jobs[f"check {FAULTS[branch].session}"]
    assert check.result == "failure"
    assert FAULTS[branch].said in check.log
    assert "failed" in check.summary
    assert TOKEN not in check.log + check.summary
    assert red[branch].jobs["gate"].result == "failure"


@pytest.mark.parametrize("result", ["failure", "skipped", "cancelled"])
def test_the_gate_is_red_whatever_has_not_passed(github: GitHub, green: Run, result: str) -> None:
    before = {key: each for key, each in green.outcomes.items() if key != "gate"}
    for key in before:
        done = github.run(*PULL_REQUEST, given=before | {key: Outcome(result)})
        assert done.jobs["gate"].result == "failure", f"{key} {result}"


def test_the_gate_is_red_when_nothing_was_planned(github: GitHub) -> None:
    nothing = {"plan": Outcome("success", {"sessions": "[]"})}
    done = github.run(*PULL_REQUEST, only={"session": []}, given=nothing)
    assert done.outcomes["check"].result == "skipped"
    assert done.jobs["gate"].result == "failure"


def test_a_commit_on_main_is_checked_then_served_in_staging(releases: list[Release]) -> None:
    for each in releases:
        assert each.to_staging.outcomes["release"].result == "success"
    first, second = releases
    assert first.to_staging.jobs["checks / check data"].result == "success"
    assert first.to_staging.jobs["checks / gate"].result == "success"
    assert first.staging != second.staging


def test_prod_serves_it_once_it_is_approved_and_not_before(releases: list[Release]) -> None:
    for each in releases:
        refused = each.unapproved.jobs["promote to prod"]
        assert refused.result == "failure"
        assert f"release {each.staging} is not approved for prod" in refused.log
        assert each.to_prod.result == "success"
        assert each.prod == each.staging


def test_the_rollback_button_brings_the_release_before_back(
    project: Project, releases: list[Release], rollback: Run
) -> None:
    first, second = releases
    assert rollback.result == "success"
    assert project.served("prod") == first.prod
    assert project.served("staging") == second.staging


def test_no_planted_token_is_in_anything_that_was_left_behind(
    project: Project, green: Run, red: dict[str, Run], rollback: Run
) -> None:
    assert project.machine.leaks(project.remote) == []
