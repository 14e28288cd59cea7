"""Promotions and rollbacks in a cluster: real git and kustomize, a scripted cluster."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from toolkit.release import drill
from toolkit.release.audit import audit
from toolkit.release.errors import (
    CanaryInconclusive,
    NotVerified,
    OutcomeUnknown,
    PreconditionFailed,
    PushFailed,
    RollbackFailed,
    RolledBack,
)
from toolkit.release.progress import Progress
from toolkit.release.records import Record
from toolkit.tests.clusters import (
    AUTOSCALER,
    CANARY,
    CONTROL,
    DEPLOYMENT,
    SERVICE,
    ClusterShop,
    opened,
)
from toolkit.tests.command_line import CommandLine
from toolkit.tests.kubectl import IMAGE, REPLICAS
from toolkit.tests.workshop import git

PRECONDITION, ROLLED_BACK, DRIFTED, UNKNOWN = 14, 30, 3, 32
STEPS = 5


@dataclass(frozen=True)
class Served:
    """A cluster that has served two releases, and serves the second."""

    shop: ClusterShop
    first: Record
    second: Record


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Promote two releases, once for all tests."""
    with opened(tmp_path_factory.mktemp("cluster")) as shop:
        first, second = shop.release(b"steady one"), shop.release(b"steady two")
        for release in (first, second):
            shop.promote(release)
        yield Served(shop, first, second)


@pytest.fixture
def served(begun: Served, tmp_path: Path) -> Iterator[Served]:
    """The same for each test."""
    with begun.shop.copied(tmp_path) as shop:
        yield replace(begun, shop=shop)


@pytest.fixture
def shop(served: Served) -> ClusterShop:
    return served.shop


@pytest.fixture
def second(served: Served) -> Record:
    """The release that serves."""
    return served.second


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every lease have ended."""
    monkeypatch.setattr("toolkit.release.event.Event.lease_has_run_out", lambda self: True)


def outcome(shop: ClusterShop) -> str:
    """Return the newest event's outcome."""
    return shop.workshop.ledger().history("prod")[0].outcome


def test_a_promotion_serves_the_release_and_shows_what_the_cluster_does(
    shop: ClusterShop, capsys: pytest.CaptureFixture[str]
) -> None:
    release = shop.release()
    event = shop.promote(release)
    assert event.outcome == "verified"
    assert shop.serves(release) and not shop.look().drift
    assert ": Scheduled: assigned churn-" in capsys.readouterr().err
    rendered = shop.workshop.ledger().desired(event.sha)["kubernetes.yaml"].decode()
    pending = shop.workshop.ledger().history("prod")[1]
    assert f"release.event: {pending.id}" in rendered


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (b"crash at start", "CrashLoopBackOff, it has exited with 1, Error"),
        (b"never ready", "it runs, but is not ready"),
    ],
)
def test_13_a_bad_release_rolls_itself_back_and_shows_why(
    shop: ClusterShop, second: Record, model: bytes, reason: str
) -> None:
    with pytest.raises(RolledBack) as refusal:
        shop.changed(timeout_s=2).promote(shop.release(model))
    assert reason in refusal.value.why
    assert f"this model: {model.decode()}" in refusal.value.why
    assert shop.serves(second) and not shop.look().drift
    assert outcome(shop) == "rolled-back"


@pytest.mark.parametrize(
    ("model", "reason"),
    [(b"wrong predictions", "/predict answers"), (b"wrong version", "/version has the")],
)
def test_14_a_release_that_answers_wrongly_is_rolled_back(
    shop: ClusterShop, second: Record, model: bytes, reason: str
) -> None:
    with pytest.raises(RolledBack) as refusal:
        shop.promote(shop.release(model))
    assert reason in refusal.value.why
    assert shop.serves(second)


def test_13_why_the_cluster_creates_no_pod_is_shown(shop: ClusterShop, second: Record) -> None:
    shop.cluster.fault(admission='pods "churn" is forbidden: exceeded quota')
    with pytest.raises(RolledBack) as refusal:
        shop.changed(timeout_s=2).promote(shop.release())
    assert "FailedCreate: pods" in refusal.value.why and "exceeded quota" in refusal.value.why
    assert shop.serves(second)


