"""A request is validated against the contract; all of its errors are returned."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from toolkit.data.contract import Contract
from toolkit.serving.customer import (
    MAX_CUSTOMERS,
    MAX_DETAILED_ERRORS,
    MAX_QUOTED_CHARACTERS,
    CustomerSchema,
    field_errors,
)

CUSTOMER = {"age": 40, "tenure_months": 3, "monthly_spend": 20, "plan type": "full"}


@pytest.fixture(scope="module")
def schema(contract: Contract) -> CustomerSchema:
    return CustomerSchema(contract)


def errors(schema: CustomerSchema, customers: Any) -> list[tuple[str, str]]:
    """Return the field and the reason of every error."""
    body = json.dumps(customers).encode()
    with pytest.raises(ValidationError) as raised:
        schema.parse_many(body) if isinstance(customers, list) else schema.parse_one(body)
    return [(error["field"], error["reason"]) for error in field_errors(raised.value)]


def test_a_valid_customer_is_accepted(schema: CustomerSchema) -> None:
    assert schema.parse_one(json.dumps(CUSTOMER).encode()) == CUSTOMER


def test_null_is_accepted_where_the_contract_accepts_nulls(schema: CustomerSchema) -> None:
    with_nulls = CUSTOMER | {"age": None, "plan type": None}
    assert schema.parse_one(json.dumps(with_nulls).encode()) == with_nulls


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("age", 17, "Input should be greater than or equal to 18"),
        ("age", 100, "Input should be less than or equal to 99"),
        ("age", "40", "Input should be a valid integer"),
        ("age", 40.5, "Input should be a valid integer"),
        ("age", True, "Input should be a valid integer"),
        ("tenure_months", None, "Input should be a valid integer"),
        ("monthly_spend", float("nan"), "Input should be a finite number"),
        ("monthly_spend", float("inf"), "Input should be a finite number"),
        ("plan type", "gold", "Input should be 'basic' or 'full'"),
        ("agee", 40, "Extra inputs are not permitted"),
        ("name", "customer 1", "Extra inputs are not permitted"),
    ],
)
def test_an_invalid_field_is_named_with_the_reason(
    schema: CustomerSchema, field: str, value: Any, reason: str
) -> None:
    assert errors(schema, CUSTOMER | {field: value}) == [(field, reason)]


def test_a_missing_field_is_named(schema: CustomerSchema) -> None:
    incomplete = {name: value for name, value in CUSTOMER.items() if name != "age"}
    assert errors(schema, incomplete) == [("age", "Field required")]


def test_all_invalid_fields_are_named_with_the_customer_s_index(schema: CustomerSchema) -> None:
    invalid = CUSTOMER | {"age": 7, "plan type": "gold"}
    fields = [field for field, _ in errors(schema, [CUSTOMER, invalid])]
    assert fields == ["1.age", "1.plan type"]


@pytest.mark.parametrize("count", [0, MAX_CUSTOMERS + 1])
def test_an_empty_and_a_too_long_list_are_refused(schema: CustomerSchema, count: int) -> None:
    [(field, reason)] = errors(schema, [CUSTOMER] * count)
    assert field == "body"
    assert "List should have at " in reason


@pytest.mark.parametrize("body", [b"", b"{", b"5", b'"age"', b"null", b"\xff"])
def test_a_body_that_is_not_a_customer_is_refused(schema: CustomerSchema, body: bytes) -> None:
    with pytest.raises(ValidationError) as raised:
        schema.parse_one(body)
    assert field_errors(raised.value)[0]["field"] == "body"


@pytest.mark.parametrize("customers", ["{}", "[{}]"])
def test_of_a_long_field_and_value_the_beginning_is_returned(
    schema: CustomerSchema, customers: str
) -> None:
    long = "a" * 3_000_000
    body = customers.replace("{}", json.dumps(CUSTOMER | {long: long})).encode()
    with pytest.raises(ValidationError) as raised:
        schema.parse_many(body) if body.startswith(b"[") else schema.parse_one(body)
    [error] = field_errors(raised.value)
    beginning = "a" * MAX_QUOTED_CHARACTERS + "..."
    assert error["field"].removeprefix("0.") == error["value"] == beginning
    assert len(json.dumps(error)) < 500


def test_of_very_many_errors_only_the_number_is_returned(schema: CustomerSchema) -> None:
    with pytest.raises(ValidationError) as raised:
        schema.parse_many(json.dumps([{}] * (MAX_DETAILED_ERRORS // 4 + 1)).encode())
    [error] = field_errors(raised.value)
    assert (error["field"], error["value"], error["rule"]) == ("body", None, "too_many_errors")
    assert f"{MAX_DETAILED_ERRORS + 4} errors" in error["reason"]


@pytest.mark.parametrize("customers", ["{}", "[{}]"])
def test_far_too_many_fields_are_refused_before_each_becomes_an_error(
    schema: CustomerSchema, customers: str
) -> None:
    fields = ",".join(f'"{number}":0' for number in range(300_000))
    body = customers.replace("{}", "{" + fields + "}").encode()
    with pytest.raises(ValidationError) as raised:
        schema.parse_many(body) if body.startswith(b"[") else schema.parse_one(body)
    assert [error["rule"] for error in field_errors(raised.value)] == ["too_many_fields"]


def test_the_longest_list_of_customers_has_not_too_many_fields(schema: CustomerSchema) -> None:
    assert len(schema.parse_many(json.dumps([CUSTOMER] * MAX_CUSTOMERS).encode())) == MAX_CUSTOMERS
