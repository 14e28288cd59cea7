"""What /predict accepts: customers as the contract describes them, everything else refused."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config

# pydantic wants this one as long as Python 3.11 is supported.
from typing_extensions import TypedDict

from ..data.contract import Column, Contract

MAX_CUSTOMERS = 10_000

# Of a value that was refused, as much is told as helps to find it.
MAX_TOLD_CHARACTERS = 100
MAX_TOLD_NUMBER = 1e300

# Strict: "12" is no number and true is not 1. Forbid: a misspelt field must not become a null.
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

Customer = dict[str, Any]


class CustomerSchema:
    """The pydantic schema of one contract's customers.

    A customer is a TypedDict, not a model class: a column may have any name, also one that is no
    Python name or that a class has already.
    """

    def __init__(self, contract: Contract) -> None:
        fields = {column.name: _annotation(column) for column in contract.features}
        # mypy knows only TypedDicts that stand in the source: here it is told that they are Any.
        new_type: Any = TypedDict
        customer: Any = with_config(STRICT)(new_type("Customer", fields))
        customers: Any = list.__class_getitem__(customer)
        self._one: TypeAdapter[Customer] = TypeAdapter(customer)
        self._many: TypeAdapter[list[Customer]] = TypeAdapter(
            Annotated[customers, Field(min_length=1, max_length=MAX_CUSTOMERS)]
        )

    def parse_one(self, body: bytes) -> Customer:
        """Return the customer in a JSON object, or raise pydantic's ValidationError."""
        return self._one.validate_json(body)

    def parse_many(self, body: bytes) -> list[Customer]:
        """Return the customers in a JSON list, or raise pydantic's ValidationError."""
        return self._many.validate_json(body)

    def check(self, customer: Customer) -> Customer:
        """Return a customer that keeps the contract, or raise pydantic's ValidationError."""
        return self._one.validate_python(customer)

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON schema of a request, for the server's documentation."""
        one = self._one.json_schema()
        many = {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_CUSTOMERS}
        return {"anyOf": [one, many]}


def refusals(error: ValidationError) -> list[dict[str, Any]]:
    """Return field, value, rule and reason of everything that is wrong with a request.

    A field is a column's name, with the customer's place in front in a list: ``3.age``.
    """
    return [
        {
            "field": ".".join(map(str, one["loc"])) or "body",
            "value": _told(one["input"]) if one["type"] != "missing" else None,
            "rule": one["type"],
            "reason": one["msg"],
        }
        for one in error.errors(include_url=False, include_context=False)
    ]


def _told(value: object) -> str | int | float | bool | None:
    """Return a refused value so that it fits into an answer: short, and strict JSON."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) <= MAX_TOLD_NUMBER:
        return value
    text = value if isinstance(value, str) else type(value).__name__
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_TOLD_CHARACTERS else f"{text[:MAX_TOLD_CHARACTERS]}..."


def _whole(value: Any) -> Any:
    """Take 40.0 for 40, as the table does: where some are null, clients write all as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _annotation(column: Column) -> Any:
    base: Any
    if column.categories:
        base = Literal[column.categories]
    else:
        low, high = column.range
        base = Annotated[float, Field(ge=low, le=high)]
        if column.type == "integer":
            base = Annotated[int, Field(ge=low, le=high), BeforeValidator(_whole)]
    return base | None if column.max_null_rate > 0 else base
