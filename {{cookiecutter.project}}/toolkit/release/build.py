"""Builds a release: wheel, model and evidence, checked to belong together and tagged once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import inventory
from .champion import serving_release
from .errors import BuildFailed, GateRefused, NotServing, PreconditionFailed
from .files import write_file, write_folder
from .images import record as images
from .ledger import Ledger
from .platforms import process
from .policy import Policy
from .progress import Progress
from .records import EVIDENCE_NAME, FILE_NAME, PROOFS, Record, digest_of, sha256

EVIDENCE_SCHEMA = 2
CHECKSUMS = "checksums.txt"
# What a server installs; in the bundle its name is requirements.txt.
LOCK = Path("requirements", "serving.txt")
NEXT = "nox -s train, on the commit to be released, with nothing uncommitted"


@dataclass(frozen=True)
class Options:
    """The options of a build.

    Parameters
    ----------
    push : bool
        Whether the image is pushed to the registry, where `Policy` has one. Without, everything
        is built and checked, and nothing is released.
    base : str or None
        A base image in place of the Dockerfile's.
    allow_dirty : bool
        Whether to build uncommitted work, which is never released.
    """

    push: bool = False
    base: str | None = None
    allow_dirty: bool = False


DEFAULT = Options()


@dataclass(frozen=True)
class Built:
    """The result of ``invoke build``."""

    record: Record
    folder: Path
    is_new: bool
    is_released: bool = True


def build(ledger: Ledger, policy: Policy, progress: Progress, options: Options = DEFAULT) -> Built:
    """Make the release of HEAD from what ``nox -s train`` left in ``reports/``.

    Returns
    -------
    Built
        ``is_new`` is False when this version was built before: then nothing is written.
        ``is_released`` is False when its image was not pushed, or the tree is dirty: then it has
        no tag, and cannot be promoted.

    Raises
    ------
    PreconditionFailed
        There are uncommitted changes: the build could not be repeated.
    GateRefused
        The evidence is missing, failed, stale or for something else; each reason is listed. Or
        the image to push has not passed ``nox -s scan``.
    BuildFailed
        The wheel, the image or the release's environment cannot be made, or the bundle is larger
        than ``release.toml`` allows.
    PushFailed, RegistryDiffers
        The registry does not accept the image, or the remote the tag; then there is no tag here.
    """
    root = ledger.repository.root
    with progress.step("check the working tree and the gate's evidence"):
        commit = ledger.repository.head()
        is_clean = _is_clean(ledger, options)
        model, evidence = _gated_model(root, commit, is_clean)
        version = f"{commit[:12]}-{evidence['model_sha256'][:8]}"
        folder = root / "dist" / (version if is_clean else f"{version}-dirty")
        if is_clean and version in ledger.versions():
            record = ledger.record(version)
            _write(folder, record, ledger.bundle(version))
            return Built(record, folder, is_new=False)
        ledger.repository.require_writing()
        ledger.require_remote("no release was made")
        _require_champion(evidence, ledger, policy)
    with progress.step("build the wheel"):
        wheel = _wheel(root, ledger.repository.commit_time(commit))
    with progress.step("assemble the bundle"):
        artifacts = model | wheel | {"requirements.txt": (root / LOCK).read_bytes()}
        proof = {name: (root / "reports" / name).read_bytes() for name in PROOFS}
        checksums = {name: sha256(content) for name, content in artifacts.items()}
        record = Record(
            version=version,
            commit=commit,
            digest=digest_of(checksums),
            model_sha256=evidence["model_sha256"],
            data_sha256=evidence["data_sha256"],
            artifacts=checksums,
            evidence={name: sha256(content) for name, content in proof.items()},
            gate=evidence["verdict"],
        )
        files = artifacts | proof | {FILE_NAME: record.to_json()}
        _check_size(files, policy)
    if policy.image:
        # Imported here: the Docker SDK takes longer to import than most commands take.
        from .images.build import make

        push = options.push and is_clean
        files |= make(root, record, files, policy.image, options.base, push, progress)
    else:
        with progress.step("install the bundle and list its packages"):
            files |= _inventory(files, policy, version)
    _write(folder, record, files)
    if not is_clean or (policy.image and not options.push):
        return Built(record, folder, is_new=True, is_released=False)
    with progress.step("tag the release"):
        message = (
            f"release {version}\n\nDigest: {record.digest}\nModel-sha256: {record.model_sha256}\n"
        )
        ledger.add_release(record, files, message)
    return Built(record, folder, is_new=True)


def _is_clean(ledger: Ledger, options: Options) -> bool:
    changes = ledger.repository.changes()
    if changes and not options.allow_dirty:
        raise PreconditionFailed(
            "the working tree has uncommitted changes",
            why=", ".join(changes[:10]) + (" and more" if len(changes) > 10 else ""),
            state="no release was made",
            next_step="git commit or git stash, then nox -s train and invoke build",
        )
    return not changes


def _gated_model(
    root: Path, commit: str, is_clean: bool
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Read ``reports/model`` and the evidence; `GateRefused` lists everything that does not fit."""
    try:
        evidence = json.loads((root / "reports" / EVIDENCE_NAME).read_bytes())
        model = {
            path.name: path.read_bytes() for path in sorted((root / "reports" / "model").iterdir())
        }
    except (OSError, ValueError) as error:
        raise GateRefused(
            "the gate's evidence is missing or cannot be read",
            why=str(error),
            state="no release was made",
            next_step=NEXT,
        ) from None
    if not isinstance(evidence, dict):
        evidence = {}
    complaints = [f"the gate failed: {reason}" for reason in evidence.get("reasons") or []]
    if evidence.get("schema") != EVIDENCE_SCHEMA:
        found = evidence.get("schema")
        complaints.append(f"its schema is {found!r}, not {EVIDENCE_SCHEMA}")
    for name in PROOFS:
        if not (root / "reports" / name).is_file():
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
    if evidence.get("model_sha256") not in {sha256(content) for content in model.values()}:
        complaints.append("no file in reports/model has the model_sha256 that it names")
    if complaints:
        raise GateRefused(
            "the gate's evidence does not cover this build",
            why="\n".join(complaints),
            state="no release was made",
            next_step=NEXT,
        )
    return model, evidence


