"""How long it takes to prove a history of a thousand events, and whether what is wrong is named.

    nox -s benchmark_audit

The toolkit's own ledger writes the history of two environments, with releases that fail,
rollbacks, holds and approvals, into a clone and its remote; each event and each release is signed.
Then each violation is planted into a copy of both, and the audit must name it first, at the right
event. Its time stands beside that of what git itself can say of the same history: `git fsck`, and
`git log` of both branches.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from toolkit.release import ledger
from toolkit.release.engine import Machine
from toolkit.release.event import Event
from toolkit.release.policy import SigningPolicy
from toolkit.release.records import Record
from toolkit.tests.command_line import write_policy
from toolkit.tests.history import History, edit, relinked, without
from toolkit.tests.ssh_keys import list_signers, public_key
from toolkit.tests.workshop import Workshop, git

from benchmarks.machine import machine

EVENTS = 1000
RUNS = 5
# The year begins today: its releases and approvals are made now, and none may be later than its event.
BEGIN = datetime.now(UTC)
BETWEEN = timedelta(minutes=97)
ADA = "Ada <ada@example.com>"
JOB = "release@example.com"
EVERY_FAILURE, EVERY_ROLLBACK, EVERY_HOLD = 7, 11, 13


class Year:
    """Writes what a year of releases leaves behind, as the engine does."""

    def __init__(self, folder: Path) -> None:
        self.shop = signing(Workshop.open(folder / "clone", None))
        self.serves: dict[str, Record] = {}
        self.before: dict[str, Record] = {}
        self.records: list[Record] = []
        self.events = 0

    def live(self) -> History:
        """Release until there are enough events, push everything, and return the history."""
        while self.events < EVENTS:
            self.release(len(self.records) + 1)
        folder = self.shop.folder
        remote = folder.parent / "remote.git"
        main = "--initial-branch=main"
        git(folder.parent, "init", "--quiet", "--bare", main, str(remote))
        git(folder, "remote", "add", "origin", str(remote))
        git(folder, "push", "--quiet", "--mirror", "origin")
        for repository in (folder, remote):
            git(repository, "gc", "--quiet")
        return History(self.shop, tuple(self.records))

    def release(self, number: int) -> None:
        """Bring one release as far as it comes."""
        record = self.shop.release(b"model %d" % number)
        self.records.append(record)
        if number % EVERY_FAILURE == 0:
            self.change("staging", "promote", record, "rolled-back")
            return
        self.change("staging", "promote", record, "verified")
        self.shop.ledger().add_approval("prod", record, "read the evidence", signed=False)
        self.change("prod", "promote", record, "verified", ADA)
        if number % EVERY_ROLLBACK == 0:
            self.change("prod", "rollback", self.before["prod"], "verified")
            self.note("prod", "unhold")
        if number % EVERY_HOLD == 0:
            self.note("staging", "hold")
            self.note("staging", "unhold")

    def change(
        self, environment: str, kind: str, record: Record, outcome: str, approved_by: str = ""
    ) -> None:
        """Write the two events of a change."""
        served = self.serves.get(environment)
        begun = Event(
            kind=kind,
            release=record.version,
            digest=record.digest,
            outcome="pending",
            previous=served.version if served else "",
            actor=ADA,
            approved_by=approved_by,
            gate=record.gate,
        )
        cause = self.append(environment, begun, record)
        if outcome == "verified":
            self.before[environment] = served or record
            self.serves[environment] = record
        ended = replace(begun, outcome=outcome, caused_by=cause, duration_s="61.0")
        self.append(environment, ended, self.serves[environment])

    def note(self, environment: str, kind: str) -> None:
        """Write an event that changes nothing of what serves."""
        record = self.serves[environment]
        noted = Event(kind, record.version, record.digest, "noted", actor=ADA)
        self.append(environment, noted, record)

    def append(self, environment: str, event: Event, record: Record) -> str:
        """Write one event through the ledger, some time after the one before."""
        self.events += 1
        when = BEGIN + self.events * BETWEEN
        files = {"release.json": record.to_json(), "manifest.txt": record.version.encode()}
        with patch.object(ledger, "now", lambda: when):
            return self.shop.ledger().append(environment, event, files)


def signing(shop: Workshop) -> Workshop:
    """Let a workshop sign all that it writes, as a release job does."""
    folder = shop.folder.parent
    list_signers(shop, {JOB: public_key(folder, "key")})
    git(shop.folder, "config", "user.signingkey", str(folder / "key"))
    policy = replace(shop.machine.policy, signing=SigningPolicy(events=True, by=(JOB,)))
    write_policy(shop.folder, policy)
    return replace(shop, machine=Machine(replace(shop.machine.repository, signs=True), policy))


# What is planted: each returns the event that must be named first.


def edit_an_event(history: History) -> str:
    """Name somebody else as the one who approved, in an event of long ago."""
    change = edit(401, f"Approved-by: {ADA}", "Approved-by: Eve <e@e>")
    return history.rewrite("prod", change)[401]


def reorder(history: History) -> str:
    """Let two promotions change places."""

    def swap(stored: list[str]) -> list[str]:
        return [*stored[:200], *stored[202:204], *stored[200:202], *stored[204:]]

    return history.rewrite("prod", swap)[200]


def take_out(history: History) -> str:
    """Take a promotion out of the middle, and mend what names it."""
    return history.rewrite("staging", relinked(without(300, 301)))[300]


def cut_the_tail(history: History) -> str:
    """Cut the newest events off at the remote."""
    commits = history.commits("staging")
    git(history.remote, "update-ref", "refs/heads/env/staging", commits[-7])
    return commits[-6]


def forge_an_event(history: History) -> str:
    """Write a verified promotion by hand, without its beginning."""
    record = history.releases[0]
    forged = Event("promote", record.version, record.digest, "verified", actor=ADA)
    files = {"release.json": record.to_json()}
    return history.shop.ledger().append("staging", forged, files)


def hold_without_a_signature(history: History) -> str:
    """Hold an environment as the release machine would, but for the signature."""
    read = history.shop.ledger()
    newest = read.history("staging")[0]
    held = replace(newest, kind="hold", outcome="noted", previous="", caused_by="", id="")
    read.repository.signs = False
    return read.append("staging", held, read.desired(newest.sha))


def release_ungated(history: History) -> str:
    """Promote a release whose gate has failed."""
    history.forge("staging", history.shop.release(b"ungated", gate="failed"))
    return history.commits("staging")[-1]


def skip_staging(history: History) -> str:
    """Promote to prod what staging has never seen."""
    record = history.shop.release(b"in a hurry")
    history.shop.ledger().add_approval("prod", record, "", signed=False)
    history.forge("prod", record, approved_by=ADA)
    return history.commits("prod")[-1]


def delete_an_approval(history: History) -> str:
    """Delete the tag of an approval of long ago."""
    history.untag(f"approval/prod/{history.releases[4].version}/ada@example.com")
    return history.commits("prod")[9]


def edit_a_record(history: History) -> str:
    """Write a release's tag anew, with another model in its record."""
    record = history.releases[4]
    files = history.shop.ledger().bundle(record.version)
    history.untag(f"release/{record.version}")
    edited = record.to_json().replace(record.artifacts["model.onnx"].encode(), b"0" * 64)
    history.shop.ledger().add_release(record, files | {"release.json": edited}, "a release\n")
    return history.commits("staging")[9]


