"""How an API server keeps the owners of an object's fields, on applies, updates and patches.

As in structured-merge-diff: an apply sets the fields that it names and removes those that the same
manager has named before, unless another one owns them too; any other change makes whoever made it
the owner of what is new or different. It needs the standard library alone.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

Object = dict[str, Any]
Path = tuple[str, ...]
# Manager, operation and subresource, by which the owners are told apart.
Owner = tuple[str, str, str]

ITSELF = "."
# The lists whose items have a name, and the fields that are it; all others are one value.
KEYS = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
}
# What an API server sets itself; nobody owns it.
UNOWNED = {"name", "namespace", "uid", "generation", "resourceVersion", "managedFields"}
# Fields that get a value again when nobody sets them any more.
DEFAULTS = {("Deployment", ("f:spec", "f:replicas")): 1}


class Conflict(Exception):
    """Another manager owns fields that an apply would change."""


def applied(live: Object | None, wanted: Object, manager: str, is_forced: bool) -> Object:
    """Return an object after a server-side apply, with its owners; `Conflict` unless forced."""
    one = copy.deepcopy(live) if live else {**copy.deepcopy(wanted), "metadata": {}}
    owners, owner = owners_of(one), (manager, "Apply", "")
    named = set(paths(wanted))
    taken = {
        (other, path)
        for other, fields in owners.items()
        for path in fields & named
        if other != owner and read(one, path) != read(wanted, path)
    }
    if taken and not is_forced:
        fields = ", ".join(sorted(f'{other[0]}": {readable(path)}' for other, path in taken))
        many = f"{len(taken)} conflict{'s' * (len(taken) > 1)}"
        raise Conflict(f'Apply failed with {many}: conflict with "{fields}')
    for other, path in taken:
        owners[other].discard(path)
    before = owners.get(owner, set())
    owners[owner] = named
    one = laid_over(one, wanted)
    held = {path[:n] for fields in owners.values() for path in fields for n in range(len(path) + 1)}
    # Items go first, because their keys are fields of theirs.
    for path in sorted(before - named, key=lambda path: (path[-1] != ITSELF, -len(path))):
        if (path[:-1] if path[-1] == ITSELF else path) not in held:
            remove(one, path)
    for (kind, path), value in DEFAULTS.items():
        if one["kind"] == kind and read(one, path) is None:
            one = put(one, path, value)
    return with_owners(one, owners)


def updated(live: Object, now: Object, manager: str, subresource: str = "") -> Object:
    """Return an object after another kind of change, with its owners."""
    before, after = set(paths(live)), set(paths(now))
    changed = {path for path in after if path[-1] != ITSELF and read(live, path) != read(now, path)}
    new = (after - before) | changed
    # Whoever makes the first of several owns what holds them.
    made = {(*path[:n], ITSELF) for path in new for n in range(1, len(path))}
    new |= {path for path in made if read(live, path[:-1]) is None}
    owners = owners_of(live)
    for fields in owners.values():
        fields -= changed | (before - after)
    if new:
        owners.setdefault((manager, "Update", subresource), set()).update(new)
    return with_owners(copy.deepcopy(now), owners)


def patched(live: Object, operations: list[Object]) -> Object:
    """Return an object after a JSON patch that tests and replaces; `Conflict` if a test fails."""
    one = copy.deepcopy(live)
    for each in operations:
        *steps, last = each["path"].strip("/").split("/")
        part = one
        for step in steps:
            part = part[step]
        if each["op"] == "test" and part.get(last) != each["value"]:
            raise Conflict(f"testing value {each['path']} failed")
        part[last] = each["value"]
    return one


def paths(value: Any, at: Path = ()) -> Iterator[Path]:
    """Yield the fields of a value as an apply owns them: its leaves, and the items of its lists."""
    if isinstance(value, dict) and value:
        for key, part in value.items():
            if at or key in ("metadata", "spec", "data"):
                if at != ("f:metadata",) or key not in UNOWNED:
                    yield from paths(part, (*at, f"f:{key}"))
    elif at and isinstance(value, list) and keys_of(at):
        for item in value:
            here = (*at, item_key(at, item))
            yield (*here, ITSELF)
            yield from paths(item, here)
    elif at:
        yield at


def keys_of(path: Path) -> tuple[str, ...]:
    return KEYS.get(path[-1].removeprefix("f:"), ())


def item_key(path: Path, item: Mapping[str, Any]) -> str:
    return "k:" + json.dumps({key: item[key] for key in keys_of(path)}, separators=(",", ":"))


def read(one: Any, path: Path) -> Any:
    """Return a field's value, or None."""
    for number, step in enumerate(path):
        if step == ITSELF or one is None:
            continue
        if step.startswith("k:"):
            found = (item for item in one if item_key(path[:number], item) == step)
            one = next(found, None)
        else:
            one = one.get(step.removeprefix("f:")) if isinstance(one, dict) else None
    return one


