"""The audit accepts what the machine has written, and names what was changed in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.release.audit import audit
from toolkit.release.engine import Machine
from toolkit.release.errors import PreconditionFailed
from toolkit.release.event import Event
from toolkit.release.git import Repository
from toolkit.release.records import FILE_NAME
from toolkit.tests.history import History, edit, good_week, relinked, without
from toolkit.tests.workshop import Workshop, git


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """The history of a good week."""
    with good_week(tmp_path_factory.mktemp("original")) as history:
        yield history


@pytest.fixture
def history(original: History, tmp_path: Path) -> History:
    """A copy of it, to change."""
    return original.copy(tmp_path)


def test_what_the_machine_has_written_has_no_finding(original: History) -> None:
    found = original.audit()
    assert [str(proof) for proof in found.proofs] == [
        "staging: 8 events, 3 releases, no finding; origin has the same",
        "prod: 6 events, 2 releases, no finding; origin has the same",
    ]
    assert found.trouble is None


def test_an_audit_writes_nothing(history: History) -> None:
    def everything() -> list[tuple[str, int]]:
        files = (path for path in history.remote.parent.rglob("*") if path.is_file())
        return sorted((str(path), path.stat().st_mtime_ns) for path in files)

    before = everything()
    history.audit()
    assert everything() == before


def test_34_a_rewritten_event_is_found_by_what_comes_after_it(history: History) -> None:
    commits = history.rewrite("prod", edit(0, "Actor: Ada", "Actor: Eve"))
    found = history.audit().findings
    assert (found[0].rule, found[0].event) == ("cause", commits[1])
    assert "is not in the history before it: rewritten or reordered" in found[0].text
    assert [one.rule for one in found] == ["cause", "cause", "cause"]


def test_34_an_outcome_that_differs_from_its_pending_event_is_named(history: History) -> None:
    commits = history.rewrite("prod", relinked(edit(3, "Approved-by: Ada", "Approved-by: Eve")))
    (finding,) = history.audit().findings
    assert (finding.rule, finding.event) == ("cause", commits[3])
    assert "its approved_by is Eve" in finding.text


def test_34_a_reordered_history_is_found(history: History) -> None:
    commits = history.rewrite("prod", lambda stored: [*stored[2:4], *stored[:2], *stored[4:]])
    trouble = history.audit().trouble
    assert trouble is not None and trouble.exit_code == 50
    assert trouble.why.startswith(f"first bad event {commits[0][:12]}")
    assert "as served before, the chain nothing" in trouble.why
    assert trouble.next_step.startswith(f"git show {commits[0][:12]}")


def test_34_events_taken_out_of_the_middle_are_missed(history: History) -> None:
    commits = history.rewrite("prod", without(2, 3))
    found = history.audit().findings
    assert [(one.event, one.rule) for one in found] == [
        (commits[2], "from"),
        (commits[3], "cause"),
    ]
    assert "rewritten or reordered" in found[1].text


@pytest.mark.parametrize(
    ("places", "first", "rule", "why"),
    [
        ((0, 1), 0, "from", "as served before, the chain nothing"),
        ((2, 3), 2, "from", "as served before, the chain"),
        ((3,), 3, "lock", "held the lock and did not end"),
        ((2,), 2, "cause", "which was not pending"),
    ],
    ids=["the first release", "a later one", "an end", "a beginning"],
)
def test_34_events_removed_with_all_references_to_them_are_missed(
    history: History, places: tuple[int, ...], first: int, rule: str, why: str
) -> None:
    commits = history.rewrite("staging", relinked(without(*places)))
    found = [one for one in history.audit().findings if one.environment == "staging"]
    assert (found[0].event, found[0].rule) == (commits[first], rule)
    assert why in found[0].text


def test_34_a_tail_cut_off_at_the_remote_is_found_by_a_clone_that_has_it(history: History) -> None:
    commits = history.commits("staging")
    git(history.remote, "update-ref", "refs/heads/env/staging", commits[3])
    (finding,) = history.audit().findings
    assert (finding.rule, finding.event) == ("tail", commits[4])
    assert "origin lacks 4 events of this clone, this one first: removed" in finding.text
    assert "removed, since no promote starts without origin" in finding.text


def test_34_events_of_a_rollback_may_be_owed_or_removed(history: History) -> None:
    git(history.remote, "update-ref", "refs/heads/env/prod", history.commits("prod")[3])
    (finding,) = history.audit().findings
    assert finding.text.startswith("origin lacks 2 events of this clone")
    assert "owed or removed" in finding.text


def test_34_a_branch_deleted_at_the_remote_is_found(history: History) -> None:
    git(history.remote, "update-ref", "-d", "refs/heads/env/prod")
    (finding,) = history.audit().findings
    assert finding.text == "origin has none of the 6 events: never pushed, or deleted"


def test_34_two_histories_that_have_diverged_are_a_finding(history: History) -> None:
    commits = history.commits("staging")
    history.rewrite("staging", relinked(edit(5, "Reason: ", "Reason: un")))
    git(history.shop.folder, "update-ref", "refs/heads/env/staging", commits[-1])
    found = history.audit()
    assert found.findings[0].rule == "tail"
    assert f"diverge after {commits[4][:12]}" in found.findings[0].text
    assert "origin has another history, which was read" in str(found.proofs[0])


def test_34_a_clone_that_is_behind_is_no_finding(history: History) -> None:
    commits = history.commits("staging")
    git(history.shop.folder, "update-ref", "refs/heads/env/staging", commits[3])
    found = history.audit()
    assert found.trouble is None
    assert "8 events" in str(found.proofs[0]) and "and newer ones" in str(found.proofs[0])


def test_34_an_outcome_without_a_pending_event_is_named(history: History) -> None:
    record = history.releases[0]
    output = Event("promote", record.version, record.digest, "verified", previous="nobody knows")
    sha = history.shop.ledger().append("staging", output, {FILE_NAME: record.to_json()})
    first = history.audit().findings[0]
    assert (first.event, first.rule) == (sha, "cause")
    assert first.text.startswith("it ends nothing")


def test_34_a_commit_that_is_no_event_is_named_and_the_rest_is_read(history: History) -> None:
    tree = git(history.shop.folder, "rev-parse", "env/prod^{tree}")
    head = history.commits("prod")[-1]
    stranger = git(history.shop.folder, "commit-tree", tree, "-p", head, "-m", "just a fix")
    history.point("prod", stranger)
    history.forge("staging", history.releases[0], previous="")
    assert [(one.environment, one.rule) for one in history.audit().findings] == [
        ("staging", "from"),
        ("prod", "event"),
    ]


def test_34_a_merge_is_named(history: History) -> None:
    one, other = history.commits("prod")[-1], history.commits("staging")[-1]
    message = git(history.shop.folder, "show", "--no-patch", "--format=%B", one)
    parents = ("-p", git(history.shop.folder, "rev-parse", f"{one}^"), "-p", other)
    tree = git(history.shop.folder, "rev-parse", one + "^{tree}")
    history.point("prod", git(history.shop.folder, "commit-tree", tree, *parents, "-m", message))
    assert history.found() == [("prod", "parent")]


def test_34_a_graft_in_this_clone_hides_nothing(history: History) -> None:
    events = history.shop.ledger().history("prod")
    third = events[-3].sha
    grafts = history.shop.folder / ".git" / "info" / "grafts"
    grafts.parent.mkdir(exist_ok=True)
    grafts.write_text(f"{third}\n")
    assert len(history.shop.ledger().history("prod")) == len(events)
    assert history.found() == []


@pytest.mark.parametrize(
    ("output", "rule", "why"),
    [
        ({"kind": "promotion"}, "event", "'promotion' is no kind of event"),
        ({"outcome": "done"}, "event", "'done' is no outcome"),
        ({"caused_by": "0" * 40}, "cause", "it is pending, and names a cause"),
        ({"previous": "elsewhere"}, "from", "it names elsewhere as served before"),
        ({"kind": "recover"}, "from", "no killed command for"),
        ({"digest": "sha256:0"}, "release", "its digest is sha256:0, that of its record"),
        ({"release": "another"}, "release", "its outcome implies another"),
    ],
)
def test_34_what_the_machine_would_not_write_is_named(
    history: History, output: dict[str, str], rule: str, why: str
) -> None:
    ledger, record = history.shop.ledger(), history.releases[0]
    served = history.releases[2].version
    event = Event("promote", record.version, record.digest, "pending", previous=served)
    sha = ledger.append("staging", replace(event, **output), {FILE_NAME: record.to_json()})
    named = [(one.event, one.rule) for one in history.audit().findings]
    assert (sha, rule) in named
    assert why in " ".join(one.text for one in history.audit().findings)


def test_34_another_environment_s_history_is_none(history: History) -> None:
    history.point("prod", history.commits("staging")[-1])
    found = history.audit().findings
    assert {one.environment for one in found} == {"prod"}
    assert "in staging: pending', not" in found[0].text


def test_34_a_copied_event_is_named(history: History) -> None:
    ledger = history.shop.ledger()
    newest = ledger.history("staging")[0]
    copied = replace(newest, kind="hold", outcome="noted", previous="", caused_by="")
    ledger.append("staging", copied, ledger.desired(newest.sha))
    (finding,) = history.audit().findings
    assert (finding.rule, finding.text[:12]) == ("id", newest.sha[:12])


def test_34_a_hold_that_changes_what_serves_is_named(history: History) -> None:
    ledger = history.shop.ledger()
    head = ledger.history("staging")[0]
    held = Event("hold", head.release, head.digest, "noted", actor="Mallory <m@example.com>")
    ledger.append("staging", held, ledger.desired(head.sha) | {"process.json": b"another one"})
    assert history.found() == [("staging", "state")]


def test_34_a_rollback_to_what_was_never_verified_is_named(history: History) -> None:
    third, served = history.releases[2], history.releases[0]
    history.forge("prod", third, kind="rollback", previous=served.version)
    assert history.found() == [("prod", "state")]


def test_34_a_replacement_in_this_clone_is_ignored(history: History) -> None:
    commits = history.commits("prod")
    git(history.shop.folder, "replace", commits[-1], commits[-3])
    assert history.audit().trouble is None


def test_34_a_branch_that_release_toml_does_not_name_is_read_too(history: History) -> None:
    history.point("canary", history.commits("prod")[-1])
    assert {one.environment for one in history.audit().findings} == {"canary"}


def test_a_finding_does_not_end_the_audit(history: History) -> None:
    history.forge("staging", history.shop.release(b"ungated", gate="failed"))
    history.forge("prod", history.releases[2], previous="")
    found = history.audit()
    assert [(one.environment, one.rule) for one in found.findings] == [
        ("staging", "gate"),
        ("prod", "from"),
        ("prod", "approval"),
        ("prod", "hold"),
    ]
    assert found.trouble is not None
    assert "4 findings in all" in found.trouble.why
    assert "first bad event" in str(found.proofs[1])


def test_a_remote_that_does_not_answer_is_not_taken_for_one_that_agrees(history: History) -> None:
    history.remote.rename(history.remote.with_name("gone"))
    found = history.audit()
    assert found.findings == []
    assert found.trouble is not None and found.trouble.exit_code == 21
    assert "origin does not answer, so only this clone was read" in str(found.proofs[0])


def test_44_a_shallow_clone_cannot_be_audited(history: History, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    address = f"file://{history.remote}"
    git(history.shop.folder, "push", "--quiet", "origin", "main")
    git(tmp_path, "clone", "--quiet", "--depth=1", "--branch=main", address, str(shallow))
    # With its remote the ledger would fetch the rest.
    git(shallow, "remote", "set-url", "origin", str(tmp_path / "gone"))
    shop = Workshop(shallow, Machine(Repository(shallow), history.shop.machine.policy))
    with pytest.raises(PreconditionFailed, match="this clone is shallow") as refusal:
        audit(shop.ledger(), shop.machine.policy)
    assert refusal.value.exit_code == 14
    assert refusal.value.next_step == "git fetch --unshallow"


def test_a_repository_without_a_release_has_no_finding(tmp_path: Path) -> None:
    shop = Workshop.open(tmp_path / "clone", None)
    found = audit(shop.ledger(), shop.machine.policy)
    assert (found.proofs, found.trouble) == ((), None)
