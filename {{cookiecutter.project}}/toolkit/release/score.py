"""Scores a table with the release that an environment serves: its own bytes, code and environment.

The table is read, held against the contract and scored by the code of the release's commit, and by
a process in an environment that is made of its bundle. What serves is left alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from . import champion as champions
from . import evidence, policy_file, sources
from .errors import (
    ConfigurationError,
    HeadMoved,
    NotScored,
    NotServing,
    PreconditionFailed,
    PushFailed,
    ReleaseChanged,
)
from .files import write_file
from .git import GitFailed, Repository
from .ledger import Ledger
from .platforms import installation
from .policy import Policy
from .progress import Progress
from .records import Record

REPORT = "score"
SCHEMA = 1
NOTES = "scores"
NOTES_REFERENCE = f"refs/notes/{NOTES}"
TRIES = 5
NOTHING = "no scores were written"
MOST_EXPLAINED = 100


@dataclass(frozen=True)
class Options:
    """What to score, and where the scores go.

    Parameters
    ----------
    input, output : str
        Paths, or URLs of a bucket.
    as_of : datetime.date
        The day of the table.
    explain : int
        How many contributions explain each prediction; 0 for no explanations.
    record : bool
        Whether a note in git tells of the run.
    """

    input: str
    output: str
    as_of: date
    explain: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.explain <= MOST_EXPLAINED:
            raise ConfigurationError(
                f"--explain {self.explain}: a prediction has 0 to {MOST_EXPLAINED} contributions",
                state=NOTHING,
                next_step="choose a number of contributions, such as 5",
            )


@dataclass(frozen=True)
class Scored:
    """The result of ``invoke score``.

    Parameters
    ----------
    environment, release, model_sha256 : str
        Whose model has scored.
    by, time : str
        Who has asked, and when the run began.
    as_of : str
        The day of the table.
    rows, scored, rejected, churn : int
        The customers of the table, and of these the scored, the rejected and those predicted to
        churn.
    input_sha256, output_sha256 : str
        The digests of the table and of the scores.
    warnings : tuple of str
    is_recorded : bool
        Whether a note in git tells of it.
    """

    environment: str
    release: str
    model_sha256: str
    by: str
    time: str
    as_of: str
    rows: int
    scored: int
    rejected: int
    churn: int
    input_sha256: str
    output_sha256: str
    warnings: tuple[str, ...]
    is_recorded: bool = False


def day_of(text: str | None) -> date:
    """Return a day as a command line has it; today in UTC where it has none."""
    try:
        return date.fromisoformat(text) if text else datetime.now(UTC).date()
    except ValueError:
        raise ConfigurationError(
            f"--as-of {text}: no day",
            state=NOTHING,
            next_step="write it as 2026-11-30",
        ) from None


def score(
    repository: Repository, policy: Policy, environment: str, options: Options, progress: Progress
) -> Scored:
    """Score a table with the release that an environment serves now.

    Raises
    ------
    PreconditionFailed
        Nothing serves, or the release's environment cannot be made.
    ConfigurationError
        The release is from before batch scores; or the input or the output is none.
    NotScored
        The table is not what the release is for: too many customers are rejected, or it drifted.
    ReleaseChanged
        The environment serves another release by now. The scores are whole, and of the one before.
    PushFailed
        The remote does not take the note. The scores are whole.
    """
    ledger = Ledger.open(repository)
    version = champions.serving_release(ledger, policy, environment)
    if version is None:
        raise PreconditionFailed(
            f"{environment} serves no release yet",
            state=NOTHING,
            next_step=f"invoke promote --env {environment}",
        )
    record, bundle = ledger.record(version), ledger.bundle(version)
    progress.say(f"{environment} serves {version}")
    with tempfile.TemporaryDirectory() as folder:
        desk = Path(folder)
        command = _commit(repository, record, desk / "commit")
        with progress.step("make the release's environment from its bundle"):
            _install(bundle, desk)
        request = {
            "python": str(installation.python_of(desk / "release")),
            "bundle": str(desk / "release" / "bundle"),
            "input": _absolute(options.input),
            "output": _absolute(options.output),
            "as_of": options.as_of.isoformat(),
            "explain": options.explain,
            "environment": environment,
            "by": repository.actor(),
        }
        # Not as arguments, which others may see: a URL may hold a key.
        write_file(desk / "request.json", json.dumps(request).encode())
        with progress.step("score with the code of its commit"):
            code = _run(command, desk)
        report = _report(desk / "reports", repository.root / "reports", record)
    if report["verdict"] != "passed":
        is_asked_wrongly = code == ConfigurationError.exit_code
        raise (ConfigurationError if is_asked_wrongly else NotScored)(
            f"release {version} has scored nobody",
            why="\n".join(report["reasons"]),
            state=NOTHING,
            next_step=f"see above, and reports/{REPORT}.md; then type it again",
        )
    done = _done(report)
    if options.record:
        _note(repository, record, done)
        done = Scored(**vars(done) | {"is_recorded": True})
    _require_still_serving(repository, policy, done)
    return done


def _absolute(place: str) -> str:
    return place if "://" in place else str(Path(place).absolute())


def _commit(repository: Repository, record: Record, folder: Path) -> list[str]:
    """Export a release's commit, and return the command that scores there."""
    files = sources.read(repository, record.commit)
    sources.write(files, folder)
    own = policy_file.load(folder / policy_file.FILE_NAME)
    if not own.score:
        raise ConfigurationError(
            f"release {record.version} was built before there were batch scores",
            why="the release.toml of its commit has no setting score",
            state=NOTHING,
            next_step="release again, and promote that",
        )
    evidence.lend_environments(repository.root, folder)
    return [sys.executable, "-I", *own.score]


