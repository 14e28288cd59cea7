"""The engine: the one place that decides and acts. Read `promote` from top to bottom."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .change import Change, expect_head, verify
from .errors import (
    HistoryCorrupt,
    Interrupted,
    NotServing,
    NotVerified,
    PreconditionFailed,
    RolledBack,
)
from .git import Repository
from .ledger import ABORTED, FAILED, PENDING, ROLLED_BACK, VERIFIED, Event, Ledger, lease
from .plan import Plan, Serving, plan_promotion, plan_rollback, refuse_a_lock, serving
from .platforms import Observation, platform_of
from .policy import Environment, Policy
from .progress import Progress
from .records import FILE_NAME, Record
from .smoke import FILE_NAME as SMOKE_NAME


@dataclass(frozen=True)
class Machine:
    """The release machine of one repository.

    Parameters
    ----------
    repository : Repository
    policy : Policy
    """

    repository: Repository
    policy: Policy

    def plan_promotion(self, environment: Environment, version: str | None) -> Plan:
        """Make the plan of a promotion, or refuse it. Writes nothing."""
        platform = platform_of(environment, self.policy)
        self.repository.identity()
        ledger = Ledger.open(self.repository)
        plan = plan_promotion(ledger, environment, version)
        drift = platform.observe().drift(plan.record.version) if plan.nothing_to_do else ""
        if drift:
            raise PreconditionFailed(
                f"{environment.name} is meant to serve {plan.record.version} already, but does not",
                why=drift,
                state=f"{environment.name} unchanged",
                next_step=f"invoke deploy --env {environment.name}",
            )
        if plan.nothing_to_do:
            return plan
        # Before anybody is asked to confirm, and of a promotion alone: a rollback waits for nobody.
        warning = platform.warning(plan.record, ledger.bundle(plan.record.version))
        return replace(plan, warnings=(warning,) if warning else ())

    def plan_rollback(self, environment: Environment, version: str | None) -> Plan:
        """Make the plan of a rollback, or refuse it. Writes nothing."""
        platform = platform_of(environment, self.policy)
        self.repository.identity()
        return plan_rollback(Ledger.open(self.repository), environment, version, platform)

    def promote(self, plan: Plan, progress: Progress) -> Event:
        """Carry out a promotion and return its verified event.

        Raises
        ------
        RolledBack
            The release does not serve as it must; what served before does again.
        RollbackFailed
            It does not, and neither does what served before.
        Interrupted
            Ctrl-C or SIGTERM; what served before serves again.
        """
        platform = platform_of(plan.environment, self.policy)
        ledger = Ledger.open(self.repository)
        manifests = platform.render(plan.record, lambda: ledger.bundle(plan.record.version))
        files = {FILE_NAME: plan.record.to_json()} | manifests
        change = Change(self.repository, plan, platform, progress, self._pending(plan), files)
        change.open()
        try:
            change.apply()
            change.verify()
        except NotServing as error:
            change.undo(ROLLED_BACK, str(error))
            raise RolledBack(
                f"release {plan.record.version} failed in {plan.environment.name}, rolled back",
                why=str(error),
                state=_as_before(plan),
                next_step="mend the release, build a new one and promote that",
            ) from None
        except KeyboardInterrupt:
            change.undo(ABORTED, "interrupted")
            raise Interrupted(
                f"the promotion of {plan.record.version} was interrupted",
                state=_as_before(plan),
                next_step=f"invoke promote --env {plan.environment.name}",
            ) from None
        return change.close(VERIFIED)

    def rollback(self, plan: Plan, progress: Progress, reason: str) -> Event:
        """Carry out a rollback and return its verified event; a promotion under way is preempted.

        Raises
        ------
        NotVerified
            The target does not serve as it must; what served goes on.
        """
        platform = platform_of(plan.environment, self.policy)
        files = self._verified_state(plan)
        change = Change(
            self.repository, plan, platform, progress, self._pending(plan, reason), files
        )
        change.open()
        try:
            change.apply()
            change.verify()
        except (NotServing, KeyboardInterrupt) as error:
            why = str(error) or "interrupted"
            change.undo(FAILED, why)
            raise NotVerified(
                f"the rollback of {plan.environment.name} to {plan.record.version} is not verified",
                why=why,
                state=_as_before(plan),
                next_step=f"invoke rollback --env {plan.environment.name} goes further back",
            ) from None
        return change.close(VERIFIED)

    def recover(self, environment: Environment, progress: Progress) -> Event:
        """End what a dead command began.

        A promotion whose release serves and passes the smoke test is recorded as verified, any
        other is undone. A rollback is carried out to its end.
        """
        ledger = Ledger.open(self.repository)
        history = ledger.history(environment.name)
        if not history or not history[0].is_pending:
            raise PreconditionFailed(
                f"there is nothing to recover in {environment.name}",
                state=f"{environment.name} unchanged",
                next_step=f"invoke status --env {environment.name}",
            )
        dead = history[0]
        if not dead.lease_has_run_out():
            refuse_a_lock(history, environment.name)
        settled = next((event.sha for event in history if not event.is_pending), None)
        begun = serving(ledger, dead.sha)
        record = _record_of(begun, environment)
        plan = Plan("recover", environment, record, serving(ledger, settled), tuple(history))
        pending = self._pending(plan, f"after a {dead.kind} that died; it began at {dead.time}")
        platform = platform_of(environment, self.policy)
        change = Change(self.repository, plan, platform, progress, pending, begun.files)
        change.open()
        try:
            if dead.kind == "rollback":
                change.apply()
            change.verify()
        except NotServing as error:
            return change.undo(ABORTED, str(error))
        return change.close(VERIFIED)

    def deploy(self, environment: Environment, progress: Progress) -> Record:
        """Make the platform serve what git says, after a reboot, say; writes no event."""
        ledger, head = self._unlocked(environment)
        current = serving(ledger, head)
        record = _record_of(current, environment)
        platform = platform_of(environment, self.policy)
        try:
            with progress.step(f"bring {record.version} to the platform"):
                platform.preflight(record, lambda: ledger.bundle(record.version))
            with progress.step("change over, one instance after the other"):
                platform.apply(current.files, head, lambda: self._still(environment, head))
            with progress.step("verify /health, /version and /predict of every instance"):
                verify(platform, record, ledger.bundle(record.version)[SMOKE_NAME])
        except NotServing as error:
            raise NotVerified(
                f"{environment.name} does not serve {record.version}, as git says it should",
                why=str(error),
                state=f"invoke status --env {environment.name} shows what runs",
                next_step=f"invoke rollback --env {environment.name}",
            ) from None
        return record

    def stop(self, environment: Environment) -> None:
        """End an environment's servers; git still says what should serve."""
        _, head = self._unlocked(environment)
        platform_of(environment, self.policy).stop(head, lambda: self._still(environment, head))

    def observe(self, environment: Environment) -> Observation:
        """Look at what an environment runs."""
        return platform_of(environment, self.policy).observe()

    def _pending(self, plan: Plan, reason: str = "") -> Event:
        return Event(
            kind=plan.command,
            release=plan.record.version,
            digest=plan.record.digest,
            outcome=PENDING,
            previous=plan.before.version,
            actor=self.repository.actor(),
            approved_by=plan.approved_by,
            gate=plan.record.gate,
            reason=reason,
            lease_until=lease(self.policy.lease_s),
        )

    def _verified_state(self, plan: Plan) -> dict[str, bytes]:
        """Return the state in which a release was verified: a rollback brings back just that."""
        ledger = Ledger.open(self.repository)
        for event in plan.history:
            if event.release == plan.record.version and event.outcome == VERIFIED:
                return ledger.desired(event.sha)
        raise HistoryCorrupt(
            f"{plan.environment.name} has no verified state of release {plan.record.version}",
            state=f"{plan.environment.name} unchanged",
            next_step=f"invoke history --env {plan.environment.name}",
        )

    def _unlocked(self, environment: Environment) -> tuple[Ledger, str]:
        """Return the ledger and the newest event; refuse a lock, and an empty history."""
        ledger = Ledger.open(self.repository)
        refuse_a_lock(ledger.history(environment.name), environment.name)
        head = ledger.head(environment.name)
        if head is None:
            raise _never_released(environment)
        return ledger, head

    def _still(self, environment: Environment, head: str) -> None:
        expect_head(self.repository, environment.name, head)


def _as_before(plan: Plan) -> str:
    return f"{plan.environment.name} serves {plan.before.version or 'nothing'}, as before"


def _record_of(current: Serving, environment: Environment) -> Record:
    if current.record is None:
        raise _never_released(environment)
    return current.record


def _never_released(environment: Environment) -> PreconditionFailed:
    return PreconditionFailed(
        f"{environment.name} is not meant to serve anything",
        why="no promotion to it has ended well",
        state=f"{environment.name} unchanged",
        next_step=f"invoke promote --env {environment.name}",
    )
