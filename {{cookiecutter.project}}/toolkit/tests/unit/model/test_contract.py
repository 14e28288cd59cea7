"""A contract is loaded whole, and an invalid one is refused with the place of the mistake."""

from pathlib import Path

import pytest

from toolkit.data import contract as contracts
from toolkit.data.contract import Contract
from toolkit.errors import ConfigurationError
from toolkit.tests.customers import CONTRACT


def test_columns_have_their_order_and_roles(contract: Contract) -> None:
    assert [column.name for column in contract.columns] == [
        *("name", "age", "tenure_months", "monthly_spend", "plan type", "left"),
    ]
    assert contract.id.name == "name"
    assert contract.target.positive == "yes"
    assert len(contract.features) == 4


def test_the_table_is_beside_the_contract(contract: Contract) -> None:
    assert contract.data == contract.path.parent / "customers.csv"


def test_nulls_are_rare_in_features_and_never_in_id_or_target(contract: Contract) -> None:
    rates = {column.name: column.max_null_rate for column in contract.columns}
    assert rates["age"] == 0.01
    assert rates["name"] == rates["left"] == rates["tenure_months"] == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 1", "schema = 2", "schema: is 2, but this version of the toolkit reads 1"),
        ("schema = 1", "", "schema: missing"),
        ("rows =", "row =", "rows: missing"),
        ("min = 50,", 'min = "50",', "rows.min: must be an integer, not '50'"),
        ("min = 50,", "min = 0,", "rows.min: must be from 1 to 1000000000, not 0: an empty table"),
        ("max = 5000", "max = 10", "rows.max: is below min"),
        ("min = 50,", "min = 50, mean = 60,", "rows.mean: unknown key"),
        ("schema = 1", 'schema = 1\nowner = "me"', "owner: unknown key"),
        ("max = 99", "maximum = 99", "column[2] 'age'.maximum: unknown key"),
        ("max = 99", "max = 17", "column[2] 'age'.max: is below min"),
        ("max = 99", "max = nan", "column[2] 'age'.max: must be a finite number, not nan"),
        ("max = 99", "max = true", "column[2] 'age'.max: must be a finite number, not True"),
        ("max_null_rate = 0", "max_null_rate = 2", "max_null_rate: must be from 0 to 1, not 2: it"),
        ("max = 99", "max = 1e300", "'age'.max: must be from -9007199254740991.0 to 9007199254740"),
        (
            "max = 500\n",
            "max = 1e39\n",
            "'monthly_spend'.max: must be from -3.4028234663852886e+38 to",
        ),
        ('name = "age"\n', "", "column[2].name: missing"),
        ('"number"', '"decimal"', "type: must be one of integer, number, category, not 'decimal'"),
        ('"feature"', '"input"', "role: must be one of id, feature, target"),
        ('type = "text"', 'type = "integer"', "type: must be one of text, not 'integer'"),
        ('["basic", "full"]', '["basic", 2]', "categories: must be a list of strings"),
        ('["basic", "full"]', '["full", "full"]', "categories: must be 2 or more distinct strings"),
        ('["basic", "full"]', '["", "full"]', "categories: must not contain an empty string"),
        ('["no", "yes"]', '["no", "yes", "?"]', "labels: must be two: retained and churned, not 3"),
        ('positive = "yes"', 'positive = "1"', "positive: must be one of no, yes, not '1'"),
        ('name = "age"', 'name = "left"', "column: 'left' is defined 2 times"),
        ('role = "id"\ntype = "text"', 'role = "feature"\ntype = "number"', "the role id, not 0"),
        (
            '"toolkit.tests.example"',
            '"src/churn-model"',
            "package: must be the name of a Python package, not 'src/churn-model'",
        ),
        ('"toolkit.tests.example"', '""', "package: must be the name of a Python package, not ''"),
        ('"toolkit.tests.example"', "3", "package: must be a string, not 3"),
        ("schema = 1", 'schema = 1\nordered = "yes"', "ordered: must be true or false, not 'yes'"),
        (
            "schema = 1",
            'schema = 1\nextra_columns = "x"',
            "extra_columns: must be a list of strings",
        ),
        ("schema = 1", 'schema = 1\nextra_columns = ["age"]', "'age' also has a [[column]]"),
        ("max = 99", "max = 99\nunique = 1", "column[2] 'age'.unique: must be true or false"),
        ("max = 99", 'max = 99\nsign = "1"', "'age'.sign: must be a sign such as $ or %, not '1'"),
        ("max = 99", 'max = 99\nformat = "%Y"', "column[2] 'age'.format: unknown key"),
        ("max = 99", 'max = 99\nna_values = "x"', "'age'.na_values: must be a list of strings"),
        (
            '["basic", "full"]',
            '["basic", "full"]\nna_values = ["full"]',
            "na_values: 'full' is also one of the categories",
        ),
        ('labels = ["no"', 'na_values = ["?"]\nlabels = ["no"', "'left'.na_values: unknown key"),
        ("schema = 1", 'schema = 1\ncsv = { comment = "//" }', "comment: must be one ASCII"),
        ("schema = 1", 'schema = 1\ncsv = { thousands = "µ" }', "thousands: must be one ASCII"),
        ("max = 99", "max = 99\nmax_age_days = 3", "column[2] 'age'.max_age_days: unknown key"),
    ],
)
def test_an_invalid_contract_is_refused_with_the_key(
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
        ("""sep = "'"\nquotechar = "'\"""", 'csv.quotechar: "\'" is already used by another key'),
        ('thousands = "."', "csv.thousands: '.' is already used by another key"),
        ('encoding = "latin1234"', "csv.encoding: Python has no text encoding 'latin1234'"),
        ('encoding = "zlib"', "csv.encoding: Python has no text encoding 'zlib'"),
        ('separator = ","', "csv.separator: unknown key"),
        ("na_values = [1]", "csv.na_values: must be a list of strings"),
    ],
)
def test_an_impossible_csv_format_is_refused(tmp_path: Path, csv: str, message: str) -> None:
    assert message in refusal(tmp_path, f"{CONTRACT}\n[csv]\n{csv}\n")


