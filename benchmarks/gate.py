"""How often the comparison with the champion blocks an equal model, and misses a worse one.

    nox -s benchmark_gate

Each repetition divides the customers anew. The champion is trained on four fifths of the training
customers, and so is the candidate, on another four fifths: equal models, whose metrics differ by
chance. A worse candidate is the same one with noise on its predictions, by as much as costs 0.02 of
ROC AUC on average. Whether it is blocked is decided by the gate of a generated repository with its
own policy, slices included, and by the rules that are used elsewhere. When the champion was
released, other customers were held out: how often does the gate warn that these are of another
kind? The customers are Telco's, where that table is beside this checkout, and else the sample's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from toolkit.data import adoption, dataset, reference, table
from toolkit.model import champion_gate, comparison, measurement, training
from toolkit.model.champion import SCORED, Champion
from toolkit.model.evaluation import Predictions, best_threshold
from toolkit.model.features import Features

from benchmarks.generated import Generated
from benchmarks.machine import machine
from demo.repository import TEMPLATE

TELCO = TEMPLATE.parent / "shared" / "data" / "telco_customer_churn.csv"
REPETITIONS = 200
SHARE_TRAINED = 0.8
WORSE_BY = 0.02
SEED = 20261124
USUAL_LOSSES = (0.0, 0.005)
GATE = "lower with certainty and by a margin, on the same customers: `nox -s gate`"
WARNS = "any, and it warns that the holdout is of another kind: `nox -s gate`"
COMPOSITION = ("champion: churn rate of the holdout", "champion: difficulty of the holdout")


class Experiment:
    """A generated repository's table and policy, and everything that the gate measures with."""

    def __init__(self, workspace: Path) -> None:
        generated = Generated(workspace)
        if TELCO.exists():
            adoption.adopt(generated.places, adoption.Request(TELCO, "Churn", "customerID", None))
        self.contract, self.policy = generated.contract, generated.policy
        self.data = dataset.from_table(table.read(self.contract), self.contract)
        self.reference = reference.load(self.contract)
        self.matrix: np.ndarray = Features(self.contract).matrix(self.data.columns)
        self.rng = np.random.default_rng(SEED)
        self.noise = self._noise()

    def fit(self, rows: np.ndarray) -> Any:
        """Train the repository's own estimator on some customers."""
        return training.fit(self.matrix[rows], self.data.labels[rows], self.policy.training)

    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of the training customers, and of the holdout."""
        held_out = self.rng.random(len(self.data)) < self.policy.training.holdout_share
        return np.flatnonzero(~held_out), np.flatnonzero(held_out)

    def sample(self, rows: np.ndarray) -> np.ndarray:
        """Return four fifths of some rows."""
        return self.rng.permutation(rows)[: int(SHARE_TRAINED * len(rows))]

    def predict(self, pipeline: Any, rows: np.ndarray) -> np.ndarray:
        """Return the predicted probabilities of churn, [n]."""
        y_prob: np.ndarray = pipeline.predict_proba(self.matrix[rows])[:, 1]
        return y_prob

    def predictions(self, rows: np.ndarray, y_prob: np.ndarray) -> Predictions:
        """Return a model's predictions for customers, at the best threshold."""
        labels = self.data.labels[rows]
        return Predictions.at_threshold(labels, y_prob, best_threshold(labels, y_prob))

    def worse(self, y_prob: np.ndarray, noise: float) -> np.ndarray:
        """Add noise to the log odds."""
        clipped = np.clip(y_prob, 1e-6, 1 - 1e-6)
        odds = np.log(clipped / (1 - clipped)) + noise * self.rng.normal(size=len(y_prob))
        return 1 / (1 + np.exp(-odds))

    def _noise(self) -> float:
        """Find the noise that costs `WORSE_BY` of ROC AUC, averaged over many draws."""
        train, holdout = self.split()
        y_prob = self.predict(self.fit(train), holdout)
        full = self.predictions(holdout, y_prob).metrics()["roc_auc"]

        def cost(noise: float) -> float:
            drawn = [self.predictions(holdout, self.worse(y_prob, noise)) for _ in range(40)]
            return float(full - np.mean([one.metrics()["roc_auc"] for one in drawn]))

        low, high = 0.0, 5.0
        for _ in range(20):
            middle = (low + high) / 2
            low, high = (middle, high) if cost(middle) < WORSE_BY else (low, middle)
        return (low + high) / 2

    def gate(
        self, rows: np.ndarray, candidate: Predictions, champion: Predictions, then: Predictions
    ) -> dict[str, bool]:
        """Tell if the gate's rules about the champion fail, slices among them, and if it warns.

        Parameters
        ----------
        rows : numpy.ndarray
            The positions of the held-out customers, [n].
        then : Predictions
            A champion's for those who were held out when it was released.
        """
        y_prob: np.ndarray = candidate.y_prob
        evaluation = training.Evaluation(
            *(self.data.select(rows), candidate, {"held_out": len(rows)}),
            # The comparison asks for no other predictions.
            predict=lambda _, positions: y_prob[positions],
        )
        champion_prob: np.ndarray = champion.y_prob
        labels_then: np.ndarray = then.y_true
        scored = Champion(
            SCORED,
            release="champion",
            environment="prod",
            age_days=0.0,
            features=tuple((column.name, column.type) for column in self.contract.features),
            rows=len(then),
            churned=int(labels_then.sum()),
            roc_auc=roc_auc(then),
            probabilities=champion_prob,
            threshold=float(champion_prob[champion.y_pred == 1].min()),
        )
        compared = measurement.compare_with_champion(
            evaluation, scored, self.contract, self.reference, self.policy
        )
        evidence = {"champion": compared}
        outcomes = list(champion_gate.outcomes(evidence, self.policy))
        for rule in self.policy.slices.rules:
            if rule.kind == "max_loss":
                outcomes += champion_gate.slice_losses(rule, evidence, self.policy)
        warned = (one.subject in COMPOSITION for one in outcomes if one.level == "warn")
        return {GATE: any(one.level == "fail" for one in outcomes), WARNS: any(warned)}

    def trained_on_a_sample(self, train: np.ndarray, holdout: np.ndarray) -> np.ndarray:
        """Train on four fifths of the training customers, and predict the holdout."""
        return self.predict(self.fit(self.sample(train)), holdout)

    def repeat(self) -> tuple[dict[str, bool], dict[str, bool]]:
        """Tell which rules block an equal model, and which a worse one."""
        train, holdout = self.split()
        champion = self.predictions(holdout, self.trained_on_a_sample(train, holdout))
        y_prob = self.trained_on_a_sample(train, holdout)
        # What a registry has stored of the champion: its metric on the customers of that day.
        other_train, other_holdout = self.split()
        then = self.predictions(other_holdout, self.trained_on_a_sample(other_train, other_holdout))
        stored = then.metrics()["roc_auc"]
        verdicts = []
        for answers in (y_prob, self.worse(y_prob, self.noise)):
            candidate = self.predictions(holdout, answers)
            ours, theirs = (one.metrics()["roc_auc"] for one in (candidate, champion))
            blocked = self.gate(holdout, candidate, champion, then)
            for loss in USUAL_LOSSES:
                blocked[f"lower by more than {loss:g}, on the same customers"] = (
                    ours < theirs - loss
                )
            for loss in (0.005, 0.01):
                blocked[f"lower than the champion's stored figure by more than {loss:g}"] = (
                    ours < stored - loss
                )
            blocked["not higher by at least 0.005"] = ours < theirs + 0.005
            verdicts.append(blocked)
        return verdicts[0], verdicts[1]


