"""Whether a table may be trained on: its validation and its drift from the reference."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..model.policy import Policy
from . import bounds, dataset, drift, holdout, reference, reference_model, table, validation
from .contract import Contract
from .dataset import Dataset
from .effect import Drift, causes
from .holdout import Holdout
from .profile import Profile
from .reference import Reference
from .snapshot import ripeness
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


@dataclass(frozen=True)
class Inspected:
    """A table, and what is measured of it before it is compared with the reference.

    Attributes
    ----------
    y_prob
        The predictions of the reference's model, [n]; None where the table lacks a feature.
    profile
        In the bins of the reference.
    dataset
        None where there are findings.
    """

    table: Table
    y_prob: npt.NDArray[np.float32] | None
    profile: Profile
    findings: tuple[Finding, ...]
    dataset: Dataset | None


def inspect(contract: Contract, accepted: Reference) -> Inspected:
    """Read the contract's table, and measure it."""
    current = table.read(contract)
    y_prob = None
    if reference_model.has_features(current, contract):
        y_prob = reference_model.predict(current, contract, accepted.model)
    profile = reference.measure(current, contract, accepted, y_prob)
    findings = tuple(validation.validate(current, contract))
    customers = None
    if not findings and y_prob is not None:
        customers = dataset.from_table(current, contract)
    return Inspected(current, y_prob, profile, findings, customers)


def of_reference(
    made: Reference, current: Table, customers: Dataset, contract: Contract
) -> Inspected:
    """Return what `inspect` does of the table that a reference was made of: nothing is new there.

    Parameters
    ----------
    current, customers
        This table, without findings, and its dataset.
    """
    y_prob = reference_model.predict(current, contract, made.model)
    profile, relation = made.profile, made.profile.relation
    if relation is not None:
        # That of the reference says how good its model is for others; a later table has none.
        profile = replace(profile, relation=replace(relation, optimism=0.0))
    return Inspected(current, y_prob, profile, (), customers)


def examine(contract: Contract, policy: Policy, inspected: Inspected | None = None) -> Examination:
    """Compare the contract's table with the contract and the reference.

    Parameters
    ----------
    inspected
        The table, where it was measured already.

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
    found = inspected or inspect(contract, accepted)
    held_out = None
    if found.dataset is not None and found.y_prob is not None:
        share = policy.training.holdout_share
        held_out = holdout.measure(
            *(found.table, found.dataset, found.y_prob), contract, accepted, share
        )
    others = holdout.effects(held_out, contract, policy.drift) if held_out else ()
    compared = drift.compare(found.profile, accepted.profile, contract, policy.drift, others)
    suspects = reference.distrust(
        *(accepted, contract, found.table, found.profile, policy.drift.min_rows)
    )
    return Examination(
        contract=contract,
        table=found.table,
        profile=found.profile,
        reference=accepted,
        findings=found.findings,
        drifts=tuple(compared),
        doubts=tuple(reference.doubts(accepted, contract)),
        distrust=tuple(suspects),
        holdout=held_out,
        dataset=found.dataset,
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
    contract: Contract, policy: Policy, inspected: Inspected | None = None
) -> TrainingData:
    """Return the contract's table if it passes the data check.

    Parameters
    ----------
    inspected
        The table, where it was measured already.

    Raises
    ------
    DataError
        It does not: the error names every reason. Or the table cannot be read.
    ConfigurationError
        As `examine` does.
    """
    examination = examine(contract, policy, inspected)
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
        dataset=replace(
            examination.dataset, observed=ripeness.observed_days(examination.table, contract)
        ),
        sha256=examination.table.sha256,
        warnings=tuple(examination.warnings),
    )


def fix(contract: Contract) -> str:
    """Return the next step for a table that violates its contract."""
    return f"fix the data, or {contract.path} where the contract is wrong"
