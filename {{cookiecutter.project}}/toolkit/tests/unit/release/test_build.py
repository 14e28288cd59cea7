"""A bundle holds what the gate has checked, is small enough for git, and is built once."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import time_machine

from toolkit.release.build import CHECKSUMS, Built, Options, build, checksums
from toolkit.release.champion import fetch
from toolkit.release.errors import (
    BuildFailed,
    GateRefused,
    PreconditionFailed,
    ReleaseDiffers,
    ReleaseError,
)
from toolkit.release.images.record import FILE_NAME, ImageRecord
from toolkit.release.policy import Environment, ImagePolicy, Policy
from toolkit.release.progress import Progress
from toolkit.release.records import Record, digest_of, sha256
from toolkit.tests.workshop import PYPROJECT, Workshop, git


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A repository with a package that can be built, and reports that git ignores."""
    shop = Workshop.open(tmp_path / "clone", tmp_path / "remote.git")
    shop.pack()
    shop.train(b"model")
    return shop


def serve(shop: Workshop, environment: Environment) -> str:
    """Let an environment serve a release, and return its version; HEAD is another commit then."""
    record = built(shop).record
    shop.record_promotion(record, environment)
    git(shop.folder, "commit", "--quiet", "--allow-empty", "--message=more work")
    return record.version


def built(shop: Workshop) -> Built:
    """Build HEAD and release it."""
    return build(shop.ledger(), shop.machine.policy, Progress(), Options(push=True))


def champion_of(shop: Workshop, release: str) -> dict[str, str]:
    """Fetch what prod serves, and return what the evidence of a comparison with it says."""
    fetch(shop.ledger(), shop.machine.policy, "prod", 0, shop.folder / "reports" / "champion")
    model = shop.ledger().record(release).model_sha256
    return {"state": "scored", "release": release, "model_sha256": model}


def test_a_bundle_is_in_the_tag_in_dist_and_at_the_remote(shop: Workshop, tmp_path: Path) -> None:
    release = built(shop)
    bundle = shop.ledger().bundle(release.record.version)
    written = {path.name: path.read_bytes() for path in release.folder.iterdir()}
    assert {name: written[name] for name in written if name != CHECKSUMS} == bundle
    assert bundle["model.onnx"] == b"model"
    tag = f"release/{release.record.version}"
    assert git(tmp_path / "remote.git", "rev-parse", tag) == git(shop.folder, "rev-parse", tag)
    assert git(shop.folder, "rev-parse", f"{tag}~") == release.record.commit


def test_a_second_build_does_nothing_but_write_the_folder_again(shop: Workshop) -> None:
    first = built(shop)
    (first.folder / "model.onnx").unlink()
    for path in first.folder.iterdir():
        path.unlink()
    first.folder.rmdir()
    before = git(shop.folder, "for-each-ref")
    second = built(shop)
    assert (second.record, second.is_new) == (first.record, False)
    assert (second.folder / "model.onnx").read_bytes() == b"model"
    assert git(shop.folder, "for-each-ref") == before


def test_06_uncommitted_work_is_named_and_refused(shop: Workshop) -> None:
    (shop.folder / "half done.py").touch()
    with pytest.raises(PreconditionFailed, match="uncommitted changes") as refusal:
        built(shop)
    assert "half done.py" in refusal.value.why


def test_06_uncommitted_work_may_be_built_to_look_at_and_is_never_a_release(
    shop: Workshop,
) -> None:
    (shop.folder / "half done.py").touch()
    before = git(shop.folder, "for-each-ref")
    release = build(shop.ledger(), shop.machine.policy, Progress(), Options(allow_dirty=True))
    assert (release.is_new, release.is_released) == (True, False)
    assert release.folder.name == f"{release.record.version}-dirty"
    assert (release.folder / "model.onnx").read_bytes() == b"model"
    assert git(shop.folder, "for-each-ref") == before
    with pytest.raises(ReleaseError, match="there is no release"):
        shop.machine.plan_promotion(shop.staging, release.record.version)


def test_09_a_model_that_the_gate_did_not_see_is_refused(shop: Workshop) -> None:
    (shop.folder / "reports" / "model" / "model.onnx").write_bytes(b"another")
    with pytest.raises(GateRefused) as refusal:
        built(shop)
    assert refusal.value.why == "no file in reports/model has the model_sha256 that it names"


