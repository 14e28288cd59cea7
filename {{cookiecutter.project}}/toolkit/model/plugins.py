"""The owner's part of the model: three modules of the package that data/contract.toml names.

========================  =======================================================================
``<package>.features``    ``FEATURES``, a tuple of `features.DerivedFeature`
``<package>.estimators``  ``ESTIMATORS``, from a name to a function of a seed that returns an
                          untrained probabilistic classifier of scikit-learn
``<package>.metrics``     ``METRICS``, a tuple of `evaluation.Metric`
========================  =======================================================================

A server loads the first alone, so ``features`` imports nothing that a release does not install.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from ..errors import ConfigurationError

Estimators = Mapping[str, Callable[[int], Any]]


def load(package: str, module: str, name: str) -> Any:
    """Return what one of the three modules defines.

    Parameters
    ----------
    package
        As the contract names it.
    module, name
        ``features`` and ``FEATURES``, for instance.

    Raises
    ------
    ConfigurationError
        The module is not there, or does not define the name.
    """
    path = f"{package}.{module}"
    try:
        return getattr(import_module(path), name)
    except ModuleNotFoundError as error:
        # Another module that this one imports may be missing: its own name tells.
        raise ConfigurationError(
            f"{path}: there is no module {error.name}",
            "name your package under `package` in data/contract.toml, or install what it imports",
        ) from None
    except AttributeError:
        raise ConfigurationError(
            f"{path} defines no {name}", f"define {name} there; docs/model.md shows how"
        ) from None


def estimators(package: str) -> Estimators:
    """Return the owner's estimators by name."""
    found: Estimators = load(package, "estimators", "ESTIMATORS")
    return found
