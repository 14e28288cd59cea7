"""One command adopts a user's table, or refuses it with the reason and changes nothing."""

import gzip
import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import pandas as pd
import pytest

from toolkit.__main__ import main
from toolkit.data import adoption, adoption_text
from toolkit.data import contract as contracts
from toolkit.data import table
from toolkit.data.contract import MAX_NULL_RATE
from toolkit.data.validation import copies, validate
from toolkit.model import first_training, rehearsal
from toolkit.model.other_process import OtherProcess
from toolkit.model.policy import Rule
from toolkit.tests import customers

ADOPT = ("adopt", "bank.csv", "--target", "gone", "--id", "account")
WRITTEN = (
    *("data/source.toml", "data/snapshot.json", "data/sample.csv", "data/reference.json"),
    *("quality.toml", "data/adoption.md", "data/contract.toml", ".gitignore"),
)


def bank(count: int = 800) -> pd.DataFrame:
    """Return another company's customers; half of the columns cannot be features."""
    rng = np.random.default_rng(5)
    years = rng.integers(0, 20, count)
    balance = rng.lognormal(7, 1, count).round(2)
    country = rng.choice(["DE", "FR", "Österreich"], count)
    risk = 1.5 - 0.35 * years + 0.8 * (country == "FR") + rng.logistic(0, 0.6, count)
    gone = np.where(risk > 0, "Yes", "No")
    return pd.DataFrame(
        {
            "": range(count),
            "account": [f"A-{number:06}" for number in range(count)],
            "years": years,
            "balance": [None if year == 0 else value for year, value in zip(years, balance)],
            "country": country,
            "note, free": [f"note {value:.3f}" for value in balance],
            "currency": "EUR",
            "closed on": ["2026-10-01" if one == "Yes" else None for one in gone],
            "since": [f"20{26 - year:02}-01-15" for year in years],
            "gone": gone,
        }
    )


def begin(folder: Path) -> None:
    """Make a fresh repository with a user's table in it."""
    (folder / "data").mkdir()
    customers.write(folder / "data", customers.make())
    for name in ("quality.toml", "model_card.toml"):
        (folder / "data" / name).rename(folder / name)
    (folder / "data" / "make_sample.py").write_text("# makes the sample\n")
    bank().to_csv(folder / "bank.csv", index=False)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a fresh repository; it is the current folder."""
    begin(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def adopted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository that has adopted the table, for tests that only read it."""
    folder = tmp_path_factory.mktemp("adopted")
    begin(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*ADOPT]) == 0
    return folder


@pytest.fixture
def rehearsed() -> None:
    """Let an adoption rehearse the checks of what it writes, as it does for its users."""


