"""Slices: groups of customers in each of which a model must be good, not only on average."""

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
    """Customers with a value or a range of one feature.

    Attributes
    ----------
    name
        The feature with its value or range.
    rows
        The customers: a mask, [n].
    """

    name: str
    rows: npt.NDArray[np.bool_]


def slices_of(
    dataset: Dataset, contract: Contract, reference: Reference, bands: int
) -> list[Slice]:
    """Divide customers by every feature: by its categories, bands of its numbers, and its nulls.

    The bands end at quantiles of the reference, so that a slice holds the same customers every
    night. A derived feature that is 0 or 1, such as that of new customers, is a slice too.
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
    column: Column, values: npt.NDArray[np.float64], reference: Numbers, bands: int
) -> Iterator[Slice]:
    if not reference.quantiles:
        return
    places = (np.arange(1, bands) * len(reference.quantiles)) // bands
    edges = [None, *sorted({reference.quantiles[place] for place in places}), None]
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
