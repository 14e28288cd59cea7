"""Where a run reads and writes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """The files of one repository.

    Attributes
    ----------
    root
        The repository.
    contract, quality
        The data contract and the policy.
    reports
        The folder that reports go to.
    """

    root: Path
    contract: Path
    quality: Path
    reports: Path

    @property
    def model(self) -> Path:
        """The folder that a full training leaves its model in."""
        return self.reports / "model"
