"""One job of a GitHub workflow at work: its checkout, its steps, and the actions that it may use."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ci_machine import Machine, run
from github_expressions import Expression, fill, text, value

SUCCESS, FAILURE, CANCELLED, SKIPPED = "success", "failure", "cancelled", "skipped"

SHELLS = {
    "": ["bash", "-e"],
    "bash": ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail"],
}
STATUS = {"always", "cancelled", "failure", "success"}

STEP_KEYS = {
    *("name", "id", "if", "uses", "with", "run", "env", "shell", "working-directory"),
    *("continue-on-error", "timeout-minutes"),
}


class NotModelled(Exception):
    """A workflow wants what this driver does not do."""


class StepFailed(Exception):
    """An action has failed, as it would have at GitHub."""


@dataclass(frozen=True)
class Outcome:
    """How a job has ended.

    Parameters
    ----------
    result : str
        ``success``, ``failure``, ``cancelled`` or ``skipped``.
    outputs : mapping of str to str
    """

    result: str
    outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A job that has run.

    Parameters
    ----------
    result : str
    seconds : float
    log : str
        What its steps have printed, all together.
    summary : str
        What it shows on the run's page.
    """

    result: str
    seconds: float
    log: str
    summary: str


@dataclass
class Run:
    """A workflow's run.

    Parameters
    ----------
    machine : Machine
    remote : pathlib.Path
        The bare repository.
    folder : pathlib.Path
        Holds its jobs' folders, and its artifacts.
    event : str
    branch : str
    commit : str
    only : mapping of str to collection of str
        Of a matrix, the values that are run; of other names all.
    jobs : dict of str to Job
        By their names as GitHub shows them; those that were skipped are not there.
    outcomes : dict of str to Outcome
        By their keys in the file.
    attested : list of str
        The checksums that were attested.
    """

    machine: Machine
    remote: Path
    folder: Path
    event: str
    branch: str
    commit: str
    only: Mapping[str, Collection[str]]
    jobs: dict[str, Job] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    attested: list[str] = field(default_factory=list)

    @property
    def result(self) -> str:
        return combined(outcome.result for outcome in self.outcomes.values())

    def __str__(self) -> str:
        """Tell what each job has come to, and how long it took."""
        lines = [f"{job.seconds:6.1f} s  {job.result}  {name}" for name, job in self.jobs.items()]
        return "\n".join(lines)


@dataclass(frozen=True)
class Scope:
    """What a workflow file sees of the run that it is part of."""

    run: Run
    path: str
    prefix: str
    inputs: Mapping[str, Any]
    secrets: Mapping[str, str]


