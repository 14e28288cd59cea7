"""A proposal: what would change, why, what prevents it, and what to type."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from toolkit.release import proposal
from toolkit.release.difference import compare
from toolkit.release.errors import GateRefused, PreconditionFailed
from toolkit.release.notice import VARIABLE
from toolkit.release.progress import Progress
from toolkit.release.proposal import Proposal
from toolkit.release.records import Record
from toolkit.tests.listener import listening
from toolkit.tests.stand_in_forge import StandInForge, job
from toolkit.tests.workshop import Workshop, git


def propose(workshop: Workshop, version: str | None = None) -> Proposal:
    return proposal.propose(workshop.ledger(), workshop.machine.policy, workshop.prod, version)


def night(workshop: Workshop, record: Record, **fields: Any) -> None:
    """Write the result of the nightly training for a release's model."""
    path = workshop.folder / "reports" / "nightly.json"
    path.parent.mkdir(exist_ok=True)
    fields = {"sentence": "proposed: it is better", "model_sha256": record.model_sha256} | fields
    path.write_text(json.dumps(fields), encoding="utf-8")


def test_the_release_of_staging_is_proposed_with_all_that_a_reviewer_needs(
    workshop: Workshop,
) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"two")
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    workshop.promote(first, workshop.prod)
    night(workshop, second)
    found = propose(workshop)
    assert (found.release, found.serves) == (second.version, first.version)
    assert found.title == f"Promote {second.version} to prod"
    which = f"--env prod --version {second.version}"
    assert found.commands == (
        f'invoke approve {which} --reason "what you have looked at"',
        f"invoke promote {which}",
    )
    (obstacle,) = found.obstacles
    assert obstacle.startswith(f"release {second.version} is not approved for prod")
    text = str(found)
    for part in (first.version, "Why: proposed: it is better", obstacle, *found.commands):
        assert part in text


def test_policy_changes_are_told_under_their_heading(workshop: Workshop) -> None:
    path = workshop.folder / "quality.toml"
    releases = []
    for least in ("0.8", "0.7"):
        path.write_text(f'[[rule]]\nmetric = "roc_auc"\nmin = {least}\n', encoding="utf-8")
        git(workshop.folder, "add", "quality.toml")
        releases.append(workshop.release(least.encode()))
        workshop.promote(releases[-1], workshop.staging)
    workshop.promote(releases[0], workshop.prod)
    said = "quality.toml: rule roc_auc.min 0.8 -> 0.7, laxer"
    issue = str(propose(workshop))
    assert f"\nPolicy changes since:\n\n- {said}\n" in issue
    told = f"\n  Policy changes\n    {said}\n"
    assert told in f"{compare(workshop.ledger(), workshop.prod, None)}\n"
    workshop.ledger().add_approval("prod", releases[1], "looked at it", signed=False)
    assert told in str(workshop.machine.plan_promotion(workshop.prod, None))


def test_the_gate_s_figures_stand_beside_the_champion_s(workshop: Workshop) -> None:
    found = Proposal("prod", "new", "sha256:0", "old", figures={"roc_auc": (0.85, 0.87)})
    assert "| roc_auc | 0.85 | 0.87 |" in str(found)
    assert "| brier | none | 0.1 |" in str(replace(found, figures={"brier": (None, 0.1)}))


@pytest.mark.parametrize("fields", [{"model_sha256": "f" * 64}, {"model_sha256": None}])
def test_a_nightly_result_for_another_model_is_ignored(
    workshop: Workshop, fields: dict[str, Any]
) -> None:
    release = workshop.release()
    workshop.promote(release, workshop.staging)
    night(workshop, release, **fields)
    assert propose(workshop).why == ""
    (workshop.folder / "reports" / "nightly.json").write_text("{", encoding="utf-8")
    assert propose(workshop).why == ""


def test_a_hold_is_listed_and_prevents_no_proposal(workshop: Workshop) -> None:
    workshop.promote(workshop.release(), workshop.staging)
    workshop.hold(workshop.prod, "the sale begins")
    held, approval = propose(workshop).obstacles
    assert held.startswith("prod has been on hold since a hold") and "invoke unhold" in held
    assert "not approved" in approval


def test_without_a_required_approval_there_is_one_command(workshop: Workshop) -> None:
    workshop.promote(workshop.release(), workshop.staging)
    free = replace(workshop.prod, approval=None)
    found = proposal.propose(workshop.ledger(), workshop.machine.policy, free, None)
    assert [command.split()[1] for command in found.commands] == ["promote"]
    assert found.obstacles == ()


def test_what_serves_already_is_not_proposed(workshop: Workshop) -> None:
    release = workshop.release()
    for environment in (workshop.staging, workshop.prod):
        workshop.promote(release, environment)
    assert propose(workshop).nothing_to_do


def test_what_was_not_verified_before_or_has_no_passed_gate_is_refused(workshop: Workshop) -> None:
    with pytest.raises(PreconditionFailed, match="staging serves no release"):
        propose(workshop)
    release = workshop.release()
    with pytest.raises(PreconditionFailed, match="was not verified in staging"):
        propose(workshop, release.version)
    failed = workshop.release(b"two", gate="failed")
    with pytest.raises(GateRefused):
        propose(workshop, failed.version)


def test_a_proposal_is_published_as_an_issue_and_to_the_webhook(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.promote(workshop.release(), workshop.staging)
    found = propose(workshop)
    stand_in = StandInForge()
    with listening(answer=stand_in) as forge, listening() as chat:
        for name, value in job("GitHub", forge.address).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv(VARIABLE, chat.address)
        published = proposal.publish(workshop.machine.repository, found, Progress())
    (issue,) = stand_in.lists["issues"]
    assert (issue["title"], issue["body"]) == (found.title, str(found))
    assert published == replace(found, issue=issue["html_url"])
    ((_, _, notice),) = chat.requests
    text = f"prod: propose of {found.release}: proposed ({published.issue})"
    assert json.loads(notice)["text"] == text
