"""The forge's own rules, as the files of this repository say they should be.

GitHub takes each file of ``.github/rulesets/`` as it is. GitLab takes ``.gitlab/protection.json``
in parts: settings of the project, protected branches and protected tags.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..errors import ConfigurationError, PreconditionFailed
from ..progress import Progress
from .client import GITHUB, GITLAB, Forge, ForgeFailed

RULESETS = ".github/rulesets"
PROTECTION = ".gitlab/protection.json"
CREATED, UPDATED, ALREADY_SO = "created", "updated", "already so"

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """One rule, and what brings the forge to it.

    Parameters
    ----------
    rule : str
        What is protected.
    outcome : str
        created, updated or already so.
    requests : tuple of (str, str, Any)
        Method, path and body of each; none where it is already so.
    """

    rule: str
    outcome: str
    requests: tuple[tuple[str, str, Any], ...] = ()


def plan(forge: Forge, root: Path) -> list[Change]:
    """Compare what the files say with what the forge has. Writes nothing."""
    try:
        return list(PLANS[forge.name](forge, root))
    except ForgeFailed as error:
        raise _refused(forge, "does not show its rules", error, "nothing was changed") from None
    except (KeyError, TypeError):
        strange = ForgeFailed("its answer, or a file here, has not the fields that it must have")
        raise _refused(forge, "cannot be compared with", strange, "nothing was changed") from None


def apply(forge: Forge, changes: list[Change], progress: Progress) -> None:
    """Carry out a plan, one rule after the other."""
    done = []
    for change in changes:
        try:
            for method, path, body in change.requests:
                forge.ask(method, path, body)
                done.append(f"{method} {path}")
        except ForgeFailed as error:
            state = f"it has taken: {', '.join(done) or 'nothing'}; the rest is as it was"
            raise _refused(forge, f"does not take {change.rule}", error, state) from None
        progress.say(f"{change.rule}: {change.outcome}")


def _refused(forge: Forge, what: str, error: ForgeFailed, state: str) -> PreconditionFailed:
    return PreconditionFailed(
        f"{forge.name} {what}",
        why=str(error),
        state=state,
        next_step="invoke protect, with a token that may administer the repository",
    )


def _github(forge: Forge, root: Path) -> Iterator[Change]:
    paths = sorted(root.joinpath(RULESETS).glob("*.json"))
    if not paths:
        raise _unreadable(RULESETS, "there is no ruleset in it")
    known = {one["name"]: one["id"] for one in forge.entries("/rulesets?includes_parents=false")}
    for path in paths:
        wanted = _read(path)
        rule, number = f"ruleset {wanted['name']}", known.get(wanted["name"])
        if number is None:
            yield Change(rule, CREATED, (("POST", "/rulesets", wanted),))
        elif holds(forge.ask("GET", f"/rulesets/{number}"), wanted):
            yield Change(rule, ALREADY_SO)
        else:
            yield Change(rule, UPDATED, (("PUT", f"/rulesets/{number}", wanted),))


def _gitlab(forge: Forge, root: Path) -> Iterator[Change]:
    document = _read(root / PROTECTION)
    settings = document["project"]
    if holds(forge.ask("GET", ""), settings):
        yield Change("settings of the project", ALREADY_SO)
    else:
        yield Change("settings of the project", UPDATED, (("PUT", "", settings),))
    for kind in ("protected_branches", "protected_tags"):
        known = {one["name"]: one for one in forge.entries(f"/{kind}")}
        for wanted in document[kind]:
            name, rule = wanted["name"], f"{kind.replace('_', ' ')} {wanted['name']}"
            create = ("POST", f"/{kind}", wanted)
            if name not in known:
                yield Change(rule, CREATED, (create,))
            elif holds(_as_asked(known[name]), wanted):
                yield Change(rule, ALREADY_SO)
            else:
                # An update would add a level, not replace it (gitlab-org/gitlab#551595).
                remove = ("DELETE", f"/{kind}/{quote(name, safe='')}", None)
                yield Change(rule, UPDATED, (remove, create))


PLANS = {GITHUB: _github, GITLAB: _gitlab}


def _as_asked(told: Document) -> Document:
    """Return what GitLab tells of a protection in the words in which it is asked for one."""
    levels = {
        name.removesuffix("s"): entries[0]["access_level"]
        for name, entries in told.items()
        if name.endswith("_access_levels") and len(entries) == 1
    }
    return {**told, **levels}


def holds(told: Any, wanted: Any) -> bool:
    """Tell whether the forge has all that is wanted; it tells more of a rule than is asked for."""
    if isinstance(wanted, dict):
        return isinstance(told, Mapping) and all(
            name in told and holds(told[name], value) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(told, list)
            and len(told) == len(wanted)
            and all(any(holds(one, value) for one in told) for value in wanted)
        )
    return bool(told == wanted)


def _read(path: Path) -> Document:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _unreadable(path.name, str(error)) from None
    if not isinstance(document, dict):
        raise _unreadable(path.name, "it is not an object")
    return document


def _unreadable(name: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name} does not say how the repository is protected",
        why=why,
        state="nothing was changed",
        next_step=f"git checkout -- {name}, or see invoke protect --dry-run after mending it",
    )
