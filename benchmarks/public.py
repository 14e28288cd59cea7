"""How good the adopted model is on ten public tables, beside scikit-learn's usual baselines.

    nox -s benchmark_public [-- TABLE ...]

Each table is adopted in a fresh repository as `nox -s adopt` does. The model is then trained as
`nox -s train` does, and the baselines on the same customers: gradient boosting with its defaults
and with native categories, the same tuned by ROC AUC in the same folds, and logistic regression on
standardised numbers and one-hot categories. All are asked about the same hold-out.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from toolkit.data import adoption, dataset, table
from toolkit.data.dataset import Dataset
from toolkit.model import training
from toolkit.model.comparison import delong_sd, placements, sd_of_mean_placement

from benchmarks.generated import Generated
from benchmarks.machine import machine
from benchmarks.public_tables import ID, TABLES, PublicTable, write

SEED = 20261124
# In standard errors of the best model's ROC AUC.
MAX_BEHIND = 0.5
RATES, LEAVES, TREES = (0.03, 0.1), (7, 15, 31), (100, 300)
# Of a larger table the tuning takes a sample of its training customers.
TUNED_ROWS = 20_000
HEADER = ("table", "rows", "estimator", "adopted", "boosting", "tuned", "logistic", "SE", "behind")


def frame_of(customers: Dataset) -> pd.DataFrame:
    """Return the features as scikit-learn's own examples take them: categories are categories."""
    frame = pd.DataFrame(customers.columns)
    texts = frame.select_dtypes("object").columns
    return frame.astype(dict.fromkeys(texts, "category"))


def boosting(**parameters: Any) -> Any:
    """Return scikit-learn's boosting with native categories."""
    return HistGradientBoostingClassifier(
        categorical_features="from_dtype", random_state=SEED, **parameters
    )


def logistic(frame: pd.DataFrame) -> Any:
    """Return a logistic regression on standardised numbers and one-hot categories."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    texts = frame.select_dtypes("category").columns
    one_hot = OneHotEncoder(handle_unknown="ignore")
    prepared = make_column_transformer((one_hot, texts), remainder=numbers)
    return make_pipeline(prepared, LogisticRegression(max_iter=2000))


def tuned(frame: pd.DataFrame, labels: Any, folds: Any) -> Any:
    """Return boosting with the parameters that are best in these folds."""
    best: tuple[float, dict[str, Any]] = (-1.0, {})
    for rate, leaves, trees in itertools.product(RATES, LEAVES, TREES):
        parameters = {"learning_rate": rate, "max_leaf_nodes": leaves, "max_iter": trees}
        y_prob = np.empty(len(labels))
        for fold in np.unique(folds):
            inside = folds == fold
            model = boosting(early_stopping=False, **parameters)
            model.fit(frame[~inside], labels[~inside])
            y_prob[inside] = model.predict_proba(frame[inside])[:, 1]
        best = max(best, (float(roc_auc_score(labels, y_prob)), parameters), key=lambda one: one[0])
    return boosting(early_stopping=False, **best[1])


def measure(one: PublicTable, workspace: Path) -> tuple[list[str], float]:
    """Return a table's row, with every model's ROC AUC on its hold-out, and how far it is behind.

    The latter is the distance of the adopted model from the best, in standard errors of the best.
    """
    generated = Generated(workspace)
    path = write(one, workspace)
    request = adoption.Request(path, one.target, ID, one.positive)
    adoption.adopt(generated.places, request)
    contract, policy = generated.contract, generated.policy.training
    customers = dataset.from_table(table.read(contract), contract)
    held_out = dataset.is_held_out(customers, policy.holdout_share)
    train, holdout = customers.select(~held_out), customers.select(held_out)
    adopted = training.train(customers, contract, policy).holdout.predictions.y_prob

    everybody = frame_of(customers)
    known, asked = everybody[~held_out], everybody[held_out]
    few = dataset.quick_rows(train, TUNED_ROWS)
    folds = dataset.folds(train.select(few), policy.folds)
    baselines = (
        boosting(),
        tuned(known.iloc[few], train.labels[few], folds),
        logistic(known),
    )
    y_probs = [adopted] + [
        model.fit(known, train.labels).predict_proba(asked)[:, 1] for model in baselines
    ]
    aucs = [float(roc_auc_score(holdout.labels, y_prob)) for y_prob in y_probs]
    best = y_probs[int(np.argmax(aucs))]
    se = sd_of_mean_placement(*placements(holdout.labels == 1, best))
    behind = max(aucs) - aucs[0]
    paired = delong_sd(holdout.labels, y_probs[0], best)
    shown = f"{behind:.3f} = {behind / se:.2f} SE (paired sd {paired:.3f})"
    figures = (*(f"{auc:.3f}" for auc in aucs), f"{se:.3f}", shown)
    return [one.item, f"{len(customers):,}", policy.estimator, *figures], behind / se


def main(arguments: list[str]) -> int:
    """Print a row a table; 1 where one is worse than the best by more than half its standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", help="names of tables; all of them unless given")
    names = parser.parse_args(arguments).tables
    print(f"{machine()}\n\n| {' | '.join(HEADER)} |\n|{' --- |' * len(HEADER)}", flush=True)
    worse = False
    for one in TABLES:
        if names and one.item not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            row, behind = measure(one, Path(folder))
        worse |= behind > MAX_BEHIND
        print(f"| {' | '.join(row)} |", flush=True)
    return int(worse)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