def test_15_when_undoing_fails_too_it_is_not_tried_again(shop: ClusterShop) -> None:
    shop.cluster.fault(runs=f"sha256:{'0' * 64}")
    with pytest.raises(RollbackFailed) as refusal:
        shop.promote(shop.release())
    assert "instead of" in refusal.value.why and refusal.value.exit_code == 31
    # Nodes that run other bytes are no fault of the release.
    assert outcome(shop) == "aborted"
    assert refusal.value.next_step == "fix the machine, then invoke deploy --env prod"


def test_15_16_a_cluster_that_falls_silent_leaves_the_lock_and_the_outcome_unknown(
    shop: ClusterShop, second: Record
) -> None:
    shop.cluster.fault(**{"silent after": "apply"})
    short = shop.changed(timeout_s=2)
    with pytest.raises(OutcomeUnknown) as refusal:
        short.promote(shop.release())
    assert refusal.value.exit_code == UNKNOWN
    assert "does not answer" in refusal.value.why and "locked until" in refusal.value.state
    assert outcome(shop) == "pending", "nobody has undone what nobody could see"
    assert "Unable to connect" in short.look().unseen and not short.look().drift
    shop.cluster.fault(silent=None, **{"silent after": None})
    assert shop.rollback(second.version).outcome == "verified"
    assert shop.serves(second)


def test_16_no_customer_is_sent_to_a_last_known_good_that_has_gone_bad(served: Served) -> None:
    shop = served.shop
    with shop.cluster.state() as state:
        state["releases"][shop.image(served.first).digest]["model"] = "never ready"
    with pytest.raises(NotVerified) as refusal:
        shop.changed(timeout_s=2).rollback()
    assert "this model: never ready" in refusal.value.why
    assert shop.serves(served.second) and not shop.look().drift


def test_26_27_28_a_rollback_needs_the_cluster_and_neither_registry_nor_remote(
    served: Served, tmp_path: Path
) -> None:
    (tmp_path / "remote.git").rename(tmp_path / "gone.git")
    event = served.shop.rollback()
    assert (event.release, event.outcome) == (served.first.version, "verified")
    assert served.shop.serves(served.first)
    assert served.shop.look().owed == 2


def test_26_an_image_that_no_node_can_pull_does_no_harm(served: Served) -> None:
    shop = served.shop
    with shop.cluster.state() as state:
        del state["releases"][shop.image(served.first).digest]
    with pytest.raises(NotVerified) as refusal:
        shop.changed(timeout_s=2).rollback()
    assert "ImagePullBackOff, manifest for sha256:" in refusal.value.why
    assert shop.serves(served.second)


def test_29_deploy_reverts_changes_by_hand_and_status_shows_the_drift(
    served: Served,
) -> None:
    shop = served.shop
    by_hand = f"{shop.repository}@{shop.image(served.first).digest}"
    shop.cluster.edit(DEPLOYMENT, IMAGE, by_hand)
    assert f"image is {json.dumps(by_hand)}" in shop.look().drift
    shop.machine.deploy(shop.prod, Progress())
    assert shop.serves(served.second) and not shop.look().drift


POD = ("spec", "template", "spec")
SERVER = (*POD, "containers", 0)
SPY = {"name": "spy", "image": "example.com/spy:1"}
ADDED = {
    "containers server env FOO, added by kubectl-set": (
        *(DEPLOYMENT, (*SERVER, "env"), [{"name": "FOO", "value": "bar"}], "kubectl-set"),
    ),
    "spec volumes scratch, added by kubectl-edit": (
        *(DEPLOYMENT, (*POD, "volumes"), [{"name": "scratch", "emptyDir": {}}], "kubectl-edit"),
    ),
    "spec nodeSelector disk, added by kubectl-patch": (
        *(DEPLOYMENT, (*POD, "nodeSelector"), {"disk": "ssd"}, "kubectl-patch"),
    ),
    "metadata annotations owner, added by node-fetch": (
        *(DEPLOYMENT, (*POD[:2], "metadata", "annotations", "owner"), "me", "node-fetch"),
    ),
    "Service churn has spec sessionAffinity, added by kubectl-patch": (
        *(SERVICE, ("spec", "sessionAffinity"), "ClientIP", "kubectl-patch"),
    ),
    "spec behavior, added by kubectl-edit": (
        *(AUTOSCALER, ("spec", "behavior"), {}, "kubectl-edit"),
    ),
}
RESTARTED = "kubectl.kubernetes.io/restartedAt"


