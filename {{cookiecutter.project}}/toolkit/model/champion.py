"""The champion: what an environment serves, fetched by `invoke champion`, scored as it serves.

It is scored from its own ONNX file by the code of its own wheel, in a process of its own: whatever
has become of the features since, its answers are those that customers get. Nothing is unpickled.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from .evaluation import Judged, Labels, Probabilities
from .predictor import MODEL_FILE

FILE = "champion.json"
EVIDENCE_FILE = "gate.json"
SCHEMA = 1
# Releases of before the toolkit have it in the owner's package.
SCORING = re.compile(r"toolkit/serving/scoring\.py|[^/]+/scoring\.py")
TIMEOUT_S = 600
DAY_S = 86_400
KEYS = ("environment", "release", "served_since", "fetched", "checksums")

# What can be said of a champion before its answers are compared.
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
        In words, where it is not `SCORED`.
    release, model_sha256, environment, served_since
        Of the release; None where there is none.
    age_days
        How long ago it was fetched.
    features
        The columns that it is asked with, and their types.
    rows
        How many customers it was judged by when it was released; None where that is not told.
    probabilities
        What it says of each customer, [n]; NaN for one that it would not answer.
    threshold
        From this probability on, it says that a customer leaves.
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
    probabilities: Probabilities = field(default_factory=lambda: np.zeros(0))
    threshold: float = 0.5

    @property
    def answered(self) -> npt.NDArray[np.bool_]:
        """Which customers it answers, [n]."""
        return ~np.isnan(self.probabilities)

    def judged(self, labels: Labels) -> Judged:
        """Return its answers, those that there are, beside what became of the customers, [n]."""
        given = self.probabilities[self.answered]
        decided = (given >= self.threshold).astype(np.int64)
        return Judged(labels[self.answered], given, decided)


def load(folder: Path, requests: list[dict[str, Any]]) -> Champion:
    """Return the champion in a folder, and what it says of customers.

    Parameters
    ----------
    folder
        What `invoke champion` has written.
    requests
        The customers as /predict is asked about them, [n].

    Raises
    ------
    ConfigurationError
        What was fetched is incomplete or altered: a comparison with it would prove nothing.
    """
    if not folder.is_dir():
        return Champion(NOT_FETCHED, f"there is no {folder}: invoke champion --env prod")
    told = _told(folder)
    fetched = datetime.fromisoformat(told["fetched"])
    known = {
        "environment": told["environment"],
        "release": told["release"],
        "served_since": told["served_since"],
        "age_days": (datetime.now(UTC) - fetched).total_seconds() / DAY_S,
    }
    if told["release"] is None:
        return Champion(NONE_YET, f"{told['environment']} has served nothing yet", **known)
    known["model_sha256"] = _model_sha256(folder, told)
    known["rows"] = _rows_then(folder)
    try:
        answers = _ask(folder, requests)
        probabilities = np.array(answers["probabilities"], dtype=np.float64)
        if probabilities.shape != (len(requests),):
            raise ValueError(f"it gave {probabilities.shape} answers to {len(requests)} customers")
        features = tuple((str(name), str(kind)) for name, kind in answers["features"])
        threshold = float(answers["threshold"])
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError) as error:
        return Champion(UNSCORABLE, str(error), **known)
    return Champion(
        SCORED, features=features, probabilities=probabilities, threshold=threshold, **known
    )


def _told(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    try:
        told = json.loads(path.read_bytes())
        if told["schema"] != SCHEMA:
            raise ValueError(f"schema is {told['schema']}, and this code reads {SCHEMA}")
        return {key: told[key] for key in KEYS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _altered(path, repr(error)) from None


def _model_sha256(folder: Path, told: dict[str, Any]) -> str:
    """Prove that every file of the release is what was released."""
    for name, checksum in told["checksums"].items():
        try:
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as error:
            raise _altered(folder / name, str(error.strerror)) from None
        if found != checksum:
            raise _altered(folder / name, "it is not the file that was released")
    if MODEL_FILE not in told["checksums"]:
        raise _altered(folder / MODEL_FILE, "the release has no model")
    sha256: str = told["checksums"][MODEL_FILE]
    return sha256


def _altered(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(f"{path}: {why}", "fetch it again: invoke champion --env prod")


def _rows_then(folder: Path) -> int | None:
    try:
        rows = json.loads((folder / EVIDENCE_FILE).read_bytes())["rows"]["held_out"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return rows if isinstance(rows, int) else None


def _ask(folder: Path, requests: list[dict[str, Any]]) -> dict[str, Any]:
    """Let the champion's own code answer; ValueError tells why it does not."""
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
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers
