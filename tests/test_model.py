"""A generated repository's model: the same bytes anywhere, and none that is worse than prod's."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from living import Living

from demo.repository import Repository

ESTIMATORS = ("boosting", "logistic", "forest", "cautious", "voting", "large")


def model_sha256(repository: Repository) -> str:
    """Train, and return the model's identity, whatever the gate thinks of it."""
    done = repository.nox("-s", "train")
    assert "gate: " in done.stdout, done.stdout + done.stderr
    return hashlib.sha256((repository.folder / "reports/model/model.onnx").read_bytes()).hexdigest()


@pytest.mark.full
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_two_clones_with_one_and_two_threads_train_the_same_bytes(
    living: Living, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, estimator: str
) -> None:
    seen = set()
    for threads in ("1", "2"):
        clone = living.clone(tmp_path / threads).repository
        clone.replace("quality.toml", 'estimator = "boosting"', f'estimator = "{estimator}"')
        clone.replace("toolkit/model/fitting.py", "THREADS = 1\n", f"THREADS = {threads}\n")
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            monkeypatch.setenv(name, threads)
        monkeypatch.setenv("PYTHONHASHSEED", threads)
        seen.add(model_sha256(clone))
    assert len(seen) == 1


@pytest.fixture
def prod(living: Living, tmp_path: Path) -> Repository:
    """Return a clone whose prod serves a release, by what git says."""
    clone = living.clone(tmp_path)
    repository, version = clone.repository, clone.second["version"]
    repository.ask("promote", "--env", "staging", "--yes", "--version", version)
    repository.ask("approve", "--env", "prod", "--version", version)
    repository.ask("promote", "--env", "prod", "--yes", "--version", version)
    repository.stop()
    return repository


def refused(repository: Repository, *command: str) -> str:
    """Run a command that must refuse, and return what it says."""
    done = repository.capture(str(repository.programs / command[0]), *command[1:])
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr


def test_a_model_that_is_worse_than_prod_s_is_stopped_before_it_is_a_release(
    prod: Repository,
) -> None:
    champion = prod.ask("champion", "--env", "prod")
    prod.replace("src/churn_model/estimators.py", "max_leaf_nodes=15", "max_leaf_nodes=3")
    prod.replace("src/churn_model/estimators.py", "max_iter=150", "max_iter=40")
    prod.commit("Learn less")
    said = refused(prod, "nox", "-s", "train")
    assert f"of the champion {champion['release']} on the same customers by" in said
    assert "the gate failed" in refused(prod, "invoke", "build")
    quick = refused(prod, "nox", "-s", "gate")
    assert f"of the champion {champion['release']}" in quick
    report = json.loads((prod.folder / "reports" / "gate.json").read_bytes())
    assert report["champion"]["state"] == "scored"
    assert any("worse than" in reason for reason in report["reasons"])


@pytest.mark.full
def test_a_model_that_has_not_met_prod_s_is_no_release(prod: Repository) -> None:
    prod.replace("src/churn_model/estimators.py", "max_iter=150", "max_iter=151")
    prod.commit("Learn a bit longer")
    assert model_sha256(prod)
    said = refused(prod, "invoke", "build")
    assert "the model was not compared with the release that prod serves" in said
    prod.ask("champion", "--env", "prod")
    assert model_sha256(prod)
    record = prod.ask("build", "--push")["record"]
    papers = prod.git("ls-tree", "--name-only", f"release/{record['version']}").splitlines()
    assert {"gate.json", "gate.html", "model_card.md"} <= set(papers)


@pytest.mark.full
def test_the_nightly_training_keeps_an_equal_model_back(prod: Repository) -> None:
    prod.ask("champion", "--env", "prod")
    told = prod.ask("champion", "--env", "prod", "--days-ago", "7")
    assert told["release"], "prod is younger than a week: its first release is the champion"
    night = prod.nox("-s", "nightly")
    assert night.returncode == 0, night.stderr
    assert "nightly: kept back: no better: roc_auc" in night.stdout + night.stderr
    assert not (prod.folder / "reports" / "proposal.md").exists()
    report = json.loads((prod.folder / "reports" / "nightly.json").read_bytes())
    assert report["decision"] == "keep"
    assert (prod.folder / "reports" / "model" / "model.onnx").is_file()
