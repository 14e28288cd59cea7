"""The night's model is proposed only if it passes its gate and is significantly better."""

import hashlib
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from toolkit.__main__ import main
from toolkit.model import nightly
from toolkit.model.policy import NightlyPolicy
from toolkit.tests import customers, releases

GIT_NAME = ("-c", "user.name=An Owner", "-c", "user.email=owner@example.com")
POLICY = NightlyPolicy(days_ago=7, significance=0.05)
PASSED = {
    **{"verdict": "passed", "reasons": [], "commit": "c" * 40},
    **{"model_sha256": "a" * 64, "data_sha256": "d" * 64, "champion": {"release": "c0ffee"}},
}


def scored(
    candidate: float,
    champion: float,
    p_value: float,
    served_days: float = 30,
    release: str = "c0ffee",
) -> dict[str, Any]:
    """Return a comparison; `p_value` is of the candidate being worse."""
    comparison = {
        **{"metric": "roc_auc", "candidate": candidate, "champion": champion},
        **{"loss": champion - candidate, "p_value": p_value},
    }
    since = datetime.now(UTC) - timedelta(days=served_days)
    return {
        **{"state": "scored", "release": release, "comparisons": [comparison]},
        "served_since": since.isoformat(timespec="seconds"),
    }


def test_a_significantly_better_model_is_proposed() -> None:
    decision = nightly.decide(PASSED, scored(0.87, 0.85, 0.99), POLICY)
    assert decision.decision == nightly.PROPOSE
    assert decision.sentence == (
        "proposed: roc_auc 0.8700 against 0.8500 of release c0ffee, which served 7 days ago "
        "(p 0.01)"
    )
    assert decision.gain == pytest.approx(0.02)


def test_an_identical_model_promoted_minutes_before_is_said_to_be_that() -> None:
    """Whose comparison has no spread: then the chance of being no worse is 1."""
    earlier = scored(0.85, 0.85, 1.0, served_days=0.01)
    decision = nightly.decide(PASSED, earlier, POLICY)
    assert (decision.decision, decision.p_value) == (nightly.KEEP, 1.0)
    assert decision.sentence == (
        "kept back: no better: roc_auc 0.8500 against 0.8500 of release c0ffee, the first that was "
        f"verified, at {earlier['served_since']} (p 1)"
    )


@pytest.mark.parametrize(
    ("candidate", "p_value"),
    [(0.85, 0.5), (0.852, 0.7), (0.83, 0.01)],
    ids=["tie", "luck", "worse"],
)
def test_a_model_that_is_not_significantly_better_is_kept_back(
    candidate: float, p_value: float
) -> None:
    decision = nightly.decide(PASSED, scored(candidate, 0.85, p_value), POLICY)
    assert decision.decision == nightly.KEEP
    assert decision.sentence.startswith("kept back: no better: roc_auc")


def test_in_the_week_after_a_promotion_a_model_must_beat_the_new_release_too() -> None:
    earlier, present = scored(0.87, 0.85, 0.99), scored(0.87, 0.869, 0.6, release="decade")
    decision = nightly.decide(PASSED | {"champion": present}, earlier, POLICY)
    assert decision.decision == nightly.KEEP
    assert decision.sentence == (
        "kept back: no better: roc_auc 0.8700 against 0.8690 of release decade, which serves "
        "(p 0.4)"
    )
    better = scored(0.87, 0.86, 0.99, release="decade")
    decision = nightly.decide(PASSED | {"champion": better}, earlier, POLICY)
    assert decision.decision == nightly.PROPOSE
    assert decision.gain == pytest.approx(0.02)


def test_a_model_that_fails_its_gate_is_kept_back_however_much_better() -> None:
    failed = PASSED | {"verdict": "failed", "reasons": ["brier is 0.3"]}
    decision = nightly.decide(failed, scored(0.95, 0.85, 0.999), POLICY)
    assert (decision.decision, decision.sentence) == (
        *(nightly.KEEP, "kept back: the gate failed: brier is 0.3"),
    )


def test_the_first_model_is_proposed_when_it_passes() -> None:
    assert nightly.decide(PASSED, {"state": "none yet"}, POLICY).decision == nightly.PROPOSE


@pytest.mark.parametrize("state", ["not fetched", "unscorable"])
def test_without_a_champion_to_compare_with_nothing_is_proposed(state: str) -> None:
    decision = nightly.decide(PASSED, {"state": state, "why": "it is gone"}, POLICY)
    assert decision.decision == nightly.UNKNOWN
    assert decision.sentence == (
        "kept back: it could not be compared with the earlier champion: it is gone"
    )


@pytest.mark.parametrize("comparisons", [[], [{"metric": "roc_auc", "loss": None, "p_value": 0.9}]])
def test_without_a_comparison_nothing_is_proposed(comparisons: list[dict[str, Any]]) -> None:
    earlier = scored(0.87, 0.85, 0.99) | {"comparisons": comparisons}
    assert nightly.decide(PASSED, earlier, POLICY).decision == nightly.UNKNOWN


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data").mkdir()
    customers.write(tmp_path / "data", customers.make(1500))
    for name in ("quality.toml", "model_card.toml"):
        (tmp_path / "data" / name).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert main(["reference"]) == 0
    return tmp_path


def report(repository: Path) -> dict[str, Any]:
    assert (repository / "reports" / "nightly.md").read_text().startswith("# Nightly training: ")
    document: dict[str, Any] = json.loads((repository / "reports" / "nightly.json").read_bytes())
    return document


