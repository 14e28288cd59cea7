"""The commands about data; each leaves its reports and returns whether the check passed.

A command that cannot finish leaves a failed report too, and raises the error.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..errors import DataError, ToolkitError
from ..model import evidence, policy_file
from ..places import Places
from ..reports import data_report
from ..reports import files as reports
from ..reports.data_report import ColumnReport
from . import acceptance, examination, reference, table
from . import contract as contracts
from . import dataset as datasets
from .progress import say
from .validation import validate

if TYPE_CHECKING:
    from .adoption import Request

SCHEMA = 1


def check_data(places: Places) -> bool:
    """Check the data against its contract and the reference; writes data.json, .md and .html."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "verdict": "failed",
        "reasons": ["the command was interrupted"],
        "warnings": [],
        "contract": str(places.contract),
        "contract_sha256": evidence.sha256(places.contract),
        "file": None,
        "data_sha256": None,
        "rows": None,
        "copies": None,
        "facts": [],
        "reference": None,
        "created": evidence.now(),
    }
    columns: list[ColumnReport] = []
    try:
        contract = contracts.load(places.contract)
        document["file"] = str(contract.data)
        policy = policy_file.load(places.quality, contract.package)
        examined = examination.examine(contract, policy)
        document |= data_report.as_json(examined)
        columns = data_report.columns_of(examined)
    except ToolkitError as error:
        document["reasons"] = str(error).splitlines()
        raise
    finally:
        page = data_report.to_markdown(document, columns)
        reports.write_report(places.reports, "data", document, page)
        html = data_report.to_html(document, columns)
        reports.write_bytes(places.reports / "data.html", html.encode())
    for sentence in (*examined.failures, *examined.warnings):
        say(f"{contract.data}: {sentence}")
    say(f"data: {document['verdict']}, see {places.reports / 'data.html'}")
    return not examined.failures


def accept_reference(places: Places) -> bool:
    """Make the current data the reference for drift; writes data/reference.json.

    What is accepted with it stands in that file, for whoever reviews its change, and in
    reports/reference.json and .md.
    """
    contract = contracts.load(places.contract)
    policy = policy_file.load(places.quality, contract.package)
    current = table.read(contract)
    findings = validate(current, contract)
    if findings:
        raise DataError(
            "\n".join(f"{contract.data}: {finding}" for finding in findings),
            examination.fix(contract),
        )
    made = reference.make(current, datasets.from_table(current, contract), contract)
    made, drifts = acceptance.accept(made, current, contract, policy.drift)
    reports.write_bytes(contract.reference, reference.to_json(made))
    document = acceptance.as_json(made, drifts, contract)
    page = acceptance.to_markdown(document)
    reports.write_report(places.reports, "reference", document, page)
    for sentence in document["accepted"]:
        say(f"accepted: {sentence}")
    say(f"{contract.reference}: the reference is now {len(current)} rows of {contract.data}")
    return True


def adopt(places: Places, request: Request) -> None:
    """Replace the sample data of a fresh repository with your own table."""
    # Imported here: a data check trains nothing, and would wait a second for it.
    from . import adoption

    changed = adoption.adopt(places, request)
    for path in changed:
        say(f"wrote {os.path.relpath(path)}")
    if not changed:
        say(f"{request.file} is already adopted: nothing has changed")