def promote_during_a_hold(history: History) -> str:
    """Promote while releases are kept out."""
    read = history.shop.ledger()
    newest = read.history("staging")[0]
    held = replace(newest, kind="hold", outcome="noted", previous="", caused_by="", id="")
    read.append("staging", held, read.desired(newest.sha))
    history.forge("staging", history.releases[0])
    return history.commits("staging")[-1]


VIOLATIONS: dict[str, tuple[str, Callable[[History], str]]] = {
    "an event edited": ("cause", edit_an_event),
    "two releases reordered": ("from", reorder),
    "a release taken out, and relinked": ("from", take_out),
    "the tail cut at the remote": ("tail", cut_the_tail),
    "an event forged by hand": ("cause", forge_an_event),
    "an event without a signature": ("signature", hold_without_a_signature),
    "an un-gated release": ("gate", release_ungated),
    "staging skipped": ("order", skip_staging),
    "an approval deleted afterwards": ("approval", delete_an_approval),
    "a record edited": ("bundle", edit_a_record),
    "a promotion during a hold": ("hold", promote_during_a_hold),
}


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that an action takes, and what it returns."""
    began = time.perf_counter()
    answer = action()
    return time.perf_counter() - began, answer


def ask_git(folder: Path) -> None:
    """Let git check every object, and tell both branches."""
    for arguments in (["fsck", "--full"], ["log", "env/staging"], ["log", "env/prod"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def prove(history: History) -> None:
    """Time the audit of the clean history beside git's own reading of it."""
    clone = history.shop.folder
    seconds, found = zip(*(timed(history.audit) for _ in range(RUNS)), strict=True)
    git_seconds = statistics.median(timed(lambda: ask_git(clone))[0] for _ in range(RUNS))
    for proof in found[0].proofs:
        print(proof)
    if found[0].trouble:
        sys.exit("a clean history was not proved")
    median = statistics.median(seconds)
    print("\n| what | seconds | of git's |\n| --- | --- | --- |")
    print(f"| `git fsck` and `git log` | {git_seconds:.2f} | 1.0 |")
    print(f"| the audit | {median:.2f} | {median / git_seconds:.1f} |")


def plant(history: History, folder: Path) -> bool:
    """Plant each violation in a copy, and tell whether all were named."""
    print("\n| planted | named | first finding | seconds | `git fsck` |")
    print("| --- | --- | --- | --- | --- |")
    all_named = True
    for number, (what, (rule, violate)) in enumerate(VIOLATIONS.items()):
        copy = history.copy(folder / str(number))
        event = violate(copy)
        seconds, found = timed(copy.audit)
        first = found.findings[0] if found.findings else None
        is_named = first is not None and (first.event, first.rule) == (event, rule)
        all_named &= is_named
        named = "yes" if is_named else "NO"
        fsck = subprocess.run(["git", "fsck"], cwd=copy.shop.folder, capture_output=True)
        said = "an error" if fsck.returncode else "no error"
        print(f"| {what} | {named} | {first} | {seconds:.2f} | {said} |", flush=True)
    return all_named


def main() -> None:
    """Print the tables as Markdown; exit 1 where a violation was not named."""
    os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "year").mkdir()
        seconds, history = timed(Year(folder / "year").live)
        print(f"\n{machine()}; written in {seconds:.0f} s\n")
        prove(history.copy(folder / "clean"))
        if not plant(history, folder):
            sys.exit("not every violation was named")


if __name__ == "__main__":
    main()
