"""A release names the customers that it was trained on: those of its commit's snapshot, or none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.release.audit import audit
from toolkit.release.build import Options, build
from toolkit.release.champion import fetch
from toolkit.release.errors import GateRefused, PreconditionFailed
from toolkit.release.pin import pin
from toolkit.release.progress import Progress
from toolkit.release.proposal import propose
from toolkit.release.records import FILE_NAME, Record
from toolkit.tests.workshop import Workshop, git

# What `Workshop.train` says that it has read.
CONTENT = "0" * 64


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A repository with a package that can be built, whose table is the snapshot of a day."""
    shop = Workshop.open(tmp_path / "clone", tmp_path / "remote.git")
    shop.pack()
    take(shop, "2026-11-20")
    git(shop.folder, "add", "--all")
    shop.commit("a snapshot")
    shop.train(b"model")
    return shop


def take(shop: Workshop, as_of: str, content: str = CONTENT) -> None:
    """Write a pointer, as nox -s snapshot does."""
    (shop.folder / "data").mkdir(exist_ok=True)
    document = {"content_sha256": content, "as_of": as_of, "rows": 400}
    (shop.folder / "data" / "snapshot.json").write_text(json.dumps(document))


def built(shop: Workshop) -> Record:
    return build(shop.ledger(), shop.machine.policy, Progress(), Options(push=True)).record


def test_a_release_names_the_day_and_the_content_of_its_snapshot(shop: Workshop) -> None:
    record = built(shop)
    assert (record.data_sha256, record.data_as_of) == (CONTENT, "2026-11-20")
    document = json.loads(shop.ledger().bundle(record.version)[FILE_NAME])
    assert document["data_as_of"] == "2026-11-20"
    shop.record_promotion(record, shop.staging)
    assert "data" not in findings(shop)


def test_a_training_on_other_customers_is_not_built(shop: Workshop) -> None:
    take(shop, "2026-11-20", "1" * 64)
    git(shop.folder, "commit", "--quiet", "--all", "--message=another snapshot")
    shop.train(b"model")
    with pytest.raises(GateRefused) as refused:
        built(shop)
    assert f"it is of the customers {CONTENT}, the commit's snapshot has {'1' * 64}" in str(
        refused.value
    )


def test_a_snapshot_older_than_that_of_what_serves_is_not_built(shop: Workshop) -> None:
    record = built(shop)
    shop.record_promotion(record, shop.prod)
    take(shop, "2026-11-19")
    git(shop.folder, "commit", "--quiet", "--all", "--message=an older snapshot")
    fetch(shop.ledger(), shop.machine.policy, "prod", 0, shop.folder / "reports" / "champion")
    champion = {"release": record.version, "model_sha256": record.model_sha256}
    shop.train(b"model", champion={"state": "scored"} | champion)
    with pytest.raises(PreconditionFailed) as refused:
        built(shop)
    assert "the snapshot is older than that of the model that prod serves" in str(refused.value)
    assert f"is of 2026-11-19, release {record.version} of 2026-11-20" in str(refused.value)


def test_a_pin_goes_to_staging_and_only_merged_to_prod(shop: Workshop) -> None:
    take(shop, "2026-11-21")
    pinned = pin(shop.machine.repository, push=True)
    shop.train(b"good")
    record = built(shop)
    assert record.commit == pinned.commit
    planned = shop.machine.plan_promotion(shop.staging, record.version)
    assert dict(planned.checks)["merged"] == "of the default branch, with a newer snapshot"
    shop.record_promotion(record, shop.staging)
    assert findings(shop) & {"merged", "data"} == set()
    shop.ledger().add_approval("prod", record, "looked at it", signed=False)
    with pytest.raises(PreconditionFailed) as refused:
        shop.machine.plan_promotion(shop.prod, record.version)
    assert "merge the branch of its snapshot by a merge commit" in str(refused.value)
    git(shop.folder, "switch", "--quiet", "main")
    git(shop.folder, "merge", "--quiet", "--no-ff", pinned.branch, "--message=merge it")
    git(shop.folder, "push", "--quiet", "origin", "main")
    planned = shop.machine.plan_promotion(shop.prod, record.version)
    assert dict(planned.checks)["merged"] == "on the default branch"


def test_the_release_of_a_pin_is_proposed_and_its_merge_is_what_prevents_it(
    shop: Workshop,
) -> None:
    take(shop, "2026-11-21")
    pin(shop.machine.repository, push=True)
    shop.train(b"good")
    record = built(shop)
    shop.record_promotion(record, shop.staging)
    proposed = propose(shop.ledger(), shop.machine.policy, shop.prod, None)
    assert proposed.release == record.version
    [merge, approval] = proposed.obstacles
    assert merge == (
        f"the commit of release {record.version} is not on the default branch; merge the branch "
        "of its snapshot by a merge commit, not squashed"
    )
    assert "is not approved for prod" in approval


def test_a_record_of_another_day_or_content_is_found(shop: Workshop) -> None:
    record = replace(shop.release(), data_as_of="2026-11-01")
    files = shop.ledger().bundle(record.version) | {FILE_NAME: record.to_json()}
    git(shop.folder, "tag", "--delete", f"release/{record.version}")
    git(shop.folder, "push", "--quiet", "origin", f":refs/tags/release/{record.version}")
    shop.ledger().add_release(record, files, "a release\n")
    shop.record_promotion(record, shop.staging)
    assert "data" in findings(shop)


def test_a_release_whose_customers_were_erased_is_told_and_no_finding(shop: Workshop) -> None:
    record = built(shop)
    shop.record_promotion(record, shop.staging)
    erased = [{"content_sha256": CONTENT, "on": "2026-12-01", "reason": "asked for"}]
    (shop.folder / "data" / "erased.json").write_text(json.dumps(erased))
    git(shop.folder, "add", "--all")
    shop.commit("erased")
    found = audit(shop.ledger(), shop.machine.policy)
    assert found.erased == (
        f"{record.version}: its customers were erased on 2026-12-01: asked for",
    )
    assert "data" not in findings(shop)


def findings(shop: Workshop) -> set[str]:
    """Return the rules that an audit finds broken."""
    return {one.rule for one in audit(shop.ledger(), shop.machine.policy).findings}
