"""Runs a repository's GitHub workflows on this machine, from their YAML.

Jobs run in the order of their ``needs``, two at a time, each in a fresh clone of the bare remote
with a fresh Python. Modelled are ``if`` with the status functions, matrices, outputs, step
summaries, ``env`` and ``defaults`` at every level, reusable workflows with their inputs and
secrets, the inputs of a dispatch, ``continue-on-error`` of a step, and the actions in
`github_job.WorkingJob`.
A key, action, function or context that is not known here raises: nothing is passed over silently.

Not modelled:

- a merge commit of a pull request: its branch's head is checked out;
- queues, concurrency groups, fail-fast, timeouts, and a cancellation in the middle of a job;
- environments: reviewers, and their own variables and secrets;
- permissions and the token, but that a checkout without ``persist-credentials`` cannot push;
- runners: labels, images, services, hosted tools, caches between jobs, Python's version;
- attestations, which are written down only, and the masking of secrets in logs: there is none,
  so that a leak is seen.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml
from ci_machine import Machine, run
from github_expressions import ExpressionError, fill, value
from github_job import (
    SKIPPED,
    Job,
    NotModelled,
    Outcome,
    Run,
    Scope,
    WorkingJob,
    combined,
    holds,
    refuse_unknown,
)

WORKFLOWS = Path(".github/workflows")
PLACES = 2
# What each may hold; the second line of each is for the forge alone.
WORKFLOW_KEYS = {"name", "on", "env", "defaults", "jobs"} | {"concurrency", "permissions"}
JOB_KEYS = {
    *("name", "if", "needs", "env", "defaults", "outputs", "strategy", "steps"),
    *("uses", "with", "secrets"),
    *("concurrency", "environment", "permissions", "runs-on", "timeout-minutes"),
}


class Known(dict[str, Any]):
    """A context of which everything is known, so that another name is a mistake."""

    def __missing__(self, name: str) -> Any:
        raise ExpressionError(f"github.{name} is not known")


class GitHub:
    """The forge: a bare remote, whose workflows run on one machine.

    Parameters
    ----------
    machine : Machine
    remote : pathlib.Path
    """

    def __init__(self, machine: Machine, remote: Path) -> None:
        self.machine = machine
        self.remote = remote
        self._places = threading.Semaphore(PLACES)

    def run(
        self,
        workflow: str,
        event: str,
        branch: str = "main",
        inputs: Mapping[str, str] | None = None,
        only: Mapping[str, Collection[str]] | None = None,
        given: Mapping[str, Outcome] | None = None,
    ) -> Run:
        """Run a workflow for the head of a branch.

        Parameters
        ----------
        inputs
            Of a dispatch.
        only
            See `Run`.
        given
            Jobs that are not run, because this is how they have ended.
        """
        folder = self.machine.make_folder("run")
        commit = run("git", "rev-parse", branch, cwd=self.remote).strip()
        begun = Run(self.machine, self.remote, folder, event, branch, commit, only or {})
        path = str(WORKFLOWS / workflow)
        scope = Scope(begun, path, "", inputs or {}, self.machine.secrets)
        begun.outcomes.update(self._run_file(scope, event, given or {}))
        return begun

    def _run_file(
        self, scope: Scope, event: str, given: Mapping[str, Outcome]
    ) -> dict[str, Outcome]:
        """Run a workflow file's jobs and return their outcomes."""
        file = run("git", "show", f"{scope.run.commit}:{scope.path}", cwd=self.remote)
        # Every scalar as text: `on` stays a word, and `3.10` keeps its zero.
        workflow = yaml.load(file, Loader=yaml.BaseLoader)
        refuse_unknown(workflow, WORKFLOW_KEYS)
        if event not in workflow["on"]:
            raise NotModelled(f"{scope.path} does not run on {event}")
        trigger = workflow["on"][event]
        asked = trigger.get("inputs", {}) if isinstance(trigger, Mapping) else {}
        scope = replace(scope, inputs=checked_inputs(asked, scope.inputs))
        jobs = workflow["jobs"]
        needs = {key: names(job.get("needs", [])) for key, job in jobs.items()}
        order = list(TopologicalSorter(needs).static_order())
        ending: dict[str, Future[Outcome]] = {}
        with ThreadPoolExecutor(len(jobs)) as threads:
            for key in order:
                before = {each: ending[each] for each in before_it(key, needs)}
                ending[key] = threads.submit(
                    self._end, scope, workflow, key, needs[key], before, given.get(key)
                )
        return {key: ending[key].result() for key in order}

    def _end(
        self,
        scope: Scope,
        workflow: Mapping[str, Any],
        key: str,
        needs: Collection[str],
        before: Mapping[str, Future[Outcome]],
        given: Outcome | None,
    ) -> Outcome:
        """Wait for the jobs before, run a job if it is to be run, and return its outcome."""
        ended = {each: future.result() for each, future in before.items()}
        if given:
            return given
        job = workflow["jobs"][key]
        refuse_unknown(job, JOB_KEYS)
        contexts = self._contexts(scope) | {
            "needs": {need: vars(ended[need]) for need in needs},
        }
        if not holds(job.get("if", ""), contexts, [each.result for each in ended.values()]):
            return Outcome(SKIPPED)
        if "uses" in job:
            return self._call(scope, job, key, contexts)
        endings = []
        strategy = value(job.get("strategy", {}), contexts)
        refuse_unknown(strategy, {"matrix", "fail-fast", "max-parallel"})
        chosen = [
            one
            for one in combinations(strategy.get("matrix"))
            if all(each in scope.run.only.get(name, [each]) for name, each in one.items())
        ]
        if len(chosen) > 1 and strategy.get("fail-fast") != "false":
            raise NotModelled(f"{scope.path}: {key} cancels its neighbours when one fails")
        with ThreadPoolExecutor(len(chosen) or 1) as threads:
            for one in chosen:
                matrix = contexts | {"matrix": one}
                endings.append(threads.submit(self._run_job, scope, workflow, key, matrix))
        outcomes = [ending.result() for ending in endings]
        outputs = {name: each for one in outcomes for name, each in one.outputs.items()}
        return Outcome(combined(one.result for one in outcomes), outputs)

    def _call(
        self, scope: Scope, job: Mapping[str, Any], key: str, contexts: dict[str, Any]
    ) -> Outcome:
        """Run a reusable workflow of this repository."""
        path = job["uses"].removeprefix("./")
        if path == job["uses"]:
            raise NotModelled(f"{path} is no workflow of this repository")
        handed = job.get("secrets", {})
        secrets = (
            scope.secrets
            if handed == "inherit"
            else value(handed, contexts | {"secrets": scope.secrets})
        )
        prefix = f"{scope.prefix}{job.get('name', key)} / "
        inputs = value(job.get("with", {}), contexts)
        called = Scope(scope.run, path, prefix, inputs, secrets)
        outcomes = self._run_file(called, "workflow_call", {})
        return Outcome(combined(each.result for each in outcomes.values()))

    def _run_job(
        self, scope: Scope, workflow: Mapping[str, Any], key: str, contexts: dict[str, Any]
    ) -> Outcome:
        """Run one job, of a matrix one combination, when there is a place."""
        job = workflow["jobs"][key]
        name = scope.prefix + fill(job.get("name", key), contexts)
        with self._places:
            begun = time.monotonic()
            folder = scope.run.folder / re.sub(r"[^\w.-]+", "-", name)
            working = WorkingJob(scope, workflow, key, contexts, folder)
            outcome = working.run()
            seconds = time.monotonic() - begun
        scope.run.jobs[name] = Job(
            outcome.result,
            seconds,
            working.log.read_text(encoding="utf-8"),
            working.summary.read_text(encoding="utf-8"),
        )
        return outcome

    def _contexts(self, scope: Scope) -> dict[str, Any]:
        branch = scope.run.branch
        pull = scope.run.event == "pull_request"
        event = {"pull_request": {"number": 1, "head": {"ref": branch}}} if pull else {}
        return {
            "github": Known(
                actor="ada",
                api_url=self.machine.nobody,
                base_ref="main" if pull else "",
                event=event,
                event_name=scope.run.event,
                head_ref=branch if pull else "",
                ref="refs/pull/1/merge" if pull else f"refs/heads/{branch}",
                ref_name="1/merge" if pull else branch,
                repository="ada/churn",
                repository_owner="ada",
                run_attempt="1",
                run_id=scope.run.folder.name.removeprefix("run-"),
                server_url=self.machine.nobody,
                sha=scope.run.commit,
                token=self.machine.secrets["GITHUB_TOKEN"],
                workflow=scope.path,
            ),
            "inputs": scope.inputs,
            "vars": {"REGISTRY_USER": "ada"},
        }