@pytest.fixture(autouse=True)
def not_rehearsed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare other adoptions their rehearsals, of seconds each: they are about something else."""
    if "rehearsed" not in request.fixturenames:
        monkeypatch.setattr(rehearsal, "failures", lambda *given: iter(()))
        silent = create_autospec(OtherProcess, instance=True)
        monkeypatch.setattr(adoption, "OtherProcess", lambda: silent)


def contents(repository: Path) -> dict[str, bytes]:
    """Return every file of the repository but the reports."""
    files = (path for path in repository.rglob("*") if path.is_file())
    content_of = {str(path.relative_to(repository)): path.read_bytes() for path in files}
    return {path: content_of[path] for path in content_of if not path.startswith("reports/")}


def everything(repository: Path) -> dict[str, bytes]:
    """Return every file of the repository, its reports too."""
    files = (path for path in repository.rglob("*") if path.is_file())
    return {str(path.relative_to(repository)): path.read_bytes() for path in files}


def distinctive() -> pd.DataFrame:
    """Return customers who can be found again: each has an id and numbers that no other one has."""
    frame = bank()
    rng = np.random.default_rng(3)
    for name in ("balance", "debt"):
        frame[name] = (1000 + 8000 * rng.random(len(frame))).round(7)
    frame["account"] = [
        f"distinct-{number:x}-id" for number in rng.integers(2**40, 2**44, len(frame))
    ]
    columns = [*(one for one in frame if one != "gone"), "gone"]
    return frame[columns]


def found_rows(content: bytes, frame: pd.DataFrame) -> list[int]:
    """Return the rows of which the id, or two numbers of nine digits and more, are in a file."""
    numbers = {float(text) for text in re.findall(rb"[0-9]+\.[0-9]{5,}", content)}
    known = frame["balance"].isin(numbers).astype(int) + frame["debt"].isin(numbers)
    named = np.array([one.encode() in content for one in frame["account"]])
    return [*map(int, np.flatnonzero((known.to_numpy() > 1) | named))]


@pytest.mark.usefixtures("rehearsed")
def test_adoption_leaves_a_repository_whose_checks_pass(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ADOPT]) == 0
    output = capsys.readouterr().err
    for path in WRITTEN:
        assert f"wrote {path}" in output
    assert not (repository / "data" / "make_sample.py").exists()
    for command in ("data", "features", "gate", "train"):
        assert main([command]) == 0, command


def test_the_contract_holds_what_was_inferred(adopted: Path) -> None:
    contract = contracts.load(adopted / "data" / "contract.toml")
    assert contract.extra_columns == ("", "note, free", "currency", "closed on")
    assert (contract.id.name, contract.target.positive) == ("account", "Yes")
    assert [(column.name, column.type) for column in contract.features] == [
        *(("years", "integer"), ("balance", "number"), ("country", "category")),
    ]
    assert [column.name for column in contract.columns if column.role == "date"] == ["since"]
    assert contract.package == "toolkit.tests.example"
    years, balance, country = contract.features
    assert (years.minimum, years.maximum, years.max_null_rate) == (0, 24, MAX_NULL_RATE)
    assert 0.08 <= balance.max_null_rate <= 0.2
    assert country.categories == ("DE", "FR", "Österreich")
    assert (contract.min_rows, contract.max_rows) == (400, 8000)


def test_the_summary_gives_the_reasons(adopted: Path) -> None:
    summary = (adopted / "data" / "adoption.md").read_text(encoding="utf-8")
    ignored = summary.partition("## Ignored columns")[2].partition("## Columns to review")[0]
    for name, why in (
        ("note, free", "id-like: a model would memorise it"),
        ("currency", "constant: a model can learn nothing from it"),
        ("closed on", "constant: a model can learn nothing from it"),
    ):
        assert f"| {name} | " in ignored and why in ignored
    assert "exactly where years is 0" in summary
    assert "a date is validated but no feature" in summary.partition("## Columns to review")[2]
    assert "first lines " in summary
    assert 'curl --json \'{"years": ' in summary


def test_the_thresholds_come_from_cross_validation_and_leave_the_rest_as_it_was(
    adopted: Path,
) -> None:
    text = (adopted / "quality.toml").read_text(encoding="utf-8")
    before = customers.QUALITY.partition("\n[[rule]]")[0]
    chosen = before.replace('estimator = "boosting"', 'estimator = "logistic"')
    assert text.startswith(chosen.replace("quick_rows = 300", "quick_rows = 350"))
    rules = tomllib.loads(text)["rule"]
    assert [rule["metric"] for rule in rules] == [
        *("average_precision", "f1", "brier", "calibration_error", "roc_auc"),
        *("train_test_gap", "roc_auc", "latency_ms"),
    ]
    assert rules[-1] == {"metric": "latency_ms", "max": 1000, "reason": "nobody waits"}
    floor = next(rule for rule in rules if rule["metric"] == "roc_auc" and "min" in rule)
    assert 0.75 < floor["min"] < 0.95
    assert "3 standard deviations" in floor["reason"]


def test_the_best_estimator_is_chosen_and_the_summary_says_by_how_much(adopted: Path) -> None:
    summary = (adopted / "data" / "adoption.md").read_text(encoding="utf-8")
    words = " ".join(summary.partition("## Estimator")[2].partition("## Thresholds")[0].split())
    assert "- the estimator is logistic: ROC AUC 0.9" in words
    assert re.search(r"on \d{3} customers, none of them held out", words)
    assert "- forest reaches 0." in words
    assert re.search(
        r"- boosting was left out after 2 of 3 folds: it reaches 0\.\d{3}, 0\.\d{3} less than "
        r"logistic \(0\.\d{3} to 0\.\d{3} on \d{3} customers\)",
        words,
    )
    assert "on the same customers)" in words
    assert "350 customers: 100 of each label, where the table has them" in words
    assert "was rehearsed with these thresholds, and passed." in " ".join(summary.split())


def test_another_estimator_is_written_and_the_comments_stay() -> None:
    text = """\
