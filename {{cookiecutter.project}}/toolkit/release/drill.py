"""The drill: practises a rollback, so that nobody tries it for the first time at night."""

from __future__ import annotations

import json
import socket
import time
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from .canary.traffic import Replay
from .change import as_before, on_this_machine, verify
from .checks import refuse_a_freeze
from .engine import Machine
from .errors import DrillFailed, NotServing, ReleaseFailed
from .event import ABORTED, FAILED, NOTED
from .ledger import Ledger
from .plan import Plan, Serving, verified_state
from .platforms.process import ProcessPlatform
from .policy import Environment
from .progress import Progress
from .records import Record
from .smoke import FILE_NAME as SMOKE_NAME

REQUESTS_PER_S = 50


@dataclass(frozen=True)
class Drill:
    """The result of a drill.

    Parameters
    ----------
    environment : str
    release, target : str
        The release that serves before and after, and the one rolled back to meanwhile.
    seconds : float
        From the start of the rollback until every instance was verified.
    budget_s : int
        How long that may take.
    requests, unanswered : int
        The requests sent meanwhile, and how many had no answer or a server error.
    sandbox : bool
        Whether the drill used servers of its own instead of the environment's.
    """

    environment: str
    release: str
    target: str
    seconds: float
    budget_s: int
    requests: int
    unanswered: int
    sandbox: bool

    def __str__(self) -> str:
        where = "in a sandbox" if self.sandbox else "on the environment's servers"
        return (
            f"rolled back to {self.target} {where}, {self.requests} requests, "
            f"{self.unanswered or 'none'} unanswered"
        )


def practise(
    machine: Machine, environment: Environment, sandbox: bool, progress: Progress
) -> Drill:
    """Roll back to the last known good release, verify it, and roll forward again.

    Raises
    ------
    DrillFailed
        The target does not serve, a request was lost, or it took too long. What served before
        serves again.
    """
    machine.repository.require_writing()
    refuse_a_freeze(machine.policy, environment, datetime.now(UTC))
    back = machine.plan_rollback(environment, None)
    plan = Plan("drill", environment, back.record, back.before, back.history)
    if sandbox:
        drill = _in_sandbox(machine, plan, progress)
        machine.note("drill", environment, str(drill), progress, back.record, drill.seconds)
    else:
        drill = _in_place(machine, plan, progress)
    if drill.unanswered or drill.seconds > drill.budget_s:
        raise DrillFailed(
            f"the drill of {environment.name} failed",
            why=f"it took {drill.seconds:.1f} s of {drill.budget_s} allowed; {drill}",
            state=f"{environment.name} serves {drill.release}, as before",
            next_step="find the cause before it matters: invoke history, and the servers' logs",
        )
    return drill


def _in_place(machine: Machine, plan: Plan, progress: Progress) -> Drill:
    """Practise with the environment's own servers, under its lock."""
    name = plan.environment.name
    # The desired state does not change: a recovery of a killed drill restores it.
    change = machine.change(plan, progress, plan.before.files)
    _, known = verified_state(Ledger.open(machine.repository), plan.history, plan.record)
    is_back = False
    try:
        change.open()
        cases = change.ledger.bundle(plan.record.version)[SMOKE_NAME]
        replay = change.platform.replay(json.loads(cases)["replay"], REQUESTS_PER_S)
        with replay.running():
            with progress.step(f"roll back to {plan.record.version} and verify"):
                started = time.monotonic()
                change.deploy(Serving(plan.record, known))
                seconds, is_back = time.monotonic() - started, True
            with progress.step(f"roll forward to {plan.before.version} and verify"):
                change.deploy(plan.before)
    except NotServing as error:
        # On the way forward it is not the target that fails.
        is_bad = isinstance(error, ReleaseFailed) and not is_back
        change.undo(FAILED if is_bad else ABORTED, str(error))
        raise DrillFailed(
            f"the drill of {name} could not roll back to {plan.record.version}",
            why=str(error),
            state=as_before(plan)
            + (f"; {plan.record.version} counts as bad now" if is_bad else ""),
            next_step=f"invoke rollback --env {name} --dry-run shows the target that is left",
        ) from None
    except KeyboardInterrupt:
        raise machine.interrupted(change) from None
    drill = _result(machine, plan, seconds, replay, sandbox=False)
    change.close(NOTED, str(drill), seconds)
    return drill


def _in_sandbox(machine: Machine, plan: Plan, progress: Progress) -> Drill:
    """Practise with servers of the drill's own on this machine, whatever the platform."""
    assert plan.before.record, "a rollback starts from a release"
    ledger = Ledger.open(machine.repository)
    environment = replace(
        plan.environment,
        name=f"{plan.environment.name}-drill-{uuid.uuid4().hex[:8]}",
        platform="process",
        host="127.0.0.1",
        port=_free_port(),
        # A cluster's environment leaves that to its autoscaler.
        instances=plan.environment.instances or 1,
    )
    platform = ProcessPlatform(environment, machine.policy)

    def serve(record: Record) -> None:
        bundle = ledger.bundle(record.version)
        with on_this_machine():
            platform.preflight(record, lambda: bundle)
            its_own = ProcessPlatform(environment, machine.policy_of(record))
            state = its_own.render(record, lambda: bundle, "drill")
            platform.apply(state, "drill", lambda: None, progress.say)
            verify(platform, record, bundle[SMOKE_NAME])

    try:
        with progress.step(f"serve {plan.before.version} in a sandbox"):
            serve(plan.before.record)
        cases = ledger.bundle(plan.record.version)[SMOKE_NAME]
        replay = platform.replay(json.loads(cases)["replay"], REQUESTS_PER_S)
        with replay.running(), progress.step(f"roll back to {plan.record.version} and verify"):
            started = time.monotonic()
            serve(plan.record)
            seconds = time.monotonic() - started
    except NotServing as error:
        raise DrillFailed(
            f"the drill of {plan.environment.name} could not roll back to {plan.record.version}",
            why=str(error),
            state=f"{plan.environment.name} unchanged; it was a sandbox",
            next_step="find the cause before it matters: the servers' logs",
        ) from None
    finally:
        with progress.step("end the sandbox"):
            platform.remove()
    return _result(machine, plan, seconds, replay, sandbox=True)


def _result(machine: Machine, plan: Plan, seconds: float, replay: Replay, sandbox: bool) -> Drill:
    return Drill(
        environment=plan.environment.name,
        release=plan.before.version,
        target=plan.record.version,
        seconds=round(seconds, 1),
        budget_s=machine.policy.drill_budget_s,
        requests=replay.asked,
        unanswered=replay.unanswered().total() + replay.failed,
        sandbox=sandbox,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
