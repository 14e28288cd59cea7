"""The tables of failure cases and of attacks are true: every test that they name is there."""

from __future__ import annotations

import ast
import functools
import re

import pytest

from demo.repository import TEMPLATE

TABLE = TEMPLATE / "docs" / "failure_cases.md"
GENERATED = TEMPLATE / "{{cookiecutter.project}}"
CASES = range(1, 47)

NAMED = re.compile(r"`(?P<path>(?:toolkit/)?tests/[\w/]+\.py)::(?P<test>test_\w+)`")
NUMBERED = re.compile(r"test_((?:\d+_)+)")


def rows() -> dict[int, str]:
    """Return the table's rows by their number."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    found = [(int(line.split("|")[1]), line) for line in lines if re.match(r"\| \d", line)]
    assert len(dict(found)) == len(found), "a number stands there twice"
    return dict(found)


@functools.cache
def names_in(path: str) -> set[str]:
    """Return the names of the tests in a file of the template, or of the toolkit."""
    file = (GENERATED if path.startswith("toolkit/") else TEMPLATE) / path
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def cases_of(test: str) -> set[int]:
    """Return the numbers in a test's name."""
    numbers = NUMBERED.match(test)
    return {int(number) for number in numbers[1].split("_") if number} if numbers else set()


def test_every_case_has_its_row() -> None:
    assert list(rows()) == list(CASES)


@pytest.mark.parametrize("case", CASES)
def test_what_a_row_names_is_there_and_about_it(case: int) -> None:
    row = rows()[case]
    named = [(found["path"], found["test"]) for found in NAMED.finditer(row)]
    assert named or "not built yet" in row
    assert row.count("::") == len(named), "a name that is none"
    for path, test in named:
        assert test in names_in(path), f"{path}::{test} is not there"
        assert case in (cases_of(test) or {case}), f"{test} is about another case"


def test_every_attack_names_tests_that_are_there() -> None:
    text = (TEMPLATE / "docs" / "threat_model.md").read_text(encoding="utf-8")
    named = [(found["path"], found["test"]) for found in NAMED.finditer(text)]
    assert named and text.count("::") == len(named), "a name that is none"
    assert [one for one in named if one[1] not in names_in(one[0])] == []