def roc_auc(predictions: Predictions) -> dict[str, float]:
    """Return a ROC AUC with its 95 % interval, as a champion's evidence has it."""
    value = predictions.metrics()["roc_auc"]
    placements = comparison.placements(predictions.y_true == 1, predictions.y_prob)
    reach = 1.96 * comparison.sd_of_mean_placement(*placements)
    return {"value": value, "low": value - reach, "high": value + reach}


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(prog="nox -s benchmark_gate --")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    repetitions = parser.parse_args().repetitions
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment(Path(folder))
        began = time.monotonic()
        pairs = [experiment.repeat() for _ in range(repetitions)]
        equal, worse = (pd.DataFrame(side) for side in zip(*pairs, strict=True))
        name = "Telco's table" if TELCO.exists() else "the sample"
        print(f"\n{machine()}; {name}, {repetitions} repetitions, seed {SEED}\n")
        print(
            "| a candidate is blocked where its ROC AUC is | equal models | models worse by 0.02 |"
        )
        print("| --- | --- | --- |")
        for rule in equal:
            print(f"| {rule} | {equal[rule].mean():.1%} | {worse[rule].mean():.1%} |")
        print(f"\n{(time.monotonic() - began) / repetitions:.2f} s a repetition", file=sys.stderr)


if __name__ == "__main__":
    main()