@pytest.mark.parametrize("name", ["gate.html", "model_card.md"])
def test_09_a_release_without_its_reports_is_refused(shop: Workshop, name: str) -> None:
    (shop.folder / "reports" / name).unlink()
    with pytest.raises(GateRefused) as refusal:
        built(shop)
    assert refusal.value.why == f"reports/{name} is missing"


def test_the_reports_are_kept_with_the_release(shop: Workshop) -> None:
    record = built(shop).record
    bundle = shop.ledger().bundle(record.version)
    assert bundle["gate.html"] == b"<p>passed" and bundle["model_card.md"] == b"# a model"


def test_the_inventory_of_an_environment_is_kept_with_its_release(shop: Workshop) -> None:
    record = built(shop).record
    bundle = shop.ledger().bundle(record.version)
    bill = json.loads(bundle["sbom.json"])
    whole = bill["metadata"]["component"]
    assert (whole["type"], whole["name"]) == ("application", "workshop")
    assert whole["version"] == record.version
    assert "pkg:pypi/stand-in@1" in {one["purl"] for one in bill["components"]}
    assert not any("pkg:deb" in one["purl"] for one in bill["components"])
    assert "| stand-in | 1 | unknown |" in bundle["licences.md"].decode()


def test_a_release_whose_packages_cannot_be_installed_is_refused(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = f"stand-in-too==1 --hash=sha256:{sha256(b'never seen')}\n"
    (shop.folder / "requirements" / "serving.txt").write_text(lock)
    git(shop.folder, "commit", "--quiet", "--all", "--message=another lock")
    shop.train(b"model")
    # No process listens there.
    nowhere = "127.0.0.1:9"
    for name in ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, f"http://{nowhere}")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(
        BuildFailed, match="cannot be installed, so its packages cannot be listed"
    ) as refusal:
        built(shop)
    assert nowhere in refusal.value.why
    assert "the package index" in refusal.value.next_step
    assert shop.ledger().versions() == []


