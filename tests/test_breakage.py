"""Every check of a generated repository fails when it should, and says what and where."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from advisories import Advisories, advisories, ask_at
from living import Living
from trivy_database import PYTHON, Database, in_use

from demo.repository import Repository, free_ports

Rows = list[list[str]]
Damage = Callable[[Rows], None]

DATA = "data/sample.csv"

# In two pieces, so that nobody takes this file for a leak.
TOKEN = "ghp_" + "a1B2" * 9


@pytest.fixture
def repository(living: Living) -> Iterator[Repository]:
    """The living repository, put back after the test has broken it."""
    yield living.repository
    living.repository.git("checkout", "--", ".")
    living.repository.git("clean", "--force", "--quiet")


def fails(
    repository: Repository, session: str, *expected: str, arguments: tuple[str, ...] = ()
) -> str:
    """Insist that a session fails, says why, and that its report says so too; return all it said."""
    done = repository.nox("--reuse-existing-virtualenvs", "-s", session, "--", *arguments)
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "Traceback" not in said
    for text in expected:
        assert text in said
    name = "quick-gate" if session == "gate" else session
    report = json.loads((repository.folder / "reports" / f"{name}.json").read_bytes())
    assert "passed" not in (report.get("verdict"), report.get("outcome"))
    page = (repository.folder / "reports" / f"{name}.md").read_text()
    assert page.strip()
    return said + json.dumps(report) + page


def findings(repository: Repository, session: str) -> list[dict[str, Any]]:
    """Return the findings that a session has reported."""
    document = json.loads((repository.folder / "reports" / f"{session}.json").read_bytes())
    found: list[dict[str, Any]] = document["findings"]
    return found


def also(*values: object) -> Any:
    """Return a case for `nox -s full`: the toolkit's own tests prove it without nox around it."""
    return pytest.param(*values, marks=pytest.mark.full)


def rename_a_column(rows: Rows) -> None:
    rows[0][1] = "years"


def swap_two_columns(rows: Rows) -> None:
    for row in rows:
        row[1], row[2] = row[2], row[1]


def break_a_range(rows: Rows) -> None:
    rows[5][1] = "140"


def empty_two_percent(rows: Rows) -> None:
    for row in rows[1::50]:
        row[3] = ""


def repeat_an_id(rows: Rows) -> None:
    rows[7][0] = rows[3][0]


def use_an_unknown_label(rows: Rows) -> None:
    rows[9][4] = "maybe"


def write_a_word_for_a_number(rows: Rows) -> None:
    rows[11][3] = "a lot"


def lose_most_rows(rows: Rows) -> None:
    del rows[100:]


def lose_the_end_of_a_line(rows: Rows) -> None:
    del rows[20][4:]


def raise_every_bill(rows: Rows) -> None:
    for row in rows[1:]:
        row[3] = f"{float(row[3]) * 1.2:.2f}"


def let_more_leave(rows: Rows) -> None:
    for row in rows[1::9]:
        row[4] = "1"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (rename_a_column, ("age", "years")),
        also(swap_two_columns, ("tenure_months", "age")),
        (break_a_range, ("age", "140", "line 6")),
        also(empty_two_percent, ("monthly_spend: nulls: 2.00%", "first lines 2, 52")),
        also(repeat_an_id, ("customer_id", "line 8")),
        also(use_an_unknown_label, ("churned", "maybe", "line 10")),
        also(write_a_word_for_a_number, ("monthly_spend", "a lot", "line 12")),
        also(lose_most_rows, ("rows", "99")),
        also(lose_the_end_of_a_line, ("fields", "line 21")),
        (
            raise_every_bill,
            ("monthly_spend: distribution drift: mean 67.97, reference 56.64",),
        ),
        also(let_more_leave, ("churned: distribution drift", "reference 27.9%")),
    ],
)
def test_broken_data_is_named(
    repository: Repository, damage: Damage, expected: tuple[str, ...]
) -> None:
    path = repository.folder / DATA
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    damage(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    fails(repository, "data", *expected)


def test_a_missing_data_file_is_named(repository: Repository) -> None:
    (repository.folder / DATA).unlink()
    fails(repository, "data", "sample.csv")


def test_a_missing_reference_is_named(repository: Repository) -> None:
    (repository.folder / "data/reference.json").unlink()
    fails(repository, "data", "data/reference.json", "nox -s reference")


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        (
            "toolkit/model/predictor.py",
            "customer[name] for customer in customers",
            "customer[name] or 0.0 for customer in customers",
            ("feature age", "customers differ"),
        ),
        also(
            "toolkit/serving/customer.py",
            "Annotated[int, Field(ge=low, le=high)",
            "Annotated[int, Field(ge=low)",
            ("/predict takes as age", "the contract allows"),
        ),
    ],
)
def test_features_that_are_served_otherwise_than_trained_fail(
    repository: Repository, path: str, old: str, new: str, expected: tuple[str, ...]
) -> None:
    repository.replace(path, old, new)
    fails(repository, "features", *expected)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("min = 0.85", "min = 0.99", ("accuracy", "0.99")),
        also('metric = "f1"', 'metric = "f2"', ("quality.toml", "f2")),
        ("min = 0.85", "mni = 0.85", ("quality.toml", "mni")),
        also("min = 0.85", 'min = "high"', ("quality.toml", "min")),
        also("[training]", "[training", ("quality.toml",)),
        also("schema = 2", "schema = 1", ("quality.toml", "schema")),
    ],
)
def test_a_gate_that_is_not_met_or_not_understood_fails(
    repository: Repository, old: str, new: str, expected: tuple[str, ...]
) -> None:
    path = repository.folder / "quality.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    fails(repository, "gate", *expected)


