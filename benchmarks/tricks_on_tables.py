"""Tricks with a table, or with the reference that it is compared with.

The table is tampered with, and the data check decides by the policy of a generated repository.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from toolkit.data import acceptance, dataset, examination, reference, table
from toolkit.data.contract import Column, Contract
from toolkit.errors import ToolkitError
from toolkit.model import fitting
from toolkit.model.features import Features

from benchmarks import tampering
from benchmarks.attempt import FAILED, SILENT, WARNED, Attempt
from benchmarks.generated import Generated

COPIES = (0.01, 0.05, 0.20, 0.50)
NEAR_COPIES = (0.05, 0.20, 0.50)
LEAKS = (0.90, 0.95, 0.975, 0.985)
LABELS = (60, 120, 240, 480)
CHOSEN_LABELS = (30, 60, 120, 240)
AGES = (75, 70, 65, 58)
IDS = (30, 60, 134, 300)
REFERENCES = (5, 100, 300, 1000)
EDITED_ROWS = 5

# The two tables that tricks are played on, as the end of a trick's name.
SAME, LATER = "", ", in a later table"


@dataclass(frozen=True)
class Tampered:
    """A table after a trick.

    Attributes
    ----------
    played_on
        `SAME`: the table of the reference; or `LATER`: other customers.
    """

    trick: str
    size: str
    played_on: str
    customers: pd.DataFrame


class Checks:
    """The checks of a repository.

    Parameters
    ----------
    folder : pathlib.Path
        Where the table and its reference are written.
    """

    def __init__(self, generated: Generated, folder: Path) -> None:
        self.policy = generated.policy
        self.contract = replace(
            generated.contract,
            path=folder / "contract.toml",
            data=folder / "customers.parquet",
        )

    @property
    def highest_roc_auc(self) -> float:
        """Above which the gate fails, because a column must leak the target."""
        bounds = (one for one in self.policy.rules if one.metric == "roc_auc")
        return min(one.threshold for one in bounds if one.bound == "max")

    def write(self, customers: pd.DataFrame) -> None:
        """Put a table where the contract expects it."""
        customers.to_parquet(self.contract.data, index=False)

    def accept(self, customers: pd.DataFrame) -> None:
        """Make a table the reference, however few rows it has."""
        self.write(customers)
        read = table.read(self.contract)
        made = reference.make(read, dataset.from_table(read, self.contract), self.contract)
        self.contract.reference.write_bytes(reference.to_json(acceptance.first(made)))

    def predict(self) -> np.ndarray:
        """Return the probabilities of the reference's model for its own table, [n]."""
        data = dataset.from_table(table.read(self.contract), self.contract)
        model = reference.load(self.contract).model
        return model.predict(Features(self.contract).matrix(data.columns))

    def verdict(self) -> str:
        """Return what the data check says of the table."""
        try:
            examined = examination.examine(self.contract, self.policy)
        except ToolkitError:
            return FAILED
        if examined.failures:
            return FAILED
        return WARNED if examined.warnings else SILENT

    def roc_auc(self, contract: Contract) -> float:
        """Train on the table as `nox -s train` does, and rank its holdout."""
        data = dataset.from_table(table.read(contract), contract)
        held_out = dataset.is_held_out(data, self.policy.training.holdout_share)
        matrix: np.ndarray = Features(contract).matrix(data.columns)
        pipeline = fitting.fit(matrix[~held_out], data.labels[~held_out], self.policy.training)
        y_prob = fitting.probabilities(pipeline, matrix[held_out])
        return float(roc_auc_score(data.labels[held_out], y_prob))

    def with_new_column(self) -> Contract:
        """Return the contract of a table with another column before the target."""
        *others, target = self.contract.columns
        column = Column(tampering.NEW, "feature", "number")
        return replace(self.contract, columns=(*others, column, target))

    def tells_its_ranking(self, contract: Contract) -> bool:
        """Accept the table with its new column: does the reference say how well it ranks?"""
        read = table.read(contract)
        made = reference.make(read, dataset.from_table(read, contract), contract)
        accepted, _ = acceptance.accept(made, read, contract, self.policy.drift)
        told = (one for one in accepted.accepted[-1].moved if one.startswith(tampering.NEW))
        return any("alone ranks customers" in one for one in told)


