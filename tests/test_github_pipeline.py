"""The GitHub workflows of a fresh repository, run: green, red where they must be, released and back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import ci_project
import pytest
from github_job import Outcome, Run
from github_runner import GitHub
from living import Living
from ci_project import FAULTS, TOKEN, Project, write_a_sentence

from demo.changes import learn_more_slowly

PULL_REQUEST = ("pull-request.yml", "pull_request")
MAIN = ("main.yml", "push")
WAITING = Outcome("skipped")
HARMLESS = "harmless"


@pytest.fixture(scope="module")
def project(living: Living, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with ci_project.project(living, tmp_path_factory.mktemp("github")) as project:
        yield project


@pytest.fixture(scope="module")
def github(project: Project) -> GitHub:
    return GitHub(project.machine, project.remote)


@pytest.fixture(scope="module")
def begun(project: Project) -> Iterator[dict[str, Future[Run]]]:
    """Begin the runs of pull requests, by branch, and do not wait for them.

    One breaks nothing and runs every check; the others have a fault each and run the check that
    must find it.
    """
    github = GitHub(project.machine, project.remote)
    plan = {"plan": Outcome("success", {"sessions": project.listed})}
    project.propose(HARMLESS, write_a_sentence)
    for branch, fault in FAULTS.items():
        project.propose(branch, fault.plant)
    with ThreadPoolExecutor() as threads:
        runs = {HARMLESS: threads.submit(github.run, *PULL_REQUEST, HARMLESS)}
        for branch, fault in FAULTS.items():
            only = {"session": [fault.session]}
            runs[branch] = threads.submit(github.run, *PULL_REQUEST, branch, only=only, given=plan)
        yield runs


@pytest.fixture(scope="module")
def green(begun: dict[str, Future[Run]]) -> Run:
    """Return the run of the pull request that breaks nothing."""
    done = begun[HARMLESS].result()
    print(done)
    return done


@dataclass(frozen=True)
class Story:
    """Two commits on main, and how they came to prod.

    Parameters
    ----------
    staged, promoted : list of Run
        Of each commit, the run up to staging, and its last job.
    refused : Run
        The last job of the first commit, before it was approved.
    served : list of (str, str)
        What staging and prod served after each commit.
    """

    staged: list[Run]
    promoted: list[Run]
    refused: Run
    served: list[tuple[str, str]]


def stage(github: GitHub, **given: Outcome) -> Run:
    """Run what a push to main runs, until prod waits for its reviewer."""
    done = github.run(*MAIN, only={"session": ["data"]}, given=given | {"production": WAITING})
    print(done)
    return done


def promote(github: GitHub, staged: Run) -> Run:
    """Go on with a run whose reviewer has agreed."""
    ended = {key: each for key, each in staged.outcomes.items() if key != "production"}
    done = github.run(*MAIN, given=ended)
    print(done)
    return done


@pytest.fixture(scope="module")
def story(project: Project, github: GitHub, begun: dict[str, Future[Run]]) -> Story:
    """Return two releases; of the checks, the first has run one and the second none.

    The checks of pull requests run meanwhile: one job at a time would leave half of the machine idle.
    """
    repository = project.repository
    first = stage(github)
    refused = promote(github, first)
    repository.ask("approve", "--env", "prod")
    done = [promote(github, first)]
    served = [(project.served("staging"), project.served("prod"))]
    learn_more_slowly(repository)
    repository.git("push", "--quiet", "origin", "main")
    second = stage(github, checks=Outcome("success"))
    repository.ask("approve", "--env", "prod")
    done.append(promote(github, second))
    served.append((project.served("staging"), project.served("prod")))
    return Story([first, second], done, refused, served)


@pytest.fixture(scope="module")
def rollback(github: GitHub, story: Story) -> Run:
    """Return the run of the rollback button, pressed after the story."""
    wish = {"environment": "prod", "reason": "customers complained"}
    done = github.run("rollback.yml", "workflow_dispatch", inputs=wish)
    print(done)
    return done


@pytest.fixture(scope="module")
def night(project: Project, github: GitHub, rollback: Run) -> Run:
    """Return the nightly run after the rollback, of a policy by which a little better is enough."""
    repository = project.repository
    days = "days_ago = 7\nsignificance = "
    repository.replace("quality.toml", f"{days}0.05", f"{days}0.5")
    repository.commit("Take what is likely to be better")
    repository.git("push", "--quiet", "origin", "main")
    done = github.run("nightly.yml", "schedule")
    print(done)
    return done


@pytest.fixture(scope="module")
def drill(github: GitHub, night: Run) -> Run:
    """Return the run of the monthly drill, after the night."""
    done = github.run("drill.yml", "schedule")
    print(done)
    return done


def test_a_commit_on_main_is_checked_then_scanned_then_served_in_staging(story: Story) -> None:
    first, second = story.staged
    assert first.jobs["checks / check data"].result == "success"
    assert first.jobs["checks / gate"].result == "success"
    for run, (in_staging, _) in zip(story.staged, story.served, strict=True):
        job = run.jobs["release to staging"]
        assert job.result == "success", job.log
        assert "Session scan was successful" in job.log
        model = in_staging.partition("-")[2]
        assert f"\n{model}" in run.attested[0]
    assert story.served[0] != story.served[1]


def test_prod_serves_it_once_it_is_approved_and_not_before(story: Story) -> None:
    refused = story.refused.jobs["promote to prod"]
    assert refused.result == "failure"
    assert "is not approved for prod" in refused.log
    for run, (in_staging, in_prod) in zip(story.promoted, story.served, strict=True):
        assert run.result == "success", run.jobs["promote to prod"].log
        assert in_prod == in_staging


def test_the_rollback_button_brings_the_release_before_back(
    project: Project, story: Story, rollback: Run
) -> None:
    (first, _), (second, _) = story.served
    assert rollback.result == "success", rollback.jobs["roll back prod"].log
    assert project.served("prod") == first
    assert project.served("staging") == second
    assert project.repository.ask("history", "--env", "prod")[0]["reason"] == "customers complained"


def test_a_better_model_of_the_night_is_in_staging_and_only_proposed_for_prod(
    project: Project, story: Story, night: Run
) -> None:
    job = night.jobs["train, compare, propose"]
    assert night.result == "success", job.log
    assert "proposed: roc_auc " in job.summary
    assert "Session scan was successful" in job.log
    (first, _), (second, _) = story.served
    in_staging = project.served("staging")
    assert in_staging not in (first, second)
    assert f"In prod {first} serves now" in job.log
    assert f"invoke promote --env prod --version {in_staging}" in job.log
    assert project.served("prod") == first
    assert len(night.attested) == 1


def test_the_monthly_drill_leaves_what_serves_and_is_recorded(project: Project, drill: Run) -> None:
    assert drill.result == "success", drill.jobs["practise a rollback"].log
    newest = project.repository.ask("history", "--env", "staging")
    assert (newest[0]["kind"], newest[0]["outcome"]) == ("drill", "noted")
    assert project.served("staging") == newest[1]["release"]


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
def test_a_fault_is_red_in_its_check_and_at_the_gate(
    begun: dict[str, Future[Run]], branch: str
) -> None:
    run = begun[branch].result()
    check = run.jobs[f"check {FAULTS[branch].session}"]
    assert check.result == "failure"
    assert FAULTS[branch].said in check.log
    assert "failed" in check.summary
    assert TOKEN not in check.log + check.summary
    assert run.jobs["gate"].result == "failure"


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


def test_no_planted_token_is_in_anything_that_was_left_behind(
    project: Project, begun: dict[str, Future[Run]], drill: Run
) -> None:
    wait(begun.values())
    assert project.machine.leaks(project.remote) == []
