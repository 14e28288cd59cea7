"""The release commands, as tasks of Invoke: ``invoke --list``.

Every task parses, calls the release machine, prints, and exits. People read standard error,
machines the one JSON document that ``--json`` prints on standard output.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from toolkit.release import audit as auditing
from toolkit.release import build as building
from toolkit.release import champion as champions
from toolkit.release import decay as decays
from toolkit.release import difference, policy, policy_file, signing_key
from toolkit.release import drill as drills
from toolkit.release import pin as pinning
from toolkit.release import proposal as proposals
from toolkit.release import prune as pruning
from toolkit.release import score as scoring
from toolkit.release import status as looking
from toolkit.release.approvals import weigh
from toolkit.release.command_line import command, confirm, print_json, refuse_dry, say
from toolkit.release.engine import Machine
from toolkit.release.errors import Held, Interrupted, ReleaseError
from toolkit.release.files import write_file
from toolkit.release.forge import client, issues, protection
from toolkit.release.git import Repository
from toolkit.release.ledger import Ledger
from toolkit.release.plan import base_of, chosen_release, serving
from toolkit.release.progress import Progress

ENV = "the environment, one of those in release.toml"
VERSION = (
    "the release, or HEAD for that of the commit checked out; "
    "default: HEAD's in the first environment, else what the one before serves"
)
DRY_RUN = "check, print the plan and change nothing; exits with the code of the real run"
YES = "do not ask for confirmation; required without a terminal"
DRIFTED, UNSEEN = 3, 32
JSON = "print one JSON document on standard output"


def _machine() -> Machine:
    # Before any program is started, and also where nothing is signed.
    key = signing_key.take()
    repository = Repository.containing(Path.cwd())
    rules = policy_file.load(repository.root / policy_file.FILE_NAME)
    signs = bool(rules.signers)
    return Machine(replace(repository, signs=signs, key=key if signs else ""), rules)


def _warn_if_unreachable(ledger: Ledger) -> None:
    if ledger.unreachable:
        say(
            f"the git remote does not answer, this is the state of this clone: {ledger.unreachable}"
        )


@task(
    auto_shortflags=False,
    help={
        "env": ENV,
        "days-ago": "the release that it served so many days ago; default: now",
        "json": JSON,
    },
)
@command
def champion(c: Context, env: str, days_ago: int = 0, json: bool = False) -> champions.Champion:
    """Write the release that an environment serves to reports/champion/, for the gate."""
    machine = _machine()
    machine.policy.environment(env)
    name = f"champion-{days_ago}-days-ago" if days_ago else "champion"
    folder = machine.repository.root / "reports" / name
    ledger = Ledger.open(machine.repository)
    found = champions.fetch(ledger, machine.policy, env, days_ago, folder)
    _warn_if_unreachable(ledger)
    when = f"{days_ago} days ago" if days_ago else "now"
    say(f"{env} serves {found.release or 'nothing'} ({when}): see {folder}")
    return found


@task(
    auto_shortflags=False,
    help={"push": "push the branch of the snapshot to origin", "json": JSON},
)
@command
def pin(c: Context, push: bool = False, json: bool = False) -> pinning.Pinned:
    """Commit data/snapshot.json, and nothing else, on the branch snapshot/DAY."""
    refuse_dry(c, "pin")
    pinned = pinning.pin(Repository.containing(Path.cwd()), push)
    if pinned.branch:
        done = "pushed" if pinned.is_pushed else "not pushed yet: invoke pin --push"
        say(f"{pinned.branch} is {pinned.commit[:12]}, {done}")
    else:
        say("the snapshot of HEAD is that of data/snapshot.json: nothing to pin")
    return pinned


@task(
    auto_shortflags=False,
    help={
        "push": "release it: tag it, and push its image where release.toml has an [image]",
        "base": "the base image, instead of the Dockerfile's",
        "allow-dirty": "build with uncommitted changes, to try it; it is never released",
        "json": JSON,
    },
)
@command
def build(
    c: Context,
    push: bool = False,
    base: str | None = None,
    allow_dirty: bool = False,
    json: bool = False,
) -> building.Built:
    """Build the release of HEAD from what `nox -s train` wrote to reports/, and check it."""
    refuse_dry(c, "build")
    machine = _machine()
    # What is released follows the commit, and what is only tried the working tree.
    rules = machine.policy if allow_dirty else policy_file.of_head(machine.repository)
    progress = Progress()
    options = building.Options(push, base, allow_dirty)
    built = building.build(Ledger.open(machine.repository), rules, progress, options)
    if not built.is_released:
        before = "nox -s scan, then " if rules.scan else ""
        hint = f"{before}invoke build --push releases it"
        if allow_dirty:
            hint = "a dirty tree is never released"
        progress.say(f"built and checked, see {built.folder}; {hint}")
    elif built.is_new:
        progress.say(f"released {built.record.version}, see {built.folder}")
    else:
        progress.say(f"{built.record.version} is released already: nothing to do")
    return built


@task(
    auto_shortflags=False,
    help={
        "env": ENV,
        "version": VERSION,
        "dry-run": DRY_RUN,
        "yes": YES,
        "json": JSON,
    },
)
@command
def promote(
    c: Context,
    env: str,
    version: str | None = None,
    dry_run: bool = False,
    yes: bool = False,
    json: bool = False,
) -> Any:
    """Promote a release to an environment, verify it, and roll back if it fails."""
    return _promote(_machine(), env, version, dry_run or c.config.run.dry, yes)


def _promote(machine: Machine, env: str, version: str | None, dry_run: bool, yes: bool) -> Any:
    plan = machine.plan_promotion(machine.policy.environment(env), version)
    say(plan)
    if plan.nothing_to_do or dry_run:
        return plan.summary()
    if not yes:
        confirm(
            f"promote {plan.record.version} to {env}?", f"promote --env {env}", f"{env} unchanged"
        )
    progress = Progress()
    event = machine.promote(plan, progress)
    progress.say(f"{env} serves {event.release}, verified")
    return event


@task(
    auto_shortflags=False,
    help={
        "env": ENV,
        "version": VERSION,
        "dry-run": "print the proposal, and open no issue",
        "json": JSON,
    },
)
@command
def propose(
    c: Context, env: str, version: str | None = None, dry_run: bool = False, json: bool = False
) -> Any:
    """Propose a release for an environment in an issue, or promote it if release.toml says so."""
    machine = _machine()
    environment = machine.policy.environment(env)
    dry_run = dry_run or c.config.run.dry
    if environment.nightly == policy.PROMOTE:
        return _promote(machine, env, version, dry_run, yes=True)
    ledger = Ledger.open(machine.repository)
    found = proposals.propose(ledger, machine.policy, environment, version)
    if found.nothing_to_do:
        say(f"{env} serves {found.release} already: nothing to do")
        return found
    if not json:
        print(f"# {found.title}\n\n{found}")
    return found if dry_run else proposals.publish(machine.repository, found, Progress())


@task(
    auto_shortflags=False,
    help={
        "env": ENV,
        "version": "the target; default: the last known good release",
        "reason": "why, for the history",
        "dry-run": DRY_RUN,
        "json": JSON,
    },
)
@command
def rollback(
    c: Context,
    env: str,
    version: str | None = None,
    reason: str = "",
    dry_run: bool = False,
    json: bool = False,
) -> Any:
    """Roll back to the last known good release at once, whatever the lock, freeze or approval."""
    machine = _machine()
    plan = machine.plan_rollback(machine.policy.environment(env), version)
    say(plan)
    if dry_run or c.config.run.dry:
        return plan.summary()
    progress = Progress()
    event = machine.rollback(plan, progress, reason)
    progress.say(f"{env} serves {event.release}, verified")
    return event


@task(
    auto_shortflags=False,
    help={"env": ENV, "version": VERSION, "reason": "what you have checked", "json": JSON},
)
@command
def approve(
    c: Context, env: str, version: str | None = None, reason: str = "", json: bool = False
) -> Any:
    """Approve a release for an environment in your name; release.toml says who may."""
    machine = _machine()
    # People approve: the key of a release job is none of theirs.
    machine = replace(machine, repository=replace(machine.repository, key=""))
    environment = machine.policy.environment(env)
    ledger = Ledger.open(machine.repository)
    record = chosen_release(ledger, environment, version)
    rule = environment.approval or policy.ApprovalPolicy()
    machine.repository.require_writing()
    actor = machine.repository.actor()
    base = base_of(serving(ledger, ledger.head(env)))
    approvers, _ = weigh(ledger, env, record, rule, base, machine.policy.schema)
    if actor in approvers:
        say(f"you have approved {record.version} for {env} already: nothing to do")
    else:
        say(f"{actor} approves {record.version} for {env}, digest {record.digest}")
        if not c.config.run.dry:
            ledger.add_approval(env, record, reason, rule.signed)
            ledger = Ledger.open(machine.repository)
            approvers, complaints = weigh(ledger, env, record, rule, base, machine.policy.schema)
            for complaint in complaints:
                say(f"does not count: {complaint}")
    say(f"{len(approvers)} of {rule.needed} approvals")
    return {
        "environment": env,
        "release": record.version,
        "digest": record.digest,
        "approved_by": approvers,
        "needed": rule.needed,
    }


@task(
    auto_shortflags=False,
    help={"env": ENV, "reason": "why, for the history", "json": JSON},
)
@command
def hold(c: Context, env: str, reason: str = "", json: bool = False) -> Any:
    """Keep releases out of an environment until `invoke unhold`, as every rollback does."""
    refuse_dry(c, "hold")
    machine = _machine()
    event = machine.hold(machine.policy.environment(env), reason, Progress())
    say(f"{env} is on hold" if event else f"{env} is on hold already: nothing to do")
    return event


@task(
    auto_shortflags=False,
    help={"env": ENV, "reason": "why releases may continue, for the history", "json": JSON},
)
@command
def unhold(c: Context, env: str, reason: str = "", json: bool = False) -> Any:
    """Let releases into an environment again, after a hold or a rollback."""
    refuse_dry(c, "unhold")
    machine = _machine()
    event = machine.unhold(machine.policy.environment(env), reason, Progress())
    say(f"{env} takes releases again" if event else f"{env} is not on hold: nothing to do")
    return event


@task(
    auto_shortflags=False,
    help={
        "env": "only this environment",
        "exit-code": "exit with 3 when an environment does not run what it should, "
        "with 32 when that cannot be seen",
        "json": JSON,
    },
)
@command
def status(c: Context, env: str | None = None, exit_code: bool = False, json: bool = False) -> Any:
    """Show what every environment should serve, what runs there, and what to do if they differ."""
    machine = _machine()
    ledger = Ledger.open(machine.repository)
    chosen = [machine.policy.environment(env)] if env else machine.policy.environments
    looks = [looking.look(machine, ledger, environment) for environment in chosen]
    _warn_if_unreachable(ledger)
    if not json:
        for look in looks:
            print(look)
    drifted = [look.environment for look in looks if look.drift]
    unseen = [look.environment for look in looks if look.unseen]
    if exit_code and (drifted or unseen):
        if json:
            print_json(looks)
        faults = [f"{', '.join(drifted)} does not run what it should"] if drifted else []
        faults += [f"{', '.join(unseen)} cannot be seen"] if unseen else []
        raise Exit("; ".join(faults), code=DRIFTED if drifted else UNSEEN)
    return looks


@task(auto_shortflags=False, help={"env": ENV, "json": JSON})
@command
def history(c: Context, env: str, json: bool = False) -> Any:
    """Show what was released to an environment, when, by whom, and with which outcome."""
    machine = _machine()
    machine.policy.environment(env)
    ledger = Ledger.open(machine.repository)
    events = looking.story(ledger.history(env))
    _warn_if_unreachable(ledger)
    if not json:
        for event in events:
            print(looking.describe(event))
        if not events:
            print(f"{env}: no release yet")
    if events:
        say(
            "a release's model card: git show release/VERSION:model_card.md; gate report: gate.html"
        )
    return events


@task(
    auto_shortflags=False,
    help={
        "html": "also write the release board, reports/audit.html",
        "json": JSON,
    },
)
@command
def audit(c: Context, html: bool = False, json: bool = False) -> Any:
    """Check in git that every release followed the policy, and that no history was changed."""
    machine = _machine()
    ledger = Ledger.open(machine.repository)
    found = auditing.audit(ledger, machine.policy)
    if html:
        # Imported here: Jinja takes longer to import than most commands take.
        from toolkit.release import board

        path = machine.repository.root / "reports" / "audit.html"
        write_file(path, board.page(found, ledger, machine.policy, datetime.now(UTC)))
        say(f"see {path}")
    answer = {
        "environments": found.proofs,
        "tags": found.strays,
        "unreachable": found.unreachable,
        "erased": found.erased,
    }
    if not json:
        for line in (*found.proofs, *found.strays, *found.erased):
            print(line)
        if not found.proofs:
            print("no release yet")
    trouble = found.trouble
    if trouble:
        if json:
            print_json(answer | {"error": vars(trouble), "exit_code": trouble.exit_code})
        raise Exit(str(trouble), code=trouble.exit_code)
    return answer


@task(auto_shortflags=False, help={"env": ENV, "version": VERSION, "json": JSON})
@command
def diff(c: Context, env: str, version: str | None = None, json: bool = False) -> Any:
    """Show what a promotion would change: commits, files, and the gate's figures."""
    machine = _machine()
    environment = machine.policy.environment(env)
    found = difference.compare(Ledger.open(machine.repository), environment, version)
    if not json:
        print(found)
    return found