def combinations(matrix: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the combinations of a matrix; a job without a matrix has one, which is empty."""
    if matrix is None:
        return [{}]
    axes = {name: values for name, values in matrix.items() if name != "include"}
    if "exclude" in axes:
        raise NotModelled("a matrix with exclude")
    crossed = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    found = crossed if axes else []
    for extra in matrix.get("include", []):
        fitting = [
            one
            for one in crossed
            if axes and all(one[name] == each for name, each in extra.items() if name in axes)
        ]
        for one in fitting:
            one.update(extra)
        if not fitting:
            found.append(dict(extra))
    return found


def names(needs: str | list[str]) -> list[str]:
    """Return what a job needs as a list, however it is written."""
    return [needs] if isinstance(needs, str) else list(needs)


def before_it(key: str, needs: Mapping[str, Collection[str]]) -> set[str]:
    """Return every job that must have ended before one may run, however far before."""
    found = set(needs[key])
    return found.union(*(before_it(each, needs) for each in found))


def checked_inputs(asked: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a workflow's inputs with their defaults; raise where GitHub would refuse them."""
    refuse_unknown(given, asked)
    found = {}
    for name, wish in asked.items():
        found[name] = given.get(name, wish.get("default", ""))
        if wish.get("required") == "true" and found[name] == "":
            raise NotModelled(f"input {name} is required")
        if found[name] not in wish.get("options", [found[name]]):
            raise NotModelled(f"input {name} cannot be {found[name]}")
        if wish.get("type") == "boolean":
            found[name] = found[name] in ("true", True)
    return found
