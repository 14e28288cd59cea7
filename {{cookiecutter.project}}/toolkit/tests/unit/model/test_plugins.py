"""A mistake in the owner's modules is one error with the file, the line, and what to do."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.__main__ import main
from toolkit.data import contract as contracts
from toolkit.data.contract import Contract
from toolkit.errors import ConfigurationError
from toolkit.model import plugins, training
from toolkit.model.features import Features
from toolkit.model.metrics import Metric
from toolkit.model.policy import Policy
from toolkit.tests import customers

Write = Callable[..., Contract]

HEAD = "from toolkit.model.features import DerivedFeature\n\n"
DOUBLED = 'DerivedFeature("doubled", ("age",), lambda age: 2 * age)'
ESTIMATORS = 'ESTIMATORS = {"tree": lambda seed: None}\n'


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes an owner's package and returns a contract that names it."""
    # A name of its own: Python caches imported modules.
    package = f"owner_{tmp_path.name}"
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    monkeypatch.chdir(tmp_path)

    def write(**modules: str) -> Contract:
        folder = tmp_path / "src" / package
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        for name, code in modules.items():
            (folder / f"{name}.py").write_text(code, encoding="utf-8")
        path = customers.write(tmp_path, customers.make(100))
        text = customers.CONTRACT.replace("toolkit.tests.example", package)
        path.write_text(text, encoding="utf-8")
        return contracts.load(path)

    return write


def refusal(contract: Contract) -> tuple[str, str]:
    """Return the error of the features, its package called `owner`, and the next step."""
    with pytest.raises(ConfigurationError) as refused:
        Features(contract)
    text = f"{refused.value}\n{refused.value.next_step}".replace(contract.package, "owner")
    error, _, next_step = text.partition("\n")
    return error, next_step


def test_features_of_the_owner_are_computed(write: Write) -> None:
    features = Features(write(features=f"{HEAD}FEATURES = ({DOUBLED},)\n"))
    columns: dict[str, list[Any]] = {
        "age": [4.0],
        "tenure_months": [1],
        "monthly_spend": [2],
        "plan type": ["full"],
    }
    np.testing.assert_array_equal(features.matrix(columns), [[4, 1, 2, 0, 1, 8]])


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (
            f"{HEAD}FEATURES = [{DOUBLED}]\n",
            "line 3: FEATURES: must be a tuple of DerivedFeature, not list",
        ),
        (
            f"{HEAD}FEATURES = ({DOUBLED})\n",
            "line 3: FEATURES: must be a tuple of DerivedFeature, not DerivedFeature",
        ),
        (
            f"{HEAD}def f(age):\n    return age\n\n\nFEATURES = ({DOUBLED}, f)\n",
            "line 7: FEATURES: entry 2 must be a DerivedFeature, not function",
        ),
        (
            f"{HEAD}FEATURES = ({DOUBLED}, {DOUBLED})\n",
            "line 3: FEATURES: 2 entries are named 'doubled'",
        ),
        (
            f"{HEAD}FEATURES: tuple = ()\nFEATURES += 2 * ({DOUBLED},)\n",
            "line 4: FEATURES: 2 entries are named 'doubled'",
        ),
        (
            f'{HEAD}FEATURES = (DerivedFeature("age", ("age",), lambda age: age),)\n',
            "line 3: FEATURES: 'age' is also the name of a column in {contract}",
        ),
        (
            f'{HEAD}FEATURES = (DerivedFeature("left", ("age",), lambda age: age),)\n',
            "line 3: FEATURES: 'left' is also the name of a column in {contract}",
        ),
        (
            f'{HEAD}FEATURES = (\n    DerivedFeature("x", ("age"), lambda age: age),\n)\n',
            "line 4: owner.features cannot be imported: TypeError: "
            "the inputs of 'x' must be a tuple, not 'age'",
        ),
        (
            f'{HEAD}FEATURES = (DerivedFeature("x", ("age",), lambda: 1),)\n',
            "line 3: FEATURES: the feature 'x' cannot be computed: TypeError: <lambda>() takes 0",
        ),
        (
            f"{HEAD}def mean(age):\n    return age.mean()\n\n\n"
            'FEATURES = (DerivedFeature("mean", ("age",), mean),)\n',
            "line 7: FEATURES: 'mean' must return as many values as it gets: () for (3,)",
        ),
        (
            f"{HEAD}def fail(age):\n    return age.no_such_method()\n\n\n"
            'FEATURES = (DerivedFeature("fail", ("age",), fail),)\n',
            "line 4: FEATURES: the feature 'fail' cannot be computed: AttributeError: "
            "'numpy.ndarray' object has no attribute 'no_such_method'",
        ),
    ],
)
def test_wrong_features_are_named_with_their_line(write: Write, code: str, error: str) -> None:
    contract = write(features=code)
    message, next_step = refusal(contract)
    expected = error.replace("{contract}", str(contract.path))
    assert message.startswith(f"src/owner/features.py, {expected}")
    assert next_step


