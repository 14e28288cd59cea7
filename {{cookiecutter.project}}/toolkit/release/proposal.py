"""The proposal of a release for an environment: what it would change, why, and what to type."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from ..policy_changes import HEADING
from . import difference, notice, snapshots
from .checks import CHECKS, Candidate
from .errors import ReleaseError
from .event import Event
from .forge import issues
from .git import Repository
from .ledger import Ledger
from .plan import base_of, chosen_release, is_named, serving
from .policy import Environment, Policy
from .progress import Progress
from .records import Record
from .signing import counted

# Checks that a proposed release must pass; the others may pass until its promotion.
REQUIRED = ("gate", "merged", "order")
NIGHTLY = Path("reports", "nightly.json")


@dataclass(frozen=True)
class Proposal:
    """One release, proposed for one environment.

    Parameters
    ----------
    environment : str
    release, digest : str
        The proposed release.
    serves : str
        The release that serves there, or empty.
    why : str
        The result of the nightly training for this release's model, or empty.
    figures : dict of str to tuple
        The gate's figures of the release that serves and of the proposed one.
    rules : tuple of str
        What has changed of what decides about a release, the laxer first.
    obstacles : tuple of str
        What prevents its promotion now.
    commands : tuple of str
        The commands that promote it.
    issue : str
        The address of the issue that proposes it, or empty.
    """

    environment: str
    release: str
    digest: str
    serves: str
    why: str = ""
    figures: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    rules: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    issue: str = ""

    @property
    def nothing_to_do(self) -> bool:
        """Whether the release serves there already."""
        return self.serves == self.release

    @property
    def title(self) -> str:
        """The title of its issue."""
        return f"Promote {self.release} to {self.environment}"

    def __str__(self) -> str:
        """Return the text of its issue, in Markdown."""
        before = f"{self.serves} serves" if self.serves else "nothing serves"
        lines = [
            f"In {self.environment}, {before} now.",
            *([f"\nWhy: {self.why}"] * bool(self.why)),
        ]
        lines += ["", "| figure | serves | proposed |", "| --- | --- | --- |"]
        for name, figures in self.figures.items():
            lines.append(f"| {name} | {' | '.join(map(difference.number, figures))} |")
        if self.rules:
            lines += ["", f"{HEADING} since:", "", *(f"- {one}" for one in self.rules)]
        if self.obstacles:
            lines += [
                "",
                "What prevents its promotion now:",
                "",
                *(f"- {one}" for one in self.obstacles),
            ]
        lines += ["", "To promote it:", "", "```console"]
        lines += [*(f"$ {command}" for command in self.commands), "```", ""]
        card = f"git show release/{self.release}:model_card.md"
        return "\n".join(
            [*lines, f"Its model card: `{card}`; its gate report is `gate.html` there."]
        )


def propose(
    ledger: Ledger, policy: Policy, environment: Environment, version: str | None
) -> Proposal:
    """Propose a release by name, or the one that the environment before serves. Writes nothing.

    Raises
    ------
    GateRefused, PreconditionFailed
        It has not passed the gate, was not verified in the environment before, or failed there.
    """
    name = environment.name
    ledger.require_remote(f"{name} unchanged")
    record = chosen_release(ledger, environment, version)
    found = difference.compare(ledger, environment, record.version)
    proposal = Proposal(name, record.version, record.digest, found.serves)
    if proposal.nothing_to_do:
        return proposal
    candidate = Candidate(
        *(ledger, policy, environment, record),
        tuple(counted(ledger, policy, ledger.history(name))),
        base_of(serving(ledger, ledger.head(name))),
        is_named=is_named(version),
        now=datetime.now(UTC),
        # A proposal is made where no environment can be reached, as by a nightly job.
        observe=None,
    )
    return replace(
        proposal,
        why=_why(ledger.repository.root, record),
        figures=found.figures,
        rules=found.rules,
        obstacles=_obstacles(candidate),
        commands=_commands(environment, record),
    )


def publish(repository: Repository, proposal: Proposal, progress: Progress) -> Proposal:
    """Open its issue, and notify the webhook; return the proposal with the issue's address."""
    address = issues.publish(repository, proposal.title, str(proposal), progress)
    event = Event("propose", proposal.release, proposal.digest, "proposed", reason=address)
    notice.notify(proposal.environment, event, progress)
    return replace(proposal, issue=address)


def _obstacles(candidate: Candidate) -> tuple[str, ...]:
    obstacles = []
    for name, run in CHECKS:
        try:
            run(candidate)
        except ReleaseError as error:
            if name in REQUIRED and not (name == "merged" and _is_pin(candidate)):
                raise
            obstacles.append(f"{error.what}; {error.next_step}")
    return tuple(obstacles)


def _is_pin(candidate: Candidate) -> bool:
    """Return whether all that is not merged is a night's snapshot: merging it is to accept it."""
    ledger = candidate.ledger
    return snapshots.is_pin(ledger.repository, candidate.record.commit, ledger.anchor)


def _why(root: Path, record: Record) -> str:
    """Return the nightly training's result, if it is about this release's model."""
    try:
        nightly = json.loads((root / NIGHTLY).read_bytes())
        return str(nightly["sentence"]) if nightly["model_sha256"] == record.model_sha256 else ""
    except (OSError, ValueError, TypeError, KeyError):
        return ""


def _commands(environment: Environment, record: Record) -> tuple[str, ...]:
    which = f"--env {environment.name} --version {record.version}"
    approve = f'invoke approve {which} --reason "what you have looked at"'
    promote = f"invoke promote {which}"
    return (approve, promote) if environment.approval else (promote,)