def _install(bundle: dict[str, bytes], desk: Path) -> None:
    try:
        installation.install_packages(desk / "packages", bundle)
        installation.install(desk / "release", bundle, desk / "packages")
    except NotServing as error:
        raise PreconditionFailed(
            "the release's environment cannot be made",
            why=str(error),
            state=NOTHING,
            next_step="see whether this machine reaches the package index, and try again",
        ) from None


def _run(command: list[str], desk: Path) -> int:
    """Run the command, whose report tells how it went, and return its exit code."""
    done = subprocess.run(
        [*command, "--reports", str(desk / "reports"), "--request", str(desk / "request.json")],
        cwd=desk / "commit",
        env={name: os.environ[name] for name in os.environ if not name.startswith("NOX")},
        # Standard output is for --json.
        stdout=sys.stderr.fileno(),
        check=False,
    )
    return done.returncode


def _report(made: Path, reports: Path, record: Record) -> dict[str, Any]:
    """Keep the report of a run in ``reports/``, and return it."""
    try:
        content = (made / f"{REPORT}.json").read_bytes()
        report: dict[str, Any] = json.loads(content)
        for ending in ("json", "md"):
            name = f"{REPORT}.{ending}"
            write_file(reports / name, (made / name).read_bytes())
    except (OSError, ValueError) as error:
        raise NotScored(
            f"release {record.version} could not score",
            why=f"it left no report: {error}",
            state=NOTHING,
            next_step="see what it has printed above",
        ) from None
    is_ours = (report.get("release"), report.get("model_sha256"))
    if report.get("schema") != SCHEMA or (
        report["verdict"] == "passed" and is_ours != (record.version, record.model_sha256)
    ):
        raise NotScored(
            f"the report is not of release {record.version}",
            why=f"it names {is_ours[0]} with the model {is_ours[1]}",
            state="the scores are not to be used",
            next_step="invoke audit",
        )
    return report


def _done(report: dict[str, Any]) -> Scored:
    names = [one.name for one in fields(Scored) if one.name in report and one.name != "warnings"]
    return Scored(
        **{name: report[name] for name in names},
        time=report["created"],
        warnings=tuple(report["warnings"]),
    )


def _note(repository: Repository, record: Record, done: Scored) -> None:
    """Append a line about a run to the notes of the release's commit, here and at the remote.

    A line that the remote did not take is sent with the next one.
    """
    left_out = ("warnings", "is_recorded")
    said = {name: value for name, value in vars(done).items() if name not in left_out}
    line = json.dumps(said, sort_keys=True)
    notes = ("notes", f"--ref={NOTES}")
    try:
        repository.run(*notes, "append", "--message", line, record.commit)
        if not repository.has_remote:
            return
        for _ in range(TRIES):
            if theirs := repository.remote_references(NOTES_REFERENCE):
                repository.fetch_objects(theirs)
                merge = ("merge", "--quiet", "--strategy=cat_sort_uniq")
                repository.run(*notes, *merge, theirs[NOTES_REFERENCE])
            try:
                repository.push(repository.local_references(NOTES_REFERENCE))
                return
            except HeadMoved:
                continue
        why = "others write notes all the time"
    except GitFailed as error:
        why = str(error)
    raise PushFailed(
        "the run was not recorded in git",
        why=why,
        state=f"the scores are whole, and reports/{REPORT}.json tells of them",
        next_step=f"let this machine push {NOTES_REFERENCE}, or leave --record out",
    )


def _require_still_serving(repository: Repository, policy: Policy, done: Scored) -> None:
    repository.listen_again()
    now = champions.serving_release(Ledger.open(repository), policy, done.environment)
    if now != done.release:
        raise ReleaseChanged(
            f"{done.environment} serves {now} by now, and the scores are of {done.release}",
            why="it was promoted or rolled back while the table was scored",
            state="the scores are whole, and each names its release",
            next_step="score again if they must be of the release that serves",
        )
