"""A release workshop for tests: a git repository, a bare remote, stand-in releases."""

from __future__ import annotations

import json
import socket
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from toolkit.release.engine import Machine
from toolkit.release.event import PENDING, VERIFIED, Event
from toolkit.release.git import Repository
from toolkit.release.images.record import FILE_NAME as IMAGE_NAME
from toolkit.release.ledger import Ledger
from toolkit.release.platforms.process import ProcessPlatform, state_directory
from toolkit.release.policy import ApprovalPolicy, Environment, Policy
from toolkit.release.progress import Progress
from toolkit.release.records import EVIDENCE_NAME, FILE_NAME, Record, digest_of, sha256

from .stand_in_server import PROBABILITY

SERVER = Path(__file__).with_name("stand_in_server.py")
VERIFIER = Path(__file__).with_name("stand_in_verifier.py")


PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "stand-in"
version = "1"

[tool.hatch.build.targets.wheel]
packages = ["src/stand_in"]
"""


CUSTOMER = {"age": 40}
CASE = {"request": CUSTOMER, "response": {"churn_probability": PROBABILITY}}
SMOKE = json.dumps({"tolerance": 1e-5, "cases": [CASE], "replay": [CUSTOMER]}).encode()


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def git(folder: Path, *arguments: str) -> str:
    """Run git as the developer of this workshop."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(folder: Path, message: str) -> str:
    """Commit what is staged, merged at once where there is a remote; return the commit."""
    git(folder, "commit", "--quiet", "--allow-empty", f"--message={message}")
    if git(folder, "remote"):
        git(folder, "push", "--quiet", "origin", "HEAD:main")
    return git(folder, "rev-parse", "HEAD")


