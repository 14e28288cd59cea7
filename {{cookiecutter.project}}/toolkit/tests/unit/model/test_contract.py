"""The contract says what it means, and what it cannot mean is refused with its place."""

from pathlib import Path

import pytest

from toolkit.data import contract as contracts
from toolkit.data.contract import Contract
from toolkit.errors import ConfigurationError
from toolkit.tests.customers import CONTRACT


def test_columns_keep_their_order_and_their_roles(contract: Contract) -> None:
    assert [column.name for column in contract.columns] == [
        *("name", "age", "tenure_months", "monthly_spend", "plan type", "left"),
    ]
    assert contract.id.name == "name"
    assert contract.target.positive == "yes"
    assert len(contract.features) == 4


def test_the_table_stands_beside_the_contract(contract: Contract) -> None:
    assert contract.data == contract.path.parent / "customers.csv"


def test_nulls_are_rare_in_features_and_never_in_id_or_target(contract: Contract) -> None:
    rates = {column.name: column.max_null_rate for column in contract.columns}
    assert rates["age"] == 0.01
    assert rates["name"] == rates["left"] == rates["tenure_months"] == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 1", "schema = 2", "schema: is 2, and this code reads 1"),
        ("schema = 1", "", "schema: missing"),
        ("rows =", "row =", "rows: missing"),
        ("min = 50,", 'min = "50",', "rows.min: must be a whole number, not '50'"),
        ("min = 50,", "min = 0,", "rows.min: must be at least 1"),
        ("max = 5000", "max = 10", "rows.max: is below min"),
        ("min = 50,", "min = 50, mean = 60,", "rows.mean: unknown key"),
        ("schema = 1", 'schema = 1\nowner = "me"', "owner: unknown key"),
        ("max = 99", "maximum = 99", "column[2] 'age'.maximum: unknown key"),
        ("max = 99", "max = 17", "column[2] 'age'.max: is below min"),
        ("max = 99", "max = nan", "column[2] 'age'.max: must be a finite number, not nan"),
        ("max = 99", "max = true", "column[2] 'age'.max: must be a finite number, not True"),
        ("max_null_rate = 0", "max_null_rate = 2", "max_null_rate: must be a share from 0 to 1"),
        ('name = "age"\n', "", "column[2].name: missing"),
        ('"number"', '"decimal"', "type: 'decimal' is none of integer, number, category"),
        ('"feature"', '"input"', "role: 'input' is none of id, feature, target"),
        ('type = "text"', 'type = "integer"', "type: 'integer' is none of text"),
        ('["basic", "full"]', '["basic", 2]', "categories: must be a list of texts"),
        ('["basic", "full"]', '["full", "full"]', "categories: must be 2 or more different texts"),
        ('["basic", "full"]', '["", "full"]', "categories: must not hold an empty text"),
        ('["no", "yes"]', '["no", "yes", "?"]', "labels: must be two: left and stayed, not 3"),
        ('positive = "yes"', 'positive = "1"', "positive: '1' is none of no, yes"),
        ('name = "age"', 'name = "left"', "column: 'left' is there 2 times"),
        ('role = "id"\ntype = "text"', 'role = "feature"\ntype = "number"', "the role id, not 0"),
        ("schema = 1", 'schema = 1\nordered = "yes"', "ordered: must be true or false, not 'yes'"),
        ("schema = 1", 'schema = 1\nextra_columns = "x"', "extra_columns: must be a list of texts"),
        ("schema = 1", 'schema = 1\nextra_columns = ["age"]', "'age' has a [[column]] of its own"),
        ("max = 99", "max = 99\nunique = 1", "column[2] 'age'.unique: must be true or false"),
        ("max = 99", "max = 99\nmax_age_days = 3", "column[2] 'age'.max_age_days: unknown key"),
    ],
)
def test_a_contradiction_is_refused_with_its_place(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in CONTRACT
    assert message in refusal(tmp_path, CONTRACT.replace(old, new, 1))


def refusal(folder: Path, contract: str) -> str:
    """Return why a contract is refused; the file is named first."""
    path = folder / "contract.toml"
    path.write_text(contract, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        contracts.load(path)
    place, _, why = str(refused.value).partition(": ")
    assert place == str(path)
    return why


@pytest.mark.parametrize(
    ("csv", "message"),
    [
        ('sep = ";;"', "csv.sep: must be one ASCII character, not ';;'"),
        ('sep = "§"', "csv.sep: must be one ASCII character, not '§'"),
        (r'sep = "\n"', "csv.sep: must be one ASCII character"),
        ("""sep = "'"\nquotechar = "'\"""", 'csv.quotechar: "\'" has another meaning already'),
        ('thousands = "."', "csv.thousands: '.' has another meaning already"),
        ('encoding = "latin1234"', "csv.encoding: Python knows no text in 'latin1234'"),
        ('encoding = "zlib"', "csv.encoding: Python knows no text in 'zlib'"),
        ('separator = ","', "csv.separator: unknown key"),
        ("na_values = [1]", "csv.na_values: must be a list of texts"),
    ],
)
def test_a_way_of_writing_that_cannot_be_is_refused(tmp_path: Path, csv: str, message: str) -> None:
    assert message in refusal(tmp_path, f"{CONTRACT}\n[csv]\n{csv}\n")


@pytest.mark.parametrize(
    ("holds", "message"),
    [
        ("age <", "rule[1].holds: cannot be read: "),
        ("1 < 2", "rule[1].holds: '1 < 2' names no column"),
        ("years < 3", "rule[1].holds: there is no column 'years'"),
        ("`plan` == 'full'", "rule[1].holds: there is no column 'plan'"),
        ("age.sum() < 3", "rule[1].holds: may compare and calculate, but has a Call in it"),
        ("age.values < 3", "rule[1].holds: may compare and calculate, but has a Attribute in it"),
        ("age[0] < 3", "rule[1].holds: may compare and calculate, but has a Subscript in it"),
        ("@age < 3", "rule[1].holds: cannot be read: "),
        ("__import__('os').system('true') == age", "but has a Call in it"),
    ],
)
def test_a_rule_that_does_more_than_compare_columns_is_refused(
    tmp_path: Path, holds: str, message: str
) -> None:
    rule = f'{CONTRACT}\n[[rule]]\nholds = "{holds}"\nreason = "it is so"\n'
    assert message in refusal(tmp_path, rule)


def test_a_rule_knows_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "contract.toml"
    holds = "age < 99 or `plan type` == 'full' and age > tenure_months / 12"
    rule = f'{CONTRACT}\n[[rule]]\nholds = "{holds}"\nreason = "it is so"\n'
    path.write_text(rule, encoding="utf-8")
    [known] = contracts.load(path).rules
    assert known.columns == ("age", "tenure_months", "plan type")


def test_a_contract_without_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "contract.toml"
    path.write_text(CONTRACT.partition("[[column]]")[0], encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"column: there is no \[\[column\]\]"):
        contracts.load(path)


def test_a_contract_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="contract.toml: No such file"):
        contracts.load(tmp_path / "contract.toml")


def test_a_contract_that_is_not_toml_is_named_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "contract.toml"
    path.write_text("schema = 1\nfile =\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="not TOML: .*line 2"):
        contracts.load(path)