@pytest.mark.parametrize(
    ("code", "error", "next_step"),
    [
        ("FEATURES = (\n", "line 1: owner.features cannot be imported: SyntaxError: ", "fix it"),
        (
            "import numpy as np\nimport no_such_package\n",
            "line 2: owner.features cannot be imported: ModuleNotFoundError: "
            "No module named 'no_such_package'",
            "fix the import, or add its package to pyproject.toml and type nox -s lock",
        ),
        (
            "from math import no_such_name\n",
            "line 1: owner.features cannot be imported: ImportError: cannot import name",
            "fix the import",
        ),
        (
            "def ratio():\n    return 1 / 0\n\n\nFEATURES = ratio()\n",
            "line 2: owner.features cannot be imported: ZeroDivisionError: division by zero",
            "fix it there",
        ),
        (
            "import json\n\nFEATURES = json.loads('{')\n",
            "line 3: owner.features cannot be imported: JSONDecodeError: ",
            "fix it there",
        ),
        (
            "raise SystemExit\n",
            "line 1: owner.features cannot be imported: SystemExit",
            "fix it there",
        ),
        (
            "from .rates import RATES\n",
            "line 1: owner.features cannot be imported: ModuleNotFoundError: ",
            "fix the import",
        ),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_with_the_line(
    write: Write, code: str, error: str, next_step: str
) -> None:
    message, step = refusal(write(features=code))
    assert message.startswith(f"src/owner/features.py, {error}")
    assert step.startswith(next_step)


def test_a_syntax_error_in_another_module_of_the_owner_is_named_there(write: Write) -> None:
    contract = write(features="from .rates import RATES\n", rates="RATES = 1 +\n")
    message, _ = refusal(contract)
    assert message.startswith("src/owner/rates.py, line 1: owner.features cannot be imported: ")


def test_a_module_without_the_name_is_refused_with_what_to_define(write: Write) -> None:
    message, next_step = refusal(write(features="features = ()\n"))
    assert message == "src/owner/features.py: FEATURES is not defined"
    assert next_step == "define it there; docs/model.md shows how"


def test_a_package_without_the_module_is_refused_with_what_to_create(write: Write) -> None:
    message, next_step = refusal(write())
    assert message == "there is no module owner.features, which the toolkit loads from your package"
    assert next_step == "create owner/features.py in src/; docs/model.md shows how"


def test_a_contract_with_an_unknown_package_is_refused_with_what_to_name(
    contract: Contract, tmp_path: Path
) -> None:
    path = tmp_path / "contract.toml"
    text = contract.path.read_text(encoding="utf-8")
    path.write_text(text.replace("toolkit.tests.example", "no_such_package"), encoding="utf-8")
    message, next_step = refusal(contracts.load(path))
    assert message == 'data/contract.toml: package = "owner": there is no module owner'
    assert next_step.startswith("set package to the name of the folder in src/")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (
            "ESTIMATORS = [1]\n",
            "line 1: ESTIMATORS: must map names to functions of a seed, not be a list",
        ),
        (
            'ESTIMATORS = {"tree": 3}\n',
            "line 1: ESTIMATORS: 'tree' must be a function of a seed, not int",
        ),
        (
            "ESTIMATORS = {1: lambda seed: None}\n",
            "line 1: ESTIMATORS: the name 1 must be a string",
        ),
    ],
)
def test_wrong_estimators_are_named_with_their_line(write: Write, code: str, error: str) -> None:
    package = write(estimators=code).package
    with pytest.raises(ConfigurationError) as refused:
        plugins.estimators(package)
    assert str(refused.value) == f"src/{package}/estimators.py, {error}"
    assert refused.value.next_step.startswith("write ESTIMATORS = ")


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (
            "lambda: None",
            "'tree' cannot be called with a seed: TypeError: <lambda>() takes 0 positional",
        ),
        ("lambda seed: 1 / 0", "'tree' cannot be called with a seed: ZeroDivisionError: "),
        ("lambda seed: LinearSVC()", "'tree' returns a LinearSVC, which has no predict_proba"),
        (
            "lambda seed: DecisionTreeClassifier(max_depth=-1)",
            "'tree' cannot be trained: InvalidParameterError: The 'max_depth' parameter",
        ),
    ],
)
def test_an_estimator_that_cannot_be_trained_is_named_with_its_line(
    write: Write, policy: Policy, function: str, error: str
) -> None:
    imports = (
        "from sklearn.svm import LinearSVC\nfrom sklearn.tree import DecisionTreeClassifier\n\n"
    )
    package = write(estimators=f"{imports}ESTIMATORS = {{'tree': {function}}}\n").package
    owners = replace(policy.training, package=package, estimator="tree")
    matrix = np.arange(20, dtype=np.float32).reshape(10, 2)
    with pytest.raises(ConfigurationError) as refused:
        training.fit(matrix, np.arange(10) % 2, owners)
    place = f"src/{package}/estimators.py, line 4: ESTIMATORS: "
    assert str(refused.value).startswith(place + error)
    assert refused.value.next_step


def test_wrong_metrics_are_named_with_their_line(write: Write) -> None:
    package = write(metrics="METRICS = (max,)\n").package
    with pytest.raises(ConfigurationError) as refused:
        plugins.entries(package, "metrics", "METRICS", Metric)
    assert str(refused.value) == (
        f"src/{package}/metrics.py, line 1: METRICS: entry 1 must be a Metric, "
        "not builtin_function_or_method"
    )


def test_the_command_line_prints_the_error_and_no_traceback(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    right = {
        name: f"from toolkit.tests.example.{name} import {name.upper()}\n"
        for name in ("estimators", "metrics")
    }
    package = write(**right, features="1 +\n").package
    assert main(["reference", "--contract", "contract.toml"]) == 2
    output = capsys.readouterr().err
    assert output.startswith(f"src/{package}/features.py, line 1: ")
    assert "\nNext: fix it there.\n" in output and "Traceback" not in output
