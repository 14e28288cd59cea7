"""The owner's part of the model: three modules of the package that data/contract.toml names.

========================  =======================================================================
``<package>.features``    ``FEATURES``, a tuple of `features.DerivedFeature`
``<package>.estimators``  ``ESTIMATORS``, from a name to a function of a seed that returns an
                          untrained probabilistic classifier of scikit-learn
``<package>.metrics``     ``METRICS``, a tuple of `metrics.Metric`
========================  =======================================================================

A server loads the first alone, so ``features`` imports nothing that a release does not install.
What is wrong with one of them is an error that names the file and the line.
"""

import ast
import os
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ..errors import ConfigurationError

Estimators = Mapping[str, Callable[[int], Any]]

ESTIMATORS = ("estimators", "ESTIMATORS")
GUIDE = "docs/model.md shows how"


class Named(Protocol):
    """An entry of ``FEATURES`` or ``METRICS``."""

    @property
    def name(self) -> str:
        """Unique among its kind."""


Entry = TypeVar("Entry", bound=Named)


def entries(package: str, module: str, name: str, kind: type[Entry]) -> tuple[Entry, ...]:
    """Return the tuple that an owner's module defines.

    Parameters
    ----------
    package
        As the contract names it.
    module, name
        ``features`` and ``FEATURES``, for instance.
    kind
        The class of every entry.

    Raises
    ------
    ConfigurationError
        The module cannot be imported, lacks the name, or defines something else under it.
    """
    value = _load(package, module, name)
    expected = f"{name} = ({kind.__name__}(...), ...)"
    if not isinstance(value, tuple):
        why = f"must be a tuple of {kind.__name__}, not {type(value).__name__}"
        raise mistake(package, module, name, why, f"write {expected}")
    for place, entry in enumerate(value):
        if not isinstance(entry, kind):
            why = f"entry {place + 1} must be a {kind.__name__}, not {type(entry).__name__}"
            raise mistake(package, module, name, why, f"write {expected}")
    for repeated, count in Counter(entry.name for entry in value).items():
        if count > 1:
            raise mistake(package, module, name, f"{count} entries are named {repeated!r}")
    return value


def estimators(package: str) -> Estimators:
    """Return the owner's estimators by name.

    Raises
    ------
    ConfigurationError
        The module cannot be imported, or does not define a mapping from names to functions.
    """
    value = _load(package, *ESTIMATORS)
    next_step = 'write ESTIMATORS = {"a name": a_function_of_the_seed, ...}'
    if not isinstance(value, Mapping):
        why = f"must map names to functions of a seed, not be a {type(value).__name__}"
        raise mistake(package, *ESTIMATORS, why, next_step)
    for key, function in value.items():
        if not isinstance(key, str):
            why = f"the name {key!r} must be a string"
            raise mistake(package, *ESTIMATORS, why, next_step)
        if not callable(function):
            why = f"{key!r} must be a function of a seed, not {type(function).__name__}"
            raise mistake(package, *ESTIMATORS, why, next_step)
    return value


def estimator(package: str, name: str, seed: int) -> Any:
    """Return an untrained estimator of the owner's.

    Raises
    ------
    ConfigurationError
        As `estimators` does; or its function fails, or returns no probabilistic classifier.
    """
    function = estimators(package)[name]
    try:
        made = function(seed)
    except Exception as error:  # The owner's code may raise anything.
        why = f"{name!r} cannot be called with a seed"
        raise mistake(package, *ESTIMATORS, why, cause=error) from None
    for method in ("fit", "predict_proba"):
        if not hasattr(made, method):
            why = f"{name!r} returns a {type(made).__name__}, which has no {method}"
            next_step = "return an untrained probabilistic classifier of scikit-learn"
            raise mistake(package, *ESTIMATORS, why, next_step)
    return made


def mistake(
    package: str,
    module: str,
    name: str,
    why: str,
    next_step: str = f"fix it there; {GUIDE}",
    cause: Exception | None = None,
) -> ConfigurationError:
    """Return the error about what an owner's module defines under a name.

    Parameters
    ----------
    cause
        The exception that the owner's code has raised, if any: the error then names its line.
    """
    file = import_module(f"{package}.{module}").__file__
    assert file is not None, "only a package without code has no file"
    place = f"{_shown(file)}, line {_line_of(name, Path(file))}"
    if cause is not None:
        place, why = _place(package, cause) or place, f"{why}: {_reason(cause)}"
    return ConfigurationError(f"{place}: {name}: {why}", next_step)


def _line_of(name: str, file: Path) -> int:
    """Return the line of the last assignment to a module's name; 1 where there is none."""
    line = 1
    for statement in ast.parse(file.read_bytes()).body:
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                line = statement.lineno
    return line


def _load(package: str, module: str, name: str) -> Any:
    path = f"{package}.{module}"
    try:
        loaded = import_module(path)
    except (Exception, SystemExit) as error:  # The owner's code may raise anything.
        raise _not_imported(package, path, error) from None
    if not hasattr(loaded, name):
        raise ConfigurationError(
            f"{_shown(loaded.__file__ or path)}: {name} is not defined", f"define it there; {GUIDE}"
        )
    return getattr(loaded, name)


def _not_imported(package: str, path: str, error: BaseException) -> ConfigurationError:
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        if package == error.name or package.startswith(f"{error.name}."):
            return ConfigurationError(
                f'data/contract.toml: package = "{package}": there is no module {error.name}',
                "set package to the name of the folder in src/ with your features, estimators and "
                "metrics",
            )
        if path == error.name:
            return ConfigurationError(
                f"there is no module {path}, which the toolkit loads from your package",
                f"create {path.replace('.', '/')}.py in src/; {GUIDE}",
            )
    next_step = "fix it there"
    if isinstance(error, ImportError):
        next_step = "fix the import, or add its package to pyproject.toml and type nox -s lock"
    why = f"{_place(package, error) or path}: {path} cannot be imported: {_reason(error)}"
    return ConfigurationError(why, next_step)


def _place(package: str, error: BaseException) -> str:
    """Return the line of the owner's package that raised, or led to, an error; or nothing."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}, line {error.lineno}"
    folder = os.sep.join(("", *package.split("."), ""))
    frames = traceback.extract_tb(error.__traceback__)
    lines = [
        f"{_shown(one.filename)}, line {one.lineno}" for one in frames if folder in one.filename
    ]
    return lines[-1] if lines else ""


def _reason(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _shown(file: str) -> str:
    """Return a path relative to the current folder, where it is in it."""
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
