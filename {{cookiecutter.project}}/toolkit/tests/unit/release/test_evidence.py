"""Nothing in reports/ is believed that can be computed again, or stands in the ledger."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.release.build import Options, build
from toolkit.release.champion import fetch
from toolkit.release.errors import (
    BuildFailed,
    ConfigurationError,
    GateRefused,
    PreconditionFailed,
)
from toolkit.release.progress import Progress
from toolkit.tests.workshop import Workshop, git

ANSWER = {"schema": 1, "verdict": "passed", "reasons": [], "files": {}}


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A repository whose quality.toml wants a ROC AUC of 0.95, and whose model has 0.9."""
    shop = Workshop.open(tmp_path / "clone", tmp_path / "remote.git")
    shop.pack()
    (shop.folder / "quality.toml").write_text("0.95")
    git(shop.folder, "add", "--all")
    git(shop.folder, "commit", "--quiet", "--message=what a model must reach")
    shop.train(b"model")
    return shop


def lower_the_threshold(shop: Workshop) -> None:
    """Commit a threshold that the model reaches, and train."""
    (shop.folder / "quality.toml").write_text("0.8")
    git(shop.folder, "commit", "--quiet", "--all", "--message=ask for less")
    shop.train(b"model")


def refusal_of(shop: Workshop) -> str:
    """Build, which the evidence must not permit, and return why."""
    with pytest.raises(GateRefused) as refusal:
        build(shop.ledger(), shop.machine.policy, Progress(), Options(push=True))
    assert shop.ledger().versions() == []
    return refusal.value.why


def test_a_verdict_that_was_edited_to_passed_is_not_believed(shop: Workshop) -> None:
    evidence = json.loads((shop.folder / "reports" / "gate.json").read_bytes())
    assert evidence["verdict"] == "passed"
    assert refusal_of(shop) == "roc_auc is 0.9, below 0.95"


def test_looser_limits_in_the_working_tree_change_nothing(shop: Workshop) -> None:
    """Also where git does not tell of them, the policy of the commit decides."""
    (shop.folder / "quality.toml").write_text("0.1")
    loose = Options(push=True, allow_dirty=True)
    release = build(shop.ledger(), shop.machine.policy, Progress(), loose)
    assert not release.is_released and shop.ledger().versions() == []
    git(shop.folder, "checkout", "--quiet", "--", "quality.toml")
    assert refusal_of(shop) == "roc_auc is 0.9, below 0.95"


def test_a_stray_file_in_the_model_s_folder_is_named_and_refused(shop: Workshop) -> None:
    lower_the_threshold(shop)
    (shop.folder / "reports" / "model" / "extra.py").write_text("import os\n")
    assert refusal_of(shop) == "reports/model/extra.py is no file of a release"


def test_environments_in_the_commit_verify_nothing(shop: Workshop) -> None:
    """Nox would find them there, and run the Python in them."""
    (shop.folder / ".nox" / "verify" / "bin").mkdir(parents=True)
    (shop.folder / ".nox" / "verify" / "bin" / "python").write_text("#!/bin/true\n")
    git(shop.folder, "add", "--all")
    lower_the_threshold(shop)
    with pytest.raises(PreconditionFailed, match="the commit holds .nox") as refusal:
        build(shop.ledger(), shop.machine.policy, Progress(), Options(push=True))
    assert refusal.value.next_step.startswith("git rm -r --cached .nox")
    assert shop.ledger().versions() == []


def test_a_folder_in_the_model_s_folder_is_refused(shop: Workshop) -> None:
    lower_the_threshold(shop)
    (shop.folder / "reports" / "model" / "more").mkdir()
    assert "Is a directory" in refusal_of(shop)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("print('all is well')", "verified.json was not written"),
        ("raise SystemExit('no package index')", "no package index"),
        (f"write({ANSWER | {'schema': 9}!r})", "its schema is 9, not 1"),
        ("write({'schema': 1})", "'reasons'"),
        ("write([])", "list indices"),
    ],
)
def test_a_verification_without_an_answer_is_no_pass(shop: Workshop, script: str, why: str) -> None:
    with pytest.raises(BuildFailed, match="could not be verified") as refusal:
        build_with(shop, script)
    assert why in refusal.value.why


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (f"write({ANSWER | {'verdict': 'failed'}!r})", "verified.json says 'failed', not 'passed'"),
        (f"write({ANSWER!r}); raise SystemExit(3)", "has not passed: it exited 3"),
        (f"write({ANSWER | {'reasons': ['it is worse']}!r})", "it is worse"),
        (f"write({ANSWER | {'files': {}}!r}, {{}})", "reports/model/model.onnx is no file"),
        (f"write({ANSWER!r}, {{'x.onnx': ''}})", "reports/model/x.onnx is missing"),
        (f"write({ANSWER!r}, {{'smoke.json': '0'}})", "smoke.json is not the file that was"),
    ],
)
def test_an_answer_that_is_not_a_pass_of_just_these_files_is_refused(
    shop: Workshop, script: str, why: str
) -> None:
    with pytest.raises(GateRefused) as refusal:
        build_with(shop, script)
    assert why in refusal.value.why