@pytest.mark.parametrize("content", [None, also(b""), also(b"\xff\xfe")])
def test_an_unreadable_policy_fails(repository: Repository, content: bytes | None) -> None:
    path = repository.folder / "quality.toml"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    fails(repository, "gate", "quality.toml")


@pytest.mark.parametrize(
    ("instead", "expected"),
    [
        ("", "missing"),
        also('"f1": float("nan"),', "not a number"),
        also('"f1": float("inf"),', "not a number"),
    ],
)
def test_a_metric_that_is_missing_or_no_number_fails(
    repository: Repository, instead: str, expected: str
) -> None:
    figure = '"f1": float(2 * true_positives / (predicted + positives)),'
    repository.replace("toolkit/model/evaluation.py", figure, instead)
    fails(repository, "gate", "f1", expected)


def test_a_style_fault_is_named(repository: Repository) -> None:
    (repository.folder / "src/churn_model/fault.py").write_text("import os\n")
    fails(repository, "lint", "src/churn_model/fault.py:1", "F401")


def test_a_format_fault_is_named(repository: Repository) -> None:
    (repository.folder / "src/churn_model/fault.py").write_text("x = [1,2]\n")
    fails(repository, "lint", "fault.py")


def test_a_type_fault_is_named(repository: Repository) -> None:
    (repository.folder / "src/churn_model/fault.py").write_text('COUNT: int = "one"\n')
    fails(repository, "types", "src/churn_model/fault.py:1", "assignment")