@task(
    auto_shortflags=False,
    help={
        "env": ENV,
        "sandbox": "use separate servers on this machine, not those of the environment",
        "issue": "open an issue at the forge if the drill fails",
        "yes": YES,
        "json": JSON,
    },
)
@command
def drill(
    c: Context,
    env: str,
    sandbox: bool = False,
    issue: bool = False,
    yes: bool = False,
    json: bool = False,
) -> drills.Drill:
    """Practise a rollback: go back, verify, return, and measure the time."""
    refuse_dry(c, "drill")
    machine = _machine()
    environment = machine.policy.environment(env)
    if not sandbox and not yes:
        question = f"roll {env} back and forward again, on the servers in use?"
        confirm(question, f"drill --env {env}", f"{env} unchanged")
    progress = Progress()
    try:
        done = drills.practise(machine, environment, sandbox, progress)
    except ReleaseError as failed:
        # A freeze is wanted so, and who interrupts a drill knows of it.
        if issue and not isinstance(failed, Held | Interrupted):
            title, text = f"The drill of {env} failed", indent(str(failed), "    ")
            issues.publish(machine.repository, title, text, progress)
        raise
    progress.say(f"{done.seconds:.1f} s of {done.budget_s}: {done}")
    return done


@task(auto_shortflags=False, help={"env": ENV})
@command
def decay(c: Context, env: str) -> None:
    """Open an issue if the night has found that what serves ranks customers worse than it did."""
    refuse_dry(c, "decay")
    machine = _machine()
    watched = decays.read(machine.repository.root, machine.policy.environment(env).name)
    say(watched.sentence or f"{env} is not watched: data/source.toml has no [labels]")
    if watched.state == decays.FELL:
        issues.publish(machine.repository, watched.title, watched.text, Progress())


