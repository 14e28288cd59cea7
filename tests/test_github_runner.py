"""What the pipelines' tests rely on: act and the stand-ins fail where GitHub would, and hide nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import github_runner
import pytest
from ci_machine import Machine, RunnerMissing, run
from github_runner import FAILURE, SUCCESS, GitHub, Run

CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"
CACHE = "actions/cache@27d5ce7f107fe9357f9df03efb73ab90386fccae"
UPLOAD = "actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f"
JOB = "runs-on: ubuntu-24.04"

Drive = Callable[..., Run]


@pytest.fixture
def forge(tmp_path: Path) -> GitHub:
    try:
        act = github_runner.find_act()
    except RunnerMissing as missing:
        pytest.skip(str(missing))
    return GitHub(Machine(tmp_path / "machine"), tmp_path / "remote.git", act)


@pytest.fixture
def drive(forge: GitHub, tmp_path: Path) -> Drive:
    """Return a function that commits a workflow with some jobs, and runs it."""

    def drive(jobs: str, **options: Any) -> Run:
        work = tmp_path / "work"
        workflows = work / ".github" / "workflows"
        workflows.mkdir(parents=True)
        (work / "greeting.txt").write_text("hello\n")
        written = textwrap.indent(textwrap.dedent(jobs), "  ")
        (workflows / "first.yml").write_text(f"on: {{push: }}\njobs:\n{written}")
        run("git", "init", "--quiet", "--initial-branch=main", cwd=work)
        run("git", "add", "--all", cwd=work)
        name = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        run("git", *name, "commit", "--quiet", "--message", "Begin", cwd=work)
        run("git", "clone", "--quiet", "--bare", str(work), str(forge.remote))
        return forge.run("first.yml", "push", **options)

    return drive


def test_a_secret_that_a_step_prints_is_found(forge: GitHub, drive: Drive) -> None:
    assert drive(f"a: {{{JOB}, steps: [{{run: 'echo $REGISTRY_TOKEN'}}]}}").is_green
    [leak] = forge.machine.leaks(forge.remote)
    assert leak.endswith("said")


def test_a_secret_that_a_step_pushes_is_found(forge: GitHub, drive: Drive) -> None:
    done = drive(
        f"""
        a:
          {JOB}
          steps:
            - uses: {CHECKOUT}
            - run: |
                git config user.name Ada
                git config user.email ada@example.com
                echo $REGISTRY_TOKEN > leak
                git add leak
                git commit --quiet --message leak
                git push --quiet origin HEAD:refs/heads/leak
        """
    )
    assert done.is_green, done.jobs["a"].log
    assert forge.machine.leaks(forge.remote) == [str(forge.remote)]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            "uses: somebody/something@3d3c42e5aac5ba805825da76410c181273ba90b1",
            "somebody/something/info/refs",
        ),
        (
            f"{{uses: {CACHE}, with: {{path: x, key: \"x-${{{{ hashFiles('nothing/*') }}}}\"}}}}",
            "cache key: x-\\n",
        ),
        (
            f"{{uses: {UPLOAD}, with: {{name: nothing, path: nothing/}}}}",
            "cannot stat 'nothing//.'",
        ),
        ("run: git push --quiet origin main:other", "'no-credentials' does not appear to be"),
    ],
)
def test_what_github_would_refuse_fails(drive: Drive, step: str, said: str) -> None:
    done = drive(
        f"""
        a:
          {JOB}
          steps:
            - {{uses: {CHECKOUT}, with: {{persist-credentials: false}}}}
            - {step}
        """
    )
    assert done.jobs["a"].result == FAILURE
    assert not done.is_green
    assert said in (done.folder / "said").read_text(encoding="utf-8")


def test_each_job_of_a_matrix_has_a_result_of_its_own(drive: Drive) -> None:
    done = drive(
        f"""
        a:
          {JOB}
          strategy: {{fail-fast: false, matrix: {{session: [good, bad]}}}}
          name: check ${{{{ matrix.session }}}}
          steps: [{{run: 'echo "# ${{{{ matrix.session }}}}" | tee "$GITHUB_STEP_SUMMARY" | grep good'}}]
        b: {{{JOB}, needs: [a], steps: [{{run: "true"}}]}}
        """
    )
    results = {name: (job.result, job.summary) for name, job in done.jobs.items()}
    assert results == {
        "check good": (SUCCESS, "# good\n"),
        "check bad": (FAILURE, "# bad\n"),
    }


def test_a_job_that_has_ended_before_is_not_run_again(drive: Drive) -> None:
    jobs = f"""
        a: {{{JOB}, steps: [{{run: "false"}}]}}
        b: {{{JOB}, needs: [a], steps: [{{run: echo on}}]}}
    """
    done = drive(jobs, ended={"a": SUCCESS})
    assert done.jobs["b"].log == "on\n"