def add_by_hand(shop: ClusterShop) -> None:
    """Add a container, and everything of the table."""
    (server,) = shop.cluster.objects()[DEPLOYMENT]["spec"]["template"]["spec"]["containers"]
    shop.cluster.edit(DEPLOYMENT, (*POD, "containers"), [server, SPY], "kubectl-patch")
    for field in ADDED.values():
        shop.cluster.edit(*field)


def specs(shop: ClusterShop) -> dict[str, object]:
    return {name: one["spec"] for name, one in shop.cluster.objects().items()}


def test_29_what_was_added_by_hand_is_drift_and_goes_with_a_deploy(shop: ClusterShop) -> None:
    before = specs(shop)
    add_by_hand(shop)
    drift = shop.look().drift
    assert "Deployment churn has spec template spec containers spy, added by kubectl-patch" in drift
    assert [one for one in ADDED if one not in drift] == []
    drifted = CommandLine.of(shop.workshop).run("status", "--exit-code")
    assert drifted.returncode == DRIFTED and "next: invoke deploy --env prod" in drifted.stdout
    shop.machine.deploy(shop.prod, Progress())
    assert specs(shop) == before and not shop.look().drift


@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_29_what_was_added_by_hand_goes_with_the_next_release(served: Served, command: str) -> None:
    shop, before = served.shop, specs(served.shop)
    add_by_hand(shop)
    if command == "promote":
        shop.promote(shop.release())
        shop.rollback(served.second.version)
    else:
        shop.rollback(served.first.version)
        shop.rollback(served.second.version)
    after = specs(shop)
    assert after == before and not shop.look().drift


def test_who_restarts_the_pods_or_scales_them_has_changed_no_release(
    shop: ClusterShop, second: Record
) -> None:
    at = (*POD[:2], "metadata", "annotations", RESTARTED)
    shop.cluster.edit(DEPLOYMENT, at, "2026-11-29T19:00:00Z", "kubectl-rollout")
    shop.cluster.scale(DEPLOYMENT, 3)
    shop.machine.deploy(shop.prod, Progress())
    assert shop.serves(second) and not shop.look().drift
    spec = shop.cluster.objects()[DEPLOYMENT]["spec"]
    assert spec["replicas"] == 3
    assert RESTARTED in spec["template"]["metadata"]["annotations"], "nothing was restarted again"
    assert not shop.cluster.calls("patch")


def test_what_was_added_goes_also_where_controllers_write_at_the_same_time(
    shop: ClusterShop,
) -> None:
    before = specs(shop)
    add_by_hand(shop)
    shop.cluster.fault(busy=4)
    shop.machine.deploy(shop.prod, Progress())
    assert specs(shop) == before and len(shop.cluster.calls("patch")) == 7


def test_the_commands_have_the_exit_codes_of_every_platform(shop: ClusterShop) -> None:
    invoke, bad = CommandLine.of(shop.workshop), shop.release(b"crash at start")
    promote = ("promote", "--env", "prod", "--yes", "--version", bad.version)
    done = invoke.run(*promote)
    assert done.returncode == ROLLED_BACK and "this model: crash at start" in done.stderr
    assert "platform  kubernetes, namespace churn-prod of cluster 1111" in done.stderr
    shop.cluster.remove("Service/churn")
    drifted = invoke.run("status", "--exit-code")
    assert drifted.returncode == DRIFTED and "the Service is gone" in drifted.stdout
    shop.cluster.fault(rejects="Service")
    assert invoke.run(*promote, "--dry-run").returncode == PRECONDITION


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"silent": True}, "Unable to connect to the server"),
        ({"forbids": True}, "the cluster does not list its pods: Error from server (Forbidden)"),
        ({"rejects": "Service"}, "changes by hand cannot be detected: Error from server"),
    ],
)
def test_a_cluster_that_does_not_say_what_runs_has_not_drifted(
    shop: ClusterShop, fault: dict[str, object], why: str
) -> None:
    shop.cluster.fault(**fault)
    seen = CommandLine.of(shop.workshop).run("status", "--exit-code")
    assert seen.returncode == UNKNOWN and "prod cannot be seen" in seen.stderr
    assert f"cannot be seen: {why}" in " ".join(seen.stdout.split())
    assert "next, when it answers: invoke status --env prod" in seen.stdout
    assert "drift" not in seen.stdout and "invoke deploy" not in seen.stdout