def test_a_fault_in_a_ci_file_is_named_by_the_tool_that_sees_it(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = [
        ("main.yml", "run: nox -s train", "run: nox -s trian"),
        ("pull-request.yml", "steps.check.outcome", "steps.chekc.outcome"),
        ("pull-request.yml", "persist-credentials: false", "clean: true"),
        ("drill.yml", "runs-on", "run-on"),
    ]
    for name, right, wrong in planted:
        file = repository.folder / ".github" / "workflows" / name
        file.write_text(file.read_text().replace(right, wrong, 1))
    # What colours a terminal must not hide a finding.
    monkeypatch.setenv("FORCE_COLOR", "1")
    fails(repository, "pipelines", "check-jsonschema and actionlint and zizmor failed", "run-on")
    named = {
        (found["path"].rpartition("/")[2], found["code"])
        for found in findings(repository, "pipelines")
    }
    assert {
        ("main.yml", "session"),
        ("pull-request.yml", "expression"),
        ("pull-request.yml", "artipacked"),
    } <= named


def test_a_failing_test_is_named(repository: Repository) -> None:
    test = repository.folder / "tests/test_fault.py"
    test.write_text("def test_fault() -> None:\n    assert 1 == 2\n")
    fails(
        repository,
        "tests",
        "test_fault",
        arguments=("tests/test_fault.py", "tests/test_features.py"),
    )


def test_a_secret_is_named_and_never_shown(repository: Repository) -> None:
    (repository.folder / "src/churn_model/fault.py").write_text(f'TOKEN = "{TOKEN}"\n')
    said = fails(repository, "secrets", "src/churn_model/fault.py:1: Access Token", "--update")
    assert TOKEN not in said
    [finding] = [each for each in findings(repository, "secrets") if each["code"] == "Access Token"]
    assert (finding["path"], finding["line"]) == ("src/churn_model/fault.py", 1)


def test_a_secret_that_the_branch_has_removed_again_is_named_with_its_commit(
    repository: Repository,
) -> None:
    fault = repository.folder / "src/churn_model/fault.py"
    repository.git("switch", "--quiet", "--create", "topic")
    try:
        fault.write_text(f'TOKEN = "{TOKEN}"\n')
        leak = repository.commit("Add a token")
        fault.unlink()
        repository.commit("Remove it")
        said = fails(repository, "secrets", f"added in commit {leak[:7]}", "and removed since")
    finally:
        repository.git("switch", "--quiet", "main")
        repository.git("branch", "--quiet", "--delete", "--force", "topic")
    assert TOKEN not in said


@pytest.mark.full
def test_what_is_none_is_accepted_by_one_command(repository: Repository) -> None:
    fault = repository.folder / "src/churn_model/fault.py"
    fault.write_text(f'TOKEN = "{TOKEN}"\n')
    update = repository.nox("--reuse-existing-virtualenvs", "-s", "secrets", "--", "--update")
    assert update.returncode == 0, update.stdout + update.stderr
    assert TOKEN not in (repository.folder / ".secrets.baseline").read_text()
    done = repository.nox("--reuse-existing-virtualenvs", "-s", "secrets")
    assert done.returncode == 0, done.stdout + done.stderr
    fault.write_text(f'TOKEN = "{TOKEN.swapcase().replace("GHP", "ghp")}"\n')
    fails(repository, "secrets", "src/churn_model/fault.py:1: Access Token")


def test_a_missing_baseline_is_named(repository: Repository) -> None:
    (repository.folder / ".secrets.baseline").unlink()
    fails(repository, "secrets", "could not tell: .secrets.baseline is missing")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Advisories]:
    with advisories(monkeypatch) as service:
        yield service


def passes(repository: Repository, session: str) -> str:
    """Insist that a session passes; return what it said."""
    done = repository.nox("--reuse-existing-virtualenvs", "-s", session)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_package_of_every_lock_is_asked_about(
    repository: Repository, service: Advisories
) -> None:
    said = passes(repository, "audit")
    locked = {
        (name, version)
        for lock in (repository.folder / "requirements").iterdir()
        for name, version in re.findall(r"^([a-z0-9.-]+)==(\S+)", lock.read_text(), re.MULTILINE)
    }
    assert service.asked == locked
    assert f"{len(locked)} packages in all locks, checked with osv" in said


def test_a_vulnerable_package_is_named_with_the_version_that_mends_it(
    repository: Repository, service: Advisories
) -> None:
    service.plant("numpy", "PYSEC-2026-1", "CVE-2026-1", fixed="99.1")
    fails(
        repository,
        "audit",
        "requirements/serving.txt:",
        ": PYSEC-2026-1: numpy ",
        "(CVE-2026-1): fixed in 99.1: Planted by a test",
        "nox -s lock -- --upgrade-package",
    )
    [finding] = findings(repository, "audit")
    assert (finding["path"], finding["code"]) == ("requirements/serving.txt", "PYSEC-2026-1")


def waive(repository: Repository, days: int) -> None:
    """Accept what is planted in numpy for some days from today on."""
    until = datetime.now(UTC).date() + timedelta(days)
    (repository.folder / "audit.toml").write_text(
        "schema = 1\n[[waiver]]\npackage = 'numpy'\nid = 'CVE-2026-1'\n"
        f"until = {until}\nreason = 'planted by a test'\n"
    )


def test_a_waiver_lasts_until_its_day(repository: Repository, service: Advisories) -> None:
    service.plant("numpy", "PYSEC-2026-1", "CVE-2026-1", fixed="99.1")
    waive(repository, days=30)
    assert "CVE-2026-1 of numpy is waived until" in passes(repository, "audit")
    waive(repository, days=-1)
    fails(repository, "audit", "audit.toml:4: CVE-2026-1: the waiver for numpy expired on", "99.1")
    waive(repository, days=365)
    fails(repository, "audit", "at most 90 days are allowed")