def empty_wheel() -> bytes:
    """Return an installable wheel with nothing in it."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as wheel:
        info = "stand_in-1.dist-info/"
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: stand-in\nVersion: 1\n")
        wheel.writestr(
            info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        names = "".join(f"{info}{name},,\n" for name in ("METADATA", "WHEEL", "RECORD"))
        wheel.writestr(info + "RECORD", names)
    return content.getvalue()


@dataclass(frozen=True)
class Workshop:
    """One clone of a repository, and the release machine in it."""

    folder: Path
    machine: Machine

    @classmethod
    def open(cls, folder: Path, remote: Path | None) -> Workshop:
        """Make a repository with one commit, and its bare remote if one is named."""
        folder.mkdir()
        git(folder, "init", "--quiet", "--initial-branch=main")
        git(folder, "config", "user.name", "Ada")
        git(folder, "config", "user.email", "ada@example.com")
        git(folder, "commit", "--quiet", "--allow-empty", "--message=begin")
        if remote:
            main = "--initial-branch=main"
            git(folder.parent, "init", "--quiet", "--bare", main, str(remote))
            git(folder, "remote", "add", "origin", str(remote))
            git(folder, "push", "--quiet", "origin", "main")
        environments = (
            Environment("staging", "process", "127.0.0.1", free_port(), 2, ready_timeout_s=2),
            Environment(
                *("prod", "process", "127.0.0.1", free_port(), 2),
                approval=ApprovalPolicy(author_may_approve=True),
                ready_timeout_s=2,
                after="staging",
            ),
        )
        policy = Policy(
            *("workshop", (str(SERVER),), 20, 600, environments),
            verify=(str(VERIFIER),),
            scan=False,
        )
        return cls(folder, Machine(Repository(folder), policy))

    @property
    def staging(self) -> Environment:
        return self.machine.policy.environment("staging")

    @property
    def prod(self) -> Environment:
        return self.machine.policy.environment("prod")

    @property
    def state(self) -> Path:
        """The folder of its servers on this machine."""
        return state_directory(self.machine.policy.project)

    def ledger(self) -> Ledger:
        """Read git again."""
        return Ledger.open(self.machine.repository)

    def release(
        self,
        model: bytes = b"good",
        gate: str = "passed",
        image: Callable[[Record], bytes] | None = None,
        others: Mapping[str, bytes] | None = None,
    ) -> Record:
        """Make a commit and the release of it; its model says how its servers behave.

        ``others`` are files that it has as well, or instead of the usual ones.
        """
        commit = self.commit("work")
        artifacts = {
            "model.onnx": model,
            "requirements.txt": b"",
            "smoke.json": SMOKE,
            "stand_in-1-py3-none-any.whl": empty_wheel(),
            **(others or {}),
        }
        checksums = {name: sha256(content) for name, content in artifacts.items()}
        model_sha256 = sha256(model)
        content = {"verdict": gate, "model_sha256": model_sha256}
        evidence = {EVIDENCE_NAME: json.dumps(content).encode()}
        record = Record(
            version=f"{commit[:12]}-{model_sha256[:8]}",
            commit=commit,
            digest=digest_of(checksums),
            model_sha256=model_sha256,
            data_sha256=sha256(b"data"),
            artifacts=checksums,
            evidence={name: sha256(content) for name, content in evidence.items()},
            gate=gate,
        )
        files = artifacts | evidence | {FILE_NAME: record.to_json()}
        if image:
            files[IMAGE_NAME] = image(record)
        self.ledger().add_release(record, files, "a release\n")
        return record

    def commit(self, message: str) -> str:
        """Commit what is staged, merged at once where there is a remote; return the commit."""
        return commit(self.folder, message)

    def pack(self) -> None:
        """Commit a package that can be built; git ignores what nox and invoke write."""
        package = self.folder / "src" / "stand_in"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (self.folder / "pyproject.toml").write_text(PYPROJECT)
        (self.folder / "requirements").mkdir()
        (self.folder / "requirements" / "serving.txt").touch()
        (self.folder / ".gitignore").write_text("reports/\ndist/\n")
        git(self.folder, "add", "--all")
        self.commit("a package")

    def train(self, model: bytes, champion: dict[str, str] | None = None) -> None:
        """Write to reports/ what a training writes."""
        reports = self.folder / "reports"
        (reports / "model").mkdir(parents=True, exist_ok=True)
        (reports / "model" / "model.onnx").write_bytes(model)
        (reports / "model" / "smoke.json").write_bytes(SMOKE)
        evidence = {
            "schema": 2,
            "training": "full",
            "verdict": "passed",
            "reasons": [],
            "commit": self.machine.repository.head(),
            "tree_clean": True,
            "data_sha256": "0" * 64,
            "model_sha256": sha256(model),
            "champion": {"state": "none yet", "release": None} | (champion or {}),
            "metrics": {"roc_auc": {"value": 0.9}},
        }
        (reports / "gate.json").write_text(json.dumps(evidence))
        (reports / "gate.html").write_text("<p>passed")
        (reports / "model_card.md").write_text("# a model")

    def promote(self, record: Record, environment: Environment) -> Event:
        """Promote a release, approved where required, unless it serves already."""
        approvals, _ = self.ledger().approvals(environment.name, record.version)
        if environment.approval and not approvals:
            self.ledger().add_approval(environment.name, record, "looked at it", signed=False)
        plan = self.machine.plan_promotion(environment, record.version)
        return plan.history[0] if plan.nothing_to_do else self.machine.promote(plan, Progress())

    def record_promotion(
        self, record: Record, environment: Environment, outcome: str = VERIFIED
    ) -> Event:
        """Write the events of a promotion that never happened: no server is started."""
        manifests = ProcessPlatform(environment, self.machine.policy).render(record, dict, "")
        files = {FILE_NAME: record.to_json()} | manifests
        begun = Event("promote", record.version, record.digest, PENDING, actor="Ada")
        cause = self.ledger().append(environment.name, begun, files)
        ended = replace(begun, outcome=outcome, caused_by=cause)
        return replace(ended, sha=self.ledger().append(environment.name, ended, files))

    def rollback(self, environment: Environment, version: str | None = None) -> Event:
        """Roll back."""
        plan = self.machine.plan_rollback(environment, version)
        return self.machine.rollback(plan, Progress(), "a test output so")

    def write_policy(self, lease_s: int) -> None:
        """Write this workshop's policy to release.toml, for commands in a process of their own."""
        lines = [
            f'schema = 2\nproject = "{self.machine.policy.project}"\nserve = ["{SERVER}"]',
            f"scan = {str(self.machine.policy.scan).lower()}",
            f"max_bundle_mb = 20\nlease_s = {lease_s}",
        ]
        for one in self.machine.policy.environments:
            lines += [
                f'[environments.{one.name}]\nplatform = "process"\nhost = "{one.host}"',
                f"port = {one.port}\ninstances = {one.instances}",
                f"ready_timeout_s = {one.ready_timeout_s}",
            ]
            if one.canary:
                lines += [
                    f"[environments.{one.name}.canary]\nwindows = {one.canary.windows}",
                    f"window_s = {one.canary.window_s}\nlooks = {one.canary.looks}",
                ]
        (self.folder / "release.toml").write_text("\n".join(lines), encoding="utf-8")

    def hold(self, environment: Environment, reason: str) -> Event | None:
        """Keep releases out."""
        return self.machine.hold(environment, reason, Progress())

    def unhold(self, environment: Environment) -> None:
        """Let releases in again."""
        self.machine.unhold(environment, "a test output so", Progress())

    def close(self) -> None:
        """End every server of this workshop."""
        for environment in self.machine.policy.environments:
            if self.machine.observe(environment).instances:
                ProcessPlatform(environment, self.machine.policy).stop(
                    "the test is over", lambda: None
                )
