"""Builds the image of a release, checks it, tests it, and pushes it once it was scanned."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from docker.models.containers import Container
from docker.models.images import Image

from .. import inventory, scan, smoke
from ..errors import BuildFailed, NotServing
from ..policy import ImagePolicy
from ..progress import Progress
from ..records import Record
from .host import NO_RELEASE, Host, ask
from .record import FILE_NAME, ImageRecord

DOCKERFILE = "Dockerfile"
BASE = "ARG BASE="
READY_TIMEOUT_S = 60
POLL_S = 0.2
SHOWN_PACKAGES = 8
MEGABYTE = 1_000_000
OK = 200
# Words in the names of variables that must not be in an image.
SECRETS = ("TOKEN", "PASSWORD", "SECRET", "KEY", "CREDENTIAL")


def make(
    root: Path,
    record: Record,
    bundle: Mapping[str, bytes],
    policy: ImagePolicy,
    base: str | None,
    push: bool,
    scanned: bytes,
    progress: Progress,
) -> dict[str, bytes]:
    """Build and check a release's image, and return the documents about it.

    Parameters
    ----------
    root : pathlib.Path
        The folder of the Dockerfile.
    bundle : mapping of str to bytes
        The files of the release, all that goes into the image.
    base : str or None
        A base image in place of the Dockerfile's.
    push : bool
        Whether to push it to the registry. Without, there is no digest and no release.
    scanned : bytes
        The evidence of a scan that must be about this very image; empty where none is wanted.

    Raises
    ------
    BuildFailed
        It cannot be built, is too large, predicts otherwise than the gated model, or its
        configuration is unsafe.
    GateRefused
        The scan was about another image.
    PushFailed, RegistryDiffers
        The registry does not hold it.
    """
    host = Host.connect()
    dockerfile = (root / DOCKERFILE).read_bytes()
    base = base or _default_base(dockerfile)
    with progress.step("lint the Dockerfile"):
        _lint(root / DOCKERFILE)
    with progress.step(f"build the image on {base}"):
        arguments = {
            "BASE": base,
            "BUNDLE": f"dist/{record.version}",
            "VERSION": record.version,
            "REVISION": record.commit,
        }
        name = f"{policy.repository}:{record.version}"
        image = host.build(context(dockerfile, record, bundle), name, arguments, progress.pass_by)
    if scanned:
        scan.require_image(scanned, str(image.id))
    with progress.step("check its configuration"):
        _check_configuration(image)
    with progress.step("list its packages"):
        components = inventory.parse(host.run_inside(image, inventory.script()))
        size = int(image.attrs["Size"])
        own = size - host.size(base)
        _print_sizes(progress, components, size, own)
        _check_size(size, policy)
    with progress.step("start it without a network, and test it"):
        _smoke(host, image, record, bundle[smoke.FILE_NAME])
    digest = ""
    if push:
        with progress.step(f"push it to {policy.repository}"):
            digest = host.push(image, policy.repository, record.version, progress.pass_by)
    kept = ImageRecord(
        repository=policy.repository,
        tag=record.version,
        digest=digest,
        image_id=str(image.id),
        base=base,
        release_digest=record.digest,
        size_bytes=size,
        own_bytes=own,
    )
    documents = inventory.documents(components, "container", policy.repository, record.version)
    return {FILE_NAME: kept.to_json()} | documents


def _default_base(dockerfile: bytes) -> str:
    for line in dockerfile.decode().splitlines():
        if line.startswith(BASE):
            return line.removeprefix(BASE).strip()
    raise BuildFailed(
        "the Dockerfile names no base image",
        why=f"it has no line {BASE}...",
        state=NO_RELEASE,
        next_step="restore that line, or name a base with --base",
    )


def context(dockerfile: bytes, record: Record, bundle: Mapping[str, bytes]) -> bytes:
    """Return the build context, a tar archive; the same bundle gives the same bytes."""
    files = {f"dist/{record.version}/{name}": content for name, content in bundle.items()}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in sorted((files | {DOCKERFILE: dockerfile}).items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _lint(dockerfile: Path) -> None:
    beside = Path(sys.executable).with_name("hadolint")
    program = str(beside) if beside.exists() else shutil.which("hadolint")
    if program is None:
        raise BuildFailed(
            "the Dockerfile cannot be linted",
            why="hadolint is not installed",
            state=NO_RELEASE,
            next_step="pip install --require-hashes -r requirements/tools.txt",
        )
    done = subprocess.run(
        [program, "--no-color", "--failure-threshold", "warning", dockerfile.name],
        cwd=dockerfile.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildFailed(
            "the Dockerfile has faults",
            why=(done.stdout or done.stderr).strip(),
            state=NO_RELEASE,
            next_step=f"fix {dockerfile.name}",
        )


def faults(configuration: Mapping[str, object]) -> list[str]:
    """Return what is unsafe or missing in an image's configuration."""
    found = []
    user = str(configuration.get("User") or "")
    if user.partition(":")[0] in ("", "0", "root"):
        found.append("it runs as root: USER must name another user")
    health = configuration.get("Healthcheck")
    if not isinstance(health, dict) or health.get("Test") in (None, [], ["NONE"]):
        found.append("it has no HEALTHCHECK")
    command = configuration.get("Entrypoint") or configuration.get("Cmd") or []
    if not isinstance(command, list) or command[:1] in ([], ["/bin/sh"], ["sh"]):
        found.append("a shell starts the server, which then never hears SIGTERM: use CMD [...]")
    variables = configuration.get("Env") or []
    assert isinstance(variables, list)
    for variable in variables:
        name = variable.partition("=")[0]
        if any(word in name.upper() for word in SECRETS) and name != "GPG_KEY":
            found.append(f"it holds the variable {name}")
    labels = configuration.get("Labels") or {}
    assert isinstance(labels, dict)
    for label in ("title", "version", "revision"):
        if not labels.get(f"org.opencontainers.image.{label}"):
            found.append(f"it has no label org.opencontainers.image.{label}")
    return found


