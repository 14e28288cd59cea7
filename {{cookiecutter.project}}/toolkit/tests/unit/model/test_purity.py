"""A feature or an estimator that looks at more than it is given is named, with what it changed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.data import contract as contracts
from toolkit.data import dataset as datasets
from toolkit.data import table
from toolkit.model import purity
from toolkit.model.other_process import OtherProcess
from toolkit.model.policy import Policy
from toolkit.model.purity import Given
from toolkit.tests import customers

FEATURES = """\
import datetime
import itertools
import time
import numpy as np
from toolkit.model.features import DerivedFeature

CALLS = itertools.count()
{module}

def odd(age):
    return {feature}

FEATURES = (DerivedFeature("odd", ("age",), odd),)
"""
ESTIMATORS = """\
import csv
import datetime
import itertools
import pathlib
import numpy as np
from sklearn.linear_model import LogisticRegression

CALLS = itertools.count()

class Odd(LogisticRegression):
    def fit(self, X, y):
        {before}
        return super().fit(X, y)

    def predict_proba(self, X):
        y_prob = super().predict_proba(X)
        {after}
        return y_prob

ESTIMATORS = {{"odd": lambda seed: Odd()}}
"""
PURE = {"module": "", "feature": "age", "before": "pass", "after": "pass"}


Write = Callable[..., Given]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Policy) -> Write:
    """Return a function from pieces of the owner's code to what that code is given."""
    package = f"impure_{tmp_path.name}"
    folder, data = tmp_path / "src" / package, tmp_path / "data"

    def write(**code: str) -> Given:
        folder.mkdir(parents=True)
        data.mkdir()
        (folder / "__init__.py").touch()
        for name, text in (("features", FEATURES), ("estimators", ESTIMATORS)):
            (folder / f"{name}.py").write_text(text.format_map(PURE | code), encoding="utf-8")
        path = customers.write(data, customers.make())
        text = customers.CONTRACT.replace("toolkit.tests.example", package)
        path.write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path / "src"))
        monkeypatch.chdir(tmp_path)
        contract = contracts.load(Path("data", "contract.toml"))
        dataset = datasets.from_table(table.read(contract), contract)
        few = dataset.select(purity.few_of_each(dataset.labels))
        training = replace(policy.training, package=package, estimator="odd")
        return Given(few.ids, few.columns, few.labels, contract, training, data)

    return write


@pytest.fixture
def differences(write: Write, tmp_path: Path) -> Callable[..., list[str]]:
    """Return a function from pieces of the owner's code to what differs in one process."""

    def find(**code: str) -> list[str]:
        (tmp_path / "scratch").mkdir()
        _, found = purity.differences_here(write(**code), tmp_path / "scratch")
        return found

    return find


def across(given: Given) -> list[str]:
    """Return what differs in another process."""
    with OtherProcess() as other:
        other.give(given)
        return purity.differences(given, other)


def test_pure_code_passes(write: Write) -> None:
    assert across(write()) == []


@pytest.mark.parametrize(
    ("module", "feature", "condition"),
    [
        ("", "age + datetime.date.today().weekday()", "on another date"),
        ("", "age + (datetime.datetime.now().year > 2026)", "on another date"),
        ("", "age + time.localtime().tm_yday", "on another date"),
        ("", "age + np.datetime64('today').astype(int)", "on another date"),
        ("import pandas", "age + pandas.Timestamp('now').day_of_year", "on another date"),
        ("DAY = datetime.date.today().toordinal()", "age - DAY", "on another date"),
        ("", "age - np.nanmean(age)", "without the other customers"),
        ("", "np.arange(len(age))", "in another order"),
        ("", "age + next(CALLS)", "a second time"),
    ],
)
def test_a_feature_that_looks_at_more_than_its_arguments_is_named(
    differences: Callable[..., list[str]], module: str, feature: str, condition: str
) -> None:
    found = differences(module=module, feature=feature)
    assert any(one.startswith("feature odd: ") and condition in one for one in found), found
    assert all("a feature may look at nothing but its arguments" in one for one in found)


@pytest.mark.parametrize(
    ("before", "after", "condition"),
    [
        ("X = X + np.random.normal(size=X.shape)", "pass", "a second time"),
        ("pass", "y_prob = y_prob[np.argsort(y_prob[:, 1])]", "in another order"),
        ("pass", "y_prob = y_prob * 0.9 if len(X) < 300 else y_prob", "without the other"),
        ("X = X * (1 + datetime.date.today().year % 3)", "pass", "on another date"),
        (
            "self.C = 1 / len(list(pathlib.Path('.').rglob('*.csv')) or range(100000))",
            "pass",
            "without the data folder",
        ),
    ],
)
def test_an_estimator_that_learns_from_more_than_it_is_given_is_named(
    differences: Callable[..., list[str]], before: str, after: str, condition: str
) -> None:
    found = differences(before=before, after=after)
    assert any(condition in one for one in found), found
    assert all(one.startswith("estimator odd: predictions differ ") for one in found), found
    assert all("an estimator may learn from nothing but its seed" in one for one in found)


@pytest.mark.parametrize(
    "place",
    [
        "'data/customers.csv'",
        "pathlib.Path(__file__).parents[2] / 'data' / 'customers.csv'",
        "pathlib.Path({folder!r}) / 'data' / 'customers.csv'",
    ],
)
def test_an_estimator_that_reads_the_table_is_named_with_its_line(
    differences: Callable[..., list[str]], tmp_path: Path, place: str
) -> None:
    place = place.format(folder=str(tmp_path))
    [sentence] = differences(before=f"rows = list(csv.reader(open({place})))")
    assert sentence.startswith("without the data folder: src/impure_"), sentence
    assert "estimators.py, line 12: ESTIMATORS: 'odd' cannot be trained: FileNotFound" in sentence


def test_a_seed_of_python_s_hash_is_seen_in_another_process(write: Write) -> None:
    # Among so many values two seeds have the same once in a hundred thousand runs.
    [sentence] = across(write(module="PLAN = hash('full') % 100_000", feature="age + PLAN"))
    assert sentence.startswith("feature odd: ") and "differ in another process: " in sentence


def test_code_that_ends_the_process_is_a_difference(write: Write) -> None:
    [sentence] = across(write(before="import os; os._exit(7)"))
    assert sentence == ("in another process your features and estimator cannot be run: exit code 7")