def test_an_advisory_service_that_is_silent_is_no_pass(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_at(monkeypatch, free_ports(1)[0])
    fails(repository, "audit", "could not tell: pip-audit: ", "PIP_AUDIT_OSV_URL")


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Database:
    return in_use(monkeypatch, tmp_path)


def evidence(repository: Repository) -> dict[str, Any]:
    """Return what the scan has left for `invoke build --push`."""
    left: dict[str, Any] = json.loads((repository.folder / "reports" / "scanned.json").read_bytes())
    return left


def test_a_hole_in_what_is_released_is_named_with_the_version_that_mends_it(
    living: Living, repository: Repository, database: Database
) -> None:
    database.plant(PYTHON, "numpy", "CVE-2026-1", "HIGH", fixed="99.1")
    fails(
        repository,
        "scan",
        f"requirements.txt of {living.second['version']}: ",
        ": CVE-2026-1: numpy ",
        "(HIGH): fixed in 99.1: Planted by a test",
        "nox -s lock -- --upgrade-package",
    )
    [finding] = findings(repository, "scan")
    assert (finding["path"], finding["code"]) == ("requirements/serving.txt", "CVE-2026-1")
    lock = (repository.folder / finding["path"]).read_text().splitlines()
    assert lock[finding["line"] - 1].startswith("numpy==")
    left = evidence(repository)
    assert (left["verdict"], left["release"]) == ("failed", living.second["version"])


def test_a_hole_that_is_small_or_cannot_be_mended_is_told(
    repository: Repository, database: Database
) -> None:
    database.plant(PYTHON, "numpy", "CVE-2026-1", "CRITICAL")
    database.plant(PYTHON, "uvicorn", "CVE-2026-2", "LOW", fixed="99.1")
    said = passes(repository, "scan")
    assert "does not fail: CVE-2026-1: numpy" in said
    assert "(CRITICAL): no fixed version yet: Planted by a test" in said
    assert "does not fail: CVE-2026-2: uvicorn" in said
    assert "(LOW): fixed in 99.1" in said
    assert findings(repository, "scan") == []
    left = evidence(repository)
    assert (left["verdict"], len(left["vulnerabilities"])) == ("passed", 2)


def test_a_waiver_is_for_what_is_released_too(repository: Repository, database: Database) -> None:
    database.plant(PYTHON, "numpy", "CVE-2026-1", "CRITICAL", fixed="99.1")
    waive(repository, days=30)
    assert "CVE-2026-1 of numpy is waived until" in passes(repository, "scan")
    left = evidence(repository)
    assert (left["waivers"][0]["reason"], left["tree_clean"]) == ("planted by a test", False)
    waive(repository, days=-1)
    fails(repository, "scan", "audit.toml:4: CVE-2026-1: the waiver for numpy expired on", "99.1")


def test_nothing_around_a_scan_makes_it_leave_something_out(
    repository: Repository, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.plant(PYTHON, "numpy", "CVE-2026-1", "HIGH", fixed="99.1")
    monkeypatch.setenv("TRIVY_SEVERITY", "LOW")
    monkeypatch.setenv("TRIVY_SKIP_FILES", "**/requirements.txt")
    monkeypatch.setenv("TRIVY_IGNORE_STATUS", "fixed")
    (repository.folder / ".trivyignore").write_text("CVE-2026-1\n")
    (repository.folder / "trivy.yaml").write_text("severity:\n  - LOW\n")
    fails(repository, "scan", ": CVE-2026-1: numpy ")


def test_a_database_that_is_old_or_cannot_be_had_is_no_pass(
    repository: Repository, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes(repository, "scan")
    assert evidence(repository)["verdict"] == "passed"
    database.write(made=datetime.now(UTC) - timedelta(days=8))
    fails(repository, "scan", "could not tell: the database is of ", "TRIVY_SKIP_DB_UPDATE")
    monkeypatch.delenv("TRIVY_SKIP_DB_UPDATE")
    monkeypatch.setenv("TRIVY_DB_REPOSITORY", f"127.0.0.1:{free_ports(1)[0]}/trivy-db:2")
    monkeypatch.setenv("TRIVY_CACHE_DIR", str(database.cache / "empty"))
    fails(repository, "scan", "could not tell: trivy: ", "connection refused")
    assert not (repository.folder / "reports" / "scanned.json").exists()
