"""Writes what an adoption has decided as files that people read: contract, policy, summary."""

import json
import math
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from ..model.policy import Rule
from ..model.training import as_requests
from ..reports.files import table
from .column_inference import Inferred
from .contract import MAX_NULL_RATE, Column, Contract, Csv
from .dataset import Dataset

FIRST_RULE = "[[rule]]"
# What a table has nothing to do with.
KEPT = re.compile('^metric = "(latency_ms|model_mb)"$', re.MULTILINE)


def contract(file: str, package: str, written: Csv, columns: Sequence[Inferred], rows: int) -> str:
    """Return data/contract.toml."""
    left_out = [one for one in columns if one.column is None]
    text = f"""\
# What {file} must look like.
#
# `nox -s adopt` inferred it from {rows} rows; adoption.md tells what was seen. The data check, the
# features, and the server's /predict all follow this file: edit it where you know better, and
# nothing else needs to be.

schema = 1
file = {_quoted(file)}
package = {_quoted(package)}
"""
    if left_out:
        text += "\n# In the file, but nobody reads them: adoption.md says why.\nextra_columns = [\n"
        text += "".join(f"    {_quoted(one.name)},\n" for one in left_out)
        text += "]\n"
    least, most = _round(rows / 2, math.floor), _round(rows * 10, math.ceil)
    text += f"\n[rows]\nmin = {least}\nmax = {most}\n"
    if dialect := _dialect(written):
        text += f"\n[csv]\n{dialect}\n"
    for one in columns:
        if one.column is not None:
            text += f"\n[[column]]  # {_comment(one.seen)}\n"
            text += "".join(f"{key} = {value}\n" for key, value in _keys(one.column))
    return text


def _dialect(written: Csv) -> str:
    usual = Csv()
    words = {key: value for key, value in vars(written).items() if value != getattr(usual, key)}
    return "\n".join(
        f"{key} = {_quoted(value) if isinstance(value, str) else _list(value)}"
        for key, value in words.items()
    )


def _keys(column: Column) -> Iterator[tuple[str, str]]:
    yield "name", _quoted(column.name)
    yield "role", _quoted(column.role)
    yield "type", _quoted(column.type)
    if column.minimum is not None:
        yield "min", f"{column.minimum:.15g}"
    if column.maximum is not None:
        yield "max", f"{column.maximum:.15g}"
    if column.positive is not None:
        yield "labels", _list(column.categories)
        yield "positive", _quoted(column.positive)
    elif column.categories:
        yield "categories", _list(column.categories)
    if column.role in ("feature", "date") and column.max_null_rate != MAX_NULL_RATE:
        yield "max_null_rate", f"{column.max_null_rate:g}"


def quality(text: str, rules: Sequence[Rule]) -> str:
    """Return quality.toml with other rules for what follows from the table, the rest as it was."""
    head, *blocks = text.split(FIRST_RULE)
    kept = [block for block in blocks if KEPT.search(block)]
    proposed = [
        f"\nmetric = {_quoted(rule.metric)}\n{rule.bound} = {rule.threshold:g}\n"
        f"reason = {_quoted(rule.reason)}\n"
        for rule in rules
    ]
    written = (f"{FIRST_RULE}{block.rstrip()}\n" for block in (*proposed, *kept))
    return head + "\n".join(written)


def summary(
    file: str,
    written: Csv,
    columns: Sequence[Inferred],
    rules: Sequence[Rule],
    dataset: Dataset,
    adopted: Contract,
) -> str:
    """Return data/adoption.md."""
    kept = [one for one in columns if one.column is not None]
    left_out = [one for one in columns if one.column is None]
    noted = [one for one in kept if one.note]
    target, written_as = adopted.target, ", ".join(_dialect(written).splitlines())
    [customer] = as_requests(dataset.select(np.arange(1)), adopted)
    left = int(dataset.labels.sum())
    example = shlex.quote(json.dumps(customer, ensure_ascii=False))
    dialect = f" How the file is written: {written_as}." if written_as else ""
    text = f"""\
# What was decided about {file}

Written once by `nox -s adopt`; the files that hold it are `contract.toml`, `reference.json` and
`sample.csv` here, and `quality.toml`. Edit those, not this page.

{len(dataset)} customers. {left} of them left: `{target.name}` is `{target.positive}`.{dialect}

## Columns

"""
    text += table(
        ("column", "role", "type", "seen", "accepted from now on", "nulls seen", "nulls accepted"),
        (_row(one) for one in kept),
    )
    if left_out:
        text += "\n## Left out\n\n"
        text += table(
            ("column", "seen", "why"), ((one.name, one.seen, one.note) for one in left_out)
        )
    if noted:
        text += "\n## Worth a look\n\n"
        text += table(("column", "why"), ((one.name, one.note) for one in noted))
    text += "\n## What a model must reach\n\n"
    text += table(
        ("metric", "bound", "threshold", "reason"),
        ((rule.metric, rule.bound, f"{rule.threshold:g}", rule.reason) for rule in rules),
    )
    return (
        text
        + f"""
## How to ask the model

```console
$ curl --json {example} http://127.0.0.1:8000/predict
```
"""
    )


def _row(one: Inferred) -> tuple[str, ...]:
    column = one.column
    assert column is not None, "only columns that are kept have a row"
    accepted = ", ".join(column.categories)
    if column.is_numeric:
        accepted = f"{column.minimum:g} to {column.maximum:g}"
    return (
        *(one.name, column.role, column.type, one.seen, accepted, one.nulls),
        f"{column.max_null_rate:.2%}",
    )


def _round(value: float, direction: Callable[[float], int]) -> int:
    """Round a count to two digits."""
    unit = 10.0 ** max(0, math.floor(math.log10(value)) - 1)
    return int(max(1, direction(value / unit) * unit))


def _quoted(text: str) -> str:
    """Return a text as TOML has it: as JSON does, but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"


def _comment(text: str) -> str:
    """Return a text that cannot end its line."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
