"""The gate's evidence for a build: read by name, recomputed, and held against the ledger.

What lies in ``reports/`` may have been edited since the training. So nothing in it is believed that
can be computed again: a command that ``release.toml`` names does so with the code of the commit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import champion as champions
from . import snapshots, sources
from .errors import BuildFailed, ConfigurationError, GateRefused, PreconditionFailed
from .ledger import Ledger
from .policy import Policy
from .records import EVIDENCE_NAME, PROOFS, sha256
from .releases import Release
from .snapshots import Snapshot
from .sources import Source

SCHEMA = 2
ANSWER, ANSWER_SCHEMA = "verified.json", 1
# The environments of nox's sessions, each made of a lock: they are not made anew for each export.
ENVIRONMENTS = ".nox"
NEXT = "nox -s train, on the commit to be released, with nothing uncommitted"


@dataclass(frozen=True)
class Gated:
    """What a training has left, and the gate has passed.

    Parameters
    ----------
    evidence : dict
        The content of ``gate.json``.
    model : dict of str to bytes
        The files to serve with, by name.
    proofs : dict of str to bytes
        The files of `PROOFS`.
    """

    evidence: dict[str, Any]
    model: dict[str, bytes]
    proofs: dict[str, bytes]


def read(reports: Path, commit: str, is_clean: bool) -> Gated:
    """Read ``reports/``; `GateRefused` lists everything that does not fit this build."""
    try:
        content = (reports / EVIDENCE_NAME).read_bytes()
        evidence = json.loads(content)
        model = {path.name: path.read_bytes() for path in sorted((reports / "model").iterdir())}
    except (OSError, ValueError, RecursionError) as error:
        raise GateRefused(
            "the gate's evidence is missing or cannot be read",
            why=str(error),
            state="no release was made",
            next_step=NEXT,
        ) from None
    if not isinstance(evidence, dict):
        evidence = {}
    reasons = evidence.get("reasons")
    complaints = [
        f"the gate failed: {reason}" for reason in (reasons if isinstance(reasons, list) else [])
    ]
    if evidence.get("schema") != SCHEMA:
        complaints.append(f"its schema is {evidence.get('schema')!r}, not {SCHEMA}")
    proofs = {EVIDENCE_NAME: content}
    for name in PROOFS:
        if (reports / name).is_file():
            proofs.setdefault(name, (reports / name).read_bytes())
        else:
            complaints.append(f"reports/{name} is missing")
    if evidence.get("verdict") != "passed":
        complaints.append(f"its verdict is {evidence.get('verdict')!r}, not 'passed'")
    if evidence.get("training") != "full":
        complaints.append(f"it is from a {evidence.get('training')!r} training, not a full one")
    if evidence.get("commit") != commit:
        complaints.append(f"it is for commit {evidence.get('commit')}, HEAD is {commit}")
    if is_clean and evidence.get("tree_clean") is not True:
        complaints.append("it was written with uncommitted changes in the tree")
    for key in ("model_sha256", "data_sha256"):
        if not isinstance(evidence.get(key), str) or len(evidence[key]) != 64:
            complaints.append(f"it names no {key}")
    if evidence.get("model_sha256") not in [sha256(one) for one in model.values()]:
        complaints.append("no file in reports/model has the model_sha256 that it names")
    _refuse(complaints)
    return Gated(evidence, model, proofs)


def verify_released(
    release: Release,
    files: Mapping[str, bytes],
    own: Gated,
    ledger: Ledger,
    policy: Policy,
    source: Source,
) -> None:
    """Verify the evidence of a release whose bundle is that of this build, and was tagged before.

    Approvers read that one, and not the build's own. The two differ in their hours, and in the
    champion: it is the one of when the release was tagged.

    Parameters
    ----------
    files : mapping of str to bytes
        Those of the release.
    own : Gated
        What this build has verified.

    Raises
    ------
    GateRefused, BuildFailed
        As `read` and `verify`.
    """
    proofs = {name: files[name] for name in PROOFS if name in files}
    if proofs == own.proofs:
        return
    with tempfile.TemporaryDirectory() as desk:
        sources.write({f"model/{name}": one for name, one in own.model.items()}, Path(desk))
        sources.write(proofs, Path(desk))
        gated = read(Path(desk), source.commit, is_clean=True)
    verify(gated, ledger, policy, source.folder, release)


def verify(
    gated: Gated, ledger: Ledger, policy: Policy, source: Path, release: Release | None = None
) -> None:
    """Let the command of ``release.toml`` recompute what the evidence says.

    It runs in `source`, reads copies of exactly what is to be released and the champion as its
    release tag has it, and writes ``verified.json`` beside them: a ``verdict`` with its
    ``reasons``, and the checksum of each file that it has checked. A file that it does not name is
    not released.

    Parameters
    ----------
    source : pathlib.Path
        A folder with the files of the commit.
    release : Release, optional
        The release, if it was tagged before: its champion is the one of that time.

    Raises
    ------
    GateRefused
        The evidence is not what the commit, its policy and the model give.
    BuildFailed
        The command has not answered.
    PreconditionFailed
        The commit holds environments of its own to answer in.
    ConfigurationError
        ``release.toml`` names no command.
    """
    if not policy.verify:
        raise ConfigurationError(
            "release.toml does not say how to verify the gate's evidence",
            why="it has no setting verify, and reports/gate.json is not believed as it lies there",
            state="no release was made",
            next_step='add verify = ["-m", "nox", "-s", "verify", "--"] to release.toml',
        )
    with tempfile.TemporaryDirectory() as desk:
        reports = Path(desk)
        sources.write({f"model/{name}": one for name, one in gated.model.items()}, reports)
        sources.write(gated.proofs, reports)
        environment, folder = policy.environments[-1].name, reports / "champion"
        if release is None:
            champions.fetch(ledger, policy, environment, 0, folder)
        else:
            served = champions.fetch_of(ledger, policy, environment, release, folder).release
            _refuse(_compared_with_another(gated, served))
        lend_environments(ledger.repository.root, source)
        done = subprocess.run(
            # Isolated: what runs is installed, and no module of the folder where it runs.
            [sys.executable, "-I", *policy.verify, "--reports", desk],
            cwd=source,
            env={name: os.environ[name] for name in os.environ if not name.startswith("NOX")},
            capture_output=True,
            text=True,
            check=False,
        )
        reasons, checked = _answer(reports, done)
    _refuse([*reasons, *_unchecked(gated, checked)])
    if done.returncode:
        _refuse([f"{' '.join(policy.verify)} has not passed: it exited {done.returncode}"])


def _answer(
    reports: Path, done: subprocess.CompletedProcess[str]
) -> tuple[list[str], dict[str, str]]:
    """Read ``verified.json``: why the evidence is refused, and the checksum of each file."""
    try:
        answer = json.loads((reports / ANSWER).read_bytes())
        if answer["schema"] != ANSWER_SCHEMA:
            raise ValueError(f"its schema is {answer['schema']!r}, not {ANSWER_SCHEMA}")
        reasons = [str(reason) for reason in answer["reasons"]]
        if answer["verdict"] != "passed":
            reasons = reasons or [f"{ANSWER} says {answer['verdict']!r}, not 'passed'"]
        return reasons, dict(answer["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        output = f"{done.stdout}{done.stderr}".strip()[-2000:]
        raise BuildFailed(
            "the gate's evidence could not be verified",
            why=f"{ANSWER} was not written: {error}\n{output}".strip(),
            state="no release was made",
            next_step="nox -s verify, which says what is wrong",
        ) from None


def lend_environments(root: Path, source: Path) -> None:
    """Let nox find its environments in an export too; it makes those anew that are out of date."""
    lent = source / ENVIRONMENTS
    if root == source or lent.is_symlink():
        return  # A commit with a link is not exported.
    if lent.exists():
        raise PreconditionFailed(
            f"the commit holds {ENVIRONMENTS}, where nox keeps its environments",
            why="what lies there would run in place of the packages in the locks",
            state="no release was made",
            next_step=f"git rm -r --cached {ENVIRONMENTS}; and a line for it in .gitignore",
        )
    (root / ENVIRONMENTS).mkdir(exist_ok=True)
    lent.symlink_to(root / ENVIRONMENTS)


def _unchecked(gated: Gated, checked: Mapping[str, str]) -> list[str]:
    """Return what is wrong with files that were checked, or were not."""
    found = [
        f"reports/model/{name} is no file of a release"
        for name in gated.model
        if name not in checked
    ]
    found += [f"reports/model/{name} is missing" for name in checked if name not in gated.model]
    return found + [
        f"reports/model/{name} is not the file that was verified"
        for name, content in gated.model.items()
        if checked.get(name, sha256(content)) != sha256(content)
    ]


def require_champion(gated: Gated, ledger: Ledger, policy: Policy, reports: Path) -> None:
    """Refuse a model that was not compared with the release that the last environment serves.

    What the gate has compared with must be that release, file by file: a champion of one's own is
    easily met.
    """
    environment = policy.environments[-1].name
    serves = champions.serving_release(ledger, policy, environment)
    if serves is None:
        return
    why = "\n".join(
        _compared_with_another(gated, serves, f"{environment} serves")
        or _other_champion(serves, _champion(gated), ledger, reports / "champion")
    )
    if why:
        raise GateRefused(
            f"the model was not compared with the release that {environment} serves",
            why=why,
            state="no release was made",
            next_step=f"invoke champion --env {environment}, then nox -s train, then invoke build",
        )


def _champion(gated: Gated) -> dict[str, Any]:
    champion = gated.evidence.get("champion")
    return champion if isinstance(champion, dict) else {}


def _compared_with_another(
    gated: Gated, serves: str | None, told: str = "when it was tagged, there served"
) -> list[str]:
    compared = _champion(gated).get("release")
    if compared == serves:
        return []
    return [f"{told} {serves or 'nothing'}, the comparison was with {compared or 'nothing'}"]


def require_snapshot(
    gated: Gated, ledger: Ledger, policy: Policy, source: sources.Source
) -> Snapshot | None:
    """Return the snapshot that a commit names; None where its table is in git.

    Raises
    ------
    GateRefused
        The training has read other customers.
    PreconditionFailed
        The last environment's model was trained on a newer snapshot.
    """
    snapshot = snapshots.of_commit(ledger.repository, source.commit)
    if snapshot is None or not source.is_clean:
        return snapshot
    named = gated.evidence["data_sha256"]
    if named != snapshot.content:
        _refuse([f"it is of the customers {named}, the commit's snapshot has {snapshot.content}"])
    environment = policy.environments[-1].name
    serves = champions.serving_release(ledger, policy, environment)
    newest = ledger.record(serves).data_as_of if serves else ""
    if snapshot.as_of < newest:
        raise PreconditionFailed(
            f"the snapshot is older than that of the model that {environment} serves",
            why=f"{snapshots.FILE} is of {snapshot.as_of}, release {serves} of {newest}",
            state="no release was made",
            next_step="nox -s snapshot, invoke pin, then nox -s train",
        )
    return snapshot


def _other_champion(
    release: str, champion: Mapping[str, Any], ledger: Ledger, folder: Path
) -> list[str]:
    """Return how a champion differs from the release that it is said to be."""
    found = []
    model, named = ledger.record(release).model_sha256, champion.get("model_sha256")
    if named != model:
        found.append(f"the evidence names its model {named}, release {release} has {model}")
    files = ledger.bundle(release)
    for name, content in files.items():
        path = folder / name
        if not path.is_file():
            found.append(f"reports/champion/{name} is missing")
        elif path.read_bytes() != content:
            found.append(f"reports/champion/{name} is not the file of release {release}")
    strangers = {path.name for path in folder.glob("*")} - {*files, champions.FILE_NAME}
    return found + [
        f"reports/champion/{name} is no file of release {release}" for name in sorted(strangers)
    ]


def _refuse(complaints: list[str]) -> None:
    if complaints:
        raise GateRefused(
            "the gate's evidence does not cover this build",
            why="\n".join(complaints),
            state="no release was made",
            next_step=NEXT,
        )
