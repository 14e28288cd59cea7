"""Whether a server's answer is the one that the gated model gave."""

import math
from collections.abc import Mapping
from typing import Any


def agree(answer: Any, expected: Any, tolerance: float) -> bool:
    """Return whether two JSON values are equal, numbers within a tolerance.

    Examples
    --------
    >>> agree({"p": 0.5000001}, {"p": 0.5}, 1e-5), agree({"p": None}, {"p": 0.5}, 1e-5)
    (True, False)
    """
    if isinstance(expected, Mapping):
        return (
            isinstance(answer, Mapping)
            and answer.keys() == expected.keys()
            and all(agree(answer[key], expected[key], tolerance) for key in expected)
        )
    if isinstance(expected, float):
        is_number = isinstance(answer, int | float) and not isinstance(answer, bool)
        return is_number and math.isclose(answer, expected, rel_tol=0, abs_tol=tolerance)
    return bool(answer == expected)