def _require_champion(evidence: dict[str, Any], ledger: Ledger, policy: Policy) -> None:
    """Refuse a model that was not compared with the release that the last environment serves."""
    environment = policy.environments[-1].name
    serves = serving_release(ledger, environment)
    champion = evidence.get("champion")
    compared = champion.get("release") if isinstance(champion, dict) else None
    if serves not in (None, compared):
        raise GateRefused(
            f"the model was not compared with the release that {environment} serves",
            why=f"{environment} serves {serves}, the comparison was with {compared or 'nothing'}",
            state="no release was made",
            next_step=f"invoke champion --env {environment}, then nox -s train, then invoke build",
        )


def _wheel(root: Path, commit_time: int) -> dict[str, bytes]:
    """Build the wheel; with the commit's time in it, the same commit gives the same bytes."""
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "hatchling",
                "build",
                "--target",
                "wheel",
                "--directory",
                scratch,
            ],
            cwd=root,
            env=os.environ | {"SOURCE_DATE_EPOCH": str(commit_time)},
            capture_output=True,
            text=True,
            check=False,
        )
        wheels = {path.name: path.read_bytes() for path in Path(scratch).glob("*.whl")}
    if done.returncode or len(wheels) != 1:
        raise BuildFailed(
            "the wheel could not be built",
            why=(done.stderr or done.stdout).strip()[-2000:],
            state="no release was made",
            next_step="fix pyproject.toml, or install requirements/tools.txt again",
        )
    return wheels


def _inventory(bundle: dict[str, bytes], policy: Policy, version: str) -> dict[str, bytes]:
    """Return the inventory of the environment that the process platform will make."""
    try:
        found = inventory.parse(process.run_inside(bundle, inventory.script()))
    except NotServing as error:
        raise BuildFailed(
            "the release cannot be installed, so its packages cannot be listed",
            why=str(error),
            state="no release was made",
            next_step="invoke build, where the package index can be reached",
        ) from None
    # The machine's own packages are not part of the release.
    own = [one for one in found if one.kind == "pypi"]
    return inventory.documents(own, "application", policy.project, version)


def _write(folder: Path, record: Record, files: dict[str, bytes]) -> None:
    """Write a bundle's folder, with its checksums also beside it, for a pipeline's attestation."""
    listed = checksums(record, files)
    write_folder(folder, files | {CHECKSUMS: listed})
    write_file(folder.parent / CHECKSUMS, listed)


def checksums(record: Record, files: dict[str, bytes]) -> bytes:
    """Return the SHA-256 of each file and the digest of the pushed image, as sha256sum writes them.

    An attestation covers these lines, and ``sha256sum --check --ignore-missing`` reads them.
    """
    digests = {name: sha256(content) for name, content in files.items()}
    if images.FILE_NAME in files:
        image = images.parse(files[images.FILE_NAME], record)
        if image.digest:
            digests[image.repository] = image.digest.removeprefix("sha256:")
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode()


def _check_size(files: dict[str, bytes], policy: Policy) -> None:
    megabytes = sum(len(content) for content in files.values()) / 1e6
    if megabytes > policy.max_bundle_mb:
        raise BuildFailed(
            f"the bundle is {megabytes:.1f} MB large",
            why=f"release.toml allows {policy.max_bundle_mb}: the bundle is kept in git",
            state="no release was made",
            next_step="make the model smaller, or raise max_bundle_mb: every clone holds it",
        )
