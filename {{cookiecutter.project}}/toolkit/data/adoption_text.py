"""Writes the decisions of an adoption as files for people: contract, policy, summary."""

import json
import math
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..model.first_training import QUICK_OF_EACH, TRAINED_ROWS, FirstTraining
from ..model.policy import Rule
from ..reports.files import table
from .column_inference import MAX_CATEGORIES, MOST_CATEGORIES, ROWS_PER_CATEGORY, Inferred
from .contract import MAX_COPIES, MAX_NULL_RATE, Column, Csv
from .dataset import Dataset
from .source import Source

# Of a table with thousands of columns the terminal shows some, and adoption.md all.
SHOWN_COLUMNS = 40
NAMES = {"\t": "tab", " ": "space", "\u00a0": "no-break space", "\u202f": "narrow no-break space"}
FIRST_RULE = "[[rule]]"
TRAINING = re.compile(r"^\[training\].*\n", re.MULTILINE)
NEXT_TABLE = re.compile(r"^(?=\[)", re.MULTILINE)
# The rules that do not depend on the table.
SOURCE = """\
# Where the table of customers comes from. `nox -s snapshot` takes it from there: docs/data.md.

schema = 1

# files: CSV or Parquet, a file or a folder, also at s3://, gs:// or abfs://;
# sql: a database that is asked with `query`; command: a script of this folder that brings a file.
kind = "files"

# The variable that holds the path or the URL of the table: neither is in git.
url_from = "CUSTOMERS"

# Where everybody else, and CI, gets the snapshot's bytes: nox -s snapshot -- --push
# [remote]
# url = "s3://bucket/churn"
# keep_days = 90
"""
KEPT = re.compile('^metric = "(latency_ms|model_mb)"$', re.MULTILINE)


def how_it_was_read(file: str, source: Source) -> list[str]:
    """Return in sentences how a table was read, with an example of each column."""
    shown = list(source.readings.items())[:SHOWN_COLUMNS]
    sentences = [f"{file}: {_format(source)}"]
    for name, one in shown:
        nulls = f"; null: {', '.join(map(repr, one.na_values))}" if one.na_values else ""
        note = f" ({one.note})" if one.note else ""
        sentences.append(f"  {name}: {one.kind}: {one.example!r} is {one.value}{nulls}{note}")
    if len(shown) < len(source.readings):
        sentences.append(f"  ... and {len(source.readings) - len(shown)} more columns")
    return sentences


def _format(source: Source) -> str:
    """Return the format of a table in words."""
    dialect = source.dialect
    thousands = _mark(dialect.thousands) if dialect.thousands else "not separated"
    numbers = f"decimal mark {_mark(dialect.decimal)}, thousands {thousands}"
    if source.unit == "row":
        return f"Parquet; numbers that are text: {numbers}"
    return f"{dialect.encoding}, fields separated by {_mark(dialect.sep)}, {numbers}"


def _mark(character: str) -> str:
    return NAMES.get(character, repr(character))


def contract(
    file: str,
    package: str,
    dialect: Csv,
    columns: Sequence[Inferred],
    rows: int,
    max_copies: float = MAX_COPIES,
) -> str:
    """Return data/contract.toml; `max_copies` is the share of rows that may be like another one."""
    ignored = [one for one in columns if one.column is None]
    text = f"""\
# The data contract of {file}.
#
# `nox -s adopt` inferred it from {rows} rows; adoption.md shows what it observed. The data check,
# the features and the server's /predict all follow this file: where you know better, edit it here
# and nowhere else.

schema = 1
package = {_quoted(package)}   # the folder in src/ with features, estimators and metrics
"""
    if ignored:
        text += "\n# In the file, but ignored: adoption.md says why.\nextra_columns = [\n"
        text += "".join(f"    {_quoted(one.name)},\n" for one in ignored)
        text += "]\n"
    least, most = _round(rows / 2, math.floor), _round(rows * 10, math.ceil)
    text += f"\n[rows]\nmin = {least}\nmax = {most}\n"
    text += (
        f"max_copies = {max_copies:g}   # the share of rows like an earlier one but for the id\n"
    )
    if csv := _csv_keys(dialect):
        text += f"\n[csv]\n{csv}\n"
    for one in columns:
        if one.column is not None:
            text += f"\n[[column]]  # {_comment(one.observed)}\n"
            text += "".join(f"{key} = {value}\n" for key, value in _keys(one.column))
    return text


def _csv_keys(dialect: Csv) -> str:
    default = Csv()
    words = {key: value for key, value in vars(dialect).items() if value != getattr(default, key)}
    return "\n".join(
        f"{key} = {_quoted(value) if isinstance(value, str) else _list(value)}"
        for key, value in words.items()
    )


def _keys(column: Column) -> Iterator[tuple[str, str]]:
    yield "name", _quoted(column.name)
    yield "role", _quoted(column.role)
    yield "type", _quoted(column.type)
    if column.minimum is not None:
        yield "min", _exact(column.minimum)
    if column.maximum is not None:
        yield "max", _exact(column.maximum)
    if column.positive is not None:
        yield "labels", _list(column.categories)
        yield "positive", _quoted(column.positive)
    elif column.categories:
        yield "categories", _list(column.categories)
    if column.sign is not None:
        yield "sign", _quoted(column.sign)
    if column.format is not None:
        yield "format", _quoted(column.format)
    if column.na_values:
        yield "na_values", _list(column.na_values)
    if column.role in ("feature", "date") and column.max_null_rate != MAX_NULL_RATE:
        yield "max_null_rate", f"{column.max_null_rate:g}"


