"""A sketch of the accepted table's customers: whose features are as before, and whose id is not.

An id decides whether a customer is in the holdout: who may choose ids may choose the holdout. The
sketch knows some customers by a hash of their features, and of each only the position that the hash
of the id gave. Neither tells what it is a hash of: 32 bits of the one, of the other 16.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .contract import Contract
from .dataset import contents, mix, number_of, position
from .table import Table

ROWS = 2_000
POSITIONS = 2**16


@dataclass(frozen=True)
class Sketch:
    """Some customers of a table, each with features that no other one had.

    Attributes
    ----------
    pairs
        Of all rows, the number of pairs with the same features: how often that happens by chance.
    customers
        Each a number of 48 bits: 32 of the hash of the features, and 16 of the id's position.
    """

    pairs: int
    customers: tuple[int, ...]


@dataclass(frozen=True)
class Unchanged:
    """The customers of a sketch who are in a later table with the same features.

    Attributes
    ----------
    sketched
        All customers of the sketch.
    found
        Those of them who are in the table, with whatever id.
    before, now
        The positions of the ids of those who have another one, [k] each: below the holdout's share
        they are held out.
    alike
        The pairs of different customers of the sketch's table with the same features, by chance.
    odds
        How many times as many pairs, of a customer of the sketch and one of the table, are looked
        at here.
    """

    sketched: int
    found: int
    before: npt.NDArray[np.float64]
    now: npt.NDArray[np.float64]
    alike: int
    odds: float

    @property
    def expected(self) -> float:
        """The number of other ids that chance explains: other customers with the same features."""
        return self.alike * self.odds


def make(table: Table, contract: Contract, sha256: str) -> Sketch:
    """Return the sketch of a table without findings.

    Parameters
    ----------
    sha256
        Salts the hashes, so that sketches of different tables do not tell who is in both.
    """
    salted = _salted(table, contract, sha256)
    values, first, counts = np.unique(salted, return_index=True, return_counts=True)
    counts = counts.astype(np.int64)
    # The smallest hashes: chosen by the features, and whatever the ids are.
    chosen = np.flatnonzero(counts == 1)[:ROWS]
    features = (values[chosen] >> np.uint64(32)).astype(np.int64)
    customers = features * POSITIONS + _positions(table, contract, first[chosen])
    return Sketch(int((counts * (counts - 1) // 2).sum()), tuple(customers.tolist()))


def find(sketch: Sketch, table: Table, contract: Contract, sha256: str, rows: int) -> Unchanged:
    """Return whom of a sketch a table without findings still has, and under which ids.

    Parameters
    ----------
    sha256, rows
        Of the table that the sketch was made of.
    """
    features, before = np.divmod(np.array(sketch.customers, dtype=np.int64), POSITIONS)
    known = features.astype(np.uint64)
    high = _salted(table, contract, sha256) >> np.uint64(32)
    values, first, counts = np.unique(high, return_index=True, return_counts=True)
    place = np.minimum(np.searchsorted(values, known), max(len(values) - 1, 0))
    alike = (values[place] == known) & (counts[place] == 1)
    now = _positions(table, contract, first[place[alike]])
    before = before[alike]
    other = now != before
    pairs = max(rows * (rows - 1) // 2, 1)
    # One who is there under the own id, too, is not taken for another: there would be two of them.
    looked_at = (len(known) - int((~other).sum())) * len(table)
    return Unchanged(
        sketched=len(known),
        found=int(alike.sum()),
        before=before[other] / POSITIONS,
        now=now[other] / POSITIONS,
        # One more pair is the least known; some hashes of 32 bits are the same.
        alike=sketch.pairs + 1 + round(pairs * 2.0**-32),
        odds=looked_at / pairs,
    )


def _salted(table: Table, contract: Contract, sha256: str) -> npt.NDArray[np.uint64]:
    names = (column.name for column in contract.features)
    return mix(contents(table.values, names) ^ number_of(sha256))


def _positions(
    table: Table, contract: Contract, rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    ids = table.values[contract.id.name].iloc[rows].to_numpy(dtype=object)
    return (position(ids, "hold-out") * POSITIONS).astype(np.int64)