def test_another_cluster_has_not_drifted(shop: ClusterShop) -> None:
    with shop.cluster.state() as state:
        state["uid"] = "99999999-2222-3333-4444-555555555555"
    seen = shop.look()
    assert (seen.observation, seen.drift) == (None, "")
    assert "is for another cluster than that of prod" in seen.unseen
    assert "next: choose the right context" in seen.unseen


def test_drift_that_is_seen_comes_before_what_cannot_be_seen(served: Served) -> None:
    shop = served.shop
    with shop.cluster.state() as state:
        state["releases"][shop.image(served.second).digest]["model"] = "crash at start"
    shop.cluster.fault(rejects="Service")
    seen = CommandLine.of(shop.workshop).run("status", "--exit-code")
    assert seen.returncode == DRIFTED
    assert "drift: " in seen.stdout and "cannot be seen: " in seen.stdout


def test_a_promotion_of_what_should_serve_already_says_that_nobody_can_see_it(
    shop: ClusterShop, second: Record
) -> None:
    shop.cluster.fault(forbids=True)
    with pytest.raises(PreconditionFailed, match="as it should, is not known") as refusal:
        shop.promote(second)
    assert refusal.value.next_step == "when it answers again: invoke status --env prod"


def test_an_api_server_that_is_busy_refuses_no_manifests(shop: ClusterShop) -> None:
    release = shop.release()
    shop.cluster.fault(
        silent="error validating data: failed to download openapi: the server is currently unable "
        "to handle the request; if you choose to ignore these errors, turn validation off"
    )
    with pytest.raises(PreconditionFailed, match="the cluster of prod does not answer"):
        shop.promote(release)


def test_a_first_promotion_is_verified_with_all_its_pods(tmp_path: Path) -> None:
    with opened(tmp_path) as shop:
        assert shop.promote(shop.release()).outcome == "verified"
        with shop.cluster.state() as state:
            asked = [pod["asked"] for pod in state["pods"].values()]
        assert len(asked) == REPLICAS and all(asked)


def test_a_first_promotion_waits_for_the_autoscaler_and_blames_no_release(tmp_path: Path) -> None:
    with opened(tmp_path) as shop:
        shop.cluster.fault(autoscaler="asleep")
        with pytest.raises(RolledBack) as refusal:
            shop.changed(timeout_s=2).promote(shop.release())
        assert f"its autoscaler has not yet asked for the {REPLICAS} pods" in refusal.value.why
        assert outcome(shop) == "aborted"


@pytest.mark.parametrize("step", range(1, STEPS + 1))
@pytest.mark.usefixtures("dead")
def test_18_a_promotion_killed_after_any_step_is_ended(
    shop: ClusterShop, second: Record, step: int
) -> None:
    new = shop.release()
    command = CommandLine.of(shop.workshop).start(
        "promote", "--env", "prod", "--yes", "--version", new.version
    )
    assert command.stderr
    for line in command.stderr:
        if f" {step + 1}/{STEPS} " in line or "recorded as" in line:
            break
    command.kill()
    command.communicate()
    if step < STEPS - 1:
        assert outcome(shop) == "pending"
    if outcome(shop) == "pending":
        shop.machine.recover(shop.prod, Progress())
    # Killed before, the update may or may not have reached the cluster.
    assert outcome(shop) in ("verified", *["aborted"] * (step < 3))
    assert shop.serves(new if outcome(shop) == "verified" else second)
    assert not shop.look().drift


def test_a_drill_goes_back_and_comes_forward(served: Served) -> None:
    shop = served.shop
    done = drill.practise(shop.machine, shop.prod, False, Progress())
    assert (done.release, done.target) == (served.second.version, served.first.version)
    assert done.requests > 0 and done.unanswered == 0
    assert shop.serves(served.second) and not shop.look().drift
    newest = shop.workshop.ledger().history("prod")[0]
    assert (newest.kind, newest.outcome) == ("drill", "noted")
    assert audit(shop.workshop.ledger(), shop.machine.policy).findings == []


def test_a_canary_that_is_no_slower_passes_and_is_gone(shop: ClusterShop) -> None:
    release = shop.release(b"steady three")
    shop.cluster.traffic(2000)
    event = shop.with_canary(windows=5).promote(release)
    assert event.canary.startswith("pass: ") and "replayed" not in event.canary
    assert shop.serves(release) and not shop.look().drift
    assert shop.workshop.ledger().analysis(event.sha)["verdict"] == "pass"


