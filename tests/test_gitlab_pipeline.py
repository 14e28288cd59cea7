"""The GitLab pipeline of a fresh repository, run: green, red where it must be, released and back."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import ci_project
import gitlab_runner
import pytest
from ci_machine import RunnerMissing
from ci_project import FAULTS, TOKEN, Project, assert_signed, write_a_sentence
from engine import CACHE_VARIABLE
from gitlab_runner import GitLab, Pipeline

from demo.changes import learn_more_slowly

MERGE_REQUEST = "merge_request_event"
HARMLESS = "harmless"


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return gitlab-ci-local's program, installed now unless a cache has it."""
    cache = os.environ.get(CACHE_VARIABLE)
    folder = Path(cache, "gitlab-ci-local") if cache else tmp_path_factory.mktemp("npm")
    try:
        return gitlab_runner.install(folder)
    except RunnerMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def project(tool: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with ci_project.project(tmp_path_factory.mktemp("gitlab")) as project:
        signing = ci_project.signed(project)
        assert signing.machine.signing_key
        # As a runner writes it: ssh itself would refuse such a key.
        signing.machine.signing_key.chmod(0o644)
        yield signing


@pytest.fixture(scope="module")
def gitlab(tool: Path, project: Project) -> GitLab:
    return GitLab(project.machine, project.remote, tool)


@pytest.fixture(scope="module")
def checks(project: Project, gitlab: GitLab) -> dict[str, str]:
    """Return the name of each session's job."""
    jobs = gitlab.jobs(source=MERGE_REQUEST)
    named = {name: re.fullmatch(r"check: \[(\w+)(,.*)?\]", name) for name in jobs}
    return {match[1]: name for name, match in named.items() if match}


@pytest.fixture(scope="module")
def begun(
    project: Project, gitlab: GitLab, checks: dict[str, str]
) -> Iterator[dict[str, Future[Pipeline]]]:
    """Begin the pipelines of merge requests, by branch, and do not wait for them.

    One breaks nothing and runs every check; the others have a fault each and run the check that
    must find it.
    """
    gitlab.download(project.repository.folder / "requirements" / "tools.txt")
    chosen = {branch: [checks[fault.session]] for branch, fault in FAULTS.items()}
    project.propose(HARMLESS, write_a_sentence)
    for branch, fault in FAULTS.items():
        project.propose(branch, fault.plant)
    with ThreadPoolExecutor(1) as threads:
        yield {
            branch: threads.submit(
                gitlab.run, *chosen.get(branch, []), source=MERGE_REQUEST, branch=branch
            )
            for branch in (HARMLESS, *FAULTS)
        }


@pytest.fixture(scope="module")
def green(begun: dict[str, Future[Pipeline]]) -> Pipeline:
    """Return the pipeline of the merge request that breaks nothing."""
    done = begun[HARMLESS].result()
    print(done)
    return done


@dataclass(frozen=True)
class Story:
    """A commit on main, and how it came to prod.

    Parameters
    ----------
    released : Pipeline
        The job that serves it in staging.
    refused, promoted : Pipeline
        The job for prod, before the commit was approved and after that.
    served : (str, str)
        What staging and prod served then.
    """

    released: Pipeline
    refused: Pipeline
    promoted: Pipeline
    served: tuple[str, str]


@pytest.fixture(scope="module")
def story(project: Project, gitlab: GitLab, begun: dict[str, Future[Pipeline]]) -> Story:
    """Return the release of the first commit.

    The checks of merge requests run meanwhile: one job at a time would leave half of the machine
    idle.
    """
    released = gitlab.run("release")
    refused = gitlab.run("production", CI_JOB_MANUAL="true")
    project.repository.ask("approve", "--env", "prod")
    promoted = gitlab.run("production", CI_JOB_MANUAL="true")
    print(released, refused, promoted, sep="\n")
    served = project.served("staging"), project.served("prod")
    return Story(released, refused, promoted, served)


@pytest.fixture(scope="module")
def second(project: Project, gitlab: GitLab, story: Story) -> str:
    """Return what staging serves after a second commit on main."""
    learn_more_slowly(project.repository)
    project.repository.git("push", "--quiet", "origin", "main")
    released = gitlab.run("release")
    assert released.is_green, released.said
    return project.served("staging")


@pytest.fixture(scope="module")
def night(gitlab: GitLab, second: str) -> Pipeline:
    """Return what the schedule of every night has run."""
    done = gitlab.run("nightly", source="schedule", SCHEDULE="nightly")
    print(done)
    return done


@pytest.fixture(scope="module")
def drill(gitlab: GitLab, night: Pipeline) -> Pipeline:
    """Return what the schedule of every month has run, after the night."""
    done = gitlab.run("drill", source="schedule", SCHEDULE="drill")
    print(done)
    return done


@pytest.fixture(scope="module")
def rollback(gitlab: GitLab, drill: Pipeline) -> Pipeline:
    """Return what the rollback button has run, after the drill."""
    done = gitlab.run("rollback-staging", CI_JOB_MANUAL="true", REASON="it was slow")
    print(done)
    return done


@pytest.mark.full
def test_a_commit_on_main_is_scanned_then_served_in_staging(story: Story) -> None:
    assert story.released.is_green, story.released.said
    assert "Session scan was successful" in story.released.said


@pytest.mark.full
def test_prod_serves_it_once_it_is_approved_and_not_before(story: Story) -> None:
    assert story.refused.jobs["production"].result == "failed"
    assert "is not approved for prod" in story.refused.said
    assert story.promoted.is_green, story.promoted.said
    in_staging, in_prod = story.served
    assert in_prod == in_staging


@pytest.mark.full
def test_the_next_commit_is_served_in_staging_and_not_in_prod(
    project: Project, story: Story, second: str
) -> None:
    assert second not in story.served
    assert project.served("staging") == second
    assert project.served("prod") == story.served[1]


@pytest.mark.full
def test_a_model_of_the_night_that_is_no_better_is_a_report_and_nothing_else(
    night: Pipeline,
) -> None:
    assert night.is_green, night.said
    kept = night.jobs["nightly"].artifacts / "reports"
    assert "kept back: no better" in (kept / "nightly.md").read_text(encoding="utf-8")
    assert "$ invoke build" not in night.said


@pytest.mark.full
def test_the_monthly_drill_leaves_what_serves_and_is_recorded(
    project: Project, second: str, drill: Pipeline
) -> None:
    assert drill.is_green, drill.said
    assert project.served("staging") == second
    newest = project.repository.ask("history", "--env", "staging")[0]
    assert (newest["kind"], newest["outcome"]) == ("drill", "noted")


@pytest.mark.full
def test_the_customers_are_scored_every_night_with_what_prod_serves(
    project: Project, gitlab: GitLab, drill: Pipeline, tmp_path: Path
) -> None:
    scores = tmp_path / "scores.csv"
    places = {"SCORE_INPUT": "data/sample.csv", "SCORE_OUTPUT": str(scores)}
    done = gitlab.run("score", source="schedule", SCHEDULE="score", **places)
    assert done.is_green, done.said
    with scores.open(newline="") as file:
        assert {row["release"] for row in csv.DictReader(file)} == {project.served("prod")}


@pytest.mark.full
def test_the_rollback_button_brings_the_release_before_back(
    project: Project, story: Story, rollback: Pipeline
) -> None:
    assert rollback.is_green, rollback.said
    assert project.served("staging") == story.served[0]
    newest = project.repository.ask("history", "--env", "staging")[0]
    assert (newest["kind"], newest["reason"]) == ("rollback", "it was slow")


def test_main_is_released_after_its_checks_and_prod_and_rollbacks_are_buttons(
    gitlab: GitLab, checks: dict[str, str]
) -> None:
    jobs = gitlab.jobs()
    assert set(checks.values()) < set(jobs)
    assert (jobs["release"]["when"], jobs["release"]["stage"]) == ("on_success", "release")
    for button in ("production", "rollback-staging", "rollback-prod"):
        assert jobs[button]["when"] == "manual"


def test_a_merge_request_releases_nothing(gitlab: GitLab) -> None:
    jobs = gitlab.jobs(source=MERGE_REQUEST)
    assert {job["stage"] for job in jobs.values()} == {"check"}


@pytest.mark.full
def test_a_merge_request_is_green_on_a_fresh_repository(
    project: Project, checks: dict[str, str], green: Pipeline
) -> None:
    assert green.is_green, green.said
    assert set(checks) == set(project.sessions)
    ended = {name: job.result for name, job in green.jobs.items()}
    assert ended == dict.fromkeys(checks.values(), "success")


@pytest.mark.full
def test_a_check_keeps_its_reports(checks: dict[str, str], green: Pipeline) -> None:
    for session, name in checks.items():
        report = "quick-gate" if session == "gate" else session
        kept = green.jobs[name].artifacts / "reports"
        assert {f"{report}.json", f"{report}.md"} <= {path.name for path in kept.iterdir()}


@pytest.mark.full
@pytest.mark.parametrize("branch", FAULTS)
def test_a_fault_turns_its_check_and_the_pipeline_red(
    checks: dict[str, str], begun: dict[str, Future[Pipeline]], branch: str
) -> None:
    pipeline = begun[branch].result()
    check = pipeline.jobs[checks[FAULTS[branch].session]]
    assert check.result == "failed"
    assert FAULTS[branch].said in check.log
    assert list((check.artifacts / "reports").glob("*.md"))
    assert TOKEN not in pipeline.said
    assert not pipeline.is_green


@pytest.mark.full
def test_no_planted_token_is_in_anything_that_was_left_behind(
    project: Project,
    begun: dict[str, Future[Pipeline]],
    story: Story,
    night: Pipeline,
    drill: Pipeline,
    rollback: Pipeline,
) -> None:
    proposed = [each.result() for each in begun.values()]
    ran = [*proposed, story.released, story.refused, story.promoted, night, drill, rollback]
    assert not [each for each in ran if project.machine.mark in each.said]
    assert project.machine.leaks(project.remote) == []


@pytest.mark.parametrize("missing", ["npm", "rsync"])
def test_a_machine_without_a_tool_is_told_which_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for program in {"npm", "rsync"} - {missing}:
        (tmp_path / program).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunnerMissing, match=f"{missing} is not installed"):
        gitlab_runner.install(tmp_path / "tool")


# Last: it waits for the rollback, after which staging serves an earlier release again.
@pytest.mark.full
def test_the_jobs_sign_what_they_write_and_an_auditor_finds_nothing_unsigned(
    project: Project, story: Story, drill: Pipeline, rollback: Pipeline, tmp_path: Path
) -> None:
    assert_signed(project, tmp_path)