schema = 2

[training]   # how
# boosting or logistic
estimator = "boosting"   # the default
quick_rows = 2000
seed = 1

[other]
estimator = "mine"
"""
    written = adoption_text.set_training(text, "logistic", 20_000)
    assert written == text.replace('"boosting"', '"logistic"').replace("2000", "20000")


@pytest.mark.parametrize(("churned", "expected"), [(0.5, 300), (0.2, 500), (0.005, 20_000)])
def test_the_quick_gate_has_a_hundred_of_the_rarer_label(churned: float, expected: int) -> None:
    labels = (np.arange(10_000) < 10_000 * churned).astype(np.int64)
    assert first_training.quick_rows(labels, 300) == expected


@pytest.mark.usefixtures("rehearsed")
def test_rare_churn_is_adopted_and_passes_its_own_gate(repository: Path) -> None:
    frame = bank(6_000)
    rng = np.random.default_rng(3)
    keep = (frame["gone"] == "No") | (rng.random(len(frame)) < 0.05)
    frame[keep].to_csv("bank.csv", index=False)
    assert (frame[keep]["gone"] == "Yes").mean() < 0.03
    assert main([*ADOPT]) == 0
    for command in ("data", "gate"):
        assert main([command]) == 0, command


@pytest.mark.usefixtures("rehearsed")
def test_what_would_fail_its_own_gate_is_refused_and_nothing_changes(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quality = repository / "quality.toml"
    text = quality.read_text(encoding="utf-8").replace("max_below = 0.25", "min = 0.99", 1)
    quality.write_text(text, encoding="utf-8")
    before = contents(repository)
    assert main([*ADOPT]) == 1
    output = capsys.readouterr().err
    assert "gate: roc_auc is significantly below 0.990 in " in output
    assert "train: roc_auc is significantly below 0.990 in " in output
    assert "or the rule in quality.toml that is not for it, and adopt again" in output
    assert contents(repository) == before


def test_account_numbers_are_left_out_by_name(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = bank()
    frame["iban"] = 900_000_000 + np.random.default_rng(2).integers(0, 3000, len(frame))
    frame.to_csv("bank.csv", index=False)
    assert main([*ADOPT]) == 0
    said = "left out iban: too precise: a model computes in float32, which is exact for whole"
    assert said in capsys.readouterr().err
    summary = (repository / "data" / "adoption.md").read_text(encoding="utf-8")
    assert "| iban | " in summary.partition("## Ignored columns")[2]
    assert "up to 16,777,216 only" in summary


def test_the_sample_keeps_the_contract(adopted: Path) -> None:
    whole = contracts.load(adopted / "data" / "contract.toml")
    contract = replace(whole, data=adopted / "data" / "sample.csv")
    sample = table.read(contract)
    assert len(sample) == 500
    assert [one for one in validate(sample, contract) if one.check != "nulls"] == []


def test_a_second_adoption_changes_nothing(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ADOPT]) == 0
    before = contents(repository)
    assert main([*ADOPT]) == 0
    assert "bank.csv is already adopted: nothing has changed" in capsys.readouterr().err
    assert contents(repository) == before


def test_no_row_of_the_table_is_in_a_file_that_git_is_given(repository: Path) -> None:
    frame = distinctive()
    frame.to_csv("bank.csv", index=False)
    assert main([*ADOPT]) == 0
    for command in ("data", "features", "gate", "train"):
        main([command])  # Whatever the gate says about them.
    files = {path: one for path, one in everything(repository).items() if path != "bank.csv"}
    assert {"data/sample.csv", "reports/model/smoke.json", "reports/gate.html"} <= set(files)
    for path, content in files.items():
        assert found_rows(content, frame) == [], path
    assert "/bank.csv" in files[".gitignore"].decode().splitlines()


def test_a_row_is_found_where_there_is_one(repository: Path) -> None:
    frame = distinctive()
    row = frame.iloc[7]
    assert found_rows(f"{row['balance']}, {row['debt']}".encode(), frame) == [7]
    assert found_rows(frame["account"].iloc[3].encode(), frame) == [3]


def test_a_table_in_the_place_of_the_sample_is_refused(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bank().to_csv("data/sample.csv", index=False)
    before = contents(repository)
    assert main(["adopt", "data/sample.csv", "--target", "gone", "--id", "account"]) == 2
    assert "is where the synthetic sample of your table goes" in capsys.readouterr().err
    assert contents(repository) == before


def test_an_edited_file_is_not_overwritten(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ADOPT]) == 0
    contract = repository / "data" / "contract.toml"
    contract.write_text(contract.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    before = contents(repository)
    assert main([*ADOPT]) == 2
    output = capsys.readouterr().err
    assert "has already adopted a table" in output and "would change data/contract.toml" in output
    assert contents(repository) == before


def test_an_interrupted_adoption_can_be_repeated(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def stop(path: Path, missing_ok: bool = False) -> None:
        if path.name == "make_sample.py":
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", stop)
        with pytest.raises(KeyboardInterrupt):
            main([*ADOPT])
    assert main([*ADOPT]) == 0
    assert not (repository / "data" / "make_sample.py").exists()


def as_semicolons(frame: pd.DataFrame, folder: Path) -> str:
    frame.to_csv(folder / "bank.csv", index=False, sep=";", decimal=",", encoding="utf-8-sig")
    return "bank.csv"


def as_utf_16(frame: pd.DataFrame, folder: Path) -> str:
    frame.to_csv(folder / "bank.csv", index=False, sep="\t", encoding="utf-16", na_rep="NULL")
    return "bank.csv"


def as_gzip(frame: pd.DataFrame, folder: Path) -> str:
    (folder / "bank.csv.gz").write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    return "bank.csv.gz"


def as_parquet(frame: pd.DataFrame, folder: Path) -> str:
    frame.to_parquet(folder / "bank.parquet", index=False)
    return "bank.parquet"


def as_sample(frame: pd.DataFrame, folder: Path) -> str:
    (folder / "elsewhere").mkdir()
    frame.to_csv(folder / "elsewhere" / "sample.csv", index=False)
    return "elsewhere/sample.csv"


@pytest.mark.parametrize("write", [as_semicolons, as_utf_16, as_gzip, as_parquet, as_sample])
def test_a_table_of_any_format_is_adopted(
    repository: Path, write: Callable[[pd.DataFrame, Path], str]
) -> None:
    file = write(bank(), repository)
    assert main(["adopt", file, "--target", "gone", "--id", "account"]) == 0
    contract = contracts.load(repository / "data" / "contract.toml")
    assert [column.type for column in contract.features] == ["integer", "number", "category"]
    assert contract.features[2].categories == ("DE", "FR", "Österreich")
    assert main(["data"]) == 0
    assert main(["features"]) == 0


def test_a_target_with_unknown_labels_needs_the_positive_one(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = bank()
    frame["gone"] = np.where(frame["gone"] == "Yes", "moved", "here")
    frame.to_csv("bank.csv", index=False)
    before = contents(repository)
    assert main([*ADOPT]) == 2
    output = capsys.readouterr().err
    assert "which value of gone means churned: 'here' or 'moved'?" in output
    assert "Next: add --positive 'moved' or --positive 'here'." in output
    assert main([*ADOPT, "--positive", "gone"]) == 2
    assert contents(repository) == before
    assert main([*ADOPT, "--positive", "moved"]) == 0


@pytest.mark.parametrize(
    ("retained", "churned", "tells"),
    [
        *(("1", "2", False), ("1.0", "2.0", False), ("2", "1", False), ("no", "1", False)),
        *(("0", "1", True), ("0.0", "1.0", True), ("n", "Y", True), ("stayed", "Churned", True)),
    ],
)
def test_labels_that_do_not_tell_which_means_churned_are_asked_for(
    repository: Path,
    capsys: pytest.CaptureFixture[str],
    retained: str,
    churned: str,
    tells: bool,
) -> None:
    frame = bank()
    frame["gone"] = np.where(frame["gone"] == "Yes", churned, retained)
    frame.to_csv("bank.csv", index=False)
    if tells:
        assert main([*ADOPT]) == 0
        positive = contracts.load(repository / "data" / "contract.toml").target.positive
        assert positive == churned
    else:
        assert main([*ADOPT]) == 2
        assert "--positive: which value of gone means churned: " in capsys.readouterr().err


def test_what_was_read_is_told_and_kept_for_every_later_reader(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Decimal comma, a currency, null words: the checks and the training read them alike."""
    frame = bank()
    frame["balance"] = [
        "k.A." if pd.isna(value) else f"{value:,.2f} €".translate(str.maketrans(",.", ".,"))
        for value in frame["balance"]
    ]
    frame["years"] = frame["years"].astype("str").replace("7", "#N/A")
    frame.to_csv("bank.csv", index=False, sep=";")
    assert main([*ADOPT]) == 1
    output = capsys.readouterr().err
    assert "balance: nearly all values are numbers with '€', but not 'k.A.' (" in output
    assert main([*ADOPT, "--null", "balance=k.A."]) == 0
    output = capsys.readouterr().err
    assert "bank.csv: utf-8, fields separated by ';', decimal mark ',', thousands '.'" in output
    assert "  balance: number: '" in output and "; null: 'k.A.'" in output
    assert "left out currency: constant: a model can learn nothing from it (always 'EUR')" in output
    contract = contracts.load(repository / "data" / "contract.toml")
    years, balance, _ = contract.features
    assert (balance.sign, balance.na_values, years.na_values) == ("€", ("k.A.",), ("#N/A",))
    assert (contract.csv.decimal, contract.csv.thousands) == (",", ".")
    known = bank()["balance"].dropna()
    values = table.read(contract).values
    np.testing.assert_array_equal(values["balance"].dropna(), known)
    assert values["years"].isna().sum() == (bank()["years"] == 7).sum()
    sample = table.read(replace(contract, data=repository / "data" / "sample.csv"))
    assert not sample.unreadable
    summary = (repository / "data" / "adoption.md").read_text(encoding="utf-8")
    assert "Format: utf-8, fields separated by ';', decimal mark ',', thousands '.'." in summary
    assert "| balance | number | " in summary and " | k.A. |" in summary
    for command in ("data", "features"):
        assert main([command]) == 0, command


