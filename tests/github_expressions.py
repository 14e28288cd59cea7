"""GitHub's expression language, as far as workflows use it: what stands between ``${{`` and ``}}``.

A name, a function or a character that is not known here raises `ExpressionError`; a property that
is not there is null, as at GitHub, unless its mapping has a ``__missing__``. Not there: ``.*``
filters, and arrays or objects as text.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Contexts = Mapping[str, Any]
Functions = Mapping[str, Callable[..., Any]]
Evaluation = Callable[[Contexts, Functions], Any]

TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>-?(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?))
      | (?P<string>'(?:[^']|'')*')
      | (?P<name>[A-Za-z_][A-Za-z0-9_-]*)
      | (?P<sign>&&|\|\||==|!=|<=|>=|[!<>()\[\].,])
    )""",
    re.VERBOSE,
)
EMBEDDED = re.compile(r"\$\{\{((?:'(?:[^']|'')*'|.)*?)\}\}", re.DOTALL)
CONSTANTS = {"true": True, "false": False, "null": None}
COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class ExpressionError(Exception):
    """An expression that GitHub would refuse, or that is not understood here."""


class Expression:
    """An expression, read once and evaluated as often as wanted.

    Parameters
    ----------
    text : str
        What stands between ``${{`` and ``}}``.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        #: The functions that it calls, in lower case.
        self.calls: set[str] = set()
        self._tokens = list(_tokens(text))
        self._evaluate = self._either()
        if self._tokens:
            raise ExpressionError(f"{self._tokens[0][1]!r} is too much in {text!r}")

    def evaluate(self, contexts: Contexts, functions: Functions | None = None) -> Any:
        """Return its value; `functions` are those that depend on where it stands."""
        return self._evaluate(contexts, FUNCTIONS | dict(functions or {}))

    def _next_is(self, *signs: str) -> str:
        """Take the next token if it is one of these signs; return it, or empty."""
        if self._tokens and self._tokens[0] in [("sign", sign) for sign in signs]:
            return self._tokens.pop(0)[1]
        return ""

    def _want(self, sign: str) -> None:
        if not self._next_is(sign):
            raise ExpressionError(f"{sign!r} is missing in {self.text!r}")

    def _either(self) -> Evaluation:
        left = self._both()
        while self._next_is("||"):
            left = _or(left, self._both())
        return left

    def _both(self) -> Evaluation:
        left = self._comparison()
        while self._next_is("&&"):
            left = _and(left, self._comparison())
        return left

    def _comparison(self) -> Evaluation:
        left = self._opposite()
        while sign := self._next_is(*COMPARISONS):
            left = _compared(left, sign, self._opposite())
        return left

    def _opposite(self) -> Evaluation:
        if self._next_is("!"):
            value = self._opposite()
            return lambda contexts, functions: not is_true(value(contexts, functions))
        return self._property()

    def _property(self) -> Evaluation:
        value = self._atom()
        while sign := self._next_is(".", "["):
            if sign == ".":
                kind, name = self._tokens.pop(0) if self._tokens else ("", "")
                if kind != "name":
                    raise ExpressionError(f"{name!r} is no property in {self.text!r}")
                value = _indexed(value, _constant(name))
            else:
                value = _indexed(value, self._either())
                self._want("]")
        return value

    def _atom(self) -> Evaluation:
        if self._next_is("("):
            value = self._either()
            self._want(")")
            return value
        kind, token = self._tokens.pop(0) if self._tokens else ("", "")
        if kind == "number":
            return _constant(number(token))
        if kind == "string":
            return _constant(token[1:-1].replace("''", "'"))
        if kind != "name":
            raise ExpressionError(f"{token!r} is no value in {self.text!r}")
        name = token.lower()
        if self._next_is("("):
            return self._call(name)
        if name in CONSTANTS:
            return _constant(CONSTANTS[name])
        return lambda contexts, functions: _known(contexts, name)

    def _call(self, name: str) -> Evaluation:
        self.calls.add(name)
        arguments: list[Evaluation] = []
        while not self._next_is(")"):
            if arguments:
                self._want(",")
            arguments.append(self._either())

        def call(contexts: Contexts, functions: Functions) -> Any:
            values = [argument(contexts, functions) for argument in arguments]
            return _known(functions, name)(*values)

        return call


def _tokens(text: str) -> Sequence[tuple[str, str]]:
    found, at = [], 0
    while text[at:].strip():
        match = TOKEN.match(text, at)
        if not match or not match.lastgroup:
            raise ExpressionError(f"{text[at:].strip()!r} is not understood in {text!r}")
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


def _constant(value: Any) -> Evaluation:
    return lambda contexts, functions: value


def _known(names: Mapping[str, Any], wanted: str) -> Any:
    if wanted not in names:
        raise ExpressionError(f"{wanted!r} is not known")
    return names[wanted]


def _or(left: Evaluation, right: Evaluation) -> Evaluation:
    def either(contexts: Contexts, functions: Functions) -> Any:
        value = left(contexts, functions)
        return value if is_true(value) else right(contexts, functions)

    return either


def _and(left: Evaluation, right: Evaluation) -> Evaluation:
    def both(contexts: Contexts, functions: Functions) -> Any:
        value = left(contexts, functions)
        return right(contexts, functions) if is_true(value) else value

    return both


def _compared(left: Evaluation, sign: str, right: Evaluation) -> Evaluation:
    return lambda contexts, functions: _compare(
        left(contexts, functions), sign, right(contexts, functions)
    )


def _compare(left: Any, sign: str, right: Any) -> bool:
    """Compare as GitHub does: text without regard to case, unequal kinds as numbers."""
    if isinstance(left, str) and isinstance(right, str):
        left, right = left.upper(), right.upper()
    elif isinstance(left, (Mapping, list)) and isinstance(right, (Mapping, list)):
        left, right = id(left), id(right)
    else:
        left, right = number(left), number(right)
    return bool(COMPARISONS[sign](left, right))


def _indexed(value: Evaluation, index: Evaluation) -> Evaluation:
    def indexed(contexts: Contexts, functions: Functions) -> Any:
        whole, at = value(contexts, functions), index(contexts, functions)
        if isinstance(whole, Mapping):
            lowered = {key.lower(): each for key, each in whole.items()}
            name = text(at).lower()
            if name in lowered:
                return lowered[name]
            return whole[name] if hasattr(whole, "__missing__") else None
        if isinstance(whole, list):
            place = number(at)
            return whole[int(place)] if 0 <= place < len(whole) else None
        return None

    return indexed


def is_true(value: Any) -> bool:
    """Tell whether GitHub takes a value for true: all but false, 0, NaN, null and empty text."""
    if isinstance(value, (Mapping, list)):
        return True
    return bool(value) and value == value


def number(value: Any) -> float:
    """Return a value as the number that GitHub compares it by; NaN where it is none."""
    if value is None or isinstance(value, (bool, int, float)):
        return float(value or 0)
    if not isinstance(value, str):
        return math.nan
    word = value.strip()
    try:
        return float(int(word, 16)) if word.lower().startswith("0x") else float(word or 0)
    except ValueError:
        return math.nan


def text(value: Any) -> str:
    """Return a value as the text that it becomes inside of text."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"{value:.15g}"
    raise ExpressionError(f"{value!r} is no text: toJSON() makes it some")


