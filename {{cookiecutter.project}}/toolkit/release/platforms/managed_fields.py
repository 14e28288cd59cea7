"""Who owns which field of an object in a cluster, by its ``metadata.managedFields``.

A server-side apply removes what the same manager has applied before, and nothing that another
manager owns: a variable or a container that somebody has added by hand would stay for ever. So
such fields are named as drift, and given to the manager that applies the release, whose next apply
then removes them.

Fields are a tree (``fieldsV1``): ``f:name`` is a field, ``k:{...}`` an item of a list by its keys,
``v:...`` an item by its value, and ``.`` the object itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any

Fields = Mapping[str, Any]
Entry = Mapping[str, Any]

# What a release sets; labels, annotations and finalizers of the object itself are anybody's.
ROOTS = ("f:spec", "f:data", "f:automountServiceAccountToken")
# What nobody adds to a release: the number of pods is the autoscaler's, unless a manifest sets it,
# and `kubectl rollout restart` leaves the time.
NO_ADDITION = (
    ("f:spec", "f:replicas"),
    (
        *("f:spec", "f:template", "f:metadata", "f:annotations"),
        "f:kubectl.kubernetes.io/restartedAt",
    ),
)
ITSELF = "."


def additions(one: Mapping[str, Any], manager: str) -> list[str]:
    """Return what other managers have added to an object that a manager applies, a phrase each."""
    entries = _entries(one)
    ours = _own(entries, manager).get("fieldsV1", {})
    return [
        f"{' '.join(path)}, added by {entry.get('manager', 'somebody')}"
        for entry in entries
        if _is_another_s(entry, manager)
        for path in _beyond(_split(entry.get("fieldsV1", {}))[0], ours)
    ]


def taken_over(one: Mapping[str, Any], manager: str) -> list[Entry] | None:
    """Return an object's owners once a manager has the additions too; None: there are none.

    Fields of another version of the object's type stay with their owner: their names may differ.
    """
    entries = _entries(one)
    own = _own(entries, manager)
    others: list[Entry] = []
    given: list[Fields] = []
    for entry in entries:
        if entry is own:
            continue
        fields = entry.get("fieldsV1", {})
        is_same_version = entry.get("apiVersion") == own.get("apiVersion", entry.get("apiVersion"))
        if _is_another_s(entry, manager) and is_same_version:
            added, fields = _split(fields)
            if added:
                given.append(added)
                own = own or {**entry, "manager": manager, "operation": "Apply", "fieldsV1": {}}
        if fields:
            others.append({**entry, "fieldsV1": fields})
    if not given:
        return None
    return [*others, {**own, "fieldsV1": reduce(_united, given, own["fieldsV1"])}]


def _entries(one: Mapping[str, Any]) -> list[Entry]:
    return list(one["metadata"].get("managedFields", ()))


def _own(entries: list[Entry], manager: str) -> Entry:
    """Return what a manager has applied, or an empty entry."""
    return next((one for one in entries if _is_applied_by(one, manager)), {})


def _is_applied_by(entry: Entry, manager: str) -> bool:
    is_apply = entry.get("operation") == "Apply" and not entry.get("subresource")
    return is_apply and entry.get("manager") == manager


def _is_another_s(entry: Entry, manager: str) -> bool:
    """Return whether an entry is of another manager, which did not write a subresource.

    A status, and a scale as the autoscaler writes it, belong to those who write them.
    """
    return not entry.get("subresource") and not _is_applied_by(entry, manager)


def _split(fields: Fields, at: tuple[str, ...] = ()) -> tuple[Fields, Fields]:
    """Split fields into those that belong to a release, and the others."""
    ours: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, below in fields.items():
        path = (*at, key)
        if path in NO_ADDITION or path[0] not in ROOTS:
            rest[key] = below
            continue
        inner, left = _split(below, path)
        if inner or not below:
            ours[key] = inner
        if left:
            rest[key] = left
    return ours, rest


def _united(one: Fields, other: Fields) -> Fields:
    both = {key: _united(one.get(key, {}), below) for key, below in other.items()}
    return {**one, **both}


def _beyond(fields: Fields, known: Fields, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the paths of fields that are not known; of an item that is not, only its own."""
    for key, below in fields.items():
        if key == ITSELF:
            continue
        path = (*at, _readable(key))
        is_leaf = not below.keys() - {ITSELF} or not key.startswith("f:")
        if key not in known and is_leaf:
            yield path
        else:
            yield from _beyond(below, known.get(key, {}), path)


def _readable(key: str) -> str:
    kind, _, name = key.partition(":")
    if kind == "k":
        return "/".join(str(value) for value in json.loads(name).values())
    return name