class WorkingJob:
    """A job at work: its checkout, its Python, and what its steps have come to.

    Parameters
    ----------
    scope : Scope
    workflow : mapping
        The file that it is in.
    key : str
        Its key there.
    contexts : dict
        ``github``, ``inputs``, ``vars``, ``needs`` and ``matrix``.
    folder : pathlib.Path
        Its own, not there yet.
    """

    def __init__(
        self,
        scope: Scope,
        workflow: Mapping[str, Any],
        key: str,
        contexts: dict[str, Any],
        folder: Path,
    ) -> None:
        self.scope = scope
        self.job = workflow["jobs"][key]
        self.workspace = folder / "workspace"
        self.workspace.mkdir(parents=True)
        self.log = folder / "log"
        self.summary = folder / "summary.md"
        self.log.touch()
        self.summary.touch()
        self.results: list[str] = []
        self.steps: dict[str, dict[str, Any]] = {}
        self.environment = scope.run.machine.environment | {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_JOB": key,
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_OS": "Linux",
            "RUNNER_TEMP": str(folder),
        }
        for name, each in contexts["github"].items():
            if isinstance(each, str) and name != "token":
                self.environment[f"GITHUB_{name.upper()}"] = each
        self.contexts = contexts | {
            "runner": {"os": "Linux", "temp": str(folder)},
            "secrets": scope.secrets,
            "steps": self.steps,
            "env": {},
        }
        self.defaults: dict[str, str] = {}
        for level in (workflow, self.job):
            self.contexts["env"] |= value(level.get("env") or {}, self.contexts)
            self.defaults |= level.get("defaults", {}).get("run", {})
        self.functions = {"hashfiles": self._hash_files}

    def run(self) -> Outcome:
        """Run the steps and return what the job has come to."""
        for number, step in enumerate(self.job["steps"], 1):
            refuse_unknown(step, STEP_KEYS)
            output = self.log.parent / f"output-{number}"
            output.touch()
            outcome = self._run_step(step, output)
            is_forgiven = outcome == FAILURE and step.get("continue-on-error") == "true"
            self.results.append(SUCCESS if is_forgiven or outcome == SKIPPED else outcome)
            if "id" in step:
                self.steps[step["id"]] = {
                    "outcome": outcome,
                    "conclusion": SUCCESS if is_forgiven else outcome,
                    "outputs": dict(outputs(output.read_text(encoding="utf-8"))),
                }
        named = value(self.job.get("outputs", {}), self.contexts, self.functions)
        return Outcome(combined(self.results), {name: text(each) for name, each in named.items()})

    def _run_step(self, step: Mapping[str, Any], output: Path) -> str:
        """Run a step and return its outcome."""
        env = self.contexts["env"] | value(step.get("env", {}), self.contexts, self.functions)
        contexts = self.contexts | {"env": env}
        if not holds(step.get("if", ""), contexts, self.results, self.functions):
            return SKIPPED
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"## {step.get('name') or step.get('uses') or step['run']}\n")
        if "uses" in step:
            try:
                self._use(step["uses"], value(step.get("with", {}), contexts, self.functions))
            except StepFailed as problem:
                with self.log.open("a", encoding="utf-8") as log:
                    log.write(f"{problem}\n")
                return FAILURE
            return SUCCESS
        script = output.with_name(output.name.replace("output", "script"))
        script.write_text(fill(step["run"], contexts, self.functions), encoding="utf-8")
        shell = step.get("shell", self.defaults.get("shell", ""))
        if shell not in SHELLS:
            raise NotModelled(f"shell {shell}")
        place = step.get("working-directory", self.defaults.get("working-directory", "."))
        variables = {name: text(each) for name, each in env.items()}
        with self.log.open("ab") as log:
            code = subprocess.run(
                [*SHELLS[shell], str(script)],
                cwd=self.workspace / fill(place, contexts),
                env=self.environment | variables | {"GITHUB_OUTPUT": str(output)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            ).returncode
        return FAILURE if code else SUCCESS

    def _use(self, action: str, options: Mapping[str, Any]) -> None:
        """Do what an action does."""
        match action.partition("@")[0]:
            case "actions/checkout":
                self._check_out(**options)
            case "actions/setup-python":
                folder = self.scope.run.machine.make_python(self.log.parent / "python")
                self.environment["PATH"] = f"{folder}:{self.environment['PATH']}"
            case "actions/upload-artifact":
                self._upload(options)
            case "actions/attest":
                refuse_unknown(options, {"subject-checksums"})
                sums = self.workspace / options["subject-checksums"]
                if not sums.is_file():
                    raise StepFailed(f"there is no {options['subject-checksums']} to attest")
                self.scope.run.attested.append(sums.read_text(encoding="utf-8"))
            case (
                "actions/cache"
                | "actions/cache/restore"
                | "actions/cache/save"
                | "astral-sh/setup-uv"
            ):
                pass
            case unknown:
                raise NotModelled(f"action {unknown}")

    def _check_out(self, **options: str) -> None:
        known = {"fetch-depth": "1", "persist-credentials": "true"}
        refuse_unknown(options, known)
        chosen = known | {name: text(each) for name, each in options.items()}
        commit, branch = self.scope.run.commit, self.scope.run.branch
        fetch = ["git", "fetch", "--quiet"]
        if chosen["fetch-depth"] == "0":
            fetch += ["origin", "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
        else:
            fetch += [f"--depth={chosen['fetch-depth']}", "--no-tags", "origin", commit]
        head = ["--detach"] if self.scope.run.event == "pull_request" else ["-B", branch]
        commands = [
            ["git", "init", "--quiet"],
            ["git", "remote", "add", "origin", self.scope.run.remote.as_uri()],
            fetch,
            ["git", "checkout", "--quiet", *head, commit],
        ]
        if chosen["persist-credentials"] != "true":
            commands.append(["git", "remote", "set-url", "--push", "origin", "no-credentials"])
        for command in commands:
            run(*command, cwd=self.workspace)

    def _upload(self, options: Mapping[str, str]) -> None:
        known = {"name", "path", "retention-days", "if-no-files-found"}
        refuse_unknown(options, known)
        artifact = self.scope.run.folder / "artifacts" / options["name"]
        if artifact.exists():
            raise StepFailed(f"an artifact with the name {options['name']} is there already")
        found = [
            path
            for pattern in options["path"].split()
            for path in self.workspace.glob(pattern.rstrip("/"))
        ]
        if not found and options.get("if-no-files-found") == "error":
            raise StepFailed(f"no files were found at {options['path']}")
        artifact.mkdir(parents=True)
        for path in found:
            if path.is_dir():
                shutil.copytree(path, artifact, dirs_exist_ok=True)
            else:
                shutil.copy(path, artifact)

    def _hash_files(self, *patterns: str) -> str:
        paths = {path for pattern in patterns for path in self.workspace.glob(pattern)}
        digest = hashlib.sha256()
        for path in sorted(paths):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest() if paths else ""


def holds(
    condition: str,
    contexts: Mapping[str, Any],
    results: Collection[str],
    functions: Mapping[str, Any] | None = None,
) -> bool:
    """Tell whether an ``if`` is met, after jobs or steps with these results.

    Without a status function it also wants their success.
    """
    bare = re.sub(r"^\$\{\{(.*)\}\}$", r"\1", condition.strip(), flags=re.DOTALL)
    succeeded = all(each == SUCCESS for each in results)
    status = {
        "always": lambda: True,
        "cancelled": lambda: CANCELLED in results,
        "failure": lambda: FAILURE in results,
        "success": lambda: succeeded,
    }
    expression = Expression(bare or "success()")
    if not expression.calls & STATUS and not succeeded:
        return False
    from_it = expression.evaluate(contexts, status | dict(functions or {}))
    return bool(Expression("!!it").evaluate({"it": from_it}))


def combined(results: Iterable[str]) -> str:
    """Return what several jobs have come to together."""
    seen = set(results)
    return next((one for one in (FAILURE, CANCELLED, SUCCESS) if one in seen), SKIPPED)


def outputs(lines: str) -> Iterator[tuple[str, str]]:
    """Yield the names and values that a step has written to ``GITHUB_OUTPUT``."""
    form = r"(?P<name>[\w-]+)(?:=(?P<line>.*)|<<(?P<end>\S+)\n(?P<block>(?:.*\n)*?)(?P=end))\n?"
    at = 0
    while at < len(lines):
        found = re.compile(form).match(lines, at)
        if not found:
            raise NotModelled(f"output {lines[at:]!r}")
        yield found["name"], found["line"] or (found["block"] or "").removesuffix("\n")
        at = found.end()


def refuse_unknown(found: Iterable[str], known: Collection[str]) -> None:
    """Raise `NotModelled` if there is a name that is not known here."""
    if unknown := sorted(set(found) - set(known)):
        raise NotModelled(", ".join(unknown))