def put(one: Object, path: Path, value: object) -> Object:
    """Return an object with one field set, which no list holds."""
    changed = copy.deepcopy(one)
    part = changed
    for step in path[:-1]:
        part = part.setdefault(step.removeprefix("f:"), {})
    part[path[-1].removeprefix("f:")] = value
    return changed


def remove(one: Object, path: Path) -> None:
    """Remove a field, and what held nothing else; an item goes with all that is in it."""
    path = path[:-1] if path[-1] == ITSELF else path
    holder, last = read(one, path[:-1]), path[-1]
    if read(one, path) is None:
        return
    if last.startswith("k:"):
        holder[:] = [item for item in holder if item_key(path[:-1], item) != last]
    else:
        del holder[last.removeprefix("f:")]
    if not holder and len(path) > 2:
        remove(one, path[:-1])


def laid_over(live: Any, wanted: Any, at: Path = ()) -> Any:
    """Return a value with the wanted fields set."""
    if isinstance(live, dict) and isinstance(wanted, dict):
        both = {
            key: laid_over(live.get(key), value, (*at, f"f:{key}")) for key, value in wanted.items()
        }
        return {**live, **both}
    if at and keys_of(at) and isinstance(live, list):
        new = {item_key(at, item): item for item in wanted}
        both = {key: laid_over(item, new.pop(key, {}), (*at, key)) for key, item in named(live, at)}
        return [*both.values(), *copy.deepcopy(list(new.values()))]
    return copy.deepcopy(wanted)


def named(items: list[Object], at: Path) -> Iterator[tuple[str, Object]]:
    return ((item_key(at, item), item) for item in items)


def owners_of(one: Object) -> dict[Owner, set[Path]]:
    """Return the owners of an object's fields."""
    return {
        (entry["manager"], entry["operation"], entry.get("subresource", "")): set(
            flat(entry["fieldsV1"])
        )
        for entry in one["metadata"].get("managedFields", ())
    }


def with_owners(one: Object, owners: Mapping[Owner, set[Path]]) -> Object:
    """Return an object with its owners written into it."""
    one["metadata"]["managedFields"] = [
        {
            **{"manager": manager, "operation": operation, "apiVersion": one["apiVersion"]},
            **({"subresource": subresource} if subresource else {}),
            **{"fieldsType": "FieldsV1", "fieldsV1": tree(fields)},
        }
        for (manager, operation, subresource), fields in owners.items()
        if fields
    ]
    return one


def tree(fields: set[Path]) -> Object:
    """Return fields as the API server writes them."""
    top: Object = {}
    for path in sorted(fields):
        part = top
        for step in path:
            part = part.setdefault(step, {})
    return top


def flat(fields: Object, at: Path = ()) -> Iterator[Path]:
    """Yield the fields that a tree names."""
    for key, below in fields.items():
        if below:
            yield from flat(below, (*at, key))
        else:
            yield (*at, key)


def readable(path: Path) -> str:
    return "".join(f".{step.partition(':')[2]}" for step in path)
