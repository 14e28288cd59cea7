"""The release that serves is held against what it was, on customers that it has never seen."""

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from toolkit.__main__ import main
from toolkit.data.dataset import Dataset
from toolkit.model import champion as champions
from toolkit.model import decay
from toolkit.model.champion import Champion
from toolkit.model.comparison import placements, sd_of_mean_placement
from toolkit.model.evaluation import Predictions
from toolkit.model.policy import DecayPolicy, Policy
from toolkit.tests import customers, dated, releases

DAY = date(2026, 10, 1)
CHURN = 0.26


def predicted(rows: int, auc: float, rng: np.random.Generator) -> Predictions:
    """Return normally distributed scores, as probabilities, of this ROC AUC on average."""
    y_true = (rng.random(rows) < CHURN).astype(np.int64)
    apart = float(stats.norm.ppf(auc)) * np.sqrt(2)
    y_prob = stats.norm.cdf(rng.standard_normal(rows) + apart * y_true)
    return Predictions.at_threshold(y_true, y_prob, 0.5)


def served(then: Predictions, now: Predictions) -> tuple[Champion, Dataset]:
    """Return a champion that had the one predictions, and its answers for other customers."""
    sd = sd_of_mean_placement(*placements(then.y_true == 1, then.y_prob))
    auc = then.metrics()["roc_auc"]
    champion = Champion(
        *(champions.SCORED, "", "c0ffee"),
        environment="prod",
        roc_auc={"value": auc, "low": auc - 1.96 * sd, "high": auc + 1.96 * sd},
        probabilities=now.y_prob,
    )
    names = np.array([str(one) for one in range(len(now))], dtype=object)
    return champion, Dataset(names, {}, now.y_true, {}, names)


def judged(rows: int, then: float, now: float, policy: Policy, seed: int) -> str:
    rng = np.random.default_rng(seed)
    champion, asked = served(predicted(rows, then, rng), predicted(rows, now, rng))
    return decay.judge(champion, asked, DAY, policy).state


@pytest.fixture
def enough(policy: Policy) -> Policy:
    """Return a policy for which 200 customers are enough."""
    return replace(policy, decay=DecayPolicy(min_rows=200))


@pytest.mark.parametrize(
    ("rows", "now", "low", "high"),
    [(2000, 0.78, 0.6, 0.82), (200, 0.78, 0.04, 0.2), (2000, 0.83, 0, 0.03)],
    ids=["a fall among many", "a fall among few", "no fall"],
)
def test_a_fall_is_found_as_often_as_the_guide_says(
    enough: Policy, rows: int, now: float, low: float, high: float
) -> None:
    states = [judged(rows, 0.83, now, enough, seed) for seed in range(300)]
    assert set(states) <= {decay.FINE, decay.FELL}
    assert low <= states.count(decay.FELL) / len(states) <= high


def test_a_fall_that_the_policy_allows_is_none_however_certain(enough: Policy) -> None:
    assert judged(100_000, 0.83, 0.815, enough, 1) == decay.FINE
    strict = replace(enough, decay=DecayPolicy(max_fall=0))
    assert judged(100_000, 0.83, 0.815, strict, 1) == decay.FELL


def test_too_few_customers_are_waited_for_and_the_missing_ones_counted(policy: Policy) -> None:
    rng = np.random.default_rng(1)
    champion, asked = served(predicted(2000, 0.8, rng), predicted(700, 0.5, rng))
    found = decay.judge(champion, asked, DAY, policy)
    assert (found.state, found.rows, found.missing) == (decay.WAITING, 700, 300)
    assert found.sentence.startswith(
        "release c0ffee is judged when 300 more customers of the holdout have a known label: 700 "
    )
    nobody = replace(asked, labels=np.zeros(700, dtype=np.int64))
    assert decay.judge(champion, nobody, DAY, policy).missing == 300
    loose = replace(policy, decay=DecayPolicy(min_rows=100))
    assert decay.judge(champion, nobody, DAY, loose).missing == decay.MIN_OF_EACH


@pytest.mark.parametrize(
    ("changes", "day", "state", "sentence"),
    [
        ({"state": champions.NONE_YET, "why": "prod has served nothing yet"}, DAY, "waiting", "no"),
        ({"state": champions.NOT_FETCHED, "why": "there is no folder"}, DAY, "unknown", "no fol"),
        ({"state": champions.UNSCORABLE, "why": "its wheel is broken"}, DAY, "unknown", "broken"),
        ({"roc_auc": {}}, DAY, "unknown", "does not say which roc_auc it had"),
        ({"probabilities": np.full(2000, np.nan)}, DAY, "unknown", "refuses 2000 of 2000"),
        ({}, None, "waiting", "was trained on a table in git"),
    ],
)
def test_what_cannot_be_judged_is_never_fine(
    policy: Policy, changes: dict[str, Any], day: date | None, state: str, sentence: str
) -> None:
    rng = np.random.default_rng(1)
    champion, asked = served(predicted(2000, 0.8, rng), predicted(2000, 0.8, rng))
    found = decay.judge(replace(champion, **changes), asked, day, policy)
    assert found.state == state
    assert sentence in found.sentence


def test_the_night_asks_what_serves_about_customers_newer_than_its_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The release is of the first forty days; then come forty more, and other ones."""
    folder = dated.make(tmp_path / "churn", 1500, 80)
    rows = customers.make(1500)
    dated.enter(folder, monkeypatch)
    (folder / "quality.toml").write_text(customers.QUALITY + "\n[decay]\nmin_rows = 150\n")
    dated.write(folder, rows[:750], 40)
    dated.take(dated.FIRST + timedelta(days=69))
    assert main(["reference"]) == 0
    assert main(["train"]) == 0
    files = {one.name: one.read_bytes() for one in Path("reports/model").iterdir()}
    files["gate.json"] = Path("reports/gate.json").read_bytes()
    for name in ("champion", "champion-7-days-ago"):
        releases.write(Path("reports", name), files)

    def night() -> dict[str, Any]:
        dated.write(folder, rows, 80)
        dated.take(dated.FIRST + timedelta(days=109))
        assert main(["reference"]) == 0
        capsys.readouterr()
        assert main(["nightly"]) == 0
        found: dict[str, Any] = json.loads(Path("reports/nightly.json").read_bytes())["decay"]
        assert f"decay: {found['state']}: {found['sentence']}" in capsys.readouterr().err
        assert f"**{found['state']}**" in Path("reports/nightly.md").read_text(encoding="utf-8")
        return found

    found = night()
    assert (found["state"], found["environment"]) == ("fine", "prod")
    # A quarter of 750 customers.
    assert 150 <= found["rows"] <= 230
    for row in rows[1000:]:
        row["left"] = "no" if row["left"] == "yes" else "yes"
    found = night()
    assert found["state"] == "fell"
    assert found["now"] < found["then"] - 0.1
