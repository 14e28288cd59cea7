"""Two models are compared on the same customers, with intervals and p-values."""

import numpy as np
import pytest

from toolkit.model.comparison import Comparison, compare, delong_sd
from toolkit.model.evaluation import Predictions


def two_models(
    noise: float, worse_by: float, seed: int, rows: int = 1000
) -> tuple[Predictions, Predictions]:
    """Return a candidate and a champion of the same customers, the candidate with more noise."""
    rng = np.random.default_rng(seed)
    y_true = (rng.random(rows) < 0.3).astype(np.int64)
    signal = rng.normal(size=rows) + 1.6 * y_true
    models = []
    for extra in (worse_by, 0.0):
        score = signal + rng.normal(size=rows) * (noise + extra)
        models.append(Predictions.at_threshold(y_true, 1 / (1 + np.exp(-score)), 0.7))
    return models[0], models[1]


def of(metric: str, comparisons: list[Comparison]) -> Comparison:
    return next(one for one in comparisons if one.metric == metric)


def test_a_model_is_exactly_as_good_as_itself() -> None:
    one, _ = two_models(0.1, 0.0, seed=1)
    for comparison in compare(one, one, seed=1):
        assert comparison.loss == 0 and comparison.p_value == 1.0
        assert comparison.low == comparison.high == 0


def test_a_worse_model_is_significantly_worse() -> None:
    candidate, champion = two_models(0.1, 1.0, seed=2)
    auc = of("roc_auc", compare(candidate, champion, seed=1))
    assert auc.loss > 0.03 and auc.p_value < 1e-4
    assert auc.low > 0


def test_a_better_model_is_not_worse() -> None:
    champion, candidate = two_models(0.1, 1.0, seed=2)
    auc = of("roc_auc", compare(candidate, champion, seed=1))
    assert auc.loss < -0.03 and auc.p_value > 0.999


def test_a_loss_is_a_loss_whichever_way_the_metric_points() -> None:
    candidate, champion = two_models(0.1, 1.0, seed=2)
    by_name = {one.metric: one for one in compare(candidate, champion, seed=1)}
    for metric in ("roc_auc", "average_precision", "brier", "log_loss"):
        assert by_name[metric].loss > 0, metric
    assert by_name["brier"].candidate > by_name["brier"].champion


def test_equal_models_are_seldom_significantly_worse() -> None:
    alarms = 0
    for seed in range(200):
        candidate, champion = two_models(0.3, 0.0, seed, rows=300)
        loss = champion.metrics()["roc_auc"] - candidate.metrics()["roc_auc"]
        sd = delong_sd(candidate.y_true, candidate.y_prob, champion.y_prob)
        alarms += loss > 1.645 * sd  # One-sided, 5 %.
    assert 2 <= alarms <= 20


def test_delong_s_standard_deviation_is_that_of_many_samples() -> None:
    losses = []
    for seed in range(300):
        candidate, champion = two_models(0.5, 0.0, seed, rows=400)
        losses.append(champion.metrics()["roc_auc"] - candidate.metrics()["roc_auc"])
    candidate, champion = two_models(0.5, 0.0, seed=7, rows=400)
    sd = delong_sd(candidate.y_true, candidate.y_prob, champion.y_prob)
    assert sd == pytest.approx(np.std(losses), rel=0.25)


def test_ties_are_compared_too() -> None:
    y_true = np.array([0, 1, 0, 1, 0, 1, 0, 1])
    coarse = np.array([0.2, 0.8, 0.8, 0.8, 0.2, 0.2, 0.2, 0.8])
    assert delong_sd(y_true, coarse, np.full(8, 0.5)) > 0
