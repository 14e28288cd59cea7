"""Runs a repository's GitHub workflows on this machine with act, which is nektos/act.

act reads the YAML, evaluates the expressions, spreads matrices, calls reusable workflows and runs
each job in a folder of its own, four jobs at a time. Each action that a workflow uses is a stand-in
in tests/actions; an action without one cannot be had, and fails. Two things are changed in the
workflows before act reads them: ``queue: max``, which its schema does not know, is taken out, and
a job that has ended before (`GitHub.run`) becomes a job that ends at once in the same way.

Not covered: a merge commit of a pull request (its branch's head is checked out), queues and
concurrency groups, timeouts and cancellation, reviewers of environments, permissions, the images
of runners, the version of Python. All jobs share one Python, as on a self-hosted runner, so a
first run must have installed into it before two may go on at once. A matrix without combinations
runs once, where GitHub skips it.
The masking of secrets is turned off, so that a leak is seen.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ci_machine import Machine, RunnerMissing, run

WORKFLOWS = Path(".github/workflows")
ACTIONS = Path(__file__).parent / "actions"
SUCCESS, FAILURE, SKIPPED = "success", "failure", "skipped"
# What a job that has ended before is replaced with.
ENDED: Mapping[str, Mapping[str, Any]] = {
    SUCCESS: {"steps": [{"run": "true"}]},
    FAILURE: {"steps": [{"run": "false"}]},
    SKIPPED: {"if": "${{ false }}", "steps": [{"run": "false"}]},
}
HOSTED = "ubuntu-24.04"
LABELS = (HOSTED, "self-hosted")


@dataclass(frozen=True)
class Job:
    """A job that has run.

    Parameters
    ----------
    result : str
        ``success`` or ``failure``.
    seconds : float
        What its steps took.
    log : str
        What its steps have printed.
    summary : str
        What it shows on the run's page.
    """

    result: str
    seconds: float
    log: str
    summary: str


@dataclass(frozen=True)
class Run:
    """A workflow's run.

    Parameters
    ----------
    folder : pathlib.Path
        Holds what act has printed, the artifacts, and what failed jobs have left.
    is_green : bool
    jobs : mapping of str to Job
        By their names as GitHub shows them; those that were skipped are not there.
    """

    folder: Path
    is_green: bool
    jobs: Mapping[str, Job]

    @property
    def attested(self) -> list[str]:
        """The checksums that were attested, a line each."""
        file = self.folder / "attested"
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    def __str__(self) -> str:
        """Tell what each job has come to, and how long it took."""
        lines = [f"{job.seconds:6.1f} s  {job.result}  {name}" for name, job in self.jobs.items()]
        return "\n".join(lines)


def find_act() -> str:
    """Return where act is; `RunnerMissing` where it cannot do its work."""
    # It evaluates hashFiles() with a program for Node.
    if not shutil.which("node"):
        raise RunnerMissing("no GitHub workflow can be run: node is not installed")
    return str(Path(sys.executable).with_name("act"))


@dataclass(frozen=True)
class GitHub:
    """The forge: a bare remote, whose workflows run on one machine.

    Parameters
    ----------
    machine : Machine
    remote : pathlib.Path
    act : str
        What `find_act` has returned.
    """

    machine: Machine
    remote: Path
    act: str

    def run(
        self,
        workflow: str,
        event: str,
        branch: str = "main",
        inputs: Mapping[str, str] | None = None,
        sessions: Collection[str] = (),
        ended: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Run:
        """Run a workflow for the head of a branch.

        Parameters
        ----------
        inputs
            Of a dispatch.
        sessions
            Of a matrix with sessions, those that are run; all if none is named.
        ended
            Jobs that are not run, because they have ended so: ``success``, ``failure`` or
            ``skipped``. Where GitHub runs a run's failed job again, the jobs before it are such.
        variables
            Of the repository.
        """
        folder = self.machine.make_folder("run")
        here = folder / "repository"
        run("git", "clone", "--quiet", "--branch", branch, str(self.remote), str(here))
        # Not in the folder that is searched for secrets afterwards.
        handed = folder.parent.with_name("handed")
        key = self.machine.signing_key.read_text("ascii") if self.machine.signing_key else ""
        handed.write_text(f"RELEASE_SIGNING_KEY={json.dumps(key)}\n", encoding="ascii")
        nobody = self.machine.nobody.removeprefix("http://")
        run("git", "remote", "set-url", "origin", f"https://{nobody}/ada/churn.git", cwd=here)
        paths = list((here / WORKFLOWS).iterdir())
        for path in paths:
            prepare(path, ended or {} if path.name == workflow else {})
        pull = {"number": 1, "head": {"ref": branch}, "base": {"ref": "main"}}
        story = {"pull_request": pull} if event == "pull_request" else {"inputs": inputs}
        (folder / "event.json").write_text(json.dumps(story), encoding="utf-8")
        done = subprocess.run(
            [
                *(self.act, event, "--json", "--workflows", str(WORKFLOWS / workflow)),
                *("--eventpath", str(folder / "event.json"), "--actor", "ada"),
                *("--github-instance", nobody, "--var", "REGISTRY_USER=ada"),
                *("--action-cache-path", str(folder / "jobs"), "--no-cache-server"),
                *("--no-skip-checkout", "--insecure-secrets"),
                *(f"--platform={label}=-self-hosted" for label in LABELS),
                *(f"--local-repository={action}" for action in stand_ins(paths)),
                # Their values are in the environment.
                *(f"--var={name}={value}" for name, value in (variables or {}).items()),
                *(f"--secret={name}" for name in self.machine.secrets),
                # In no environment: jobs see it where their workflow hands it on.
                *("--secret-file", str(handed)),
                *(f"--matrix=session:{each}" for each in sessions),
            ],
            cwd=here,
            env=self.machine.environment
            | {
                "STAND_IN_FOLDER": str(folder),
                "STAND_IN_PYTHON": str(self.machine.python),
                "STAND_IN_REMOTE": self.remote.as_uri(),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        (folder / "said").write_text(done.stdout + done.stderr, encoding="utf-8")
        jobs = read_jobs(json.loads(line) for line in done.stdout.splitlines())
        assert jobs, done.stderr
        return Run(folder, done.returncode == 0, jobs)


def prepare(path: Path, ended: Mapping[str, str]) -> None:
    """Change a workflow's file as the module's docstring says."""
    text = re.sub(r"^ *queue: max.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if ended:
        workflow = yaml.safe_load(text)
        # In YAML 1.1, which this loader reads, `on` is a boolean.
        workflow["on"] = workflow.pop(True)
        for key, result in ended.items():
            assert key in workflow["jobs"], f"{path.name} has no job {key}"
            workflow["jobs"][key] = {"runs-on": HOSTED, **ENDED[result]}
        text = json.dumps(workflow)
    path.write_text(text, encoding="utf-8")


def stand_ins(workflows: Iterable[Path]) -> set[str]:
    """Return each action of the workflows that has a stand-in, as act wants to be told."""
    used = {
        (name, ref)
        for path in workflows
        for name, ref in re.findall(r"uses: ([\w-]+/[\w-]+)@(\w+)", path.read_text("utf-8"))
    }
    folders = {(name, ref): ACTIONS / name.partition("/")[2] for name, ref in used}
    return {f"{name}@{ref}={folder}" for (name, ref), folder in folders.items() if folder.is_dir()}


def read_jobs(records: Iterable[Mapping[str, Any]]) -> dict[str, Job]:
    """Return the jobs that act has told of.

    act gives every job of a matrix the same result, so a job's own is that of its steps.
    """
    jobs: dict[str, Job] = {}
    for record in records:
        if "jobID" not in record:
            continue
        # "checks/pull request/check data-3 ": the workflows that it is in, and its matrix's number.
        name = record["job"].strip().rpartition("/")[2]
        if record["matrix"]:
            name = re.sub(r"-\d+$", "", name)
        job = jobs.get(name, Job(SUCCESS, 0, "", ""))
        failed = FAILURE in (
            record.get("stepResult"),
            not record["matrix"] and record.get("jobResult"),
        )
        is_step = len(record.get("stepID", [])) == 1
        jobs[name] = Job(
            FAILURE if failed else job.result,
            job.seconds + (record.get("executionTime", 0) / 1e9 if is_step else 0),
            job.log + printed(record),
            job.summary + (record["content"] if record.get("command") == "summary" else ""),
        )
    return jobs


def printed(record: Mapping[str, Any]) -> str:
    """Return what a step has printed, or with which code it has ended if not with 0."""
    if record["msg"].startswith("exit status "):
        return f"{record['msg']}\n"
    return record["msg"] if "raw_output" in record else ""
