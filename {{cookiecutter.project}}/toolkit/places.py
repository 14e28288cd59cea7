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

    @property
    def champion(self) -> Path:
        """The folder in which `invoke champion` puts what an environment serves."""
        return self.reports / "champion"

    def earlier_champion(self, days_ago: int) -> Path:
        """The folder in which it puts what an environment served some days ago."""
        return self.reports / f"champion-{days_ago}-days-ago"

    @property
    def card(self) -> Path:
        """The owner's words for the model card."""
        return self.root / "model_card.toml"
