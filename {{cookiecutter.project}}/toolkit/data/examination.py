"""Whether a table may be trained on: what its contract says of it, and what the reference says."""

from dataclasses import dataclass

from ..errors import DataError
from ..model.policy import DriftPolicy
from . import dataset, drift, reference, table, validation
from .contract import Contract
from .dataset import Dataset
from .drift import Drift
from .reference import Profile, Reference
from .table import Table
from .validation import Finding


@dataclass(frozen=True)
class Examination:
    """What was found in a table.

    Attributes
    ----------
    profile, reference
        How its columns are distributed, and what that was held against.
    findings
        Every way in which it breaks its contract.
    drifts
        Every comparison with the reference, whatever came of it.
    """

    contract: Contract
    table: Table
    profile: Profile
    reference: Reference
    findings: tuple[Finding, ...]
    drifts: tuple[Drift, ...]

    @property
    def failures(self) -> list[str]:
        """A sentence for everything that keeps the table from being trained on."""
        return [*map(str, self.findings), *self._drifts("fail")]

    @property
    def warnings(self) -> list[str]:
        """A sentence for everything that somebody should look at."""
        unknown = self._drifts("unknown")
        few = f"{len(unknown)} of {len(self.drifts)} comparisons have too few rows to tell of drift"
        return [*self._drifts("warn"), *([few] if unknown else [])]

    def _drifts(self, level: str) -> list[str]:
        return [str(drift) for drift in self.drifts if drift.level == level]


def examine(contract: Contract, policy: DriftPolicy) -> Examination:
    """Hold the contract's table against the contract and the reference.

    Raises
    ------
    DataError
        The table cannot be read.
    ConfigurationError
        The reference is missing or made under another contract, or a rule cannot be computed.
    """
    accepted = reference.load(contract)
    found = table.read(contract)
    profile = reference.measure(found, contract, accepted)
    return Examination(
        contract=contract,
        table=found,
        profile=profile,
        reference=accepted,
        findings=tuple(validation.validate(found, contract)),
        drifts=tuple(drift.compare(profile, accepted.profile, contract, policy)),
    )


@dataclass(frozen=True)
class TrainingData:
    """A table that nothing keeps from being trained on.

    Attributes
    ----------
    sha256
        Of the file.
    """

    contract: Contract
    reference: Reference
    dataset: Dataset
    sha256: str


def load_training_data(contract: Contract, policy: DriftPolicy) -> TrainingData:
    """Return the contract's table, if nothing keeps it from being trained on.

    Raises
    ------
    DataError
        Something does: all of it is named. Or the table cannot be read.
    ConfigurationError
        As `examine` does.
    """
    examination = examine(contract, policy)
    if examination.failures:
        next_step = (
            "find out what has moved: nox -s data leaves reports/data.html; "
            "if it is to stay so, accept it: nox -s reference"
        )
        raise DataError(
            "\n".join(f"{contract.data}: {failure}" for failure in examination.failures),
            mend(contract) if examination.findings else next_step,
        )
    return TrainingData(
        contract=contract,
        reference=examination.reference,
        dataset=dataset.from_table(examination.table, contract),
        sha256=examination.table.sha256,
    )


def mend(contract: Contract) -> str:
    """Return what to do about a table that breaks its contract."""
    return f"mend the data, or {contract.path} if it is the contract that is wrong"
