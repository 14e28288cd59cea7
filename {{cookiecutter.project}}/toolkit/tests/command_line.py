"""What a release engineer types: the real ``invoke`` in a workshop, as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.release.policy import ClusterEnvironment, Policy

from .workshop import Workshop, commit, git

INVOKE = (sys.executable, "-m", "invoke", "--search-root", str(Path(__file__).parents[2]))


def write_policy(folder: Path, policy: Policy) -> None:
    """Commit the ``release.toml`` that says what a workshop's policy does."""
    lines = [
        "schema = 2",
        f"project = {policy.project!r}",
        f"serve = {list(policy.serve)!r}",
        f"verify = {list(policy.verify)!r}",
        *([f"score = {list(policy.score)!r}"] if policy.score else []),
        f"scan = {str(policy.scan).lower()}",
        f"max_bundle_mb = {policy.max_bundle_mb}",
        f"lease_s = {policy.lease_s}",
    ]
    if policy.signing:
        events, by = str(policy.signing.events).lower(), list(policy.signing.by)
        lines += ["[signing]", f"events = {events}", f"by = {by!r}"]
    if policy.image:
        repository, max_mb = policy.image.repository, policy.image.max_mb
        lines += ["[image]", f"repository = {repository!r}", f"max_mb = {max_mb}"]
    for environment in policy.environments:
        table = f"environments.{environment.name}"
        lines += [
            f"[{table}]",
            f"platform = {environment.platform!r}",
            f"nightly = {environment.nightly!r}",
        ]
        if isinstance(environment, ClusterEnvironment):
            lines += [
                f"cluster = {environment.cluster!r}",
                f"namespace = {environment.namespace!r}",
                f"timeout_s = {environment.timeout_s}",
            ]
        else:
            lines += [
                f"host = {environment.host!r}",
                f"port = {environment.port}",
                f"instances = {environment.instances}",
                f"ready_timeout_s = {environment.ready_timeout_s}",
            ]
        if environment.approval:
            lines += [f"[{table}.approval]", "author_may_approve = true"]
    (folder / "release.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    git(folder, "add", "release.toml")
    commit(folder, "how we release")


@dataclass(frozen=True)
class CommandLine:
    """The command line in a workshop's clone.

    Parameters
    ----------
    folder : pathlib.Path
        Where the commands are typed: a clone with a ``release.toml``.
    prefix : tuple of str
        What precedes each command, to let it see another disk for instance.
    """

    folder: Path
    prefix: tuple[str, ...] = ()

    @classmethod
    def of(cls, shop: Workshop) -> CommandLine:
        """Commit the policy of a workshop, which other clones then find, and use it."""
        write_policy(shop.folder, shop.machine.policy)
        if shop.machine.repository.has_remote:
            git(shop.folder, "push", "--quiet", "origin", "main")
        return cls(shop.folder)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [*self.prefix, *INVOKE, *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command, and make sure that it prints no traceback."""
        run = self.start(*arguments)
        output, errors = run.communicate(timeout=60)
        assert "Traceback" not in errors, errors
        return subprocess.CompletedProcess(run.args, run.returncode, output, errors)

    def json(self, *arguments: str) -> Any:
        """Run a command that must succeed, and return its JSON."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