def only(*names: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame[[*names]]


def with_values(name: str, values: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.assign(**{name: values})


def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return frame.assign(gone=rng.permutation(frame["gone"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda frame: frame[:50],
            "bank.csv: 50 rows are too few: every metric would be mostly noise",
        ),
        (lambda frame: frame[:0], "bank.csv: 0 rows are too few: "),
        (
            with_values("gone", "No"),
            "the target gone has 1 distinct values: 'No'; it must have two",
        ),
        (
            with_values("gone", ["No", "Yes", "?"] * 266 + ["No", "No"]),
            "the target gone has 3 distinct values: ",
        ),
        (with_values("gone", ["Yes"] * 9 + ["No"] * 791), "only 9 customers have the gone 'Yes'"),
        (
            with_values("gone", [None] + ["No", "Yes"] * 399 + ["No"]),
            "gone is empty in 1 row, line 2",
        ),
        (with_values("account", "A-1"), "account is a duplicate in 799 rows, first lines 3, 4, 5"),
        (with_values("account", [None, *range(799)]), "account is empty in 1 row, line 2"),
        (only("account", "gone"), "no column can be a feature: there is no other column"),
        (
            only("account", "currency", "gone"),
            "no column can be a feature: currency: always 'EUR'",
        ),
        (shuffled, "no column predicts churn: cross-validation reaches a ROC AUC of 0."),
    ],
)
def test_an_unusable_table_is_refused_and_nothing_changes(
    repository: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[pd.DataFrame], pd.DataFrame],
    message: str,
) -> None:
    change(bank()).to_csv("bank.csv", index=False)
    before = contents(repository)
    assert main([*ADOPT]) == 1
    output = capsys.readouterr().err
    assert message in output and "Next: " in output
    assert contents(repository) == before


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("nowhere.csv", "gone", "account"), "nowhere.csv: No such file", 1),
        (("data", "gone", "account"), "data: Is a directory", 1),
        (("bank.csv", "left", "account"), "--target: bank.csv has no column 'left'", 2),
        (("bank.csv", "gone", "acount"), "--id: bank.csv has no column 'acount'", 2),
        (("bank.csv", "gone", "gone"), "--id and --target are both 'gone'", 2),
    ],
)
def test_a_request_that_names_no_column_or_file_is_refused(
    repository: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, str, str],
    message: str,
    code: int,
) -> None:
    file, target, name = arguments
    before = contents(repository)
    assert main(["adopt", file, "--target", target, "--id", name]) == code
    assert message in capsys.readouterr().err
    assert contents(repository) == before


