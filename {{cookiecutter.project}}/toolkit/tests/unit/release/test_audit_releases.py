"""The audit checks the files and the permission of every release that served."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from toolkit.release import ledger
from toolkit.release.errors import Held
from toolkit.release.event import Event
from toolkit.release.records import FILE_NAME, sha256
from toolkit.tests.command_line import write_policy
from toolkit.tests.history import History, good_week
from toolkit.tests.workshop import git


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """The history of a good week."""
    with good_week(tmp_path_factory.mktemp("original")) as history:
        yield history


@pytest.fixture
def history(original: History, tmp_path: Path) -> History:
    """A copy of it, to change."""
    return original.copy(tmp_path)


def test_33_an_edited_record_is_named(history: History) -> None:
    record = history.releases[1]
    files = history.shop.ledger().bundle(record.version)
    history.untag(f"release/{record.version}")
    artifacts = {**record.artifacts, "model.onnx": record.artifacts["smoke.json"]}
    document = json.loads(record.to_json()) | {"artifacts": artifacts}
    edited = files | {FILE_NAME: json.dumps(document).encode()}
    history.shop.ledger().add_release(record, edited, "a release\n")
    found = history.audit().findings
    assert [(one.environment, one.rule) for one in found] == [
        ("staging", "bundle"),
        ("prod", "bundle"),
    ]
    assert "its digest does not match its artifacts" in found[0].text


def test_33_a_truncated_record_in_an_event_is_named(history: History) -> None:
    record = history.releases[0]
    event = Event("hold", record.version, record.digest, "noted")
    read = history.shop.ledger()
    read.append("prod", event, read.desired(read.history("prod")[0].sha) | {FILE_NAME: b"{"})
    assert ("prod", "record") in history.found()


def test_33_a_release_whose_tag_is_gone_is_named_at_its_first_deployment(history: History) -> None:
    version = history.releases[1].version
    history.untag(f"release/{version}")
    found = history.audit().findings
    assert [(one.environment, one.event) for one in found] == [
        ("staging", history.commits("staging")[3]),
        ("prod", history.commits("prod")[3]),
    ]
    assert {one.text for one in found} == {
        f"promote of {version}: there is no tag release/{version}"
    }


def test_33_a_tag_that_differs_at_the_remote_is_named(history: History) -> None:
    version, other = history.releases[2].version, history.releases[0].version
    forged = git(history.remote, "rev-parse", f"refs/tags/release/{other}")
    git(history.remote, "update-ref", f"refs/tags/release/{version}", forged)
    (finding,) = history.audit().findings
    assert f"origin has another one, {forged[:12]}" in finding.text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (zlib.compress(b"blob 2\0{}"), "was edited below .git/objects: git fsck"),
        (b"no object at all", "is missing"),
    ],
)
def test_33_an_object_edited_below_dot_git_is_found(
    history: History, content: bytes, why: str
) -> None:
    version = history.releases[0].version
    name = git(history.shop.folder, "rev-parse", f"release/{version}:gate.json")
    objects = history.shop.folder / ".git" / "objects"
    for pack in (objects / "pack").glob("*.pack"):
        # Git unpacks only what it does not have.
        packed = pack.rename(history.shop.folder / "packed").read_bytes()
        history.shop.machine.repository.run("unpack-objects", "-q", stdin=packed)
    path = objects / name[:2] / name[2:]
    path.chmod(0o644)
    path.write_bytes(content)
    found = history.audit().findings
    assert [one.rule for one in found] == ["bundle", "bundle"]
    assert why in found[0].text


@pytest.mark.parametrize("gate", ["failed", ""])
def test_a_release_that_its_gate_has_not_passed_is_named(history: History, gate: str) -> None:
    record = history.shop.release(b"ungated", gate=gate)
    history.forge("staging", record)
    (finding,) = history.audit().findings
    assert (finding.environment, finding.rule) == ("staging", "gate")
    assert finding.text == f"promote of {record.version}: its gate's verdict is {gate!r}"


def test_evidence_for_another_model_is_no_evidence(history: History) -> None:
    record = history.shop.release(b"ungated")
    files = history.shop.ledger().bundle(record.version)
    history.untag(f"release/{record.version}")
    content = json.dumps({"verdict": "passed", "model_sha256": "0" * 64}).encode()
    evidence = {"gate.json": sha256(content)}
    record = replace(record, evidence=evidence)
    files |= {"gate.json": content, FILE_NAME: record.to_json()}
    history.shop.ledger().add_release(record, files, "a release\n")
    history.forge("staging", record)
    (finding,) = history.audit().findings
    assert finding.text.endswith("its gate.json is about another model, 000000000000")


def test_a_release_that_skipped_staging_is_named(history: History) -> None:
    record = history.shop.release(b"in a hurry")
    history.shop.unhold(history.shop.prod)
    history.shop.ledger().add_approval("prod", record, "", signed=False)
    history.forge("prod", record, approved_by="Ada <ada@example.com>")
    (finding,) = history.audit().findings
    assert (finding.environment, finding.rule) == ("prod", "order")
    assert finding.text == f"promote of {record.version}: it was never verified in staging"


def test_a_release_that_was_verified_in_staging_only_later_is_named(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = history.shop.release(b"in a hurry")
    history.shop.unhold(history.shop.prod)
    history.shop.ledger().add_approval("prod", record, "", signed=False)
    history.forge("prod", record, approved_by="Ada <ada@example.com>")
    later = datetime.now(UTC) + timedelta(minutes=50)
    monkeypatch.setattr(ledger, "now", lambda: later)
    history.forge("staging", record)
    assert history.found() == []
    history.point("staging", history.commits("staging")[-3])
    monkeypatch.setattr(ledger, "now", lambda: later + timedelta(minutes=20))
    history.forge("staging", record)
    (finding,) = history.audit().findings
    assert "it was verified in staging only at" in finding.text


def test_an_approval_deleted_afterwards_is_missed(history: History) -> None:
    version = history.releases[0].version
    history.untag(f"approval/prod/{version}/ada@example.com")
    (finding,) = history.audit().findings
    assert (finding.event, finding.rule) == (history.commits("prod")[1], "approval")
    assert "0 of 1 approvals exist now, it names Ada" in finding.text


def test_a_promotion_that_names_no_approver_is_named(history: History) -> None:
    history.shop.unhold(history.shop.prod)
    history.shop.ledger().add_approval("prod", history.releases[2], "", signed=False)
    history.forge("prod", history.releases[2])
    (finding,) = history.audit().findings
    assert finding.text.endswith("it names no approver")


def test_an_approval_that_is_no_tag_does_not_stop_the_audit(history: History) -> None:
    version = history.releases[0].version
    name = f"approval/prod/{version}/eve@example.com"
    git(history.shop.folder, "update-ref", f"refs/tags/{name}", "HEAD")
    git(history.shop.folder, "push", "--quiet", "origin", f"refs/tags/{name}")
    (finding,) = history.audit().findings
    assert finding.text == f"{name}: it points at a commit, not at an annotated tag: nobody made it"
    history.untag(f"approval/prod/{version}/ada@example.com")
    missing, stray = history.audit().findings
    assert (missing.rule, stray) == ("approval", finding)
    assert f"the tag {name} is no approval" in missing.text


def test_the_policy_at_the_release_s_own_commit_counts(history: History) -> None:
    shop = history.shop
    write_policy(shop.folder, shop.machine.policy)
    path = shop.folder / "release.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("author_may_approve", "needed = 2\nauthor_may_approve") + FREEZE)
    git(shop.folder, "add", "release.toml")
    record = shop.release(b"by the book")
    shop.unhold(shop.prod)
    shop.promote(record, shop.staging)
    with pytest.raises(Held, match="prod is frozen: for ever"):
        shop.promote(record, shop.prod)
    history.forge("prod", record, approved_by="Ada <ada@example.com>")
    found = history.audit().findings
    assert [(one.environment, one.rule) for one in found] == [
        ("prod", "approval"),
        ("prod", "freeze"),
    ]
    assert "1 of 2 approvals" in found[0].text
    assert found[1].text.endswith("in the freeze for ever")


FREEZE = """
[[freezes]]
name = "for ever"
environments = ["prod"]
begins = 2000-01-01T00:00:00
ends = 2999-12-31T00:00:00
time_zone = "UTC"
"""


@pytest.mark.parametrize("is_held", [False, True], ids=["a rollback", "a hold"])
def test_a_promotion_while_releases_were_kept_out_is_named(history: History, is_held: bool) -> None:
    if is_held:
        history.shop.unhold(history.shop.prod)
        history.shop.hold(history.shop.prod, "the sale begins")
    record = history.releases[1]
    cause = history.forge("prod", record, approved_by="Ada <ada@example.com>")
    (finding,) = history.audit().findings
    assert finding.rule == "hold"
    assert (
        f": the environment was on hold since a {'hold' if is_held else 'rollback'} at "
        in finding.text
    )
    assert finding.event == history.commits("prod")[-1] != cause