def test_the_night_before_the_first_release_proposes_it(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    releases.write(repository / "reports" / "champion-7-days-ago", {}, release=None)
    assert main(["nightly"]) == 0
    assert "nightly: proposed: " in capsys.readouterr().err
    document = report(repository)
    gate = json.loads((repository / "reports" / "gate.json").read_bytes())
    assert (document["decision"], document["model_sha256"]) == ("propose", gate["model_sha256"])
    assert (repository / "reports" / "model" / "model.onnx").is_file()
    proposal = (repository / "reports" / "proposal.md").read_text()
    assert proposal == (repository / "reports" / "nightly.md").read_text()


def test_the_same_model_again_is_kept_back_which_is_no_failure(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train"]) == 0
    files = {path.name: path.read_bytes() for path in (repository / "reports/model").iterdir()}
    for name in ("champion", "champion-7-days-ago"):
        releases.write(repository / "reports" / name, files)
    (repository / "reports" / "proposal.md").write_text("of another night")
    assert main(["nightly"]) == 0
    assert "nightly: kept back: no better: roc_auc" in capsys.readouterr().err
    assert not (repository / "reports" / "proposal.md").exists()
    document = report(repository)
    assert (document["decision"], document["gain"], document["earlier_champion"]["state"]) == (
        *("keep", 0.0, "scored"),
    )
    gate = json.loads((repository / "reports" / "gate.json").read_bytes())
    assert gate["verdict"] == "passed"


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *GIT_NAME, *arguments], cwd=folder, check=True)


@pytest.fixture
def released(repository: Path) -> Path:
    """Return a repository in git whose table and code prod's release was trained on."""
    (repository / ".gitignore").write_text("reports/\n")
    (repository / "src").mkdir()
    (repository / "src" / "features.py").write_text("# As it was.\n")
    git(repository, "init", "--quiet")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "Adopt a table")
    assert main(["train"]) == 0
    reports = repository / "reports"
    files = {path.name: path.read_bytes() for path in (reports / "model").iterdir()}
    files["gate.json"] = (reports / "gate.json").read_bytes()
    for name in ("champion", "champion-7-days-ago"):
        releases.write(reports / name, files)
    (reports / "gate.json").unlink()
    return repository


def is_trained(repository: Path) -> bool:
    return (repository / "reports" / "gate.json").exists()


def test_a_night_with_nothing_new_trains_nothing(
    released: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (released / "reports" / "proposal.md").write_text("of another night")
    (released / "README.md").write_text("words are no recipe")
    assert main(["nightly"]) == 0
    table = hashlib.sha256((released / "data" / "customers.csv").read_bytes()).hexdigest()
    sentence = "nothing new: release c0ffeec0ffee-01234567 was trained on the same table"
    assert f"{sentence} {table[:12]}" in capsys.readouterr().err
    document = report(released)
    assert (document["decision"], document["model_sha256"]) == ("keep", None)
    assert not is_trained(released)
    assert not (released / "reports" / "proposal.md").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data/customers.csv", "\n"),
        ("src/features.py", "# Another feature.\n"),
        ("src/more.py", "# Not yet in git.\n"),
        ("quality.toml", "# Stricter.\n"),
        ("data/contract.toml", "# Wider.\n"),
    ],
)
def test_a_night_trains_where_anything_that_makes_the_model_is_new(
    released: Path, name: str, text: str
) -> None:
    with (released / name).open("a") as file:
        file.write(text)
    main(["nightly"])
    assert is_trained(released)


def test_a_night_trains_where_the_commit_of_what_serves_is_not_there(released: Path) -> None:
    """As in a shallow clone: then nobody knows what has changed."""
    git(released, "commit", "--amend", "--quiet", "--message", "Another")
    git(released, "reflog", "expire", "--expire=now", "--all")
    git(released, "gc", "--quiet", "--prune=now")
    assert main(["nightly"]) == 0
    assert is_trained(released)


def test_evidence_that_was_altered_lets_no_night_off(
    released: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (released / "reports" / "champion" / "gate.json").write_text("{}")
    assert main(["nightly"]) == 2
    assert "gate.json: it is not the file that was released" in capsys.readouterr().err


def test_a_model_that_fails_its_gate_is_a_report_and_no_failure(repository: Path) -> None:
    releases.write(repository / "reports" / "champion-7-days-ago", {}, release=None)
    quality = repository / "quality.toml"
    rule = '\n[[rule]]\nmetric = "model_mb"\nmax = 0.000001\nreason = "none is that small"\n'
    quality.write_text(quality.read_text() + rule)
    assert main(["nightly"]) == 0
    assert report(repository)["sentence"].startswith("kept back: the gate failed: model_mb")
    assert not (repository / "reports" / "proposal.md").exists()


def test_a_night_that_finds_nothing_to_compare_with_fails_and_keeps_its_model_back(
    repository: Path,
) -> None:
    assert main(["nightly"]) == 1
    document = report(repository)
    assert document["decision"] == "unknown"
    assert "could not be compared with the earlier champion" in document["sentence"]
    assert not (repository / "reports" / "proposal.md").exists()


def test_a_night_with_broken_data_leaves_a_failed_gate(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "data" / "customers.csv").unlink()
    (repository / "reports").mkdir(exist_ok=True)
    (repository / "reports" / "proposal.md").write_text("of another night")
    assert main(["nightly"]) == 1
    gate = json.loads((repository / "reports" / "gate.json").read_bytes())
    assert gate["verdict"] == "failed"
    assert not (repository / "reports" / "nightly.json").exists()
    assert not (repository / "reports" / "proposal.md").exists()