def _exact(value: float) -> str:
    """Return a number that is read back as the same: 15 digits may be less than the observed."""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def set_training(text: str, estimator: str, quick_rows: int) -> str:
    """Return quality.toml with other values of two keys under [training]; the rest is kept."""
    head = TRAINING.search(text)
    assert head is not None, "a policy without this table is not loaded"
    following = NEXT_TABLE.search(text, head.end())
    end = following.start() if following else len(text)
    section = text[head.end() : end]
    for key, value in (("estimator", _quoted(estimator)), ("quick_rows", str(quick_rows))):
        line = re.compile(rf"^({key} *= *)[^#\n]*?( *#.*)?$", re.MULTILINE)
        section = line.sub(rf"\g<1>{value}\g<2>", section)
    return text[: head.end()] + section + text[end:]


def quality(text: str, rules: Sequence[Rule]) -> str:
    """Return quality.toml with these rules in place of those that depend on the table."""
    head, *blocks = text.split(FIRST_RULE)
    # The owner may have added another table behind a rule.
    others = [NEXT_TABLE.split(block, maxsplit=1) for block in blocks]
    kept = [rule for rule, *_ in others if KEPT.search(rule)]
    head += "".join(f"{table.rstrip()}\n\n" for _, *tables in others for table in tables)
    proposed = [
        f"\nmetric = {_quoted(rule.metric)}\n{rule.bound} = {rule.threshold:g}\n"
        f"reason = {_quoted(rule.reason)}\n"
        for rule in rules
    ]
    rewritten = (f"{FIRST_RULE}{block.rstrip()}\n" for block in (*proposed, *kept))
    return head + "\n".join(rewritten)


def summary(
    file: str,
    source: Source,
    columns: Sequence[Inferred],
    trained: FirstTraining,
    dataset: Dataset,
    customer: Mapping[str, Any],
) -> str:
    """Return data/adoption.md: it is kept in git, and shows no row of the table.

    Parameters
    ----------
    customer
        Of the example request.
    """
    rules, chosen = trained.rules, trained.choice
    kept = [one for one in columns if one.column is not None]
    ignored = [one for one in columns if one.column is None]
    noted = [one for one in kept if one.note]
    [target] = [one.column for one in kept if one.column and one.column.role == "target"]
    share, label = dataset.labels.mean(), f"`{target.name}` is `{target.positive}`"
    example = shlex.quote(json.dumps(customer, ensure_ascii=False))
    of_how_many = ""
    if len(dataset) > TRAINED_ROWS:
        of_how_many = f", the training on a sample of {TRAINED_ROWS} customers"
    text = f"""\
# Adoption of {file}

Written once by `nox -s adopt`. The decisions are in `contract.toml`, `reference.json` and
`source.toml` in this folder, and in `quality.toml`: edit those, not this page. No customer is in
any of them: `sample.csv` is made up, and the table lies in the cache of `snapshot.json`.

{len(dataset)} customers, of whom {share:.1%} churned: {label}.

## How the table was read

Format: {_format(source)}.

{_readings(source)}
## Columns

"""
    text += table(
        ("column", "role", "type", "observed", "allowed", "nulls observed", "nulls allowed"),
        (_row(one) for one in kept),
    )
    if ignored:
        text += "\n## Ignored columns\n\n"
        text += table(
            ("column", "observed", "reason"),
            ((one.name, one.observed, one.note) for one in ignored),
        )
    if noted:
        text += "\n## Columns to review\n\n"
        text += table(("column", "reason"), ((one.name, one.note) for one in noted))
    text += f"""
A category is kept with up to {MAX_CATEGORIES} values, and with up to {MOST_CATEGORIES} where the
table has {ROWS_PER_CATEGORY} rows for each on average.

## Estimator

"""
    text += "".join(f"- {sentence}\n" for sentence in chosen.sentences())
    text += f"""
`{chosen.estimator}` stands in `quality.toml` under `[training]`. The quick gate there has
{trained.policy.quick_rows} customers: {QUICK_OF_EACH} of each label, where the table has them.

## Thresholds of the quality gate

Before anything was written, `nox -s data features gate train` was rehearsed with these thresholds,
and passed{of_how_many}.

"""
    text += table(
        ("metric", "bound", "threshold", "reason"),
        ((rule.metric, rule.bound, f"{rule.threshold:g}", rule.reason) for rule in rules),
    )
    return (
        text
        + f"""
## Example request

```console
$ curl --json {example} http://127.0.0.1:8000/predict
```
"""
    )


def _readings(source: Source) -> str:
    return table(
        ("column", "read as", "nulls besides the empty field"),
        ((name, one.kind, ", ".join(one.na_values)) for name, one in source.readings.items()),
    )


def _row(one: Inferred) -> tuple[str, ...]:
    column = one.column
    assert column is not None, "an ignored column has no row"
    allowed = ", ".join(column.categories)
    if column.is_numeric:
        allowed = f"{column.minimum:g} to {column.maximum:g}"
    return (
        *(one.name, column.role, column.type, one.observed, allowed, one.nulls),
        f"{column.max_null_rate:.2%}",
    )


def _round(value: float, direction: Callable[[float], int]) -> int:
    """Round a count to two digits."""
    unit = 10.0 ** max(0, math.floor(math.log10(value)) - 1)
    return int(max(1, direction(value / unit) * unit))


def _quoted(text: str) -> str:
    """Return a string as TOML writes it: as JSON does, but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"


def _comment(text: str) -> str:
    """Return a text on one line, for a comment."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