def test_a_misspelt_column_gets_the_closest_as_a_suggestion(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["adopt", "bank.csv", "--target", "gone", "--id", "acount"]) == 2
    assert "Next: use one of its columns, such as account" in capsys.readouterr().err


def test_a_table_with_a_duplicate_column_or_a_short_row_is_refused(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (repository / "bank.csv").read_text(encoding="utf-8")
    (repository / "bank.csv").write_text(text.replace("currency", "since", 1), encoding="utf-8")
    assert main([*ADOPT]) == 1
    assert "more than one column is named 'since'" in capsys.readouterr().err
    lines = text.splitlines()
    lines[5] = lines[5].rpartition(",")[0]
    (repository / "bank.csv").write_text("\n".join(lines), encoding="utf-8")
    assert main([*ADOPT]) == 1
    assert "fewer fields than the header's 10 in 1 row, line 6" in capsys.readouterr().err


def test_a_table_behind_the_rules_of_quality_toml_is_kept() -> None:
    text = 'schema = 2\n\n[[rule]]\nmetric = "f1"\nmin = 0.7\n\n[metrics.profit]\ncost_eur = 5\n'
    proposed = Rule("roc_auc", "min", 0.8, "below it the order is too poor")
    adopted = tomllib.loads(adoption_text.quality(text, [proposed]))
    assert adopted["metrics"] == {"profit": {"cost_eur": 5}}
    assert [rule["metric"] for rule in adopted["rule"]] == ["roc_auc"]


def test_copies_of_customers_are_told_and_the_contract_allows_no_more(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    customers_of = bank()
    again = customers_of[:200].assign(account=[f"B-{number:06}" for number in range(200)])
    pd.concat([customers_of, again]).to_csv(repository / "bank.csv", index=False)
    assert main([*ADOPT]) == 0
    told = "20.0% of the rows are the same as an earlier one but for the id: if customers were"
    assert told in capsys.readouterr().err
    rows = tomllib.loads((repository / "data" / "contract.toml").read_text("utf-8"))["rows"]
    assert rows["max_copies"] == 0.3
    assert main(["data"]) == 0


def test_customers_whom_coarse_columns_make_alike_are_allowed(adopted: Path) -> None:
    contract = contracts.load(adopted / "data" / "contract.toml")
    share = len(copies(table.read(contract), contract)) / len(bank())
    assert 0.01 < share < contract.max_copies < 2 * share
