"""Validates the requests of /predict against the data contract."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import InitErrorDetails, PydanticCustomError, SchemaValidator, core_schema

# pydantic needs this one up to Python 3.11.
from typing_extensions import TypedDict

from ..data.contract import Column, Contract

MAX_CUSTOMERS = 10_000
# A description takes a kilobyte, its error a few bytes of a request: of more errors only the number
# is returned.
MAX_DETAILED_ERRORS = 10_000
# Misspelt and superfluous fields of one customer, each reported by its name.
MAX_UNKNOWN_FIELDS = 1000

# An error quotes as much of a field or a value as helps to find it.
MAX_QUOTED_CHARACTERS = 100
MAX_QUOTED_NUMBER = 1e300

# Strict: "12" is not a number and true is not 1. Forbid: a misspelt field must not become a null.
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

Customer = dict[str, Any]


class CustomerSchema:
    """The pydantic schema of one contract's customers.

    A customer is a TypedDict, not a model class: a column may have any name, also one that is no
    Python identifier or an attribute of every class.
    """

    def __init__(self, contract: Contract) -> None:
        fields = {column.name: annotation(column) for column in contract.features}
        # To mypy these are Any: it supports only TypedDicts that are written out.
        new_type: Any = TypedDict
        customer: Any = with_config(STRICT)(new_type("Customer", fields))
        self._one: TypeAdapter[Customer] = TypeAdapter(customer)
        # Not another adapter: of thousands of columns each takes a second.
        self._many = SchemaValidator(
            core_schema.list_schema(self._one.core_schema, min_length=1, max_length=MAX_CUSTOMERS)
        )
        self._colons = sum(map(_colons, contract.features))

    def parse_one(self, body: bytes) -> Customer:
        """Return the customer in a JSON object, or raise pydantic's ValidationError."""
        self._limit_fields(body, self._colons + MAX_UNKNOWN_FIELDS)
        return self._one.validate_json(body)

    def parse_many(self, body: bytes) -> list[Customer]:
        """Return the customers in a JSON list, or raise pydantic's ValidationError."""
        self._limit_fields(body, self._colons * MAX_CUSTOMERS + MAX_UNKNOWN_FIELDS)
        customers: list[Customer] = self._many.validate_json(body)
        return customers

    def _limit_fields(self, body: bytes, max_colons: int) -> None:
        """Refuse, before they are parsed, more fields than valid customers have."""
        if body.count(b":") > max_colons:
            too_many: InitErrorDetails = {
                "type": PydanticCustomError("too_many_fields", "There are far too many fields"),
                "loc": (),
                "input": None,
            }
            raise ValidationError.from_exception_data("body", [too_many])

    def check(self, customer: Customer) -> Customer:
        """Return a valid customer, or raise pydantic's ValidationError."""
        return self._one.validate_python(customer)

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON schema of a request, for the server's documentation."""
        one = self._one.json_schema()
        many = {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_CUSTOMERS}
        return {"anyOf": [one, many]}


def field_errors(error: ValidationError) -> list[dict[str, Any]]:
    """Return field, value, rule and reason of every error in a request.

    A field is a column's name, in a list after the customer's index: ``3.age``. Of more than
    `MAX_DETAILED_ERRORS` errors only the number is returned.
    """
    if error.error_count() > MAX_DETAILED_ERRORS:
        reason = f"{error.error_count()} errors: send one customer to see what is wrong"
        return [{"field": "body", "value": None, "rule": "too_many_errors", "reason": reason}]
    return [
        {
            "field": ".".join(_cut(str(part)) for part in one["loc"]) or "body",
            "value": quoted(one["input"]) if one["type"] != "missing" else None,
            "rule": one["type"],
            "reason": one["msg"],
        }
        for one in error.errors(include_url=False, include_context=False)
    ]


def quoted(value: object) -> str | int | float | bool | None:
    """Return an invalid value for a response: short, and strict JSON."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) <= MAX_QUOTED_NUMBER:
        return value
    text = value if isinstance(value, str) else type(value).__name__
    return _cut(text.encode("utf-8", "replace").decode())


def _cut(text: str) -> str:
    """Return the beginning of a client's text."""
    return text if len(text) <= MAX_QUOTED_CHARACTERS else f"{text[:MAX_QUOTED_CHARACTERS]}..."


def _colons(column: Column) -> int:
    """Return how many colons a column can have in a customer's JSON."""
    return (
        1 + column.name.count(":") + max((one.count(":") for one in column.categories), default=0)
    )


def _whole(value: Any) -> Any:
    """Accept 40.0 as 40, as in the table: clients with nulls in a column send it as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def annotation(column: Column) -> Any:
    """Return the type that pydantic validates a column's value by."""
    base: Any
    if column.categories:
        base = Literal[column.categories]
    else:
        low, high = column.range
        base = Annotated[float, Field(ge=low, le=high)]
        if column.type == "integer":
            base = Annotated[int, Field(ge=low, le=high), BeforeValidator(_whole)]
    return base | None if column.max_null_rate > 0 else base
