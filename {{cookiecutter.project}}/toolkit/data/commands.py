"""The runs about data: each leaves its reports, and tells if all was well.

A run that cannot be carried out leaves a failed report too, and raises what is wrong.
"""

from typing import Any

from ..errors import DataError, ToolkitError
from ..model import evidence, policy_file
from ..places import Places
from ..reports import data_report
from ..reports import files as reports
from ..reports.data_report import ColumnReport
from . import adoption, examination, reference, table
from . import contract as contracts
from . import dataset as datasets
from .progress import say
from .validation import validate

SCHEMA = 1
INTERRUPTED = "the run was interrupted"


def check_data(places: Places) -> bool:
    """Hold the table against its contract and the reference; leaves data.json, .md and .html."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "verdict": "failed",
        "reasons": [INTERRUPTED],
        "warnings": [],
        "contract": str(places.contract),
        "contract_sha256": evidence.sha256(places.contract),
        "file": None,
        "data_sha256": None,
        "rows": None,
        "reference": None,
        "created": evidence.now(),
    }
    columns: list[ColumnReport] = []
    try:
        contract = contracts.load(places.contract)
        document["file"] = str(contract.data)
        examined = examination.examine(
            contract, policy_file.load(places.quality, contract.package).drift
        )
        document |= data_report.as_json(examined)
        columns = data_report.columns_of(examined)
    except ToolkitError as error:
        document["reasons"] = str(error).splitlines()
        raise
    finally:
        page = data_report.to_markdown(document, columns)
        reports.leave(places.reports, "data", document, page)
        html = data_report.to_html(document, columns)
        reports.write_bytes(places.reports / "data.html", html.encode())
    for sentence in (*examined.failures, *examined.warnings):
        say(f"{contract.data}: {sentence}")
    say(f"data: {document['verdict']}, see {places.reports / 'data.html'}")
    return not examined.failures


def accept_reference(places: Places) -> bool:
    """Make the table the reference that later ones are held against; writes reference.json."""
    contract = contracts.load(places.contract)
    found = table.read(contract)
    findings = validate(found, contract)
    if findings:
        raise DataError(
            "\n".join(f"{contract.data}: {finding}" for finding in findings),
            examination.mend(contract),
        )
    made = reference.make(found, datasets.from_table(found, contract), contract)
    reports.write_bytes(contract.reference, reference.to_json(made))
    say(f"{contract.reference}: {len(found)} rows of {contract.data} are the reference")
    return True


def adopt(places: Places, request: adoption.Request) -> bool:
    """Take a table of your own into a fresh repository."""
    changed = adoption.adopt(places, request)
    for path in changed:
        say(f"wrote {path}")
    if not changed:
        say(f"{request.file} is adopted already: nothing has changed")
    return True