def test_38_a_canary_that_is_slower_is_rolled_back_and_is_gone(
    shop: ClusterShop, second: Record
) -> None:
    shop.cluster.traffic(500)
    with pytest.raises(RolledBack) as refusal:
        shop.with_canary().promote(shop.release(b"slower three"))
    assert "the canary failed: p95" in refusal.value.why
    assert shop.serves(second) and not shop.look().drift


@pytest.mark.parametrize("fault", ["down", None])
def test_37_a_canary_that_cannot_be_measured_never_passes_and_is_gone(
    shop: ClusterShop, second: Record, fault: str | None
) -> None:
    shop.cluster.fault(metrics=fault)
    with pytest.raises(CanaryInconclusive) as refusal:
        shop.with_canary(windows=2, window_s=1, requests_per_s=4).promote(shop.release())
    assert refusal.value.exit_code == 33
    assert shop.serves(second) and not shop.look().drift


def test_13_a_canary_that_does_not_start_is_gone(shop: ClusterShop, second: Record) -> None:
    with pytest.raises(RolledBack):
        shop.with_canary().promote(shop.release(b"crash at start"))
    assert shop.serves(second)


class Killed(BaseException):
    """Stands in for SIGKILL: no handler sees it."""


@pytest.mark.usefixtures("dead")
def test_18_a_canary_whose_command_was_killed_is_removed(
    shop: ClusterShop, second: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise Killed

    monkeypatch.setattr("toolkit.release.change.analyse", die)
    with pytest.raises(Killed):
        shop.with_canary().promote(shop.release())
    tried = {name: shop.cluster.objects()[name]["spec"] for name in (CANARY, CONTROL)}
    for spec in tried.values():
        server = spec["template"]["spec"]["containers"][0]
        assert {"name": "CONNECTIONS", "value": "close"} in server["env"]
    images = [one["template"]["spec"]["containers"][0]["image"] for one in tried.values()]
    assert len(set(images)) == 2 and images[1].endswith(shop.image(second).digest)
    assert shop.look().drift
    assert shop.machine.recover(shop.prod, Progress()).outcome == "aborted"
    assert shop.serves(second) and not shop.look().drift


@contextmanager
def agent(shop: ClusterShop, remote: Path) -> Iterator[None]:
    """Apply the remote's branch, as Argo CD and Flux do."""
    stopped = threading.Event()

    def follow() -> None:
        seen = git(remote, "rev-parse", "env/prod")
        while not stopped.wait(0.1):
            head = git(remote, "rev-parse", "env/prod")
            if head != seen:
                manifests = git(remote, "show", f"{head}:kubernetes.yaml")
                shop.cluster.apply(list(yaml.safe_load_all(manifests)))
                seen = head

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def test_with_an_agent_a_change_is_pushed_and_waited_for(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, release = served.shop.changed(gitops="argocd"), served.shop.release()
    already = shop.cluster.applied()
    with agent(shop, tmp_path / "remote.git"):
        assert shop.promote(release).outcome == "verified"
        assert shop.serves(release)
        with pytest.raises(RolledBack):
            shop.promote(shop.release(b"crash at start"))
        assert shop.serves(release)
        assert shop.rollback().outcome == "verified"
        assert shop.serves(served.second)
    progress = capsys.readouterr().err
    assert "waiting for argocd to apply event" in progress
    assert shop.cluster.applied() == already, "the agent alone applies"
    assert not audit(shop.workshop.ledger(), shop.machine.policy).proofs[0].findings


def test_an_agent_that_does_nothing_is_waited_for_until_the_limit(shop: ClusterShop) -> None:
    with pytest.raises(RolledBack) as refusal:
        shop.changed(gitops="flux", timeout_s=2).promote(shop.release())
    assert "was not ready after 2 s: waiting for flux to apply event" in refusal.value.why


def test_27_an_agent_gets_nothing_without_the_remote(served: Served, tmp_path: Path) -> None:
    (tmp_path / "remote.git").rename(tmp_path / "gone.git")
    with pytest.raises(PushFailed) as refusal:
        served.shop.changed(gitops="flux").rollback()
    assert "suspend flux" in refusal.value.next_step
    assert served.shop.serves(served.second)
    assert served.shop.rollback().outcome == "verified"
