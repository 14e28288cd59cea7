"""Groups of customers that a model must serve well each, not only all together."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..data.contract import Column, Contract
from ..data.dataset import Dataset
from ..data.distribution import Numbers
from ..data.reference import Reference
from .features import Features


@dataclass(frozen=True)
class Slice:
    """Customers who have something in common.

    Attributes
    ----------
    name
        What that is, in words.
    rows
        Who they are: a mask, [n].
    """

    name: str
    rows: npt.NDArray[np.bool_]


def slices_of(
    dataset: Dataset, contract: Contract, reference: Reference, bands: int
) -> list[Slice]:
    """Divide customers by every feature: its categories, bands of its numbers, and its nulls.

    The bands end where the reference's quantiles are, so that a slice is the same customers every
    night. A feature that is computed and is 0 or 1, as the cold start, is a slice too.
    """
    slices: list[Slice] = []
    for column in contract.features:
        values = dataset.columns[column.name]
        if column.is_numeric:
            slices += _bands(column, values, reference.profile.numbers[column.name], bands)
            missing = np.isnan(values)
        else:
            slices += [
                Slice(f"{column.name} = {category}", values == category)
                for category in column.categories
            ]
            missing = values == None  # noqa: E711 - compares each of an array
        if missing.any():
            slices.append(Slice(f"{column.name} is null", missing))
    for name, values in Features(contract).derived(dataset.columns).items():
        if set(np.unique(values[~np.isnan(values)])) == {0.0, 1.0}:
            slices.append(Slice(name, values == 1))
    return slices


def _bands(
    column: Column, values: npt.NDArray[np.float64], known: Numbers, bands: int
) -> Iterator[Slice]:
    if not known.quantiles:
        return
    places = (np.arange(1, bands) * len(known.quantiles)) // bands
    edges = [None, *sorted({known.quantiles[place] for place in places}), None]
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        rows = ~np.isnan(values)
        words = []
        if low is not None:
            rows &= values > low
            words.append(f"over {low:g}")
        if high is not None:
            rows &= values <= high
            words.append(f"up to {high:g}")
        if words:
            yield Slice(f"{column.name} {' '.join(words)}", rows)
