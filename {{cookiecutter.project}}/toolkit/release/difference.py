"""What a promotion would change: commits, files and the gate's figures of two releases."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from . import rules
from .git import GitFailed
from .ledger import Ledger
from .plan import chosen_release, serving
from .policy import Environment
from .records import EVIDENCE_NAME, Record


@dataclass(frozen=True)
class Difference:
    """Two releases, compared.

    Parameters
    ----------
    environment : str
    serves, comes : str
        Versions: the one that serves, or empty, and the one that would be promoted.
    commits : tuple of str
        The commits that only the second release has, the newest first.
    files : tuple of str
        The files of the bundle that differ.
    rules : tuple of str
        What has changed of what decides about a release, the laxer first.
    figures : dict of str to tuple
        The gate's figures of both; None where a release has none.
    """

    environment: str
    serves: str
    comes: str
    commits: tuple[str, ...]
    files: tuple[str, ...]
    rules: tuple[str, ...]
    figures: dict[str, tuple[float | None, float | None]]

    def __str__(self) -> str:
        if self.serves == self.comes:
            return f"{self.environment} serves {self.serves} already: no difference"
        lines = [f"{self.environment}: {self.serves or 'nothing'} -> {self.comes}"]
        lines += [f"  {commit}" for commit in self.commits]
        lines += [f"  differs   {name}" for name in self.files]
        lines += rules.section(self.rules)
        for name, (old, new) in self.figures.items():
            lines.append(f"  {name:<24} {number(old):>10} -> {number(new):>10}")
        return "\n".join(lines)


def compare(ledger: Ledger, environment: Environment, version: str | None) -> Difference:
    """Compare the release that would be promoted with the one that serves."""
    current = serving(ledger, ledger.head(environment.name)).record
    coming = chosen_release(ledger, environment, version)
    old, new = _figures(ledger, current), _figures(ledger, coming)
    artifacts = (current.artifacts if current else {}), coming.artifacts
    return Difference(
        environment=environment.name,
        serves=current.version if current else "",
        comes=coming.version,
        commits=tuple(_commits(ledger, current, coming)),
        files=tuple(
            name
            for name in sorted({**artifacts[0], **artifacts[1]})
            if artifacts[0].get(name) != artifacts[1].get(name)
        ),
        rules=_rules(ledger, current, coming),
        figures={name: (old.get(name), new.get(name)) for name in {**old, **new}},
    )


def _commits(ledger: Ledger, current: Record | None, coming: Record) -> list[str]:
    span = f"{current.commit}..{coming.commit}" if current else coming.commit
    try:
        listed = ledger.repository.run("log", "--format=%h %an: %s", span)
    except GitFailed:
        return ["the commits are not in this clone"]
    return listed.splitlines()


def _rules(ledger: Ledger, current: Record | None, coming: Record) -> tuple[str, ...]:
    if current is None:
        return ()
    try:
        return rules.changes(ledger.repository, current.commit, coming.commit)
    except GitFailed:
        return ("what decides about a release cannot be compared: a commit is not in this clone",)


def _figures(ledger: Ledger, record: Record | None) -> dict[str, float]:
    """Return the figures of a release's gate; of an interval, the estimate."""
    if record is None:
        return {}
    evidence: dict[str, Any] = json.loads(ledger.bundle(record.version)[EVIDENCE_NAME])
    return {
        name: float(figure["value"])
        for name, figure in evidence.get("metrics", {}).items()
        if isinstance(figure, dict) and isinstance(figure.get("value"), int | float)
    }


def number(value: float | None) -> str:
    """Return a figure with four significant digits."""
    return "none" if value is None else f"{value:.4g}"
