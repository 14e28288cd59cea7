"""The contract says what it means, and what it cannot mean is refused with its place."""

from pathlib import Path

import pytest

from {{ cookiecutter.package }} import contract as contracts
from {{ cookiecutter.package }}.contract import Contract
from {{ cookiecutter.package }}.errors import ConfigurationError
from tests.customers import CONTRACT


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
        ('["basic", "full"]', '["full", "full"]', "categories: must be at least two texts"),
        ('["basic", "full"]', '["", "full"]', "categories: must not hold an empty text"),
        ('["no", "yes"]', '["no", "yes", "?"]', "labels: must be two: left and stayed, not 3"),
        ('positive = "yes"', 'positive = "1"', "positive: '1' is none of no, yes"),
        ('name = "age"', 'name = "left"', "column: 'left' is there 2 times"),
        ('role = "id"\ntype = "text"', 'role = "feature"\ntype = "number"', "the role id, not 0"),
    ],
)
def test_a_contradiction_is_refused_with_its_place(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in CONTRACT
    path = tmp_path / "contract.toml"
    path.write_text(CONTRACT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        contracts.load(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)


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