def _check_configuration(image: Image) -> None:
    if found := faults(image.attrs["Config"]):
        raise BuildFailed(
            "the image's configuration has faults",
            why="\n".join(found),
            state=NO_RELEASE,
            next_step="fix the Dockerfile",
        )


def _print_sizes(
    progress: Progress, components: list[inventory.Component], size: int, own: int
) -> None:
    progress.say(
        f"  {size / MEGABYTE:.0f} MB, of which {own / MEGABYTE:.0f} MB are not of the base:"
    )
    for one in inventory.largest(components, SHOWN_PACKAGES):
        progress.say(f"  {one.bytes / MEGABYTE:8.1f} MB  {one.name} {one.version}")


def _check_size(size: int, policy: ImagePolicy) -> None:
    if size > policy.max_mb * MEGABYTE:
        raise BuildFailed(
            f"the image is {size / MEGABYTE:.0f} MB large",
            why=f"release.toml allows {policy.max_mb}",
            state=NO_RELEASE,
            next_step="make it smaller, or raise max_mb in [image] of release.toml",
        )


def _ask(container: Container, address: str, path: str, body: Any = None) -> Any:
    status, answer = ask(container, path, body)
    if status != OK:
        raise NotServing(f"{address}{path} answers {status}: {answer}")
    return answer


def _smoke(host: Host, image: Image, record: Record, recorded: bytes) -> None:
    with host.running(image) as container:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while (answer := ask(container, "/ready"))[0] != OK:
            container.reload()
            if container.status == "exited" or time.monotonic() > deadline:
                tail = container.logs(tail=20).decode("utf-8", "replace").strip()
                raise BuildFailed(
                    "a server of the image does not become ready",
                    why=tail or json.dumps(answer),
                    state=NO_RELEASE,
                    next_step="docker run the image, and read its log",
                )
            time.sleep(POLL_S)
        try:
            smoke.smoke("the container", record, recorded, partial(_ask, container))
        except NotServing as error:
            raise BuildFailed(
                "the image does not predict as the gated model did",
                why=str(error),
                state=NO_RELEASE,
                next_step="docker run the image, and read its log",
            ) from None
