"""The forge's own rules, set from files of this repository.

For GitHub each file of ``.github/rulesets/`` is a ruleset. For GitLab ``.gitlab/protection.json``
has settings of the project, protected branches and protected tags.

A rule may be for the release job alone, which pushes with a deploy key: a job's token will not
do, as every developer can start a job. Such a rule waits for the key, or nobody could release.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..errors import ConfigurationError, PreconditionFailed
from ..progress import Progress
from .client import GITHUB, GITLAB, Forge, ForgeFailed

RULESETS = ".github/rulesets"
PROTECTION = ".gitlab/protection.json"
CREATED, UPDATED, ALREADY_SO, NOT_SET = "created", "updated", "already so", "not set"
# The title of the deploy key with which the release job pushes, and its field in GitLab's file.
JOB_KEY, KEY_FIELD, KEY_ID = "release job", "deploy_key", "deploy_key_id"
WITHOUT_KEY = (
    f"there is no deploy key {JOB_KEY!r} that may write, so whoever may push to the repository may "
    "push there; docs/ci.md says how to make it"
)
WITHOUT_API = (
    f"this GitLab takes no deploy key through its API, so developers may push there; choose "
    f"{JOB_KEY!r} in Settings, Repository, or update GitLab"
)

Document = Mapping[str, Any]
Request = tuple[str, str, Any]


@dataclass(frozen=True)
class Change:
    """One rule, and the requests that set it.

    Parameters
    ----------
    rule : str
        Its name.
    outcome : str
        created, updated, already so or not set.
    requests : tuple of (str, str, Any)
        Method, path and body of each; none if it is set already.
    why : str
        Why it is not set, and what to do, or empty.
    instead : tuple of (str, str, Any)
        The requests of a wider rule, where the forge accepts this one and does not set it.
    """

    rule: str
    outcome: str
    requests: tuple[Request, ...] = ()
    why: str = ""
    instead: tuple[Request, ...] = ()

    def __str__(self) -> str:
        return f"{self.rule}: {self.outcome}" + (f": {self.why}" if self.why else "")


def plan(forge: Forge, root: Path) -> list[Change]:
    """Compare the rules in the files with those of the forge. Writes nothing."""
    try:
        return list(PLANS[forge.name](forge, root))
    except ForgeFailed as error:
        raise _refused(forge, "did not return its rules", error, "nothing was changed") from None
    except (AttributeError, KeyError, TypeError):
        unreadable = ForgeFailed("a required field is missing in its answer, or in a file here")
        raise _refused(forge, "cannot be compared", unreadable, "nothing was changed") from None


def apply(forge: Forge, changes: list[Change], progress: Progress) -> list[Change]:
    """Carry out a plan, one rule after the other, and return what has come of each."""
    done: list[str] = []
    results = []
    for change in changes:
        result = change
        try:
            answer = _send(forge, change.requests, done)
            if change.instead and not _is_set(answer, change.requests[-1][2]):
                _send(forge, change.instead, done)
                result = replace(change, outcome=NOT_SET, why=WITHOUT_API)
        except ForgeFailed as error:
            state = f"it has accepted: {', '.join(done) or 'nothing'}; the rest is unchanged"
            raise _refused(forge, f"did not accept {change.rule}", error, state) from None
        progress.say(str(result))
        results.append(result)
    return results


def _send(forge: Forge, requests: tuple[Request, ...], done: list[str]) -> Any:
    """Send requests, note each that was accepted, and return the last one's answer."""
    answer = None
    for method, path, body in requests:
        answer = forge.ask(method, path, body)
        done.append(f"{method} {path}")
    return answer


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
    keys = [one for one in forge.entries("/keys") if one["title"] == JOB_KEY]
    may_push = any(not one["read_only"] for one in keys)
    for path in paths:
        wanted = _read(path)
        rule, number = f"ruleset {wanted['name']}", known.get(wanted["name"])
        passing = {one["actor_type"] for one in wanted.get("bypass_actors", ())}
        if number is None and "DeployKey" in passing and not may_push:
            yield Change(rule, NOT_SET, why=WITHOUT_KEY)
        elif number is None:
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
    keys = {one["title"]: one["id"] for one in forge.entries("/deploy_keys") if one["can_push"]}
    for kind in ("protected_branches", "protected_tags"):
        known = {one["name"]: one for one in forge.entries(f"/{kind}")}
        for entry in document[kind]:
            wide = {field: value for field, value in entry.items() if field != KEY_FIELD}
            key = keys.get(entry[KEY_FIELD]) if KEY_FIELD in entry else None
            wanted = wide if key is None else _for_key_alone(wide, key)
            name, rule = entry["name"], f"{kind.replace('_', ' ')} {entry['name']}"
            create = ("POST", f"/{kind}", wanted)
            # An update would add a level, not replace it (gitlab-org/gitlab#551595).
            remove = ("DELETE", f"/{kind}/{quote(name, safe='')}", None)
            instead = (remove, ("POST", f"/{kind}", wide)) if wanted != wide else ()
            if name not in known:
                yield Change(rule, CREATED, (create,), instead=instead)
            elif holds(_as_requested(known[name]), wanted):
                yield Change(rule, ALREADY_SO)
            else:
                yield Change(rule, UPDATED, (remove, create), instead=instead)
            if KEY_FIELD in entry and key is None:
                yield Change(f"{rule} for the release job alone", NOT_SET, why=WITHOUT_KEY)


PLANS = {GITHUB: _github, GITLAB: _gitlab}


def _for_key_alone(wide: Document, key: int) -> Document:
    """Return a protection with a deploy key in place of the level of those who may push."""
    push = {"push_access_level": "allowed_to_push", "create_access_level": "allowed_to_create"}
    alone: dict[str, Any] = {push[name]: [{KEY_ID: key}] for name in wide if name in push}
    return {name: value for name, value in wide.items() if name not in push} | alone


def _is_set(answer: Any, wanted: Document) -> bool:
    return isinstance(answer, Mapping) and holds(_as_requested(answer), wanted)


def _as_requested(found: Document) -> Document:
    """Return GitLab's description of a protection with the names of a request for one."""
    levels: dict[str, Any] = {}
    for name, entries in found.items():
        if not name.endswith("_access_levels"):
            continue
        # By hand one chooses "no one", level 0, beside a deploy key.
        some = [one for one in entries if one.get(KEY_ID) or one["access_level"]] or entries
        if len(some) == 1:
            [entry] = some
            if entry.get(KEY_ID):
                kind = name.removesuffix("_access_levels")
                levels[f"allowed_to_{kind}"] = [{KEY_ID: entry[KEY_ID]}]
            else:
                levels[name.removesuffix("s")] = entry["access_level"]
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
