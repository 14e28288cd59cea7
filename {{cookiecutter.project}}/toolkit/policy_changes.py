"""What decides differently in two versions of the policy files, and what of it became laxer.

The gate's report and the release machine both tell it. Neither may import the other: this module
imports nothing of the toolkit, and reads no file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import zip_longest
from typing import Any, NamedTuple

HEADING = "Policy changes"
# The files that say what must hold of data, model and release.
POLICIES = ("quality.toml", "release.toml", "data/contract.toml")

# Which value is laxer: the smaller number, and the list that lacks something; the larger number,
# and the list that holds more; or only none at all. A value that is missing asks for nothing.
LESS, MORE, NONE = "less", "more", "none"
LEVELS = ("fail", "warn")


class Strictness(NamedTuple):
    """Which value of a setting is laxer.

    Attributes
    ----------
    keys
        A pattern of file and key.
    laxer
        `LESS`, `MORE` or `NONE`; or the possible values, from the strictest to the laxest.
    default
        The value where the file has none.
    """

    keys: str
    laxer: str | tuple[Any, ...]
    default: Any = None


# The first that fits counts. What is not in it is listed, and neither laxer nor stricter.
STRICTNESS = (
    Strictness("quality.toml: drift.min_rows", MORE),
    Strictness("quality.toml: slices.min_*", MORE),
    Strictness("quality.toml: fairness.min_rows", MORE),
    Strictness("quality.toml: nightly.significance", MORE),
    Strictness("quality.toml: nightly.days_ago", LESS),
    Strictness("quality.toml: decay.significance", LESS, 0.01),
    Strictness("quality.toml: decay.max_fall", MORE, 0.02),
    Strictness("quality.toml: decay.min_rows", MORE, 1_000),
    Strictness("quality.toml: score.max_rejected", MORE, 0.01),
    Strictness("quality.toml: score.drift", LEVELS, "fail"),
    Strictness("quality.toml: *.significance", LESS),
    Strictness("quality.toml: training.holdout_share", LESS),
    Strictness("quality.toml: training.quick_rows", LESS),
    Strictness("quality.toml: training.folds", LESS),
    Strictness("quality.toml: training.evaluate", ("time", "hash"), "hash"),
    Strictness("quality.toml: training.window_days", LESS, 30),
    Strictness("quality.toml: slices.bands", LESS),
    Strictness("quality.toml: drift.extremes.warn", MORE, 0.001),
    Strictness("quality.toml: drift.extremes.fail", MORE, 0.005),
    Strictness("quality.toml: drift.relation.warn", MORE, 0.02),
    Strictness("quality.toml: drift.relation.fail", MORE, 0.05),
    Strictness("quality.toml: drift.calibration.warn", MORE, 0.03),
    Strictness("quality.toml: drift.calibration.fail", MORE, 0.10),
    Strictness("quality.toml: drift.ids.warn", MORE, 0.002),
    Strictness("quality.toml: drift.ids.fail", MORE, 0.01),
    Strictness("quality.toml: drift.*.warn", MORE),
    Strictness("quality.toml: drift.*.fail", MORE),
    Strictness("quality.toml: champion.min_rows_share", LESS),
    Strictness("quality.toml: champion.max_*", MORE),
    Strictness("quality.toml: champion.other_features", LEVELS),
    Strictness("quality.toml: champion.not_comparable", LEVELS, "fail"),
    Strictness("quality.toml: fairness.columns", LESS),
    Strictness("quality.toml: *rule *.min", LESS),
    Strictness("quality.toml: *rule *.max*", MORE),
    Strictness("data/contract.toml: rows.min", LESS),
    Strictness("data/contract.toml: rows.max_copies", MORE, 0.05),
    Strictness("data/contract.toml: rows.max*", MORE),
    Strictness("data/contract.toml: column *.min", LESS),
    Strictness("data/contract.toml: column *.max_null_rate", MORE, 0.01),
    Strictness("data/contract.toml: column *.max*", MORE),
    Strictness("data/contract.toml: column *.categories", MORE),
    Strictness("data/contract.toml: column *.unique", (True, False), False),
    Strictness("data/contract.toml: column *.role", NONE),
    Strictness("data/contract.toml: rule *", NONE),
    Strictness("data/contract.toml: ordered", (True, False), True),
    Strictness("data/contract.toml: extra_columns", MORE, []),
    Strictness("release.toml: schema", LESS),
    Strictness("release.toml: scan", (True, False), True),
    Strictness("release.toml: signing.events", (True, False), False),
    Strictness("release.toml: signing.by", MORE),
    Strictness("release.toml: freezes *", NONE),
    Strictness("release.toml: environments.*.approval.needed", LESS),
    Strictness("release.toml: environments.*.approval.by", MORE),
    Strictness("release.toml: environments.*.author_may_approve", (False, True), False),
    Strictness("release.toml: environments.*.signed", (True, False), False),
    Strictness("release.toml: environments.*.unmerged", (False, True), False),
    Strictness("release.toml: environments.*.nightly", ("propose", "promote"), "propose"),
    Strictness("release.toml: environments.*.soak_minutes", LESS),
    Strictness("release.toml: environments.*.canary.windows", LESS),
    Strictness("release.toml: environments.*.canary.alpha", LESS),
    Strictness("release.toml: environments.*.canary.pass_alpha", MORE),
    Strictness("release.toml: environments.*.canary.max_*", MORE),
    Strictness("release.toml: environments.*.canary.slo_ms", MORE),
    Strictness("release.toml: environments.*.canary.error_floor", MORE),
    Strictness("release.toml: environments.*.platform", NONE),
)
# Words of a table in a list that say what it is about, and not how much of it is asked.
NAMES = ("name", "metric", "column", "holds")
# The value of a condition, which stands in its key.
REQUIRED = "required"


@dataclass(frozen=True)
class Change:
    """A value that two versions of a file have not in common.

    Attributes
    ----------
    file
        One of `POLICIES`.
    key
        Its place in the file; of a rule, with what the rule is about. Empty where the files differ
        and cannot be compared.
    old, new
        The values as text; None where there is none.
    laxer
        Whether less is asked than before, or nobody can tell.
    """

    file: str
    key: str
    old: str | None
    new: str | None
    laxer: bool

    def __str__(self) -> str:
        if not self.key:
            return f"{self.file}: changed, and it cannot be compared"
        old, new = ("nothing" if one is None else one for one in (self.old, self.new))
        return f"{self.file}: {self.key} {old} -> {new}{', laxer' * self.laxer}"


class _Value(NamedTuple):
    """A value of a file, and the level of the rule that it belongs to."""

    value: Any
    level: str = "fail"


def compare(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> list[Change]:
    """Return each change of the policy files, the laxer ones first.

    Parameters
    ----------
    old, new
        The contents of those of `POLICIES` that there are, by their names.
    """
    found = [
        one
        for name in POLICIES
        if old.get(name) != new.get(name)
        for one in _changes(name, old.get(name, b""), new.get(name, b""))
    ]
    return sorted(found, key=lambda one: not one.laxer)


def _changes(name: str, old: bytes, new: bytes) -> Iterator[Change]:
    try:
        before, after = (_by_key(tomllib.loads(one.decode())) for one in (old, new))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        yield Change(name, "", None, None, laxer=True)
        return
    for key in dict.fromkeys((*before, *after)):
        known = next((one for one in STRICTNESS if fnmatchcase(f"{name}: {key}", one.keys)), None)
        for one, other in _pairs(before.get(key, []), after.get(key, [])):
            yield Change(name, key, _text(one), _text(other), _is_laxer(known, one, other))


def _by_key(document: Mapping[str, Any]) -> dict[str, list[_Value]]:
    found: dict[str, list[_Value]] = {}
    for key, value in _values(document, ""):
        found.setdefault(key, []).append(value)
    return found


def _values(table: Mapping[str, Any], where: str) -> Iterator[tuple[str, _Value]]:
    """Yield each value of a table with its key; reasons are for people, and decide nothing."""
    for key, value in table.items():
        place = f"{where}.{key}" if where else key
        if isinstance(value, Mapping):
            yield from _values(value, place)
        elif isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            for one in value:
                yield from _listed(one, place)
        elif key != "reason":
            yield place, _Value(value)


def _listed(table: Mapping[str, Any], where: str) -> Iterator[tuple[str, _Value]]:
    """Yield each value of a table in a list, which is known by its names and not by its place."""
    names = [str(table[name]) for name in NAMES if name in table]
    place = " ".join([where, *names])
    level = str(table.get("level", "fail"))
    rest = {key: one for key, one in table.items() if key not in (*NAMES, "level")}
    yield from ((key, one._replace(level=level)) for key, one in _values(rest, place))
    if "holds" in table:
        yield place, _Value(REQUIRED, level)


def _pairs(
    old: Sequence[_Value], new: Sequence[_Value]
) -> Iterable[tuple[_Value | None, _Value | None]]:
    """Return what has changed of the values of one key: several where several rules have it."""
    came = list(new)
    gone = []
    for one in old:
        if one in came:
            came.remove(one)
        else:
            gone.append(one)
    return zip_longest(gone, came)


def _is_laxer(known: Strictness | None, old: _Value | None, new: _Value | None) -> bool:
    if old and new and LEVELS.index("fail") == _level(old) < _level(new):
        return True
    if known is None:
        return False
    before = old.value if old else known.default
    after = new.value if new else known.default
    if before is None or after is None:
        return after is None
    try:
        if isinstance(known.laxer, tuple):
            return known.laxer.index(after) > known.laxer.index(before)
        if known.laxer == NONE:
            return False
        less, more = (before, after) if known.laxer == MORE else (after, before)
        if isinstance(before, list):
            return any(one not in less for one in more)
        return bool(less < more)
    except (TypeError, ValueError):  # Not what such a setting can be: nobody can tell.
        return True


def _level(value: _Value) -> int:
    """Return how lax the level of a rule is; one that is unknown fails, where it is read."""
    return LEVELS.index(value.level) if value.level in LEVELS else 0


def _text(value: _Value | None) -> str | None:
    if value is None:
        return None
    text = str(value.value).lower() if isinstance(value.value, bool) else str(value.value)
    return text if value.level == "fail" else f"{text} ({value.level})"
