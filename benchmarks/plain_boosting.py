"""What one would type in place of `nox -s adopt`: pandas, one-hot, and scikit-learn's boosting.

    python -m benchmarks.plain_boosting FILE TARGET ID

Reads a table and cross-validates the default boosting in five folds. It looks for no leak, writes
nothing, exports no model, and checks neither table nor model.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_score

# A text with more distinct values is none of the features, as in an adoption.
MOST_CATEGORIES = 200


def main(file: str, target: str, name: str) -> None:
    """Print the mean ROC AUC of the folds."""
    path = Path(file)
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    labels = table.pop(target)
    texts = table.drop(columns=name).select_dtypes(include="str")
    many = [column for column in texts if texts[column].nunique() > MOST_CATEGORIES]
    features = pd.get_dummies(table.drop(columns=[name, *many]))
    # A date is none of them, either.
    features = features.select_dtypes(exclude=["datetime", "datetimetz"])
    scores = cross_val_score(
        HistGradientBoostingClassifier(random_state=0), features, labels, cv=5, scoring="roc_auc"
    )
    print(f"{scores.mean():.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