@task(
    auto_shortflags=False,
    help={
        "env": ENV,
        "input": "the table: a path, or a URL such as s3://bucket/customers.parquet",
        "output": "where the scores go: a path or URL, CSV or Parquet by its ending",
        "as-of": "the day of the table, as 2026-11-30; default: today, in UTC",
        "explain": "how many contributions explain each prediction; default: none",
        "record": "tell of the run in a note in git, and push that",
        "json": JSON,
    },
)
@command
def score(
    c: Context,
    env: str,
    input: str,
    output: str,
    as_of: str | None = None,
    explain: int = 0,
    record: bool = False,
    json: bool = False,
) -> scoring.Scored:
    """Score a table of customers with the release that an environment serves."""
    refuse_dry(c, "score")
    machine = _machine()
    environment = machine.policy.environment(env).name
    options = scoring.Options(input, output, scoring.day_of(as_of), explain, record)
    done = scoring.score(machine.repository, machine.policy, environment, options, Progress())
    counts = f"{done.scored} of {done.rows} customers are scored"
    say(f"{counts}, {done.churn} are predicted to churn; see reports/score.md")
    return done


@task(
    auto_shortflags=False,
    help={"dry-run": "list what would be removed, and remove nothing", "yes": YES, "json": JSON},
)
@command
def prune(c: Context, dry_run: bool = False, yes: bool = False, json: bool = False) -> Any:
    """Remove releases from this machine that no environment needs; git keeps them all."""
    machine = _machine()
    releases = pruning.unneeded(machine)
    say("\n".join(releases) or "nothing to remove")
    if releases and not dry_run and not c.config.run.dry:
        if not yes:
            question = f"remove {len(releases)} releases from this machine?"
            confirm(question, "prune", "nothing was removed")
        pruning.prune(machine, releases)
    return {"removed": [] if dry_run or c.config.run.dry else releases, "unneeded": releases}


