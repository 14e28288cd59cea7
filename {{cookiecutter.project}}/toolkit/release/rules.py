"""What decides about a release, and has changed since the one that serves.

It was reviewed where it was merged; whoever promotes sees it once more, what became laxer first.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from .git import GitFailed, Repository

# A change of these is named with the old and the new value of each key.
POLICIES = ("quality.toml", "release.toml", "data/contract.toml")
# Of these, that they have changed.
OTHERS = ("allowed_signers", "requirements", "pyproject.toml", "toolkit")
LESS_IS_LAXER = ("min", "needed", "soak_minutes", "significance", "windows", "days_ago")
MORE_IS_LAXER = ("max", "fail", "warn")
LAXER_WHERE_TRUE = ("author_may_approve", "unmerged", "nullable")
LAXER_WHERE_FALSE = ("signed", "scan", "events")
# Words of a rule that say what it is about, and not how much of it is wanted.
NAMES = ("name", "metric", "column", "level")


def changes(repository: Repository, base: str, commit: str) -> tuple[str, ...]:
    """Return a sentence for each change of what decides, the laxer ones first.

    Parameters
    ----------
    repository : Repository
    base, commit : str
        The commits of the release that serves and of the one that comes.
    """
    values = [one for name in POLICIES for one in _of_a_policy(repository, name, base, commit)]
    listed = ("diff-tree", "-r", "--name-only", "-z", base, commit, "--", *OTHERS)
    paths = repository.run(*listed).split("\0")
    others = [_files(name, paths) for name in OTHERS]
    first = sorted(values, key=lambda one: not one.endswith(", laxer"))
    return (*first, *(one for one in others if one))


def _files(name: str, paths: list[str]) -> str:
    count = sum(path == name or path.startswith(f"{name}/") for path in paths)
    if not count:
        return ""
    return (
        f"{name}: changed" if name in paths else f"{name}: {count} file{'s' * (count > 1)} changed"
    )


def _of_a_policy(repository: Repository, name: str, base: str, commit: str) -> Iterator[str]:
    try:
        old, new = (dict(_values(_read(repository, one, name))) for one in (base, commit))
    except (GitFailed, tomllib.TOMLDecodeError, UnicodeDecodeError):
        old, new = {}, {}
        if repository.run("diff-tree", "-r", "--name-only", base, commit, "--", name):
            yield f"{name}: changed, and it cannot be compared"
    for key in dict.fromkeys((*old, *new)):
        if old.get(key) != new.get(key):
            laxer = ", laxer" if _is_laxer(key, old.get(key), new.get(key)) else ""
            yield f"{name}: {key} {_text(old.get(key))} -> {_text(new.get(key))}{laxer}"


def _read(repository: Repository, commit: str, name: str) -> dict[str, Any]:
    if not repository.run("ls-tree", "--name-only", commit, "--", name):
        return {}
    return tomllib.loads(repository.read("cat-file", "blob", f"{commit}:{name}").decode())


def _values(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value of a TOML document with its key; a table of a list is known by its names."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _values(one, f"{where}.{key}" if where else key)
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for one in value:
            words = [str(word) for key, word in one.items() if key in NAMES]
            yield from _values(dict(one), f"{where} {' '.join(words)}".strip())
    elif not where.endswith("reason"):
        yield where, value


def _is_laxer(key: str, old: Any, new: Any) -> bool:
    last = key.rpartition(".")[2]
    if last in LAXER_WHERE_TRUE or last in LAXER_WHERE_FALSE:
        return bool(new) == (last in LAXER_WHERE_TRUE)
    if not last.startswith((*LESS_IS_LAXER, *MORE_IS_LAXER)):
        return False
    if old is None or new is None:
        return new is None
    return bool(new < old if last.startswith(LESS_IS_LAXER) else new > old)


def _text(value: Any) -> str:
    return "nothing" if value is None else str(value)
