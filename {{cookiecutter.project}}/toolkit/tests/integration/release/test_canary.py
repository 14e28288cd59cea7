"""A release is tried on one of two servers first: real processes."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from toolkit.release.audit import audit
from toolkit.release.canary.traffic import Replay
from toolkit.release.checks import known_bad
from toolkit.release.errors import CanaryInconclusive, Locked, RolledBack
from toolkit.release.policy import CanaryPolicy, Environment, Policy
from toolkit.release.status import look
from toolkit.tests.workshop import Workshop

# Short windows: the test runs on the machine that serves.
CANARY = CanaryPolicy(windows=10, window_s=1, looks=3, requests_per_s=60)


def with_canary(workshop: Workshop, canary: CanaryPolicy = CANARY) -> Workshop:
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
    assert shop.ledger().analysis(newest.sha)["verdict"] == "fail"


def test_a_release_that_begins_to_fail_is_rolled_back_at_once(workshop: Workshop) -> None:
    shop = with_canary(workshop, replace(CANARY, windows=10, looks=2))
    first, breaks = shop.release(b"steady one"), shop.release(b"breaks later")
    shop.promote(first, shop.staging)
    with pytest.raises(RolledBack, match="failed in staging, rolled back") as refusal:
        shop.promote(breaks, shop.staging)
    assert "the canary failed" in refusal.value.why
    analysis = shop.ledger().analysis(shop.ledger().history("staging")[0].sha)
    assert len(analysis["windows"]) < 10
    assert serving(shop, shop.staging) == first.version


def test_37_a_canary_without_requests_never_passes(workshop: Workshop) -> None:
    shop = with_canary(workshop, replace(CANARY, windows=2, looks=2, requests_per_s=1))
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
    with Replay(endpoint, [{"age": 40}], per_second=250).running():
        event = shop.promote(second, shop.staging)
    assert event.canary.startswith("pass: ") and "replayed" not in event.canary


def wait_for_canary(shop: Workshop) -> None:
    """Return when two releases serve side by side."""
    waited = threading.Event()
    for _ in range(200):
        instances = shop.machine.observe(shop.staging).instances
        if len({one.release for one in instances if one.state == "ready"}) == 2:
            return
        waited.wait(0.05)
    raise AssertionError("no canary came")
