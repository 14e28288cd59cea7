"""The champion: the release that an environment serves, fetched by `invoke champion`.

Its own ONNX file is scored by the code of its own wheel, in a process of its own: however the
features have changed since, its predictions are those that it serves. Nothing is unpickled.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from ..policy_changes import POLICIES, compare
from .evaluation import Labels, Predictions, Probabilities
from .predictor import MODEL_FILE
from .verdicts import number

FILE = "champion.json"
EVIDENCE_FILE = "gate.json"
SCHEMA = 2
# In releases from before the toolkit it is in the owner's package.
SCORING = re.compile(r"toolkit/serving/scoring\.py|[^/]+/scoring\.py")
TIMEOUT_S = 600
DAY_S = 86_400
KEYS = ("environment", "release", "served_since", "fetched", "checksums", "policies")

# The states of a champion before its predictions are compared.
NOT_FETCHED = "not fetched"
NONE_YET = "none yet"
UNSCORABLE = "unscorable"
SCORED = "scored"
STATES = (NOT_FETCHED, NONE_YET, UNSCORABLE, SCORED)


@dataclass(frozen=True)
class Champion:
    """The release that a candidate is compared with, or why there is none.

    Attributes
    ----------
    state
        `NOT_FETCHED`, `NONE_YET`, `UNSCORABLE` or `SCORED`.
    why
        The reason in words, where it is not `SCORED`.
    release, model_sha256, environment, served_since
        Of the release; None where there is none.
    age_days
        How long ago it was fetched.
    features
        The names and types of its input features.
    rows, churned
        The size of its holdout when it was released, and how many of them churned; None where its
        evidence does not say.
    roc_auc
        Its own there, as value, low and high; empty where its evidence does not say.
    probabilities
        The churn probability that it predicts for each customer, [n]; NaN where it would refuse
        the request.
    threshold
        Its decision threshold.
    """

    state: str
    why: str = ""
    release: str | None = None
    model_sha256: str | None = None
    environment: str | None = None
    served_since: str | None = None
    age_days: float | None = None
    features: tuple[tuple[str, str], ...] = ()
    rows: int | None = None
    churned: int | None = None
    roc_auc: dict[str, float] = field(default_factory=dict)
    probabilities: Probabilities = field(default_factory=lambda: np.zeros(0))
    threshold: float = 0.5

    @property
    def is_scored(self) -> npt.NDArray[np.bool_]:
        """The customers for whom it has a prediction: a mask, [n]."""
        return ~np.isnan(self.probabilities)

    def predictions(self, y_true: Labels) -> Predictions:
        """Return its predictions, where it has them, for customers with these labels, [n]."""
        rows = self.is_scored
        return Predictions.at_threshold(y_true[rows], self.probabilities[rows], self.threshold)


def load(folder: Path, requests: list[dict[str, Any]]) -> Champion:
    """Return the champion in a folder, with its predictions.

    Parameters
    ----------
    folder
        As `invoke champion` leaves it.
    requests
        The customers as requests to /predict, [n].

    Raises
    ------
    ConfigurationError
        A file is missing or was altered: a comparison with it would prove nothing.
    """
    if not folder.is_dir():
        return Champion(NOT_FETCHED, f"there is no {folder}: invoke champion --env prod")
    fetched = _read(folder)
    age = datetime.now(UTC) - datetime.fromisoformat(fetched["fetched"])
    facts = {
        "environment": fetched["environment"],
        "release": fetched["release"],
        "served_since": fetched["served_since"],
        "age_days": age.total_seconds() / DAY_S,
    }
    if fetched["release"] is None:
        return Champion(NONE_YET, f"{fetched['environment']} has served nothing yet", **facts)
    facts["model_sha256"] = _model_sha256(folder, fetched["checksums"])
    facts |= _holdout(folder)
    try:
        answer = _score(folder, requests)
        probabilities = np.array(answer["probabilities"], dtype=np.float64)
        if probabilities.shape != (len(requests),):
            found = probabilities.shape
            raise ValueError(f"it gave {found} predictions for {len(requests)} customers")
        features = tuple((str(name), str(kind)) for name, kind in answer["features"])
        threshold = float(answer["threshold"])
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError) as error:
        return Champion(UNSCORABLE, str(error), **facts)
    return Champion(
        SCORED, features=features, probabilities=probabilities, threshold=threshold, **facts
    )


def data_as_of(folder: Path) -> date | None:
    """Return the cut-off of the champion's snapshot; None where its evidence names none.

    `load` proves that the evidence is that of the release.
    """
    try:
        return date.fromisoformat(_evidence(folder)["data_as_of"])
    except (ValueError, KeyError, TypeError):
        return None


def evidence_of(folder: Path) -> tuple[str, dict[str, Any]] | None:
    """Return the name and the evidence of the release in a folder; None where there is none.

    Raises
    ------
    ConfigurationError
        A file is missing or was altered.
    """
    if not folder.is_dir():
        return None
    fetched = _read(folder)
    if fetched["release"] is None:
        return None
    _model_sha256(folder, fetched["checksums"])
    return fetched["release"], _evidence(folder)


def policy_changes(folder: Path, root: Path) -> list[dict[str, Any]]:
    """Return what the policies in a repository ask otherwise than at the champion's commit.

    Parameters
    ----------
    folder
        As `load` takes it; without a champion there is nothing to compare with.
    root
        The repository's folder.

    Returns
    -------
    changes
        Each `Change` as JSON, the laxer ones first.

    Raises
    ------
    ConfigurationError
        The champion's file cannot be read.
    """
    if not folder.is_dir():
        return []
    fetched = _read(folder)
    if fetched["release"] is None:
        return []
    try:
        texts = dict(fetched["policies"])
        theirs = {name: one.encode("utf-8", "surrogateescape") for name, one in texts.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise _altered(folder / FILE, repr(error)) from None
    ours = {name: (root / name).read_bytes() for name in POLICIES if (root / name).is_file()}
    return [asdict(one) for one in compare(theirs, ours)]


def _read(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    try:
        content = json.loads(path.read_bytes())
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema is {content['schema']}, and this code reads {SCHEMA}")
        return {key: content[key] for key in KEYS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _altered(path, repr(error)) from None


def _model_sha256(folder: Path, checksums: dict[str, str]) -> str:
    """Prove that every file has its checksum, and return the model's."""
    for name, checksum in checksums.items():
        try:
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as error:
            raise _altered(folder / name, str(error.strerror)) from None
        if found != checksum:
            raise _altered(folder / name, "it is not the file that was released")
    if MODEL_FILE not in checksums:
        raise _altered(folder / MODEL_FILE, "the release has no model")
    return checksums[MODEL_FILE]


