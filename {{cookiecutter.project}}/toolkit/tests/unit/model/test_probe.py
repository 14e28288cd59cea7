"""Of thousands of columns a few are cross-validated, and the rules decide as if all had been."""

import numpy as np
import numpy.typing as npt
import pytest

from toolkit.data import probe as probes
from toolkit.data.probe import SUSPICIOUS_AUC, Probe, Values

TABLES = 12


def labels(rng: np.random.Generator, count: int) -> npt.NDArray[np.bool_]:
    return rng.random(count) < rng.uniform(0.1, 0.6)


def random_column(rng: np.random.Generator, churned: npt.NDArray[np.bool_]) -> Values:
    """Return a column of some type, with or without nulls, that tells nothing, a bit or all."""
    count = len(churned)
    # How often it is not drawn by chance.
    tells = rng.random(count) < rng.choice([0, 0, 0.2, 0.5, 0.8, 0.9, 0.97, 1])
    kind = rng.integers(5)
    if kind == 0:
        values: npt.NDArray[np.float64] = rng.normal(0, 1, count)
        values = values + np.where(tells & churned, 6.0, 0.0)
    elif kind == 1:
        values = np.where(tells, churned, rng.random(count) < 0.3).astype(float)
    elif kind == 2:
        # Churned customers in the middle, and in every second of a few bands.
        bands = rng.integers(0, 8, count) * 2 + np.where(tells, churned, rng.integers(0, 2, count))
        values = bands + rng.random(count) * 0.9
    elif kind == 3:
        values = rng.poisson(3, count).astype(float) + np.where(tells & churned, 3.0, 0.0)
    else:
        values = np.where(tells, 2 * churned, rng.integers(0, 12, count)).astype(float)
    nulls = np.where(tells, churned, rng.random(count) < 0.5) & (rng.random() < 0.3)
    values = np.where(nulls, np.nan, values)
    return Values(values, categories=12 if kind == 4 else 0)


def random_table(
    seed: int, columns: int, count: int | None = None
) -> tuple[Probe, dict[str, Values]]:
    rng = np.random.default_rng(seed)
    churned = labels(rng, count or int(rng.integers(60, 1500)))
    probe = Probe(churned)
    drawn = {f"x{at}": random_column(rng, churned).select(probe.rows) for at in range(columns)}
    return probe, drawn


@pytest.mark.parametrize("seed", range(TABLES))
def test_no_column_is_better_than_its_bound(seed: int) -> None:
    probe, columns = random_table(seed, 20)
    aucs = [probe.auc(values) for values in columns.values()]
    assert (probe.upper_bounds(list(columns.values())) >= aucs).all()


@pytest.mark.parametrize("seed", range(TABLES))
def test_the_columns_that_reach_a_figure_are_those_of_a_cross_validation_of_all(seed: int) -> None:
    probe, columns = random_table(seed, 20)
    aucs = {name: probe.auc(values) for name, values in columns.items()}
    expected = {name: auc for name, auc in aucs.items() if auc >= SUSPICIOUS_AUC}
    assert probe.reaching(columns, SUSPICIOUS_AUC) == expected


@pytest.mark.parametrize("seed", range(TABLES))
def test_the_strongest_column_is_that_of_a_cross_validation_of_all(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe, columns = random_table(seed, 20)
    columns["again"] = columns["x7"]
    aucs = {name: probe.auc(values) for name, values in columns.items()}
    name = max(aucs, key=lambda name: aucs[name])
    assert probe.strongest(columns) == (name, aucs[name])
    # Of a wider table it is one of those that could be it.
    monkeypatch.setattr(probes, "PROBED", 3)
    found = probe.strongest(columns)
    bounds = probe.upper_bounds(list(columns.values()))
    could_be = sorted(np.argsort(-bounds, kind="stable")[:3].tolist())
    names = [list(columns)[place] for place in could_be]
    assert found == max(((one, aucs[one]) for one in names), key=lambda one: one[1])


def test_among_thousands_of_columns_a_leak_is_found_on_a_few_hundred_customers() -> None:
    rng = np.random.default_rng(7)
    churned = rng.random(380) < 0.25
    probe = Probe(churned)
    columns = {f"x{at}": Values(rng.normal(0, 1, len(probe.rows))) for at in range(2000)}
    swapped = churned[probe.rows] ^ (rng.random(len(probe.rows)) < 0.01)
    columns["x70"] = Values(swapped + rng.normal(0, 0.1, len(probe.rows)))
    name, auc = probe.strongest(columns)
    assert name == "x70" and auc > 0.95


def test_of_thousands_of_columns_without_a_leak_few_are_cross_validated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(3)
    churned = rng.random(2000) < 0.25
    probe = Probe(churned)
    columns = {f"x{at}": Values(rng.normal(0, 1, len(probe.rows))) for at in range(300)}
    columns["x70"] = Values(columns["x70"].numbers + 0.6 * churned[probe.rows])
    tried: list[Values] = []
    auc = Probe.auc

    def counted(own: Probe, one: Values) -> float:
        tried.append(one)
        return auc(own, one)

    monkeypatch.setattr(Probe, "auc", counted)
    assert probe.reaching(columns, SUSPICIOUS_AUC) == {} and not tried
    assert probe.strongest(columns)[0] == "x70" and len(tried) == probes.PROBED


def test_of_a_large_table_the_same_customers_are_looked_at_in_every_column() -> None:
    churned = np.arange(40_000) % 4 == 0
    probe = Probe(churned)
    assert len(probe.rows) == 2 * probes.ROWS
    assert churned[probe.rows].sum() == probes.ROWS
