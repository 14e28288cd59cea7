"""Builds a release: wheel, model and evidence, checked to belong together and tagged once."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from . import completeness, evidence, inventory, scan, sources, wheel
from .errors import BuildFailed, GateRefused, NotServing, ReleaseDiffers
from .files import write_file, write_folder
from .images import record as images
from .ledger import Ledger
from .platforms import installation
from .policy import Policy
from .progress import Progress
from .records import FILE_NAME, Record, digest_of, sha256
from .signing import require_key
from .sources import Source

CHECKSUMS = "checksums.txt"
# What a server installs; in the bundle its name is requirements.txt.
LOCK = Path("requirements", "serving.txt")
OPTION = re.compile(r"\s*-(?!-hash=sha256:[0-9a-f]{64}( \\)?$)")


@dataclass(frozen=True)
class Options:
    """The options of a build.

    Parameters
    ----------
    push : bool
        Whether the release is tagged, and its image pushed where `Policy` has one. Without,
        everything is built and checked, and nothing is released.
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

    Everything but that comes from the commit: nothing is read from the working tree.

    Returns
    -------
    Built
        ``is_new`` is False when this version was released before: then nothing is written.
        ``is_released`` is False when it was not pushed, or the tree is dirty: then it has no tag,
        and cannot be promoted.

    Raises
    ------
    PreconditionFailed
        The working tree is not the commit: the build could not be repeated.
    GateRefused
        The evidence is missing, failed, stale, for something else, or not what can be computed
        again; each reason is listed. Or what is to be pushed has not passed ``nox -s scan``.
    BuildFailed
        The wheel, the image or the release's environment cannot be made, or the bundle is larger
        than ``release.toml`` allows.
    ReleaseDiffers
        This version was tagged before, with another bundle, or with evidence, a scan or an image
        that no build of this commit has made.
    PushFailed, RegistryDiffers
        The registry does not accept the image, or the remote the tag; then there is no tag here.
    """
    with ExitStack() as stack:
        with progress.step("check that the working tree is the commit, and export that"):
            opened = sources.opened(ledger.repository, options.allow_dirty)
            source = stack.enter_context(opened)
        return _build(source, ledger, policy, progress, options)


def _build(
    source: Source, ledger: Ledger, policy: Policy, progress: Progress, options: Options
) -> Built:
    root = ledger.repository.root
    reports = root / "reports"
    with progress.step("check the gate's evidence against the ledger"):
        gated = evidence.read(reports, source.commit, source.is_clean)
        model_sha256 = gated.evidence["model_sha256"]
        version = f"{source.commit[:12]}-{model_sha256[:8]}"
        folder = root / "dist" / (version if source.is_clean else f"{version}-dirty")
        is_new = not (source.is_clean and version in ledger.versions())
        if is_new:
            ledger.repository.require_writing()
            ledger.require_remote("no release was made")
            if options.push:
                require_key(ledger, policy)
            evidence.require_champion(gated, ledger, policy, reports)
        snapshot = evidence.require_snapshot(gated, ledger, policy, source)
    with progress.step("compute again what the evidence says"):
        evidence.verify(gated, ledger, policy, source.folder)
    with progress.step("build the wheel"):
        commit_time = ledger.repository.commit_time(source.commit)
        artifacts = gated.model | wheel.build(source.folder, commit_time)
    with progress.step("assemble the bundle"):
        artifacts["requirements.txt"] = _lock(source.folder)
        checksums = {name: sha256(content) for name, content in artifacts.items()}
        record = Record(
            version=version,
            commit=source.commit,
            digest=digest_of(checksums),
            model_sha256=model_sha256,
            data_sha256=gated.evidence["data_sha256"],
            artifacts=checksums,
            evidence={name: sha256(content) for name, content in gated.proofs.items()},
            gate=gated.evidence["verdict"],
            data_as_of=snapshot.as_of if snapshot else "",
        )
        files = artifacts | gated.proofs | {FILE_NAME: record.to_json()}
        _check_size(files, policy)
        if not is_new:
            _require_released(record, gated, ledger, policy, source)
            released = ledger.bundle(version)
            record = ledger.record(version)
            _write(folder, record, released)
            return Built(record, folder, is_new=False)
    push = options.push and source.is_clean
    scanned = b""
    if push and policy.scan:
        with progress.step("check that it has passed the scan for vulnerabilities"):
            scanned = scan.require_passed(root, record.digest)
            files[scan.FILE_NAME] = scanned
    if policy.image:
        # Imported here: the Docker SDK takes longer to import than most commands take.
        from .images.build import make

        files |= make(
            source.folder, record, files, policy.image, options.base, push, scanned, progress
        )
    else:
        with progress.step("install the bundle and list its packages"):
            files |= _inventory(files, policy, version)
    _write(folder, record, files)
    if not push:
        return Built(record, folder, is_new=True, is_released=False)
    with progress.step("tag the release"):
        message = (
            f"release {version}\n\nDigest: {record.digest}\nModel-sha256: {record.model_sha256}\n"
        )
        ledger.add_release(record, files, message)
    return Built(record, folder, is_new=True)


def _require_released(
    record: Record, gated: evidence.Gated, ledger: Ledger, policy: Policy, source: Source
) -> None:
    """Refuse a tag of this version that this build would not have made; `ReleaseDiffers`."""
    release, files = ledger.release(record.version), ledger.bundle(record.version)
    what = "another bundle"
    why = f"it has the digest {release.record.digest}, this build {record.digest}"
    if release.record.digest == record.digest:
        what = "what no build has put there"
        why = completeness.complaint(release, files, policy)
        try:
            if not why:
                evidence.verify_released(release, files, gated, ledger, policy, source)
        except GateRefused as error:
            what, why = "evidence that is not believed", error.why
    if why:
        raise ReleaseDiffers(
            f"the tag release/{record.version} holds {what}",
            why=why,
            state="no release was made",
            next_step="find out who pushed that tag: nothing of it may be promoted; then commit, "
            "and build a new release",
        )


def _lock(source: Path) -> bytes:
    """Return the lock of a server; `BuildFailed` if an installer would obey an option in it."""
    content = (source / LOCK).read_bytes()
    lines = content.decode("utf-8", "replace").splitlines()
    options = [line.strip() for line in lines if OPTION.match(line)]
    if options:
        raise BuildFailed(
            f"{LOCK} holds more than versions and hashes",
            why="an installer obeys " + ", ".join(options[:5]),
            state="no release was made",
            next_step="nox -s lock, which writes it anew",
        )
    return content


def _inventory(bundle: dict[str, bytes], policy: Policy, version: str) -> dict[str, bytes]:
    """Return the inventory of the environment that the process platform will make."""
    try:
        found = inventory.parse(installation.run_inside(bundle, inventory.script()))
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