def test_the_checksums_are_those_of_the_files(shop: Workshop) -> None:
    release = built(shop)
    lines = (release.folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    names = {path.name for path in release.folder.iterdir()} - {CHECKSUMS}
    assert [line.split("  ")[1] for line in lines] == sorted(names)
    latest = release.folder.parent / CHECKSUMS
    assert latest.read_text(encoding="utf-8").splitlines() == lines
    latest.unlink()
    assert not built(shop).is_new and latest.exists()
    check = ("sha256sum", "--check", "--strict", "--ignore-missing", CHECKSUMS)
    subprocess.run(check, cwd=release.folder, check=True, capture_output=True)
    (release.folder / "model.onnx").write_bytes(b"another")
    altered = subprocess.run(check, cwd=release.folder, check=False, capture_output=True, text=True)
    assert altered.returncode == 1 and "model.onnx: FAILED" in altered.stdout


@pytest.mark.parametrize(("digest", "named"), [("sha256:" + "a" * 64, True), ("", False)])
def test_the_checksums_name_an_image_that_was_pushed(
    shop: Workshop, digest: str, named: bool
) -> None:
    record = shop.release()
    image = ImageRecord("registry/models", "v", digest, "id", "python:3", record.digest, 3, 2)
    lines = checksums(record, {FILE_NAME: image.to_json()}).decode().splitlines()
    assert lines[0] == f"{sha256(image.to_json())}  image.json"
    assert lines[1:] == ([f"{'a' * 64}  registry/models"] if named else [])


def test_a_model_that_was_not_compared_with_the_champion_is_refused(shop: Workshop) -> None:
    first = serve(shop, shop.prod)
    shop.train(b"another")
    with pytest.raises(
        GateRefused, match="not compared with the release that prod serves"
    ) as refusal:
        built(shop)
    assert refusal.value.why == f"prod serves {first}, the comparison was with nothing"
    assert "invoke champion --env prod" in refusal.value.next_step


def test_a_model_that_was_compared_with_an_older_champion_is_refused(shop: Workshop) -> None:
    first = serve(shop, shop.prod)
    shop.train(b"another", {"state": "scored", "release": "0123456789ab-01234567"})
    with pytest.raises(GateRefused) as refusal:
        built(shop)
    assert (
        first in refusal.value.why
        and "the comparison was with 0123456789ab-01234567" in refusal.value.why
    )


def test_a_model_that_was_compared_with_the_champion_is_built(shop: Workshop) -> None:
    first = serve(shop, shop.prod)
    shop.train(b"another", champion_of(shop, first))
    assert built(shop).is_new


def test_the_release_that_prod_serves_may_be_built_again_without_a_comparison(
    shop: Workshop,
) -> None:
    first = built(shop).record
    shop.record_promotion(first, shop.prod)
    assert not built(shop).is_new


def test_a_bundle_that_is_too_large_for_git_is_refused(shop: Workshop) -> None:
    shop.train(b"x" * 1_500_000)
    small = replace(shop.machine.policy, max_bundle_mb=1)
    with pytest.raises(BuildFailed, match=r"the bundle is 1\.5 MB"):
        build(shop.ledger(), small, Progress())
    assert shop.ledger().versions() == []


def test_a_wheel_that_cannot_be_built_is_reported_with_its_reason(shop: Workshop) -> None:
    wrong = PYPROJECT.replace('version = "1"', 'version = "first"')
    (shop.folder / "pyproject.toml").write_text(wrong)
    git(shop.folder, "commit", "--quiet", "--all", "--message=a mistake")
    shop.train(b"model")
    with pytest.raises(BuildFailed, match="the wheel could not be built") as refusal:
        built(shop)
    assert "first" in refusal.value.why


def test_nothing_is_released_without_push(shop: Workshop) -> None:
    before = git(shop.folder, "for-each-ref")
    looked_at = build(shop.ledger(), shop.machine.policy, Progress())
    assert (looked_at.is_new, looked_at.is_released) == (True, False)
    assert (looked_at.folder / "model.onnx").read_bytes() == b"model"
    assert git(shop.folder, "for-each-ref") == before
    assert built(shop).record == looked_at.record


def test_without_a_scan_nothing_is_released_where_the_policy_wants_one(shop: Workshop) -> None:
    strict = replace(shop.machine.policy, scan=True)
    record = build(shop.ledger(), strict, Progress()).record
    with pytest.raises(GateRefused, match="has not passed a scan"):
        build(shop.ledger(), strict, Progress(), Options(push=True))
    assert shop.ledger().versions() == []
    leave_scan(shop, record.digest)
    assert build(shop.ledger(), strict, Progress(), Options(push=True)).is_released
    kept = shop.ledger().bundle(record.version)["scanned.json"]
    assert json.loads(kept)["digest"] == record.digest


def test_the_scan_of_an_earlier_bundle_releases_no_other_one(shop: Workshop) -> None:
    strict = replace(shop.machine.policy, scan=True)
    earlier = build(shop.ledger(), strict, Progress()).record
    leave_scan(shop, earlier.digest)
    shop.train(b"another")
    with pytest.raises(GateRefused, match="has not passed a scan") as refusal:
        build(shop.ledger(), strict, Progress(), Options(push=True))
    assert f"it is about the bundle {earlier.digest}" in refusal.value.why
    assert shop.ledger().versions() == []


def leave_scan(shop: Workshop, digest: str) -> None:
    """Write what ``nox -s scan`` writes about a bundle without a finding."""
    scanned = {"schema": 2, "digest": digest, "verdict": "passed", "tree_clean": True}
    (shop.folder / "reports" / "scanned.json").write_text(json.dumps(scanned), encoding="utf-8")


def test_a_tag_that_somebody_pushed_before_the_build_is_not_believed(shop: Workshop) -> None:
    record = build(shop.ledger(), shop.machine.policy, Progress()).record
    bundle = {
        path.name: path.read_bytes()
        for path in (shop.folder / "dist" / record.version).iterdir()
        if path.name != CHECKSUMS
    }
    bundle["requirements.txt"] = b"# another lock\n"
    artifacts = {name: sha256(bundle[name]) for name in record.artifacts}
    forged = replace(record, artifacts=artifacts, digest=digest_of(artifacts))
    shop.ledger().add_release(forged, bundle | {"release.json": forged.to_json()}, "a release\n")
    with pytest.raises(ReleaseDiffers, match="holds another bundle") as refusal:
        built(shop)
    assert forged.digest in refusal.value.why and record.digest in refusal.value.why
    assert refusal.value.exit_code == 22


def tag_first(shop: Workshop, policy: Policy, beside: Mapping[str, bytes]) -> Record:
    """Tag the bundle that the build will make, with other files beside it; return its record."""
    record = build(shop.ledger(), policy, Progress()).record
    written = (shop.folder / "dist" / record.version).iterdir()
    files = {path.name: path.read_bytes() for path in written if path.name != CHECKSUMS}
    files |= {name: content for name, content in beside.items() if content}
    evidence = {name: sha256(files[name]) for name in record.evidence}
    forged = replace(record, evidence=evidence)
    files |= {"release.json": forged.to_json()}
    shop.ledger().add_release(forged, files, "a release\n")
    return record


def scan_of(digest: str, verdict: str = "passed") -> bytes:
    """Return what ``nox -s scan`` writes about a bundle."""
    scanned = {"schema": 2, "digest": digest, "verdict": verdict, "tree_clean": True}
    return json.dumps(scanned).encode()


@pytest.mark.parametrize(
    ("scanned", "why"),
    [
        (b"", "it was not scanned for vulnerabilities"),
        (scan_of("sha256:0"), "it is about the bundle sha256:0"),
        (b"[" * 100_000, "it cannot be read"),
        (b"null", "its schema is None"),
    ],
)
def test_a_tag_of_the_right_bundle_without_its_scan_is_not_believed(
    shop: Workshop, scanned: bytes, why: str
) -> None:
    strict = replace(shop.machine.policy, scan=True)
    record = tag_first(shop, strict, {"scanned.json": scanned})
    leave_scan(shop, record.digest)
    with pytest.raises(ReleaseDiffers, match="what no build has put there") as refusal:
        build(shop.ledger(), strict, Progress(), Options(push=True))
    assert why in refusal.value.why and refusal.value.exit_code == 22


def test_a_tag_of_the_right_bundle_with_an_image_from_elsewhere_is_not_believed(
    shop: Workshop,
) -> None:
    record = build(shop.ledger(), shop.machine.policy, Progress()).record
    image = ImageRecord("evil.example/models", "v", "sha256:0", "id", "base", record.digest, 3, 2)
    tag_first(shop, shop.machine.policy, {FILE_NAME: image.to_json()})
    policy = replace(shop.machine.policy, image=ImagePolicy("registry.example/models", 600))
    with pytest.raises(ReleaseDiffers) as refusal:
        build(shop.ledger(), policy, Progress(), Options(push=True))
    assert refusal.value.why.startswith("its image is in evil.example/models, release.toml names ")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"metrics": {"roc_auc": {"value": 0.5}}}, "roc_auc is 0.5, below 0.8"),
        ({"data_sha256": "1"}, "it names no data_sha256"),
        ({"champion": {"release": "another"}}, "there served nothing, the comparison was with a"),
    ],
)
def test_a_tag_of_the_right_bundle_with_evidence_of_its_own_is_not_believed(
    shop: Workshop, change: dict[str, object], why: str
) -> None:
    """Approvers would read figures of somebody's choice."""
    (shop.folder / "quality.toml").write_text("0.8", encoding="utf-8")
    git(shop.folder, "add", "quality.toml")
    shop.commit("a limit")
    shop.train(b"model")
    own = json.loads((shop.folder / "reports" / "gate.json").read_bytes())
    tag_first(shop, shop.machine.policy, {"gate.json": json.dumps(own | change).encode()})
    with pytest.raises(ReleaseDiffers, match="evidence that is not believed") as refusal:
        built(shop)
    assert why in refusal.value.why and refusal.value.exit_code == 22


def test_a_job_that_runs_again_finds_its_release_whatever_prod_serves_by_then(
    shop: Workshop,
) -> None:
    """The evidence in the tag was compared with nothing: it was the first release.

    Times are whole seconds, and prod may serve a release in the second of its tag.
    """
    first = built(shop).record
    with time_machine.travel(shop.ledger().release(first.version).tagged, tick=False):
        shop.record_promotion(first, shop.prod)
    shop.train(b"model", champion_of(shop, first.version))
    assert not built(shop).is_new


@pytest.mark.parametrize(
    "option", ["--find-links wheels", "--index-url=https://example.com", "-e ."]
)
def test_a_lock_with_an_option_is_not_released(shop: Workshop, option: str) -> None:
    (shop.folder / "requirements" / "serving.txt").write_text(f"# A lock.\n{option}\n")
    git(shop.folder, "commit", "--quiet", "--all", "--message=another index")
    shop.train(b"model")
    with pytest.raises(BuildFailed, match="holds more than versions and hashes") as refusal:
        built(shop)
    assert refusal.value.why == f"an installer obeys {option}"
    assert shop.ledger().versions() == []
