"""Real ssh keys for tests."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from .workshop import Workshop, git


def public_key(folder: Path, name: str, kind: str = "ed25519") -> str:
    """Return the public key of the file ``name``; make the pair where there is none."""
    path = folder / name
    if not path.exists():
        command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(path)]
        subprocess.run(command, check=True)
    return path.with_name(f"{name}.pub").read_text(encoding="utf-8").strip()


def list_signers(shop: Workshop, signers: Mapping[str, str]) -> None:
    """Commit ``allowed_signers`` with the public key of each principal."""
    lines = [f"{principal} {key}\n" for principal, key in signers.items()]
    (shop.folder / "allowed_signers").write_text("".join(lines), encoding="utf-8")
    git(shop.folder, "add", "allowed_signers")
    shop.commit("keys")
