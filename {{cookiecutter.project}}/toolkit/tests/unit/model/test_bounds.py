"""A bound of the contract that is far from all customers keeps no mistake out, and is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.data import bounds, examination
from toolkit.data import contract as contracts
from toolkit.data import dataset as datasets
from toolkit.data import reference as references
from toolkit.errors import ConfigurationError
from toolkit.model.policy import Policy
from toolkit.tests import customers

Change = Callable[[str, str], Path]


@pytest.fixture
def change(tmp_path: Path) -> Change:
    """Change the contract after its table was accepted, and return its path."""
    contract, table = customers.read(tmp_path, customers.make())
    made = references.make(table, datasets.from_table(table, contract), contract)
    contract.reference.write_bytes(references.to_json(made))

    def change(old: str, new: str) -> Path:
        text = contract.path.read_text(encoding="utf-8")
        assert old in text
        contract.path.write_text(text.replace(old, new), encoding="utf-8")
        return contract.path

    return change


def test_an_age_of_up_to_a_million_is_refused(change: Change, policy: Policy) -> None:
    path = change("max = 99", "max = 1000000")
    with pytest.raises(ConfigurationError) as refused:
        examination.examine(contracts.load(path), policy)
    said = str(refused.value)
    assert said.startswith(f"{path}: column 'age': max: must be from -")
    assert "not 1e+06: nearly all customers of " in said
    assert said.endswith("so this bound keeps no mistake out")
    assert refused.value.next_step.startswith(f"fix {path}; ")


def test_a_lower_bound_is_held_against_the_customers_too(change: Change, policy: Policy) -> None:
    path = change("min = 0\nmax = 500", "min = -1e6\nmax = 500")
    with pytest.raises(ConfigurationError, match="column 'monthly_spend': min: must be from -"):
        examination.examine(contracts.load(path), policy)


def test_the_bounds_around_one_customer_far_from_all_others_are_taken(change: Change) -> None:
    """Adoption infers them from the largest value that there is."""
    contract = contracts.load(change("max = 500\n", "max = 1.5e9\n"))
    accepted = references.load(contract).profile
    spend = accepted.numbers["monthly_spend"]
    # Among four million customers who spend nothing, one who spends a billion.
    alone = replace(spend, rows=4_000_000, quantiles=(0.0,) * len(spend.quantiles), sd=500_000.0)
    numbers = accepted.numbers | {"monthly_spend": alone}
    bounds.require_near(contract, replace(accepted, numbers=numbers))
    fewer = accepted.numbers | {"monthly_spend": replace(alone, rows=400, sd=50.0)}
    with pytest.raises(ConfigurationError, match="'monthly_spend': max: must be from -50000 to"):
        bounds.require_near(contract, replace(accepted, numbers=fewer))


@pytest.mark.parametrize("bound", ["max = 99", "max = 9999", ""])
def test_a_bound_with_room_and_no_bound_are_taken(
    change: Change, policy: Policy, bound: str
) -> None:
    path = change("max = 99", bound)
    assert examination.examine(contracts.load(path), policy).failures == []
