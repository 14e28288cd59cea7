"""The ONNX file predicts what the pipeline does, or it is refused."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import onnx
import pytest
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
from toolkit.model.features import Features, Matrix
from toolkit.model.policy import Policy
from toolkit.model.predictor import OUTPUT, Predictor
from toolkit.tests.example.estimators import ESTIMATORS


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


def said_in_parts(predictor: Predictor, matrix: Matrix, rows: int) -> npt.NDArray[np.float32]:
    """Return the probabilities of customers who are asked about so many at a time, [n]."""
    starts = range(0, len(matrix), rows)
    return np.concatenate(
        [predictor.probabilities(matrix[start : start + rows]) for start in starts]
    )


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_a_customer_gets_to_the_bit_the_same_alone_and_among_any_number_of_others(
    contract: Contract, dataset: Dataset, policy: Policy, estimator: str
) -> None:
    matrix = Features(contract).matrix(dataset.columns)
    pipeline = training.fit(matrix, dataset.labels, replace(policy.training, estimator=estimator))
    predictor = Predictor(contract, export(pipeline, contract, 0.4, matrix))
    alone = said_in_parts(predictor, matrix, 1)
    for rows in (2, 3, 7, 16, 100, len(matrix)):
        np.testing.assert_array_equal(said_in_parts(predictor, matrix, rows), alone)


def test_so_does_a_customer_of_an_owner_s_network(contract: Contract, dataset: Dataset) -> None:
    matrix = Features(contract).matrix(dataset.columns)
    network = make_pipeline(SimpleImputer(), StandardScaler(), MLPClassifier(tol=1.0))
    network.fit(matrix, dataset.labels)
    predictor = Predictor(contract, export(network, contract, 0.4, matrix))
    alone = said_in_parts(predictor, matrix, 1)
    np.testing.assert_array_equal(said_in_parts(predictor, matrix, len(matrix)), alone)


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