def build_with(shop: Workshop, script: str) -> None:
    """Release with another command that verifies; `write` in it writes an answer."""
    model = shop.folder / "reports" / "model"
    files = {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in model.iterdir()}
    verifier = shop.folder.parent / "verify.py"
    verifier.write_text(
        "import json, pathlib, sys\n"
        f"def write(answer, files={files!r}):\n"
        "    if isinstance(answer, dict) and 'files' in answer: answer['files'] = files\n"
        "    pathlib.Path(sys.argv[-1], 'verified.json').write_text(json.dumps(answer))\n"
        f"{script}\n"
    )
    policy = replace(shop.machine.policy, verify=(str(verifier),))
    build(shop.ledger(), policy, Progress(), Options(push=True))


def test_a_policy_that_names_no_verification_releases_nothing(shop: Workshop) -> None:
    with pytest.raises(ConfigurationError, match="does not say how to verify") as refusal:
        build(shop.ledger(), replace(shop.machine.policy, verify=()), Progress())
    assert "verify = " in refusal.value.next_step


KEYS = ("reasons", "model_sha256", "data_sha256", "commit", "champion")
ODD: tuple[object, ...] = (None, 7, 0.5, True, "text", [], [[]], {}, {"a": []})


@pytest.mark.parametrize("key", KEYS)
def test_evidence_of_any_kind_is_refused_in_words(shop: Workshop, key: str) -> None:
    path = shop.folder / "reports" / "gate.json"
    evidence = json.loads(path.read_bytes()) | {"verdict": "failed"}
    for value in ODD:
        path.write_text(json.dumps(evidence | {key: value}))
        assert "its verdict is 'failed', not 'passed'" in refusal_of(shop)


def test_evidence_without_an_end_is_refused_in_words(shop: Workshop) -> None:
    (shop.folder / "reports" / "gate.json").write_text("[" * 200_000)
    assert "recursion" in refusal_of(shop)


# The champion


@pytest.fixture
def later(shop: Workshop) -> Workshop:
    """The shop with a release in prod, and a model that was compared with it."""
    lower_the_threshold(shop)
    options = Options(push=True)
    record = build(shop.ledger(), shop.machine.policy, Progress(), options).record
    shop.record_promotion(record, shop.prod)
    git(shop.folder, "commit", "--quiet", "--allow-empty", "--message=more work")
    fetch(shop.ledger(), shop.machine.policy, "prod", 0, shop.folder / "reports" / "champion")
    compared = {"release": record.version, "model_sha256": record.model_sha256}
    shop.train(b"another", {"state": "scored"} | compared)
    return shop


def why_not_compared(shop: Workshop) -> str:
    with pytest.raises(GateRefused, match="was not compared with the release that prod") as refusal:
        build(shop.ledger(), shop.machine.policy, Progress(), Options(push=True))
    assert len(shop.ledger().versions()) == 1
    return refusal.value.why


def test_a_champion_of_one_s_own_with_its_own_checksums_is_found_out(later: Workshop) -> None:
    folder = later.folder / "reports" / "champion"
    weak = b"a model that is easily met"
    (folder / "model.onnx").write_bytes(weak)
    document = json.loads((folder / "champion.json").read_bytes())
    document["checksums"]["model.onnx"] = hashlib.sha256(weak).hexdigest()
    (folder / "champion.json").write_text(json.dumps(document))
    why = why_not_compared(later)
    assert why == f"reports/champion/model.onnx is not the file of release {document['release']}"


def test_evidence_that_names_another_champion_s_model_is_refused(later: Workshop) -> None:
    path = later.folder / "reports" / "gate.json"
    evidence = json.loads(path.read_bytes())
    evidence["champion"]["model_sha256"] = "0" * 64
    path.write_text(json.dumps(evidence))
    assert "the evidence names its model 0000" in why_not_compared(later)


def test_a_file_beside_the_champion_s_is_named(later: Workshop) -> None:
    """A second wheel, or a module that its server would import."""
    (later.folder / "reports" / "champion" / "weaker.whl").write_bytes(b"")
    assert why_not_compared(later).startswith("reports/champion/weaker.whl is no file of release")


def test_a_champion_that_was_removed_after_the_training_is_named(later: Workshop) -> None:
    (later.folder / "reports" / "champion" / "model.onnx").unlink()
    assert why_not_compared(later) == "reports/champion/model.onnx is missing"


def test_a_model_that_was_compared_with_just_that_release_is_released(later: Workshop) -> None:
    policy = later.machine.policy
    assert build(later.ledger(), policy, Progress(), Options(push=True)).is_released
