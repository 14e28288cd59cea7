"""Every check of a generated repository fails when it should, and says what and where."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator

import pytest
from living import Living

from demo.repository import Repository

Rows = list[list[str]]
Damage = Callable[[Rows], None]

DATA = "data/sample.csv"


@pytest.fixture
def repository(living: Living) -> Iterator[Repository]:
    """The living repository, put back after the test has broken it."""
    yield living.repository
    living.repository.git("checkout", "--", ".")
    living.repository.git("clean", "--force", "--quiet")


def fails(
    repository: Repository, session: str, *expected: str, arguments: tuple[str, ...] = ()
) -> None:
    """Run one session and insist that it fails, that it says why, and that its report says so too."""
    done = repository.nox("--reuse-existing-virtualenvs", "-s", session, "--", *arguments)
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "Traceback" not in said
    for text in expected:
        assert text in said
    name = "quick-gate" if session == "gate" else session
    report = json.loads((repository.folder / "reports" / f"{name}.json").read_bytes())
    assert "passed" not in (report.get("verdict"), report.get("outcome"))
    assert (repository.folder / "reports" / f"{name}.md").read_text().strip()


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
        (swap_two_columns, ("tenure_months", "age")),
        (break_a_range, ("age", "140", "line 6")),
        (empty_two_percent, ("monthly_spend: nulls: 2.00%", "first lines 2, 52")),
        (repeat_an_id, ("customer_id", "line 8")),
        (use_an_unknown_label, ("churned", "maybe", "line 10")),
        (write_a_word_for_a_number, ("monthly_spend", "a lot", "line 12")),
        (lose_most_rows, ("rows", "99")),
        (lose_the_end_of_a_line, ("fields", "line 21")),
        (
            raise_every_bill,
            ("monthly_spend: drift of the distribution: mean 56.64 in the reference, 67.97 now",),
        ),
        (let_more_leave, ("churned: drift of the distribution", "27.9% in the reference")),
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
            "src/churn_model/predictor.py",
            "customer[column.name] for customer in customers",
            "customer[column.name] or 0.0 for customer in customers",
            ("feature age", "customers differ"),
        ),
        (
            "src/churn_model/customer.py",
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
        ('metric = "f1"', 'metric = "f2"', ("quality.toml", "f2")),
        ("min = 0.85", "mni = 0.85", ("quality.toml", "mni")),
        ("min = 0.85", 'min = "high"', ("quality.toml", "min")),
        ("[training]", "[training", ("quality.toml",)),
        ("schema = 2", "schema = 1", ("quality.toml", "schema")),
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


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
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
        ('"f1": float("nan"),', "not a number"),
        ('"f1": float("inf"),', "not a number"),
    ],
)
def test_a_metric_that_is_missing_or_no_number_fails(
    repository: Repository, instead: str, expected: str
) -> None:
    figure = '"f1": float(2 * true_positives / (called + positives)),'
    repository.replace("src/churn_model/evaluation.py", figure, instead)
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


def test_a_failing_test_is_named(repository: Repository) -> None:
    test = repository.folder / "tests/unit/test_fault.py"
    test.write_text("def test_fault() -> None:\n    assert 1 == 2\n")
    # All of the tests are run elsewhere; one file beside it is enough to see that it is not drowned.
    fails(
        repository,
        "tests",
        "test_fault",
        arguments=("tests/unit/test_fault.py", "tests/unit/test_walls.py"),
    )
