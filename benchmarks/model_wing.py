"""What the benchmarks of the model wing share: a baked repository to import, and many customers."""

from __future__ import annotations

import importlib
import random
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from demo.repository import bake


class Repository:
    """A baked repository, whose modules can be imported.

    Parameters
    ----------
    workspace : pathlib.Path
        Where it is baked, unless that has been done.
    """

    def __init__(self, workspace: Path) -> None:
        self.folder = workspace / "churn-model"
        if not self.folder.exists():
            bake(workspace)
        for place in (self.folder / "src", self.folder / "data"):
            if str(place) not in sys.path:
                sys.path.insert(0, str(place))

    def module(self, name: str) -> ModuleType:
        """Import a module of its model wing."""
        return importlib.import_module(f"churn_model.{name}")

    def customers(self, count: int) -> pd.DataFrame:
        """Draw customers as the sample's were drawn, typed as a Parquet file would have them."""
        make_sample = importlib.import_module("make_sample")
        rng = random.Random(1)
        rows = [make_sample.draw_customer(rng, number) for number in range(1, count + 1)]
        frame = pd.DataFrame(rows, columns=list(make_sample.HEADER), dtype="str")
        for name in ("age", "tenure_months", "monthly_spend"):
            frame[name] = pd.to_numeric(frame[name].replace("", np.nan)).astype(float)
        return frame
