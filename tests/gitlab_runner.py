"""Runs a repository's GitLab pipeline on this machine: with gitlab-ci-local, in its shell executor.

Each pipeline has a fresh clone of the bare remote, its head detached as a GitLab runner leaves it,
and each job a copy of that clone. A Python with nothing but pip is all that jobs find on their
``PATH``, and what they install of the tools comes from wheels that were downloaded once.

Not modelled: a merge result (the branch's head is checked out), ``GIT_DEPTH`` (all of the history
is there), ``resource_group``, ``interruptible``, timeouts, protected environments and variables,
images, tags of runners, the cache of a server (uv's own of this machine is used), and the masking
of secrets in logs: there is none, so that a leak is seen.

The tool comes from npm, in a version that runs on Node 20; later ones want Node 22.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ci_machine import Machine, RunnerMissing, run

PACKAGE = "gitlab-ci-local@4.70.1"
PLACES = 2
#  PASS  [ 1.35 s] check: [lint]
ENDING = re.compile(r" (?P<word>PASS|WARN|FAIL)  \[ *(?P<time>[\d.]+) (?P<unit>\w+)\] (?P<name>.+)")
RESULTS = {"PASS": "success", "WARN": "warning", "FAIL": "failed"}
SECONDS = {"ms": 0.001, "s": 1, "min": 60}


@dataclass(frozen=True)
class Job:
    """A job that has run.

    Parameters
    ----------
    result : str
        ``success``, ``failed``, or ``warning`` where it may fail.
    seconds : float
    log : str
    artifacts : pathlib.Path
        A folder; not there if it has left none.
    """

    result: str
    seconds: float
    log: str
    artifacts: Path


@dataclass(frozen=True)
class Pipeline:
    """A pipeline that has run.

    Parameters
    ----------
    jobs : mapping of str to Job
    is_green : bool
    said : str
        What the tool has printed, with the output of all jobs.
    """

    jobs: Mapping[str, Job]
    is_green: bool
    said: str

    def __str__(self) -> str:
        """Tell what each job has come to, and how long it took."""
        lines = [f"{job.seconds:6.1f} s  {job.result}  {name}" for name, job in self.jobs.items()]
        return "\n".join(lines)


def install(folder: Path) -> Path:
    """Install the tool into a folder, unless it is there, and return its program."""
    for needed in ("npm", "rsync"):
        if not shutil.which(needed):
            raise RunnerMissing(f"no GitLab pipeline can be run: {needed} is not installed")
    program = folder / "node_modules" / ".bin" / "gitlab-ci-local"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        quiet = ("--no-audit", "--no-fund", "--no-update-notifier")
        # Node does not look where Python and curl are told to.
        trusted = {"NODE_EXTRA_CA_CERTS": os.environ.get("SSL_CERT_FILE", "")}
        done = subprocess.run(
            ["npm", "install", *quiet, "--prefix", str(folder), "--save-exact", PACKAGE],
            env=trusted | os.environ,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:]
            raise RunnerMissing(f"npm cannot install {PACKAGE}: {' '.join(last)}")
    return program


@dataclass(frozen=True)
class GitLab:
    """The forge: a bare remote, whose pipelines run on one machine.

    Parameters
    ----------
    machine : Machine
    remote : pathlib.Path
    tool : pathlib.Path
        What `install` has returned.
    """

    machine: Machine
    remote: Path
    tool: Path

    @property
    def wheels(self) -> Path:
        """The folder of all that jobs can install with pip."""
        return self.machine.folder / "wheels"

    def download(self, lock: Path) -> None:
        """Download the wheels that a lock names, before a job wants them."""
        pip = (str(self.machine.python / "python"), "-m", "pip", "download", "--quiet", "--no-deps")
        run(*pip, "--require-hashes", "--requirement", str(lock), "--dest", str(self.wheels))

    def run(
        self, *jobs: str, source: str = "push", branch: str = "main", **variables: str
    ) -> Pipeline:
        """Run a pipeline for the head of a branch, or only some of its jobs, manual ones too.

        Parameters
        ----------
        source
            What has caused it, see ``CI_PIPELINE_SOURCE``.
        variables
            Of this pipeline.
        """
        folder = self._clone(branch)
        options = ["--concurrency", str(PLACES), "--timestamps", "--no-artifacts-to-source"]
        done = self._call(folder, source, branch, variables, *options, *jobs)
        said = done.stdout + done.stderr
        found = [match for line in done.stdout.splitlines() if (match := ENDING.fullmatch(line))]
        assert found, said
        state = folder / ".gitlab-ci-local"
        ended = {}
        for match in found:
            name = match["name"].strip()
            safe = re.sub(r"[^\w-]+", lambda odd: encoded(odd[0]), name)
            ended[name] = Job(
                RESULTS[match["word"]],
                float(match["time"]) * SECONDS[match["unit"]],
                (state / "output" / f"{safe}.log").read_text(encoding="utf-8"),
                state / "artifacts" / safe,
            )
        return Pipeline(ended, done.returncode == 0, said)

    def jobs(
        self, source: str = "push", branch: str = "main", **variables: str
    ) -> dict[str, dict[str, Any]]:
        """Return what a pipeline would run, by name; with ``when``, ``stage`` and ``needs``."""
        done = self._call(self._clone(branch), source, branch, variables, "--list-json")
        assert done.returncode == 0, done.stderr
        listed = json.loads(done.stdout)
        return {job["name"]: job for job in listed if job["when"] != "never"}

    def _clone(self, branch: str) -> Path:
        folder = self.machine.make_folder("pipeline")
        run("git", "clone", "--quiet", str(self.remote), str(folder))
        run("git", "checkout", "--quiet", "--detach", f"origin/{branch}", cwd=folder)
        return folder

    def _call(
        self,
        folder: Path,
        source: str,
        branch: str,
        variables: Mapping[str, str],
        *arguments: str,
    ) -> subprocess.CompletedProcess[str]:
        told = {
            "CI_COMMIT_REF_NAME": branch,
            "CI_PIPELINE_SOURCE": source,
            "GITLAB_CI": "true",
            "GITLAB_USER_EMAIL": "ada@example.com",
            "GITLAB_USER_LOGIN": "ada",
            "GITLAB_USER_NAME": "Ada Example",
            "UV_CACHE_DIR": run(str(Path(sys.executable).with_name("uv")), "cache", "dir").strip(),
            **variables,
        }
        if self.machine.signing_key:
            # A variable of the type File: the path of what the forge has written there.
            told["RELEASE_SIGNING_KEY"] = str(self.machine.signing_key)
        options = ["--force-shell-executor", "--shell-isolation", "--home", str(folder / "nobody")]
        if source == "merge_request_event":
            told |= {"CI_MERGE_REQUEST_IID": "1", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"}
            options += ["--unset-variable", "CI_COMMIT_BRANCH"]
        else:
            told |= {"CI_COMMIT_BRANCH": branch}
        for name, each in told.items():
            options += ["--variable", f"{name}={each}"]
        environment = self.machine.environment
        return subprocess.run(
            [str(self.tool), *options, "--ignore-predefined-vars", ",".join(told), *arguments],
            cwd=folder,
            env=environment
            | {
                "PATH": f"{self.machine.python}:{environment['PATH']}",
                "NO_COLOR": "1",
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": str(self.wheels),
                "PIP_NO_COMPILE": "1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )


def encoded(characters: str) -> str:
    """Return what the tool writes in names of files for characters that these cannot hold."""
    return base64.urlsafe_b64encode(characters.encode()).decode().rstrip("=")
