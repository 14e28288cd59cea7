"""What the model's benchmarks share: a generated repository with its data, and many customers.

The code that is measured is the toolkit in place; of the repository come the contract, the policy,
the data and the owner's package.
"""

from __future__ import annotations

import importlib
import random
import sys
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from toolkit.data import contract as contracts
from toolkit.data.contract import Contract
from toolkit.model import policy_file
from toolkit.model.policy import Policy
from toolkit.places import Places

from demo.repository import bake


class Generated:
    """A generated repository, whose package can be imported.

    Parameters
    ----------
    workspace : pathlib.Path
        Where it is generated, unless that has been done.
    """

    def __init__(self, workspace: Path) -> None:
        self.folder = workspace / "churn-model"
        if not self.folder.exists():
            bake(workspace)
        for place in (self.folder / "src", self.folder / "data"):
            if str(place) not in sys.path:
                sys.path.insert(0, str(place))

    @property
    def places(self) -> Places:
        """Where its runs read and write."""
        folder = self.folder
        quality = folder / "quality.toml"
        return Places(folder, folder / "data" / "contract.toml", quality, folder / "reports")

    @cached_property
    def contract(self) -> Contract:
        """What its table must look like."""
        return contracts.load(self.places.contract)

    @cached_property
    def policy(self) -> Policy:
        """What its data and its model must reach."""
        return policy_file.load(self.places.quality, self.contract.package)

    def customers(self, count: int, seed: int = 1) -> pd.DataFrame:
        """Draw customers as the sample's were drawn, typed as a Parquet file would have them."""
        make_sample = importlib.import_module("make_sample")
        rng = random.Random(seed)
        rows = [make_sample.draw_customer(rng, number) for number in range(1, count + 1)]
        frame = pd.DataFrame(rows, columns=list(make_sample.HEADER), dtype="str")
        for name in ("age", "tenure_months", "monthly_spend"):
            frame[name] = pd.to_numeric(frame[name].replace("", np.nan)).astype(float)
        return frame