@pytest.mark.parametrize(
    ("holds", "message"),
    [
        ("age <", "rule[1].holds: cannot be parsed: "),
        ("1 < 2", "rule[1].holds: '1 < 2' uses no column"),
        ("years < 3", "rule[1].holds: there is no column 'years'"),
        ("`plan` == 'full'", "rule[1].holds: there is no column 'plan'"),
        ("age.sum() < 3", "rule[1].holds: may only compare and calculate, but contains Call"),
        ("age.values < 3", "rule[1].holds: may only compare and calculate, but contains Attribute"),
        ("age[0] < 3", "rule[1].holds: may only compare and calculate, but contains Subscript"),
        ("@age < 3", "rule[1].holds: cannot be parsed: "),
        ("__import__('os').system('true') == age", "but contains Call"),
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
    [loaded] = contracts.load(path).rules
    assert loaded.columns == ("age", "tenure_months", "plan type")


def test_a_contract_without_a_package_says_what_to_add(tmp_path: Path) -> None:
    path = tmp_path / "contract.toml"
    path.write_text(CONTRACT.replace('package = "toolkit.tests.example"', ""), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        contracts.load(path)
    assert str(refused.value) == (
        f"{path}: package: missing: it names the Python package that your features, estimators "
        "and metrics are loaded from"
    )
    assert refused.value.next_step == (
        f'add `package = "..."` at the top of {path}: the name of the folder in src/'
    )


def test_a_contract_without_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "contract.toml"
    path.write_text(CONTRACT.partition("[[column]]")[0], encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"column: there is no \[\[column\]\]"):
        contracts.load(path)


def test_a_missing_contract_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="contract.toml: No such file"):
        contracts.load(tmp_path / "contract.toml")


def test_a_contract_that_is_not_toml_is_named_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "contract.toml"
    path.write_text("schema = 1\nfile =\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="not TOML: .*line 2"):
        contracts.load(path)
