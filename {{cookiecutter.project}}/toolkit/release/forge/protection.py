"""The forge's own rules, set from files of this repository.

For GitHub each file of ``.github/rulesets/`` is a ruleset. For GitLab ``.gitlab/protection.json``
has settings of the project, protected branches and protected tags.
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
    """One rule, and the requests that set it.

    Parameters
    ----------
    rule : str
        Its name.
    outcome : str
        created, updated or already so.
    requests : tuple of (str, str, Any)
        Method, path and body of each; none if it is set already.
    """

    rule: str
    outcome: str
    requests: tuple[tuple[str, str, Any], ...] = ()


def plan(forge: Forge, root: Path) -> list[Change]:
    """Compare the rules in the files with those of the forge. Writes nothing."""
    try:
        return list(PLANS[forge.name](forge, root))
    except ForgeFailed as error:
        raise _refused(forge, "did not return its rules", error, "nothing was changed") from None
    except (KeyError, TypeError):
        unreadable = ForgeFailed("a required field is missing in its answer, or in a file here")
        raise _refused(forge, "cannot be compared", unreadable, "nothing was changed") from None


def apply(forge: Forge, changes: list[Change], progress: Progress) -> None:
    """Carry out a plan, one rule after the other."""
    done = []
    for change in changes:
        try:
            for method, path, body in change.requests:
                forge.ask(method, path, body)
                done.append(f"{method} {path}")
        except ForgeFailed as error:
            state = f"it has accepted: {', '.join(done) or 'nothing'}; the rest is unchanged"
            raise _refused(forge, f"did not accept {change.rule}", error, state) from None
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
        raise _unreadable(RULESETS, "it holds no ruleset")
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
            elif holds(_as_requested(known[name]), wanted):
                yield Change(rule, ALREADY_SO)
            else:
                # An update would add a level, not replace it (gitlab-org/gitlab#551595).
                remove = ("DELETE", f"/{kind}/{quote(name, safe='')}", None)
                yield Change(rule, UPDATED, (remove, create))


PLANS = {GITHUB: _github, GITLAB: _gitlab}


def _as_requested(found: Document) -> Document:
    """Return GitLab's description of a protection with the names of a request for one."""
    levels = {
        name.removesuffix("s"): entries[0]["access_level"]
        for name, entries in found.items()
        if name.endswith("_access_levels") and len(entries) == 1
    }
    return {**found, **levels}


def holds(found: Any, wanted: Any) -> bool:
    """Return whether a rule of the forge has all wanted fields; it may have more."""
    if isinstance(wanted, dict):
        return isinstance(found, Mapping) and all(
            name in found and holds(found[name], value) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(any(holds(one, value) for one in found) for value in wanted)
        )
    return bool(found == wanted)


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
        f"the rules in {name} cannot be read",
        why=why,
        state="nothing was changed",
        next_step=f"fix it and check with invoke protect --dry-run; or git checkout -- {name}",
    )
