"""Other ids of unchanged customers are told from coincidences, whatever the tables' sizes."""

import numpy as np

from toolkit.data import holdout
from toolkit.data.contract import Contract
from toolkit.data.effect import Effect
from toolkit.data.holdout import Holdout, Part
from toolkit.data.sketch import Unchanged
from toolkit.model.policy import Policy

NOBODY = Part(0, 0, None)


def renamed(count: int, alike: int, odds: float, contract: Contract, policy: Policy) -> Effect:
    """Return what is said of so many of 2,000 customers who are there under another id."""
    positions = np.full(count, 0.5)
    found = Unchanged(2000, count, positions, positions, alike, odds)
    parts = Holdout(0.25, 1.0, NOBODY, NOBODY, found)
    [effect] = holdout.effects(parts, contract, policy.drift)
    return effect


def test_a_table_a_hundred_times_as_large_has_more_coincidences_than_the_reference_tells(
    contract: Contract, policy: Policy
) -> None:
    # The reference happened to have no customers alike; four would have been usual.
    effect = renamed(140, alike=1, odds=40.0, contract=contract, policy=policy)
    assert effect.value >= policy.drift.ids.fail
    assert effect.p_value > 0.01


def test_twenty_other_ids_in_the_reference_s_own_table_are_no_coincidence(
    contract: Contract, policy: Policy
) -> None:
    effect = renamed(20, alike=4, odds=0.004, contract=contract, policy=policy)
    assert effect.value >= policy.drift.ids.fail
    assert effect.p_value < 1e-6


def test_no_other_id_proves_nothing(contract: Contract, policy: Policy) -> None:
    assert renamed(0, alike=1, odds=0.2, contract=contract, policy=policy).p_value == 1