def _altered(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(f"{path}: {why}", "fetch it again: invoke champion --env prod")


def _evidence(folder: Path) -> dict[str, Any]:
    """Return what the evidence in a folder says; nothing where it cannot be read."""
    try:
        said = json.loads((folder / EVIDENCE_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _holdout(folder: Path) -> dict[str, Any]:
    """Return what its evidence says of the customers that it was evaluated on, where it does."""
    said = _evidence(folder)
    rows, churned = number(said, "rows", "held_out"), number(said, "churned")
    auc = {key: number(said, "metrics", "roc_auc", key) for key in ("value", "low", "high")}
    return {
        "rows": None if rows is None else int(rows),
        "churned": None if churned is None else int(churned),
        "roc_auc": {} if None in auc.values() else auc,
    }


def _score(folder: Path, requests: list[dict[str, Any]]) -> dict[str, Any]:
    """Let the champion's own code predict; ValueError says why it cannot."""
    wheels = sorted(folder.glob("*.whl"))
    modules = [
        name.removesuffix(".py").replace("/", ".")
        for wheel in wheels
        for name in zipfile.ZipFile(wheel).namelist()
        if SCORING.fullmatch(name)
    ]
    if len(modules) != 1:
        raise ValueError("its wheel has no scoring.py: it was built before there was one")
    done = subprocess.run(
        [sys.executable, "-P", "-m", modules[0], "--bundle", "."],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(wheels[0].resolve())},
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise ValueError(lines[-1])
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
