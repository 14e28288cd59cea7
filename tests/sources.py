"""What a table comes from besides a file: a PostgreSQL and an S3 server, both on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.repository import free_ports

PATIENCE_S = 60
# PostgreSQL does not run as root.
NOBODY = "nobody"
PASSWORD = "not-a-secret"  # pragma: allowlist secret
BUCKET = "customers"
MOTO = "moto[server]==5.2.5"


class SourceMissing(Exception):
    """There is none on this machine, and the reason why."""


@dataclass(frozen=True)
class Postgres:
    """A running server.

    Parameters
    ----------
    programs : pathlib.Path
        The folder of its programs.
    port : int
        Where it listens on loopback.
    """

    programs: Path
    port: int

    @property
    def url(self) -> str:
        """How a client reaches it."""
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def run(self, *statements: str) -> str:
        """Run SQL, and return what it printed."""
        arguments = [one for statement in statements for one in ("--command", statement)]
        psql = (str(self.programs / "psql"), "--no-psqlrc", "--quiet", "--tuples-only", self.url)
        done = subprocess.run(
            [*psql, "--set", "ON_ERROR_STOP=1", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """Start a PostgreSQL of Debian's in a folder, and stop it; `SourceMissing` where it is not."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb") or (str(versions[-1]) if versions else None)
    if found is None:
        raise SourceMissing("there is no PostgreSQL: .ci/prepare-postgres installs Debian's")
    programs = Path(found).resolve().parent
    folder.mkdir(parents=True)
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam(NOBODY)
        os.chown(folder, account.pw_uid, account.pw_gid)
        user = {"user": account.pw_uid, "group": account.pw_gid}
        for parent in folder.parents:
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
    (folder / "password").write_text(PASSWORD)
    data = folder / "data"
    initialise = ("--auth=scram-sha-256", "--username=postgres", f"--pwfile={folder}/password")
    subprocess.run(
        [found, *initialise, "--no-sync", f"--pgdata={data}"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=folder,
        **user,
    )
    [port] = free_ports(1)
    options = ("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-F", *options],
            stdout=log,
            stderr=log,
            cwd=folder,
            **user,
        )
    try:
        ready = (str(programs / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={port}")
        _wait(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL")
        yield Postgres(programs, port)
    finally:
        server.terminate()
        server.wait()


@dataclass(frozen=True)
class S3:
    """A running server; `environment` is what a client of it needs."""

    environment: dict[str, str]


@contextmanager
def s3(folder: Path) -> Iterator[S3]:
    """Start moto's S3 server in an environment of its own, with one empty bucket, and stop it."""
    python = folder / "environment" / "bin" / "python"
    subprocess.run((sys.executable, "-m", "venv", str(folder / "environment")), check=True)
    subprocess.run((str(python), "-m", "pip", "install", "--quiet", MOTO), check=True)
    [port] = free_ports(1)
    server = subprocess.Popen(
        [str(python), "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    bucket = urllib.request.Request(f"{address}/{BUCKET}", method="PUT")

    def made() -> bool:
        try:
            with urllib.request.urlopen(bucket, timeout=5):
                return True
        except OSError:  # It does not answer yet.
            return False

    try:
        _wait(made, "moto")
        keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
        yield S3(keys | {"AWS_ENDPOINT_URL": address, "AWS_REGION": "us-east-1"})
    finally:
        server.terminate()
        server.wait()


def _wait(ready: Callable[[], bool], name: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not ready():
        assert time.monotonic() < until, f"{name} has not come up in {PATIENCE_S} s"
        time.sleep(0.1)