def _tables(
    checks: Checks, same: pd.DataFrame, later: pd.DataFrame, rng: np.random.Generator
) -> Iterator[Tampered]:
    """Yield each table, first those that nobody has tampered with."""
    y_prob, share = checks.predict(), checks.policy.training.holdout_share
    both = {SAME: same, LATER: later}
    for name, customers in both.items():
        yield Tampered(f"none{name}", "", name, customers)
    for copies in COPIES:
        frame = tampering.copied(same, copies, rng)
        yield Tampered("customers copied under other ids", f"{copies:.0%}", SAME, frame)
    for copies in NEAR_COPIES:
        frame = tampering.copied(same, copies, rng, dearer=0.01)
        trick = "customers copied, with a bill higher by 0.01"
        yield Tampered(trick, f"{copies:.0%}", SAME, frame)
    for name, customers in both.items():
        for auc in LEAKS:
            frame = tampering.leaking(customers, auc, rng)
            yield Tampered(f"a column begins to leak{name}", f"AUC {auc:g}", name, frame)
    for name, customers in both.items():
        for labels in LABELS:
            frame = tampering.swapped(customers, labels, None, rng)
            yield Tampered(f"labels swapped in pairs{name}", f"{labels}", name, frame)
    for labels in CHOSEN_LABELS:
        frame = tampering.swapped(same, labels, y_prob, rng)
        trick = "labels swapped in pairs, where a model is most wrong"
        yield Tampered(trick, f"{labels}", SAME, frame)
    for name, customers in both.items():
        for age in AGES:
            frame = tampering.without_old_churners(customers, age)
            yield Tampered(f"churners above an age retained{name}", f"over {age}", name, frame)
    for count in IDS:
        frame = tampering.renamed(same, count, y_prob, share)
        yield Tampered("easy customers renamed into the holdout", f"{count}", SAME, frame)


def on_tables(
    checks: Checks,
    same: pd.DataFrame,
    later: pd.DataFrame,
    rng: np.random.Generator,
    trained: bool,
) -> Iterator[Attempt]:
    """Play each trick once.

    Parameters
    ----------
    same, later
        The customers of the reference, and others.
    trained
        Whether to train a model on each table, too.
    """
    checks.accept(same)
    honest: dict[str, float] = {}
    for one in _tables(checks, same, later, rng):
        checks.write(one.customers)
        auc = checks.roc_auc(checks.contract) if trained else math.nan
        gain = auc - honest.setdefault(one.played_on, auc)
        yield Attempt(one.trick, one.size, checks.verdict(), gain)
    contract = checks.with_new_column()
    for alone in LEAKS:
        checks.write(tampering.with_leak(same, alone, rng))
        auc = checks.roc_auc(contract)
        told = WARNED if checks.tells_its_ranking(contract) else SILENT
        verdict = FAILED if auc > checks.highest_roc_auc else told
        gain = auc - honest[SAME]
        yield Attempt("a new column leaks, and is accepted", f"AUC {alone:g}", verdict, gain)


def on_references(
    checks: Checks, same: pd.DataFrame, rng: np.random.Generator
) -> Iterator[Attempt]:
    """Make the reference of a few customers, or say that it was, and check all of them."""
    of_each = [np.flatnonzero(same[tampering.TARGET] == label)[:2] for label in ("0", "1")]
    # At least two of each label, and the others as they come.
    order = pd.unique(np.concatenate([*of_each, rng.permutation(len(same))]))
    for count in REFERENCES:
        checks.accept(same.iloc[order[:count]])
        checks.write(same)
        yield Attempt("the reference is made of a few rows", f"{count}", checks.verdict())
    checks.accept(same)
    document = json.loads(checks.contract.reference.read_bytes())
    document["profile"]["rows"] = EDITED_ROWS
    checks.contract.reference.write_text(json.dumps(document), encoding="utf-8")
    yield Attempt("`reference.json` is edited by hand", f"{EDITED_ROWS}", checks.verdict())
