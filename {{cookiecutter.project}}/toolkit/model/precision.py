"""What float32, in which a model computes, can tell apart: whole numbers only up to 2**24."""

import numpy as np
import numpy.typing as npt

EXACT_TO = 2**24
# Of many random numbers some are always close; of account numbers most are.
TOO_MANY = 0.01


def merged_share(values: npt.NDArray[np.floating]) -> float:
    """Return the share of neighbours among the distinct values that no float32 stands between.

    Parameters
    ----------
    values
        A column, [n], NaN for nulls: no threshold between such neighbours can be exported.
    """
    distinct = np.unique(values[~np.isnan(values)]).astype(np.float64)
    if len(distinct) < 2:
        return 0.0
    low, high = distinct[:-1], distinct[1:]
    middle = ((low + high) / 2).astype(np.float32)
    merged = (middle <= low.astype(np.float32)) | (middle >= high.astype(np.float32))
    return float(merged.mean())
