"""Every value has a bin, and an expectation of another contract is refused."""

import json
from pathlib import Path

import pytest

from toolkit.data import expectation as expectations
from toolkit.data.contract import Contract
from toolkit.data.expectation import Distribution
from toolkit.errors import ConfigurationError


@pytest.mark.parametrize(
    ("value", "bin_name"),
    [
        *((-5, "(-inf, 10]"), (10, "(-inf, 10]"), (10.5, "(10, 20]"), (20, "(10, 20]")),
        *((21, "(20, inf)"), (None, None)),
    ],
)
def test_a_number_is_in_the_bin_up_to_its_edge(value: float | None, bin_name: str | None) -> None:
    assert Distribution.of_numbers([10, 20], [1, 2, 3]).bin_of(value) == bin_name


def test_a_constant_column_has_one_bin() -> None:
    constant = Distribution.of_numbers([], [0], nulls=4)
    assert constant.bin_of(7) == "(-inf, inf)"
    assert list(constant.shares()) == [("(-inf, inf)", 0.0), (None, 1.0)]


def test_a_category_is_a_bin_and_shares_are_of_all_values() -> None:
    plans = Distribution(("basic", "full"), (6, 2), nulls=2)
    assert plans.bin_of("full") == "full"
    assert list(plans.shares()) == [("basic", 0.6), ("full", 0.2), (None, 0.2)]


def test_training_writes_the_distributions_of_its_data(bundle: Path, contract: Contract) -> None:
    expected = expectations.load(bundle, contract)
    assert list(expected.columns) == [column.name for column in contract.features]
    assert expected.columns["plan type"].bins == ("basic", "full")
    assert expected.columns["age"].nulls == 2
    assert sum(expected.columns["age"].counts) == 398
    assert len(expected.probabilities.counts) == 10
    assert sum(expected.probabilities.counts) > 50


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"schema": 0}, "another contract or format version"),
        ({"columns": {}}, "another contract or format version"),
        ({"probabilities": None}, "Input should be"),
    ],
)
def test_an_expectation_of_another_contract_or_format_is_refused(
    bundle: Path, contract: Contract, change: dict[str, object], complaint: str
) -> None:
    path = bundle / "expectation.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | change), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=complaint):
        expectations.load(bundle, contract)
    path.unlink()
    with pytest.raises(ConfigurationError, match=r"expectation\.json: No such file"):
        expectations.load(bundle, contract)
