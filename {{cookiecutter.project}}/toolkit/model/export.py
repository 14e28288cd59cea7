"""Exports the model to ONNX, and compares the file with the pipeline that it came from."""

import itertools
import json
from collections.abc import MutableSequence, Sequence
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from ..data.contract import Contract
from ..errors import ExportError
from . import fitting, precision
from .features import Features, Matrix
from .predictor import CONTRACT_SHA256, FEATURE_NAMES, INPUT, OUTPUT, THRESHOLD, Predictor

# Of a probability: ONNX computes in float32, where rounding alone makes about 1e-6.
TOLERANCE = 1e-5
MOST_NAMED = 3
# Operators that multiply matrices.
PRODUCTS = {"Gemm", "LinearClassifier", "LinearRegressor", "MatMul"}


def export(pipeline: Pipeline, contract: Contract, threshold: float, proof: Matrix) -> bytes:
    """Return the pipeline as an ONNX file: the same pipeline gives the same bytes.

    Parameters
    ----------
    pipeline
        Trained on the contract's features.
    threshold
        The decision threshold.
    proof
        Customers' features, [n, k], for which the file must predict what the pipeline does.

    Raises
    ------
    ExportError
        A probability differs by more than `TOLERANCE`.
    """
    # Loaded for an export alone: a quick training makes no file.
    import onnx
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    names = Features(contract).names
    _round_thresholds_down(pipeline)
    model = to_onnx(
        pipeline,
        # Without a name skl2onnx draws a random one.
        name="churn",
        initial_types=[(INPUT, FloatTensorType([None, len(names)]))],
        options={"zipmap": False},
    )
    _keep_probabilities_alone(model.graph)
    if {node.op_type for node in model.graph.node} & PRODUCTS:
        _repeat_first_row(model.graph)
    onnx.helper.set_model_props(
        model,
        {
            FEATURE_NAMES: json.dumps(names),
            THRESHOLD: repr(threshold),
            CONTRACT_SHA256: contract.sha256,
        },
    )
    content: bytes = model.SerializeToString(deterministic=True)
    exported = Predictor(contract, content).probabilities(proof)
    expected = fitting.probabilities(pipeline, proof)
    difference = float(np.max(np.abs(exported - expected), initial=0.0))
    if not difference <= TOLERANCE:  # So that a NaN is refused too.
        sentence = (
            f"the ONNX model differs from the pipeline by {difference:.1e} in a probability, "
            f"and {TOLERANCE:.0e} is allowed"
        )
        if too_precise := _too_precise(names, proof):
            raise ExportError(
                f"{sentence}: the model computes in float32, which is exact for whole numbers up "
                f"to {precision.EXACT_TO:,} only, and cannot tell apart the values of "
                f"{', '.join(too_precise)}",
                f"take {too_precise[0]} out of the features (into extra_columns of "
                f"{contract.path}), or bin or round it in the table",
            )
        raise ExportError(
            sentence,
            "go back to the last estimator, or lock other versions of skl2onnx and onnxruntime",
        )
    return content


def _round_thresholds_down(model: Any) -> None:
    """Give the boosted trees of a model thresholds of float32: its predictions stay the same.

    A tree asks whether a feature, which is a float32, is at most a threshold, which is a float64
    between two values of the training. The exporter rounds it to the nearest float32, which may be
    a customer's value above it: that customer would take the other branch.
    """
    # Only histogram boosting has these; the exporter itself rounds the other trees' down.
    for tree in itertools.chain.from_iterable(getattr(model, "_predictors", ())):
        exact = tree.nodes["num_threshold"]
        nearest = exact.astype(np.float32)
        below = np.nextafter(nearest, np.float32(-np.inf))
        tree.nodes["num_threshold"] = np.where(nearest > exact, below, nearest)
    for _, step in getattr(model, "steps", ()):
        _round_thresholds_down(step)
    for part in getattr(model, "estimators_", ()):
        _round_thresholds_down(part)


def _keep_probabilities_alone(graph: Any) -> None:
    """Remove the nodes, outputs and constants that the probabilities do not need.

    Every server would compute the labels too, and warn of unused constants at its start.
    """
    needed = {OUTPUT}
    for place in reversed(range(len(graph.node))):
        node = graph.node[place]
        if needed & set(node.output):
            needed |= set(node.input)
        else:
            del graph.node[place]
    for values in (graph.output, graph.initializer):
        for place in reversed(range(len(values))):
            if values[place].name not in needed:
                del values[place]


def _repeat_first_row(graph: Any) -> None:
    """Let a graph compute the first row twice, and answer once.

    The runtime multiplies a matrix of one row in another order than larger ones, so a customer
    alone would get another probability, in the last bit, than in a list or in a table.
    """
    import onnx

    first, repeated, answers = f"first_of_{INPUT}", f"repeated_{INPUT}", f"repeated_{OUTPUT}"
    for node in graph.node:
        _rename(node.input, INPUT, repeated)
        _rename(node.output, OUTPUT, answers)
    zero, one, minus_one = names = [f"rows_{number}" for number in (0, 1, -1)]
    for name, number in zip(names, (0, 1, -1), strict=True):
        graph.initializer.append(onnx.numpy_helper.from_array(np.array([number]), name))
    node = onnx.helper.make_node
    graph.node.insert(0, node("Slice", [INPUT, zero, one, zero], [first]))
    graph.node.insert(1, node("Concat", [INPUT, first], [repeated], axis=0))
    graph.node.append(node("Slice", [answers, zero, minus_one, zero], [OUTPUT]))


def _rename(names: MutableSequence[str], old: str, new: str) -> None:
    for place, name in enumerate(names):
        if name == old:
            names[place] = new


def _too_precise(names: Sequence[str], proof: Matrix) -> list[str]:
    """Return the features with values that float32 cannot tell apart, the worst three first."""
    shares = {name: precision.merged_share(proof[:, place]) for place, name in enumerate(names)}
    worst = sorted(shares, key=lambda name: -shares[name])[:MOST_NAMED]
    return [name for name in worst if shares[name] >= precision.TOO_MANY]
