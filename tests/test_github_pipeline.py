"""The GitHub workflows of a fresh repository, run: green, red where they must be, released and back."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import ci_project
import github_runner
import pytest
from ci_machine import RunnerMissing
from ci_project import FAULTS, TOKEN, Project, assert_signed, write_a_sentence
from github_runner import FAILURE, SKIPPED, SUCCESS, GitHub, Run

from demo.changes import learn_more_slowly

PULL_REQUEST = ("pull-request.yml", "pull_request")
MAIN = ("main.yml", "push")
HARMLESS = "harmless"
# Runs alone and first: it is the quickest, and installs what all jobs share.
FIRST_FAULT = "planted-secret"
# One of each environment, and one that asks for none: the others run in `nox -s full`.
FEW = ("lint", "data", "toolkit")
CHECKED = {"checks": SUCCESS}


@pytest.fixture(scope="module")
def act() -> str:
    try:
        return github_runner.find_act()
    except RunnerMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def project(act: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with ci_project.project(tmp_path_factory.mktemp("github")) as project:
        yield ci_project.signed(project)


@pytest.fixture(scope="module")
def github(act: str, project: Project) -> GitHub:
    return GitHub(project.machine, project.remote, act)


def propose_a_fault(project: Project, github: GitHub, branch: str) -> Run:
    """Run a pull request with a fault, and of its checks the one that must find it."""
    fault = FAULTS[branch]
    project.propose(branch, fault.plant)
    done = github.run(*PULL_REQUEST, branch, sessions=[fault.session])
    print(branch, done, sep="\n")
    return done


@pytest.fixture(scope="module")
def red(project: Project, github: GitHub) -> Run:
    """Return the run of the first pull request, which has a fault."""
    return propose_a_fault(project, github, FIRST_FAULT)


@pytest.fixture(scope="module")
def begun(project: Project, github: GitHub, red: Run) -> Iterator[Future[Run]]:
    """Begin the run of a few checks of a pull request that breaks nothing."""
    project.propose(HARMLESS, write_a_sentence)
    with ThreadPoolExecutor(1) as threads:
        yield threads.submit(github.run, *PULL_REQUEST, HARMLESS, sessions=FEW)


@pytest.fixture(scope="module")
def green(begun: Future[Run]) -> Run:
    """Return the run of the pull request that breaks nothing."""
    done = begun.result()
    print(done)
    return done


@pytest.fixture(scope="module")
def whole(github: GitHub, green: Run) -> Run:
    """Return the same with all of its checks."""
    done = github.run(*PULL_REQUEST, HARMLESS)
    print(done)
    return done


@dataclass(frozen=True)
class Story:
    """A commit on main, and how it came to prod.

    Parameters
    ----------
    pushed : Run
        What the push has run: no reviewer holds the job for prod back, and nothing is approved.
    promoted : Run
        The run of that job after the approval.
    served : (str, str)
        What staging and prod served then.
    """

    pushed: Run
    promoted: Run
    served: tuple[str, str]


@pytest.fixture(scope="module")
def story(project: Project, github: GitHub, begun: Future[Run]) -> Story:
    """Return the release of the first commit, of whose checks one has run.

    The checks of a pull request run meanwhile: one job at a time would leave half of the machine
    idle.
    """
    pushed = github.run(*MAIN, sessions=["secrets"])
    project.repository.ask("approve", "--env", "prod")
    promoted = github.run(*MAIN, ended=CHECKED | {"release": SUCCESS})
    print(pushed, promoted, sep="\n")
    return Story(pushed, promoted, (project.served("staging"), project.served("prod")))


@pytest.fixture(scope="module")
def sequel(project: Project, github: GitHub, story: Story) -> Story:
    """Return the release of a second commit, whose job for prod waits for its reviewer."""
    learn_more_slowly(project.repository)
    project.repository.git("push", "--quiet", "origin", "main")
    pushed = github.run(*MAIN, ended=CHECKED | {"production": SKIPPED})
    project.repository.ask("approve", "--env", "prod")
    promoted = github.run(*MAIN, ended=CHECKED | {"release": SUCCESS})
    print(pushed, promoted, sep="\n")
    return Story(pushed, promoted, (project.served("staging"), project.served("prod")))


@pytest.fixture(scope="module")
def rollback(github: GitHub, sequel: Story) -> Run:
    """Return the run of the rollback button, pressed after the sequel."""
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


def assert_released(story: Story) -> None:
    job = story.pushed.jobs["release to staging"]
    assert job.result == SUCCESS, job.log
    assert "Session scan was successful" in job.log
    in_staging, in_prod = story.served
    model = in_staging.partition("-")[2]
    assert [checksum for checksum in story.pushed.attested if checksum.startswith(model)]
    assert story.promoted.is_green, story.promoted.jobs["promote to prod"].log
    assert in_prod == in_staging


def test_a_commit_on_main_is_checked_then_scanned_then_served_in_staging_and_prod(
    story: Story,
) -> None:
    assert story.pushed.jobs["check secrets"].result == SUCCESS
    assert story.pushed.jobs["gate"].result == SUCCESS
    assert_released(story)


def test_the_jobs_sign_what_they_write_and_an_auditor_finds_nothing_unsigned(
    project: Project, story: Story, tmp_path: Path
) -> None:
    assert_signed(project, tmp_path)


def test_nothing_gets_to_prod_before_it_is_approved(story: Story) -> None:
    refused = story.pushed.jobs["promote to prod"]
    assert refused.result == FAILURE
    assert "is not approved for prod" in refused.log
    assert "exit status 11\n" in refused.log


def test_a_pull_request_is_green_on_a_fresh_repository(green: Run) -> None:
    assert_green(green, FEW)


def assert_green(run: Run, sessions: Collection[str]) -> None:
    """Hold that these checks have run and passed, and each has shown and kept its reports."""
    ended = {name: job.result for name, job in run.jobs.items()}
    checks = {f"check {session}": SUCCESS for session in sessions}
    assert ended == checks | {"plan": SUCCESS, "gate": SUCCESS}
    assert run.is_green
    for session in sessions:
        report = "quick-gate" if session == "gate" else session
        page = run.folder / "artifacts" / f"reports-{session}" / f"{report}.md"
        assert page.read_text(encoding="utf-8") in run.jobs[f"check {session}"].summary


def test_a_fault_is_red_in_its_check_and_at_the_gate(red: Run) -> None:
    assert_red(red, FIRST_FAULT)


def assert_red(run: Run, branch: str) -> None:
    check = run.jobs[f"check {FAULTS[branch].session}"]
    assert check.result == FAILURE
    assert FAULTS[branch].said in check.log
    assert "failed" in check.summary
    assert TOKEN not in check.log + check.summary
    assert run.jobs["gate"].result == FAILURE
    assert not run.is_green


@pytest.mark.parametrize("result", [FAILURE, SKIPPED])
@pytest.mark.parametrize("job", ["plan", "check"])
def test_the_gate_is_red_whatever_has_not_passed(github: GitHub, job: str, result: str) -> None:
    done = github.run(*PULL_REQUEST, ended={"plan": SUCCESS, "check": SUCCESS} | {job: result})
    assert done.jobs["gate"].result == FAILURE


def test_the_gate_is_green_when_all_has_passed(github: GitHub) -> None:
    done = github.run(*PULL_REQUEST, ended={"plan": SUCCESS, "check": SUCCESS})
    assert done.jobs["gate"].result == SUCCESS
    assert done.is_green


def test_no_planted_token_is_in_anything_that_was_left_behind(
    project: Project, red: Run, green: Run, story: Story
) -> None:
    assert project.machine.leaks(project.remote) == []


@pytest.mark.full
def test_every_check_of_a_pull_request_is_green(project: Project, whole: Run) -> None:
    assert_green(whole, project.sessions)


@pytest.mark.full
@pytest.mark.parametrize("branch", [branch for branch in FAULTS if branch != FIRST_FAULT])
def test_each_fault_is_red_in_its_check_and_at_the_gate(
    project: Project, github: GitHub, red: Run, branch: str
) -> None:
    assert_red(propose_a_fault(project, github, branch), branch)


@pytest.mark.full
def test_the_next_commit_takes_the_same_way(story: Story, sequel: Story) -> None:
    assert_released(sequel)
    assert sequel.served != story.served


@pytest.mark.full
def test_the_rollback_button_brings_the_release_before_back(
    project: Project, story: Story, sequel: Story, rollback: Run
) -> None:
    (first, _), (second, _) = story.served, sequel.served
    assert rollback.is_green, rollback.jobs["roll back prod"].log
    history = project.repository.ask("history", "--env", "prod")
    [event] = [each for each in history if each["kind"] == "rollback"]
    assert (event["reason"], event["release"]) == ("customers complained", first)
    assert project.served("prod") == first
    assert second != first


@pytest.mark.full
def test_a_better_model_of_the_night_is_in_staging_and_only_proposed_for_prod(
    project: Project, story: Story, sequel: Story, night: Run
) -> None:
    job = night.jobs["train, compare, propose"]
    assert night.is_green, job.log
    assert "proposed: roc_auc " in job.summary
    assert "Session scan was successful" in job.log
    (first, _), (second, _) = story.served, sequel.served
    in_staging = project.served("staging")
    assert in_staging not in (first, second)
    assert f"In prod, {first} serves now" in job.log
    assert f"invoke promote --env prod --version {in_staging}" in job.log
    assert project.served("prod") == first
    assert night.attested


@pytest.mark.full
def test_the_monthly_drill_leaves_what_serves_and_is_recorded(project: Project, drill: Run) -> None:
    assert drill.is_green, drill.jobs["practise a rollback"].log
    newest = project.repository.ask("history", "--env", "staging")
    assert (newest[0]["kind"], newest[0]["outcome"]) == ("drill", "noted")
    assert project.served("staging") == newest[1]["release"]


@pytest.mark.full
def test_the_customers_are_scored_every_night_with_what_prod_serves(
    project: Project, github: GitHub, drill: Run, tmp_path: Path
) -> None:
    scores = tmp_path / "scores.csv"
    places = {"SCORE_INPUT": "data/sample.csv", "SCORE_OUTPUT": str(scores)}
    done = github.run("score.yml", "schedule", variables=places)
    job = done.jobs["score the customers"]
    assert done.is_green, job.log
    with scores.open(newline="") as file:
        assert {row["release"] for row in csv.DictReader(file)} == {project.served("prod")}
    assert "| verdict | passed |" in job.summary
    repository = project.repository
    repository.git("fetch", "--quiet", "origin", "refs/notes/scores:refs/notes/scores")
    assert len(repository.git("notes", "--ref=scores", "list").splitlines()) == 1


@pytest.mark.full
def test_the_button_the_night_and_the_drill_have_signed_too(
    project: Project, rollback: Run, night: Run, drill: Run, tmp_path: Path
) -> None:
    assert_signed(project, tmp_path)


@pytest.mark.full
def test_the_weekly_comparison_has_nothing_to_say_where_no_template_is_known(
    github: GitHub, red: Run
) -> None:
    done = github.run("template.yml", "schedule")
    assert done.is_green
    [job] = done.jobs.values()
    assert "nox > " not in job.log


@pytest.mark.full
def test_no_planted_token_is_left_behind_by_every_check_the_button_and_the_clock(
    project: Project, whole: Run, rollback: Run, night: Run, drill: Run
) -> None:
    assert project.machine.leaks(project.remote) == []
