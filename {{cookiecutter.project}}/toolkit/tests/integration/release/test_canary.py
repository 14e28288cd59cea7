"""A release is tried on one of two servers first: real processes."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.release.audit import audit
from toolkit.release.change import Change, verify
from toolkit.release.canary.traffic import Replay
from toolkit.release.checks import known_bad
from toolkit.release.errors import CanaryInconclusive, Locked, NotServing, RolledBack
from toolkit.release.event import Event
from toolkit.release.platforms.process import ProcessPlatform
from toolkit.release.platforms.protocol import CANARY, CONTROL, STABLE
from toolkit.release.policy import CanaryPolicy, Environment, Policy
from toolkit.release.progress import Progress
from toolkit.release.records import Record
from toolkit.release.status import look
from toolkit.tests.workshop import SMOKE, Workshop

# Short windows: the test runs on the machine that serves.
POLICY = CanaryPolicy(windows=10, window_s=1, looks=3, requests_per_s=60)


def with_canary(workshop: Workshop, canary: CanaryPolicy = POLICY) -> Workshop:
    """Return a workshop whose staging has a canary."""
    policy: Policy = workshop.machine.policy
    staging = replace(workshop.staging, canary=canary, ready_timeout_s=10)
    policy = replace(policy, environments=(staging, workshop.prod))
    return replace(workshop, machine=replace(workshop.machine, policy=policy))


def serving(workshop: Workshop, environment: Environment) -> str:
    """Return the release that the environment serves, which must be the desired one."""
    seen = look(workshop.machine, workshop.ledger(), environment)
    assert not seen.drift
    return seen.release


def test_a_release_that_is_no_slower_passes_its_canary(workshop: Workshop) -> None:
    shop = with_canary(workshop)
    first, second = shop.release(b"steady one"), shop.release(b"steady two")
    shop.promote(first, shop.staging)
    event = shop.promote(second, shop.staging)
    assert event.canary.startswith("pass: ") and "replayed" in event.canary
    assert serving(shop, shop.staging) == second.version
    analysis = shop.ledger().analysis(event.sha)
    assert analysis["verdict"] == "pass" and analysis["synthetic"]
    assert [len(analysis["quantiles_ms"][side]) for side in ("baseline", "canary")] == [101, 101]
    assert "<svg" in (shop.folder / "reports" / "canary.svg").read_text(encoding="utf-8")
    # The measurements are evidence beside the desired state, not part of it.
    assert "canary.json" not in shop.ledger().desired(event.sha)
    assert shop.ledger().history("staging")[-1].canary == "", "there was nothing to compare with"


def test_38_a_release_that_is_slower_is_rolled_back(workshop: Workshop) -> None:
    shop = with_canary(workshop)
    first, slower = shop.release(b"steady one"), shop.release(b"slower two")
    shop.promote(first, shop.staging)
    with pytest.raises(RolledBack) as refusal:
        shop.promote(slower, shop.staging)
    assert "the canary failed: p95" in refusal.value.why
    assert serving(shop, shop.staging) == first.version
    newest = shop.ledger().history("staging")[0]
    assert (newest.outcome, newest.canary[:5]) == ("rolled-back", "fail:")
    assert "; on other servers before: fail: p95" in newest.canary
    analysis = shop.ledger().analysis(newest.sha)
    assert (analysis["verdict"], analysis["first"]["verdict"]) == ("fail", "fail")


def test_38_a_release_whose_first_server_alone_is_slower_passes_on_others(
    workshop: Workshop, tmp_path: Path
) -> None:
    """Where the system has put a server can make it slower, in every window."""
    shop = with_canary(workshop)
    first = shop.release(b"steady one")
    unlucky = shop.release(f"unlucky|{tmp_path / 'started'}".encode())
    shop.promote(first, shop.staging)
    event = shop.promote(unlucky, shop.staging)
    assert event.canary.startswith("pass: ")
    assert "; on other servers before: fail: p95 of the canary is" in event.canary
    analysis = shop.ledger().analysis(event.sha)
    assert (analysis["verdict"], analysis["first"]["verdict"]) == ("pass", "fail")
    assert serving(shop, shop.staging) == unlucky.version


def test_a_lease_that_leaves_no_time_for_other_servers_ends_a_slow_canary_at_once(
    workshop: Workshop, tmp_path: Path
) -> None:
    shop = with_canary(workshop)
    policy = replace(shop.machine.policy, lease_s=30)
    shop = replace(shop, machine=replace(shop.machine, policy=policy))
    first = shop.release(b"steady one")
    unlucky = shop.release(f"unlucky|{tmp_path / 'started'}".encode())
    shop.promote(first, shop.staging)
    with pytest.raises(RolledBack, match="failed in staging, rolled back"):
        shop.promote(unlucky, shop.staging)
    assert shop.ledger().analysis(shop.ledger().history("staging")[0].sha)["first"] is None


def test_a_release_that_begins_to_fail_is_rolled_back_at_once(workshop: Workshop) -> None:
    shop = with_canary(workshop, replace(POLICY, windows=10, looks=2))
    first, breaks = shop.release(b"steady one"), shop.release(b"breaks later")
    shop.promote(first, shop.staging)
    with pytest.raises(RolledBack, match="failed in staging, rolled back") as refusal:
        shop.promote(breaks, shop.staging)
    assert "the canary failed" in refusal.value.why
    analysis = shop.ledger().analysis(shop.ledger().history("staging")[0].sha)
    assert len(analysis["windows"]) < 10
    assert serving(shop, shop.staging) == first.version


def test_37_a_canary_without_requests_never_passes(workshop: Workshop) -> None:
    shop = with_canary(workshop, replace(POLICY, windows=2, looks=2, requests_per_s=1))
    first, second = shop.release(b"one"), shop.release(b"two")
    shop.promote(first, shop.staging)
    with pytest.raises(CanaryInconclusive) as refusal:
        shop.promote(second, shop.staging)
    assert refusal.value.exit_code == 33
    assert serving(shop, shop.staging) == first.version
    history = shop.ledger().history("staging")
    assert (history[0].outcome, history[0].canary[:14]) == ("aborted", "inconclusive: ")
    assert second.version not in known_bad(history)
    assert audit(shop.ledger(), shop.machine.policy).findings == []


def test_39_another_release_is_refused_and_a_rollback_goes_first(workshop: Workshop) -> None:
    shop = with_canary(workshop)
    first, second, third, fourth = (
        shop.release(model) for model in (b"steady 1", b"steady 2", b"steady 3", b"steady 4")
    )
    for release in (first, second):
        shop.promote(release, workshop.staging)
    refused: list[BaseException] = []

    def promote() -> None:
        try:
            shop.promote(third, shop.staging)
        except Locked as error:
            refused.append(error)

    under_way = threading.Thread(target=promote)
    under_way.start()
    wait_for_canary(shop)
    with pytest.raises(Locked, match="locked by a promote"):
        shop.promote(fourth, shop.staging)
    assert shop.rollback(shop.staging).release == second.version
    under_way.join()
    assert "staging was taken over" in str(refused[0])
    assert serving(shop, shop.staging) == second.version


def test_real_traffic_is_used_where_there_is_enough(workshop: Workshop) -> None:
    shop = with_canary(workshop)
    first, second = shop.release(b"steady one"), shop.release(b"steady two")
    shop.promote(first, shop.staging)
    endpoint = shop.machine.observe(shop.staging).endpoint
    with Replay([endpoint], [{"age": 40}], per_second=250).running():
        event = shop.promote(second, shop.staging)
    assert event.canary.startswith("pass: ") and "replayed" not in event.canary


def test_the_control_is_a_fresh_server_of_the_release_before(workshop: Workshop) -> None:
    shop = with_canary(workshop)
    first, second = shop.release(b"steady one"), shop.release(b"steady two")
    shop.promote(first, shop.staging)
    old = {one.address for one in shop.machine.observe(shop.staging).instances}
    under_way = threading.Thread(target=shop.promote, args=(second, shop.staging))
    under_way.start()
    wait_for_canary(shop)
    tried = shop.machine.observe(shop.staging).instances
    under_way.join()
    assert {(one.release, one.track) for one in tried if one.state == "ready"} == {
        (second.version, CANARY),
        (first.version, CONTROL),
    }
    assert not old & {one.address for one in tried if one.state == "ready"}
    now = shop.machine.observe(shop.staging).instances
    assert {(one.release, one.track) for one in now} == {(second.version, STABLE)}


class Killed(BaseException):
    """Stands in for SIGKILL: no handler sees it."""


@pytest.mark.parametrize("way_out", ["recover", "rollback"])
def test_18_a_killed_canary_and_its_control_are_seen_and_ended(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, way_out: str
) -> None:
    shop = with_canary(workshop)
    first, second, third = (shop.release(b"steady %d" % number) for number in range(3))
    for release in (first, second):
        shop.promote(release, workshop.staging)
    with monkeypatch.context() as patch:
        patch.setattr("toolkit.release.change.analyse", _die)
        with pytest.raises(Killed):
            shop.promote(third, shop.staging)
    tracks = {one.track for one in shop.machine.observe(shop.staging).instances}
    assert tracks == {CANARY, CONTROL}
    assert look(shop.machine, shop.ledger(), shop.staging).drift
    monkeypatch.setattr("toolkit.release.event.Event.lease_has_run_out", lambda self: True)
    if way_out == "recover":
        assert shop.machine.recover(shop.staging, Progress()).outcome == "aborted"
    else:
        assert shop.rollback(shop.staging).outcome == "verified"
    assert serving(shop, shop.staging) == second.version
    now = shop.machine.observe(shop.staging).instances
    assert [one.track for one in now] == [STABLE] * shop.staging.instances


def _die(*_: object) -> None:
    raise Killed


def test_servers_of_a_canary_are_drift_though_they_run_the_release(workshop: Workshop) -> None:
    shop = with_canary(workshop)
    release = shop.release(b"steady one")
    shop.promote(release, shop.staging)
    platform = ProcessPlatform(shop.staging, shop.machine.policy)
    head = shop.ledger().head("staging")
    assert head
    state = shop.ledger().desired(head)
    platform.canary(state, state, 1, head, lambda: None, lambda text: None)
    assert platform.observe().drift(release.version) == "servers of a canary run"
    with pytest.raises(NotServing, match="is a server of a canary"):
        verify(platform, release, SMOKE)
    shop.machine.deploy(shop.staging, Progress())
    assert serving(shop, shop.staging) == release.version


def test_a_control_that_does_not_start_is_the_machine_s_fault(
    workshop: Workshop, tmp_path: Path
) -> None:
    shop = with_canary(workshop)
    fault = tmp_path / "fault"
    first = shop.release(f"while|{fault}|exit 3 no".encode())
    second = shop.release(b"steady two")
    shop.promote(first, shop.staging)
    fault.touch()
    with pytest.raises(RolledBack) as refusal:
        promote_and_mend(shop, second, fault)
    assert "the machine is at fault" in refusal.value.why
    history = shop.ledger().history("staging")
    assert history[0].outcome == "aborted" and second.version not in known_bad(history)
    assert serving(shop, shop.staging) == first.version


def promote_and_mend(shop: Workshop, release: Record, fault: Path) -> None:
    """Promote a release; when its command undoes that, the fault is gone."""
    undo = Change.undo

    def mended(self: Change, outcome: str, why: str) -> Event:
        fault.unlink()
        return undo(self, outcome, why)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Change, "undo", mended)
        shop.promote(release, shop.staging)


def wait_for_canary(shop: Workshop) -> None:
    """Return when a canary and its control serve."""
    waited = threading.Event()
    for _ in range(200):
        instances = shop.machine.observe(shop.staging).instances
        if {CANARY, CONTROL} <= {one.track for one in instances if one.state == "ready"}:
            return
        waited.wait(0.05)
    raise AssertionError("no canary came")