@task(
    auto_shortflags=False,
    help={"dry-run": "list what would be changed at the forge, and change nothing", "json": JSON},
)
@command
def protect(c: Context, dry_run: bool = False, json: bool = False) -> Any:
    """Protect main and the release ledger at the forge, by the rules in this repository."""
    repository = Repository.containing(Path.cwd())
    forge = client.find(repository)
    changes = protection.plan(forge, repository.root)
    dry_run = dry_run or c.config.run.dry
    if dry_run:
        say("\n".join(["in a real run:", *map(str, changes)]))
    else:
        changes = protection.apply(forge, changes, Progress())
    return {
        "forge": forge.name,
        "rules": {change.rule: change.outcome for change in changes},
        "dry_run": dry_run,
    }


@task(auto_shortflags=False, help={"env": ENV, "json": JSON})
@command
def recover(c: Context, env: str, json: bool = False) -> Any:
    """Finish or undo the change of a killed command, or push events that are still owed."""
    refuse_dry(c, "recover")
    machine = _machine()
    progress = Progress()
    event = machine.recover(machine.policy.environment(env), progress)
    progress.say(f"{env} recovered: {event.release} {event.outcome}")
    return event


@task(auto_shortflags=False, help={"env": ENV, "json": JSON})
@command
def deploy(c: Context, env: str, json: bool = False) -> Any:
    """Make an environment run what it should, after a reboot or a change by hand."""
    refuse_dry(c, "deploy")
    machine = _machine()
    progress = Progress()
    record = machine.deploy(machine.policy.environment(env), progress)
    progress.say(f"{env} serves {record.version}, verified")
    return record


@task(auto_shortflags=False, help={"env": ENV, "yes": YES})
@command
def stop(c: Context, env: str, yes: bool = False) -> None:
    """Stop an environment's servers; `invoke deploy` starts them again."""
    refuse_dry(c, "stop")
    machine = _machine()
    environment = machine.policy.environment(env)
    if not yes:
        confirm(f"stop every server of {env}?", f"stop --env {env}", f"{env} unchanged")
    machine.stop(environment)
    say(f"{env}: no server runs any more; invoke deploy --env {env} starts them again")
