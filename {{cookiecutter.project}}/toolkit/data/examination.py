"""Whether a table may be trained on: its validation and its drift from the reference."""

from dataclasses import dataclass

from ..errors import DataError
from ..model.policy import DriftPolicy
from . import bounds, dataset, drift, reference, table, validation
from .contract import Contract
from .dataset import Dataset
from .drift import Drift
from .reference import Profile, Reference
from .table import Table
from .validation import Finding


@dataclass(frozen=True)
class Examination:
    """The result of checking a table.

    Attributes
    ----------
    profile, reference
        The distributions of its columns, and the reference that they were compared with.
    findings
        The violations of the contract.
    drifts
        All comparisons with the reference, whatever their level.
    """

    contract: Contract
    table: Table
    profile: Profile
    reference: Reference
    findings: tuple[Finding, ...]
    drifts: tuple[Drift, ...]

    @property
    def failures(self) -> list[str]:
        """A sentence for each reason not to train on the table."""
        return [*map(str, self.findings), *self._drifts("fail")]

    @property
    def warnings(self) -> list[str]:
        """A sentence for each thing to review."""
        unknown = self._drifts("unknown")
        few = f"{len(unknown)} of {len(self.drifts)} drift comparisons have too few rows"
        return [*self._drifts("warn"), *([few] if unknown else [])]

    def _drifts(self, level: str) -> list[str]:
        return [str(drift) for drift in self.drifts if drift.level == level]


def examine(contract: Contract, policy: DriftPolicy) -> Examination:
    """Compare the contract's table with the contract and the reference.

    Raises
    ------
    DataError
        The table cannot be read.
    ConfigurationError
        The reference is missing or of another contract, a rule cannot be evaluated, or a bound of
        the contract is far from all customers of the reference.
    """
    accepted = reference.load(contract)
    bounds.require_near(contract, accepted.profile)
    current = table.read(contract)
    profile = reference.measure(current, contract, accepted)
    return Examination(
        contract=contract,
        table=current,
        profile=profile,
        reference=accepted,
        findings=tuple(validation.validate(current, contract)),
        drifts=tuple(drift.compare(profile, accepted.profile, contract, policy)),
    )


@dataclass(frozen=True)
class TrainingData:
    """A table that passed the data check.

    Attributes
    ----------
    sha256
        The digest of the table's file.
    """

    contract: Contract
    reference: Reference
    dataset: Dataset
    sha256: str


def load_training_data(contract: Contract, policy: DriftPolicy) -> TrainingData:
    """Return the contract's table if it passes the data check.

    Raises
    ------
    DataError
        It does not: the error names every reason. Or the table cannot be read.
    ConfigurationError
        As `examine` does.
    """
    examination = examine(contract, policy)
    if examination.failures:
        next_step = (
            "look at what changed: nox -s data, then reports/data.html; "
            "if the new data is right, accept it: nox -s reference"
        )
        raise DataError(
            "\n".join(f"{contract.data}: {failure}" for failure in examination.failures),
            fix(contract) if examination.findings else next_step,
        )
    return TrainingData(
        contract=contract,
        reference=examination.reference,
        dataset=dataset.from_table(examination.table, contract),
        sha256=examination.table.sha256,
    )


def fix(contract: Contract) -> str:
    """Return the next step for a table that violates its contract."""
    return f"fix the data, or {contract.path} where the contract is wrong"
