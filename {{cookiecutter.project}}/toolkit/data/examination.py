"""Whether a table may be trained on: its validation and its drift from the reference."""

from dataclasses import dataclass
from functools import cached_property

from ..errors import DataError
from ..model.policy import Policy
from . import bounds, dataset, drift, holdout, reference, reference_model, table, validation
from .contract import Contract
from .dataset import Dataset
from .effect import Drift, causes
from .holdout import Holdout
from .profile import Profile
from .reference import Reference
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
    doubts
        A sentence for each reason why the reference itself proves little.
    distrust
        A sentence for each reason why nothing may be compared with it.
    holdout
        Who is held out; None where the table violates its contract.
    dataset
        The table's customers; None as for `holdout`.
    """

    contract: Contract
    table: Table
    profile: Profile
    reference: Reference
    findings: tuple[Finding, ...]
    drifts: tuple[Drift, ...]
    doubts: tuple[str, ...]
    distrust: tuple[str, ...]
    holdout: Holdout | None
    dataset: Dataset | None

    @cached_property
    def drifts_of(self) -> dict[str, list[Drift]]:
        """The comparisons by what they are about: a column, the predictions or the holdout."""
        found: dict[str, list[Drift]] = {}
        for one in self.drifts:
            found.setdefault(one.column, []).append(one)
        return found

    @cached_property
    def copies(self) -> int:
        """The number of rows that are the same as an earlier one but for the id."""
        return len(validation.copies(self.table, self.contract))

    @property
    def failures(self) -> list[str]:
        """A sentence for each reason not to train on the table."""
        return [*map(str, self.findings), *self.distrust, *self._causes("fail")]

    @property
    def warnings(self) -> list[str]:
        """A sentence for each thing to review."""
        unknown = sum(drift.level == "unknown" for drift in self.drifts)
        few = f"{unknown} of {len(self.drifts)} drift comparisons have too few rows"
        return [*self._causes("warn"), *self.doubts, *([few] if unknown else [])]

    def _causes(self, level: str) -> list[str]:
        return [str(cause) for cause in causes(self.drifts) if cause.level == level]


def examine(contract: Contract, policy: Policy, current: Table | None = None) -> Examination:
    """Compare the contract's table with the contract and the reference.

    Parameters
    ----------
    current
        The table, where it is read already.

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
    current = table.read(contract) if current is None else current
    y_prob = None
    if reference_model.has_features(current, contract):
        y_prob = reference_model.predict(current, contract, accepted.model)
    profile = reference.measure(current, contract, accepted, y_prob)
    findings = tuple(validation.validate(current, contract))
    customers = held_out = None
    if not findings and y_prob is not None:
        customers = dataset.from_table(current, contract)
        held_out = holdout.measure(
            current, customers, y_prob, contract, accepted, policy.training.holdout_share
        )
    others = holdout.effects(held_out, contract, policy.drift) if held_out else ()
    compared = drift.compare(profile, accepted.profile, contract, policy.drift, others)
    return Examination(
        contract=contract,
        table=current,
        profile=profile,
        reference=accepted,
        findings=findings,
        drifts=tuple(compared),
        doubts=tuple(reference.doubts(accepted, contract)),
        distrust=tuple(
            reference.distrust(accepted, contract, current, profile, policy.drift.min_rows)
        ),
        holdout=held_out,
        dataset=customers,
    )


@dataclass(frozen=True)
class TrainingData:
    """A table that passed the data check.

    Attributes
    ----------
    sha256
        The digest of the table's file.
    warnings
        What the data check warns of.
    """

    contract: Contract
    reference: Reference
    dataset: Dataset
    sha256: str
    warnings: tuple[str, ...] = ()


def load_training_data(
    contract: Contract, policy: Policy, current: Table | None = None
) -> TrainingData:
    """Return the contract's table if it passes the data check.

    Parameters
    ----------
    current
        The table, where it is read already.

    Raises
    ------
    DataError
        It does not: the error names every reason. Or the table cannot be read.
    ConfigurationError
        As `examine` does.
    """
    examination = examine(contract, policy, current)
    if examination.failures or examination.dataset is None:
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
        dataset=examination.dataset,
        sha256=examination.table.sha256,
        warnings=tuple(examination.warnings),
    )


def fix(contract: Contract) -> str:
    """Return the next step for a table that violates its contract."""
    return f"fix the data, or {contract.path} where the contract is wrong"
