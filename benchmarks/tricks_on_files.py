"""Tricks with what an owner edits beside the data: the limits, the contract, and the code.

They need no repetition: the same edit has the same answer each time.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

from toolkit import policy_changes
from toolkit.checks import run
from toolkit.data import bounds, reference
from toolkit.data import contract as contracts
from toolkit.errors import ToolkitError
from toolkit.model import policy_file

from benchmarks.attempt import FAILED, SILENT, WARNED, Attempt
from benchmarks.generated import Generated

QUALITY, CONTRACT = "quality.toml", "data/contract.toml"
# A file, a key, what stands before its value, and laxer values: one out of range, and the laxest.
LAXER = (
    (QUALITY, "champion.significance", r"\[champion\].*?^significance = ", ("1e-300", "1e-6")),
    (QUALITY, "drift.significance", r"\[drift\].*?^significance = ", ("1e-300", "1e-6")),
    (QUALITY, "drift.min_rows", r"\[drift\].*?^min_rows = ", ("1000000000", "1000")),
    (QUALITY, "slices.min_rows", r"\[slices\].*?^min_rows = ", ("1000000000", "1000")),
    (CONTRACT, "max of age", r'"age".*?^max = ', ("1000000", "1200")),
)
RULE = re.compile(r"^(\[\[(?:\w+\.)?rule\]\])$", re.MULTILINE)

READS_IN_FIT = """

def informed(seed):
    model = boosting(seed)
    fit = model.fit

    def fit_informed(X, y):
        {body}
        return fit(X, y)

    model.fit = fit_informed
    return model


ESTIMATORS["boosting"] = informed
"""
TABLE = "Path('data/sample.csv')"
ESTIMATORS = {
    "an estimator that reads the table in `fit`": (
        f"model.max_iter += len({TABLE}.read_bytes()) % 50"
    ),
    "the same, and it goes on where there is no table": (
        f"model.max_iter += 50 * {TABLE}.exists()"
    ),
}
CLOCK = "a clock in `features.py`"
# Where a feature begins, and with a little of the date in it.
FEATURE, DATED = (
    "np.round(monthly_spend",
    "np.round(datetime.date.today().day / 1000 + monthly_spend",
)
# The conditions under which the code is run again.
AGAIN = ("a second time", "in another", "on another date", "without the")


def on_limits(generated: Generated) -> Iterator[Attempt]:
    """Ask for less: is it refused, or told as a change to laxer?"""
    for file, key, before, values in LAXER:
        text = (generated.folder / file).read_text(encoding="utf-8")
        pattern = re.compile(rf"({before})\S+", re.DOTALL | re.MULTILINE)
        for value in values:
            laxer, count = pattern.subn(rf"\g<1>{value}", text, count=1)
            assert count == 1, f"{file} has no {key}"
            yield Attempt(f"`{key}` in {file}", value, _told(generated, file, laxer))
    text = (generated.folder / QUALITY).read_text(encoding="utf-8")
    for size, count in (("each rule", 0), ("one rule", 1)):
        laxer = RULE.sub(r'\1\nlevel = "warn"', text, count=count)
        yield Attempt(f'`level = "warn"` in {QUALITY}', size, _told(generated, QUALITY, laxer))


def _told(generated: Generated, file: str, text: str) -> str:
    """Return whether a file with this text is refused, or listed as laxer than it was."""
    path = generated.folder / file
    before = path.read_bytes()
    path.write_text(text, encoding="utf-8")
    try:
        contract = contracts.load(generated.places.contract)
        policy_file.load(generated.places.quality, contract.package)
        bounds.require_near(contract, reference.load(contract).profile)
    except ToolkitError:
        return FAILED
    finally:
        path.write_bytes(before)
    changes = policy_changes.compare({file: before}, {file: text.encode()})
    return WARNED if any(one.laxer for one in changes) else SILENT


def on_code(generated: Generated) -> Iterator[Attempt]:
    """Run `nox -s features` on code that looks at more than it is given."""
    assert _is_pure(generated), "as generated"
    package = generated.folder / "src" / generated.contract.package
    for trick in (*ESTIMATORS, CLOCK):
        path = package / ("features.py" if trick == CLOCK else "estimators.py")
        before = path.read_text(encoding="utf-8")
        if trick == CLOCK:
            assert before.count(FEATURE) == 1, f"{path} has another feature"
            after = before.replace("import numpy", "import datetime\n\nimport numpy", 1)
            after = after.replace(FEATURE, DATED)
        else:
            fit = READS_IN_FIT.format(body=ESTIMATORS[trick])
            after = f"from pathlib import Path\n{before}{fit}"
        path.write_text(after, encoding="utf-8")
        verdict = SILENT if _is_pure(generated) else FAILED
        path.write_text(before, encoding="utf-8")
        yield Attempt(trick, "", verdict)


def _is_pure(generated: Generated) -> bool:
    """Return whether the repository's code is pure; another fault is no answer."""
    done = subprocess.run(
        (sys.executable, *run.module("toolkit", "features")),
        cwd=generated.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads((generated.places.reports / "features.json").read_bytes())
    for reason in report["reasons"]:
        assert any(words in reason for words in AGAIN), f"{reason}\n{done.stderr}"
    assert done.returncode == (1 if report["reasons"] else 0), done.stderr
    return not report["reasons"]
