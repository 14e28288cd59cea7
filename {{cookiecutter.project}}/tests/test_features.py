"""The derived features: what each gives, null for null, and one customer alone as among others."""

import numpy as np
import pytest
from toolkit.model.features import DerivedFeature

from {{ cookiecutter.package }}.features import FEATURES, is_new_customer, spend_per_tenure_month


def test_the_first_month_makes_a_new_customer() -> None:
    tenure_months = np.array([0.0, 1.0, np.nan])
    np.testing.assert_array_equal(is_new_customer(tenure_months), [1.0, 0.0, np.nan])


def test_the_first_month_counts_as_one() -> None:
    spend = spend_per_tenure_month(np.array([30.0, 55.0]), np.array([0.0, 10.0]))
    np.testing.assert_array_equal(spend, [30.0, 5.5])


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_feature_is_computed_row_by_row(feature: DerivedFeature) -> None:
    rng = np.random.default_rng(1)
    columns = [rng.uniform(0, 100, 50).round(1) for _ in feature.inputs]
    together = feature.compute(*columns)
    alone = [feature.compute(*(column[[row]] for column in columns))[0] for row in range(50)]
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_feature_of_nulls_is_null(feature: DerivedFeature) -> None:
    nulls = [np.array([np.nan]) for _ in feature.inputs]
    assert np.isnan(feature.compute(*nulls)).all()
