"""How often the comparison with the champion blocks an equal model, and misses a worse one.

    nox -s benchmark_gate

Each repetition divides the customers anew. The champion is trained on four fifths of those that may
be known, and so is the candidate, on another four fifths: equal models, whose figures differ by
chance. A worse candidate is the same one with its answers blurred, by as much as costs 0.02 of ROC AUC
on average. Whether it is blocked is told by the gate of a generated repository with its own policy,
slices included, and by the rules that are used elsewhere. The customers are Telco's, where that table
is beside this checkout, and else the sample's.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.machine import machine
from benchmarks.model_wing import Repository
from demo.repository import TEMPLATE

TELCO = TEMPLATE.parent / "shared" / "data" / "telco_customer_churn.csv"
REPETITIONS = 200
SHARE_TRAINED = 0.8
WORSE_BY = 0.02
SEED = 20261124
USUAL_LOSSES = (0.0, 0.005)


class Experiment:
    """One baked repository with a table, and everything that the gate measures with."""

    def __init__(self, workspace: Path) -> None:
        repository = Repository(workspace)
        self.module = repository.module
        folder = repository.folder
        if TELCO.exists():
            self._adopt(folder)
        self.contract = self.module("contract").load(folder / "data" / "contract.toml")
        self.policy = self.module("policy_file").load(folder / "quality.toml")
        table = self.module("table").read(self.contract)
        self.data = self.module("dataset").from_table(table, self.contract)
        self.reference = self.module("reference").load(self.contract)
        self.matrix = self.module("features").Features(self.contract).matrix(self.data.columns)
        self.rng = np.random.default_rng(SEED)
        self.blur = self._blur()

    def _adopt(self, folder: Path) -> None:
        places = self.module("places").Places(
            folder, folder / "data/contract.toml", folder / "quality.toml", folder / "reports"
        )
        adoption = self.module("adoption")
        adoption.adopt(places, adoption.Request(TELCO, "Churn", "customerID", None))

    def fit(self, rows: np.ndarray) -> Any:
        """Train the repository's own estimator on some customers."""
        training = self.module("training")
        return training.fit(self.matrix[rows], self.data.labels[rows], self.policy.training)

    def divide(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions that may be known, and those that are held out."""
        held_out = self.rng.random(len(self.data)) < self.policy.training.holdout_share
        return np.flatnonzero(~held_out), np.flatnonzero(held_out)

    def some(self, rows: np.ndarray) -> np.ndarray:
        """Return four fifths of some rows."""
        return self.rng.permutation(rows)[: int(SHARE_TRAINED * len(rows))]

    def say(self, pipeline: Any, rows: np.ndarray) -> np.ndarray:
        """Return the probabilities of leaving, [n]."""
        return pipeline.predict_proba(self.matrix[rows])[:, 1]

    def judged(self, rows: np.ndarray, said: np.ndarray) -> Any:
        """Return customers and what a model said of them, decided at the best threshold."""
        evaluation = self.module("evaluation")
        labels = self.data.labels[rows]
        threshold = evaluation.best_threshold(labels, said)
        return evaluation.Judged(labels, said, (said >= threshold).astype(np.int64))

    def worse(self, said: np.ndarray, blur: float) -> np.ndarray:
        """Blur answers: add noise to their log odds."""
        clipped = np.clip(said, 1e-6, 1 - 1e-6)
        odds = np.log(clipped / (1 - clipped)) + blur * self.rng.normal(size=len(said))
        return 1 / (1 + np.exp(-odds))

    def _blur(self) -> float:
        """Find the noise that costs `WORSE_BY` of ROC AUC, averaged over many draws."""
        known, unseen = self.divide()
        said = self.say(self.fit(known), unseen)
        full = self.judged(unseen, said).metrics()["roc_auc"]

        def cost(blur: float) -> float:
            drawn = [self.judged(unseen, self.worse(said, blur)) for _ in range(40)]
            return float(full - np.mean([one.metrics()["roc_auc"] for one in drawn]))

        low, high = 0.0, 5.0
        for _ in range(20):
            middle = (low + high) / 2
            low, high = (middle, high) if cost(middle) < WORSE_BY else (low, middle)
        return (low + high) / 2

    def gate_blocks(self, rows: np.ndarray, candidate: Any, champion: Any) -> bool:
        """Tell if the gate's rules about the champion fail, slices among them."""
        measurement = self.module("measurement")
        champions = self.module("champion")
        trial = self.module("training").Trial(
            self.data.select(rows), candidate, {"held_out": len(rows)}
        )
        met = champions.Champion(
            champions.SCORED,
            release="champion",
            environment="prod",
            age_days=0.0,
            features=tuple((column.name, column.type) for column in self.contract.features),
            rows=len(rows),
            probabilities=champion.probabilities,
            threshold=float(champion.probabilities[champion.decided == 1].min()),
        )
        told = measurement.meet(trial, met, self.contract, self.reference, self.policy)
        gate = self.module("champion_gate")
        outcomes = list(gate.outcomes({"champion": told}, self.policy))
        for rule in self.policy.slices.rules:
            if rule.kind == "max_loss":
                outcomes += gate.slice_losses(rule, {"champion": told}, self.policy)
        return any(outcome.level == "fail" for outcome in outcomes)

    def repeat(self) -> tuple[dict[str, bool], dict[str, bool]]:
        """Tell which rules block an equal model, and which a worse one."""
        known, unseen = self.divide()
        champion = self.judged(unseen, self.say(self.fit(self.some(known)), unseen))
        said = self.say(self.fit(self.some(known)), unseen)
        # What a registry has stored of the champion: its figure on the customers of that day.
        other_known, other_unseen = self.divide()
        then = self.judged(other_unseen, self.say(self.fit(self.some(other_known)), other_unseen))
        stored = then.metrics()["roc_auc"]
        verdicts = []
        for answers in (said, self.worse(said, self.blur)):
            candidate = self.judged(unseen, answers)
            ours, theirs = (one.metrics()["roc_auc"] for one in (candidate, champion))
            blocked = {"this gate": self.gate_blocks(unseen, candidate, champion)}
            for loss in USUAL_LOSSES:
                blocked[f"same customers, lower by more than {loss:g}"] = ours < theirs - loss
            for loss in (0.005, 0.01):
                blocked[f"stored figure, lower by more than {loss:g}"] = ours < stored - loss
            blocked["must be better by 0.005"] = ours < theirs + 0.005
            verdicts.append(blocked)
        return verdicts[0], verdicts[1]


def main() -> None:
    """Print the table as Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment(Path(folder))
        began = time.monotonic()
        pairs = [experiment.repeat() for _ in range(REPETITIONS)]
        equal, worse = (pd.DataFrame(side) for side in zip(*pairs, strict=True))
        table = "Telco's table" if TELCO.exists() else "the sample"
        print(f"\n{machine()}; {table}, {REPETITIONS} repetitions, seed {SEED}\n")
        print("| rule | equal models blocked | models worse by 0.02 blocked |")
        print("| --- | --- | --- |")
        for rule in equal:
            print(f"| {rule} | {equal[rule].mean():.1%} | {worse[rule].mean():.1%} |")
        print(f"\n{(time.monotonic() - began) / REPETITIONS:.2f} s a repetition", file=sys.stderr)


if __name__ == "__main__":
    main()
