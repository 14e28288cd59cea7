"""Reads text as numbers in one format, strictly: no separator is ever read as another."""

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .contract import WIDE_SPACES, Csv

SPACE = rf"[\s{WIDE_SPACES}]"
EXPONENT = "([eE][+-]?[0-9]+)?"


def number_pattern(decimal: str, thousands: str | None) -> str:
    """Return the regular expression of a whole number text, for any engine, RE2 included.

    Thousands are separated completely or not at all, and no group of a number begins with a zero
    but the later ones: ``0,416`` separates no thousands.
    """
    point = re.escape(decimal)
    whole = "[0-9]+"
    if thousands:
        whole = f"([1-9][0-9]{{0,2}}({re.escape(thousands)}[0-9]{{3}})+|[0-9]+)"
    return f"[+-]?({whole}({point}[0-9]*)?|{point}[0-9]+){EXPONENT}"


def sign_pattern(sign: str) -> str:
    """Return the regular expression of a number with a sign before or behind it.

    Its first three groups are the sign of the number, and the number before or behind the other.
    """
    mark = re.escape(sign)
    number = rf"([^\s{WIDE_SPACES}+-].*?)"
    return rf"^([+-]?){SPACE}*(?:{mark}{SPACE}*{number}|{number}{SPACE}*{mark})$"


def without_sign(text: pd.Series, sign: str) -> pd.Series:
    """Return texts without the sign, null where a text has none: ``-$5`` is ``-5``."""
    parts = text.str.extract(sign_pattern(sign))
    return parts[0] + parts[1].fillna(parts[2])


def one_number(bare: str, dialect: Csv) -> float:
    """Return the number of a text of this format, without a sign."""
    return float(bare.replace(dialect.thousands or "", "").replace(dialect.decimal, "."))


def to_number(text: pd.Series, dialect: Csv, sign: str | None = None) -> pd.Series:
    """Return text as float64, NaN where it is not a number of this format.

    Parameters
    ----------
    text
        Stripped, [n], NaN for nulls.
    dialect
        The separators of decimals and thousands.
    sign
        What stands with each number; None where nothing does.
    """
    bare = text if sign is None else without_sign(text, sign)
    # Text, also where a column has nothing but nulls.
    bare = bare.astype("str")
    pattern = number_pattern(dialect.decimal, dialect.thousands)
    # Arrow's own: the method of pandas adds a millisecond a column.
    found = pc.match_substring_regex(pa.array(bare, from_pandas=True), rf"\A(?:{pattern})\z")
    valid = np.asarray(found.fill_null(False))
    if not valid.all():
        bare = bare.where(valid)
    if dialect.thousands:
        bare = bare.str.replace(dialect.thousands, "", regex=False)
    if dialect.decimal != ".":
        bare = bare.str.replace(dialect.decimal, ".", regex=False)
    return pd.to_numeric(bare, errors="coerce").astype(float)
