"""The files of a repository that the commands read and write."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """The paths of one repository.

    Attributes
    ----------
    root
        The repository's folder.
    contract, quality
        The data contract and the quality policy.
    reports
        The folder that reports are written to.
    """

    root: Path
    contract: Path
    quality: Path
    reports: Path

    @property
    def model(self) -> Path:
        """The folder that a full training writes its model to."""
        return self.reports / "model"

    @property
    def champion(self) -> Path:
        """The folder that `invoke champion` writes the release serving in an environment to."""
        return self.reports / "champion"

    def earlier_champion(self, days_ago: int) -> Path:
        """Return the folder of the release that served in an environment some days ago."""
        return self.reports / f"champion-{days_ago}-days-ago"

    @property
    def card(self) -> Path:
        """The owner's words for the model card."""
        return self.root / "model_card.toml"
