"""GitHub's expressions mean here what they mean at GitHub."""

from __future__ import annotations

import json
from typing import Any

import pytest
from github_expressions import Expression, ExpressionError, fill, value

CONTEXTS: dict[str, Any] = {
    "github": {"event_name": "push", "ref_name": "main", "run_attempt": 1},
    "steps": {"check": {"outcome": "skipped", "outputs": {}}},
    "needs": {"plan": {"result": "success", "outputs": {"sessions": '[{"session": "lint"}]'}}},
    "matrix": {"session": "secrets"},
    "secrets": {},
    "inputs": {"dry": False, "version": ""},
    "list": ["a", "B"],
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'it''s'", "it's"),
        ("-1.5e1", -15.0),
        ("0xff", 255.0),
        ("null", None),
        ("github.event_name", "push"),
        ("GitHub.Event_Name", "push"),
        ("github['ref_name']", "main"),
        ("github.event.pull_request.number", None),
        ("github.event.pull_request.number || github.ref_name", "main"),
        ("needs.plan.outputs.sessions", '[{"session": "lint"}]'),
        ("fromJSON(needs.plan.outputs.sessions)[0].session", "lint"),
        ("fromJSON('[1, 2]')[1]", 2),
        ("fromJSON('[1, 2]')[2]", None),
        ("secrets.TOKEN", None),
        ("secrets.TOKEN != ''", False),
        ("matrix.session == 'secrets' && '0' || '1'", "0"),
        ("matrix.session == 'lint' && '0' || '1'", "1"),
        ("steps.check.outcome != 'skipped'", False),
        ("steps.missing.outcome == 'success'", False),
        ("'MAIN' == github.ref_name", True),
        ("'1' == 1", True),
        ("'' == 0", True),
        ("null == 0", True),
        ("null == null", True),
        ("true == 1", True),
        ("'x' == 0", False),
        ("'x' != 0", True),
        ("list == list", True),
        ("fromJSON('[]') == fromJSON('[]')", False),
        ("github.run_attempt < 2", True),
        ("'b' >= 'A'", True),
        ("!inputs.dry", True),
        ("!!'no'", True),
        ("!''", True),
        ("!fromJSON('[]')", False),
        ("1 == 2 || 2 == 2 && 'both'", "both"),
        ("(1 == 1 || 2 == 2) && 3", 3.0),
        ("!(1 == 1)", False),
        ("false && fromJSON('broken')", False),
        ("contains('Hello', 'ELL')", True),
        ("contains(list, 'b')", True),
        ("contains(list, 'c')", False),
        ("startsWith(github.ref_name, 'MA')", True),
        ("endsWith('a.yml', '.YML')", True),
        ("format('{{{0}}} {1} {0}', 'a', 2)", "{a} 2 a"),
        ("join(list, '-')", "a-B"),
        ("fromJSON(toJSON(matrix)).session", "secrets"),
    ],
)
def test_an_expression_has_its_value(text: str, expected: object) -> None:
    found = Expression(text).evaluate(CONTEXTS)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "githb.ref",
        "sucess()",
        "1 +",
        "a b",
        "(1",
        "github.",
        "github.*",
        "'open",
        '"double"',
        "fromJSON('')",
        "success() success()",
    ],
)
def test_what_is_not_understood_raises(text: str) -> None:
    with pytest.raises(ExpressionError):
        Expression(text).evaluate(CONTEXTS, {"success": lambda: True})


def test_an_expression_knows_what_it_calls() -> None:
    assert Expression("!Cancelled() && contains('a', always())").calls == {
        "cancelled",
        "contains",
        "always",
    }


def test_functions_of_a_place_are_given() -> None:
    files = {"hashfiles": lambda *patterns: "+".join(patterns)}
    assert Expression("hashFiles('a', 'b')").evaluate({}, files) == "a+b"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "plain"),
        ("of ${{ github.ref_name }}: ${{ inputs.dry }}, ${{ 1 }}.", "of main: false, 1."),
        ("${{ format('}}{0}', 1) }}", "}1"),
        ("${{ secrets.NONE }}", ""),
    ],
)
def test_a_text_is_filled(template: str, expected: str) -> None:
    assert fill(template, CONTEXTS) == expected


def test_an_object_inside_of_text_raises() -> None:
    with pytest.raises(ExpressionError, match="toJSON"):
        fill("x${{ matrix }}", CONTEXTS)


def test_a_lone_expression_keeps_its_kind() -> None:
    matrix = {"include": "${{ fromJSON(needs.plan.outputs.sessions) }}", "os": ["${{ list[1] }}"]}
    assert value(matrix, CONTEXTS) == {"include": [{"session": "lint"}], "os": ["B"]}
    assert json.dumps(value({"a": "b ${{ 1 }}"}, CONTEXTS)) == '{"a": "b 1"}'