def fill(template: str, contexts: Contexts, functions: Functions | None = None) -> str:
    """Return a text with the value of each ``${{ }}`` in its place."""
    return EMBEDDED.sub(
        lambda found: text(Expression(found[1]).evaluate(contexts, functions)), template
    )


def value(template: Any, contexts: Contexts, functions: Functions | None = None) -> Any:
    """Return what a node of a workflow means; a lone ``${{ }}`` keeps the kind of its value."""
    if isinstance(template, Mapping):
        return {key: value(each, contexts, functions) for key, each in template.items()}
    if isinstance(template, list):
        return [value(each, contexts, functions) for each in template]
    alone = EMBEDDED.fullmatch(template.strip())
    if alone:
        return Expression(alone[1]).evaluate(contexts, functions)
    return fill(template, contexts, functions)


def _contains(whole: Any, part: Any) -> bool:
    if isinstance(whole, list):
        return any(_compare(each, "==", part) for each in whole)
    return text(part).lower() in text(whole).lower()


def _format(template: Any, *values: Any) -> str:
    escaped = {"{{": "{", "}}": "}"}
    return re.sub(
        r"\{\{|\}\}|\{(\d+)\}",
        lambda found: escaped.get(found[0]) or text(values[int(found[1])]),
        text(template),
    )


def _from_json(document: Any) -> Any:
    try:
        return json.loads(text(document))
    except ValueError as error:
        raise ExpressionError(f"fromJSON: {error}: {document!r}") from None


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "contains": _contains,
    "endswith": lambda whole, part: text(whole).lower().endswith(text(part).lower()),
    "format": _format,
    "fromjson": _from_json,
    "join": lambda values, between=",": text(between).join(map(text, values)),
    "startswith": lambda whole, part: text(whole).lower().startswith(text(part).lower()),
    "tojson": lambda whole: json.dumps(whole, indent=2),
}
