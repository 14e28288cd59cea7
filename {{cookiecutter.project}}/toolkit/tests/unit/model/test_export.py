"""The ONNX file predicts what the pipeline does, or it is refused."""

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from toolkit.data.contract import Contract
from toolkit.data.dataset import Dataset
from toolkit.errors import ExportError
from toolkit.model import fitting, training
from toolkit.model.export import TOLERANCE, export
from toolkit.model.features import Features
from toolkit.model.policy import Policy
from toolkit.model.predictor import OUTPUT, Predictor


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Limit the threads, which would wait for one another while other tests need the cores."""
    with threadpool_limits(fitting.THREADS):
        yield


def test_the_file_predicts_every_customer_as_the_pipeline_does(
    contract: Contract, dataset: Dataset, policy: Policy
) -> None:
    matrix = Features(contract).matrix(dataset.columns)
    pipeline = training.fit(matrix, dataset.labels, policy.training)
    predictor = Predictor(contract, export(pipeline, contract, 0.4, matrix))
    expected = pipeline.predict_proba(matrix)[:, 1]
    assert np.abs(predictor.probabilities(matrix) - expected).max() <= TOLERANCE
    assert predictor.threshold == 0.4


def test_two_that_vote_are_exported_without_a_warning_of_the_runtime(
    contract: Contract, dataset: Dataset, policy: Policy, capfd: pytest.CaptureFixture[str]
) -> None:
    matrix = Features(contract).matrix(dataset.columns)
    pipeline = training.fit(matrix, dataset.labels, policy.training)
    both = [("boosting", pipeline[-1]), ("logistic", LogisticRegression())]
    two = VotingClassifier(both, voting="soft", flatten_transform=False)
    voting = make_pipeline(pipeline[0], two).fit(matrix, dataset.labels)
    predictor = Predictor(contract, export(voting, contract, 0.4, matrix))
    expected = voting.predict_proba(matrix)[:, 1]
    assert np.abs(predictor.probabilities(matrix) - expected).max() <= TOLERANCE
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("estimator", ["boosting", "logistic", "both", "network"])
def test_a_customer_gets_to_the_bit_the_same_alone_and_among_any_number_of_others(
    contract: Contract, dataset: Dataset, policy: Policy, estimator: str
) -> None:
    matrix = Features(contract).matrix(dataset.columns)
    pipeline = training.fit(matrix, dataset.labels, policy.training)
    scaled = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())
    both = [("boosting", pipeline[-1]), ("logistic", scaled)]
    last: dict[str, BaseEstimator] = {
        "boosting": pipeline[-1],
        "logistic": scaled,
        "both": VotingClassifier(both, voting="soft", flatten_transform=False),
        "network": make_pipeline(SimpleImputer(), StandardScaler(), MLPClassifier(max_iter=20)),
    }
    fitted = make_pipeline(pipeline[0], last[estimator]).fit(matrix, dataset.labels)
    predictor = Predictor(contract, export(fitted, contract, 0.4, matrix))
    alone = [predictor.probabilities(row) for row in np.split(matrix, len(matrix))]
    for count in (2, 3, 7, 16, 100, len(matrix)):
        parts = [
            predictor.probabilities(matrix[start : start + count])
            for start in range(0, len(matrix), count)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), np.concatenate(alone))


def test_the_file_computes_probabilities_and_nothing_else(
    contract: Contract, dataset: Dataset, policy: Policy
) -> None:
    matrix = Features(contract).matrix(dataset.columns)
    pipeline = training.fit(matrix, dataset.labels, policy.training)
    graph = onnx.load_from_string(export(pipeline, contract, 0.4, matrix)).graph
    assert [output.name for output in graph.output] == [OUTPUT]
    # A forest needs no repeated row, which would make its answers slower.
    assert [node.op_type for node in graph.node] == ["Imputer", "TreeEnsembleClassifier"]


@pytest.mark.parametrize("voting", [False, True])
def test_a_customer_just_above_a_threshold_takes_the_same_branch_in_the_file(
    contract: Contract, dataset: Dataset, policy: Policy, voting: bool
) -> None:
    matrix = Features(contract).matrix(dataset.columns)
    # The middle of these two is below the float32 of 0.342, and its nearest float32.
    matrix[:, 0] = np.where(dataset.labels == 1, 0.343, 0.341)
    pipeline = training.fit(matrix, dataset.labels, policy.training)
    if voting:
        two = [("a", pipeline[-1]), ("b", pipeline[-1])]
        vote = VotingClassifier(two, voting="soft", flatten_transform=False)
        pipeline = make_pipeline(pipeline[0], vote).fit(matrix, dataset.labels)
    asked = matrix.copy()
    asked[:, 0] = 0.342
    expected = pipeline.predict_proba(asked)[:, 1]
    predictor = Predictor(contract, export(pipeline, contract, 0.4, asked))
    assert np.abs(predictor.probabilities(asked) - expected).max() <= TOLERANCE
    assert expected.min() > 0.5


def test_a_file_that_predicts_otherwise_is_refused(
    contract: Contract, dataset: Dataset, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = Features(contract).matrix(dataset.columns)
    pipeline = training.fit(matrix, dataset.labels, policy.training)
    shifted = pipeline.predict_proba(matrix) + 2 * TOLERANCE
    monkeypatch.setattr(pipeline, "predict_proba", lambda matrix: shifted)
    with pytest.raises(ExportError, match="differs from the pipeline by .* 1e-05 is allowed"):
        export(pipeline, contract, 0.5, matrix)


def test_a_column_that_float32_cannot_hold_is_named(
    contract: Contract, dataset: Dataset, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = Features(contract).matrix(dataset.columns)
    matrix[:, 0] = 900_000_000 + np.arange(len(matrix))
    pipeline = training.fit(matrix, dataset.labels, policy.training)
    shifted = pipeline.predict_proba(matrix) + 2 * TOLERANCE
    monkeypatch.setattr(pipeline, "predict_proba", lambda matrix: shifted)
    with pytest.raises(ExportError) as refused:
        export(pipeline, contract, 0.5, matrix)
    assert "exact for whole numbers up to 16,777,216 only, and cannot tell apart" in str(
        refused.value
    )
    assert str(refused.value).endswith("the values of age")
    assert refused.value.next_step.startswith("take age out of the features")
