"""What is refused before anything is applied to a cluster, and what is observed there."""

from __future__ import annotations

import copy
import json
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from toolkit.release.errors import (
    ArtifactGone,
    ConfigurationError,
    HistoryCorrupt,
    NotServing,
    PreconditionFailed,
    Undecided,
    Unreachable,
)
from toolkit.release.images.record import ImageRecord
from toolkit.release.platforms import manifests
from toolkit.release.platforms.kubectl import KubectlFailed, run
from toolkit.release.platforms.kubernetes import KubernetesPlatform
from toolkit.release.policy import ClusterEnvironment
from toolkit.release.policy_file import load
from toolkit.release.records import Record, sha256
from toolkit.tests.clusters import DEPLOYMENT, NAME, SERVICE, ClusterShop, base, opened
from toolkit.tests.command_line import write_policy
from toolkit.tests.kubectl import CLUSTER, IMAGE
from toolkit.tests.listener import listening

Base = list[dict[str, Any]]
HEX = "0" * 64


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterShop]:
    """A cluster that no test changes."""
    with opened(tmp_path_factory.mktemp("cluster")) as shop:
        yield shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[ClusterShop]:
    """A cluster of a test's own."""
    with opened(tmp_path) as shop:
        yield shop


@pytest.fixture(scope="module")
def release(shared: ClusterShop) -> Record:
    """A release that was not promoted yet."""
    return shared.release()


def platform(shop: ClusterShop) -> KubernetesPlatform:
    return KubernetesPlatform(shop.prod, shop.machine.policy)


def render(shop: ClusterShop, release: Record, **changes: str) -> dict[str, bytes]:
    """Render a release, its image's record changed."""
    image = ImageRecord(**{**vars(shop.image(release)), **changes})
    return platform(shop).render(release, lambda: {"image.json": image.to_json()}, "an-event")


def applied(shop: ClusterShop) -> bool:
    """Return whether a command has asked the cluster for any change."""
    return bool(shop.cluster.applied() or shop.cluster.calls("delete"))


def test_rendered_manifests_are_pinned_and_labelled(shared: ClusterShop, release: Record) -> None:
    desired = render(shared, release)
    state, image = manifests.read(desired), shared.image(release)
    (container,) = state.deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"{image.repository}:{release.version}@{image.digest}"
    assert state.annotations == {
        "release.version": release.version,
        "release.digest": release.digest,
        "release.event": "an-event",
        "release.image-id": image.image_id,
    }
    assert state.deployment["metadata"]["annotations"] == state.annotations
    labels = {"release.project": "workshop", "release.environment": "prod"}
    assert all(labels.items() <= one["metadata"]["labels"].items() for one in state.objects)
    assert "release.project" not in state.deployment["spec"]["selector"]["matchLabels"]
    assert json.loads(desired["kustomization.yaml"])["resources"] == ["kubernetes.yaml"]


def pods(objects: Base) -> dict[str, Any]:
    found: dict[str, Any] = objects[0]["spec"]["template"]["spec"]
    return found


def with_another_name(objects: Base) -> None:
    pods(objects)["containers"][0]["image"] += "-serving"


def with_a_second_container(objects: Base) -> None:
    pods(objects)["containers"].append(pods(objects)["containers"][0] | {"name": "second"})


def with_a_stranger(objects: Base) -> None:
    pods(objects)["containers"].append({"name": "proxy", "image": "example.com/proxy:1"})


def with_an_init_container(objects: Base) -> None:
    pods(objects)["initContainers"] = [{"name": "first", "image": f"example.com/a@sha256:{HEX}"}]


def with_a_job(objects: Base) -> None:
    image = {"name": "job", "image": "example.com/job:1"}
    spec = {"jobTemplate": {"spec": {"template": {"spec": {"containers": [image]}}}}}
    kind = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "job"}}
    objects.append(kind | {"spec": spec})


def with_a_second_deployment(objects: Base) -> None:
    second = copy.deepcopy(objects[0])
    second["metadata"]["name"] = "second"
    objects.append(second)


def without_a_port(objects: Base) -> None:
    del pods(objects)["containers"][0]["ports"]


def without_a_track(objects: Base) -> None:
    del objects[0]["spec"]["selector"]["matchLabels"]["track"]


def with_a_narrow_service(objects: Base) -> None:
    objects[1]["spec"]["selector"]["track"] = "stable"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (with_another_name, "kustomize replaces only the image"),
        (with_a_second_container, "the containers are server, second"),
        (with_a_stranger, "container 'proxy' of Deployment churn runs example.com/proxy:1"),
        (with_an_init_container, "initContainer 'first' of Deployment churn runs"),
        (with_a_job, "container 'job' of CronJob job runs"),
        (with_a_second_deployment, "there are 2 Deployments"),
        (without_a_port, "no port named http"),
        (without_a_track, "does not select track: stable"),
        (with_a_narrow_service, "the Service selects on track"),
    ],
)
def test_35_manifests_that_would_run_anything_else_are_refused(
    shared: ClusterShop, release: Record, change: Callable[[Base], None], why: str
) -> None:
    objects = base(shared.repository)
    change(objects)
    shared.objects(objects)
    with pytest.raises(PreconditionFailed) as refusal:
        render(shared, release)
    assert why in refusal.value.why
    assert (refusal.value.state, refusal.value.exit_code) == ("prod unchanged", 14)
    assert not applied(shared)
    shared.objects(base(shared.repository))


@pytest.mark.parametrize(
    ("digest", "why"),
    [("sha256:0123", "'sha256:0123' is incomplete"), ("", "'' is incomplete")],
)
def test_35_a_digest_that_is_cut_short_is_refused(
    shared: ClusterShop, release: Record, digest: str, why: str
) -> None:
    with pytest.raises(PreconditionFailed) as refusal:
        render(shared, release, digest=digest)
    assert why in refusal.value.why


def test_35_an_overlay_cannot_bring_another_image_or_another_namespace(
    shared: ClusterShop, release: Record
) -> None:
    overlay = {"namespace": "churn-prod", "resources": ["../../base"]}
    other = [{"name": shared.repository, "newName": "example.com/other", "newTag": "1"}]
    for change, why in (
        ({"images": other}, "runs example.com/other:1, not"),
        ({"namespace": "elsewhere"}, "is for the namespace elsewhere"),
        ({"resources": ["../../nowhere"]}, "kustomize cannot read"),
    ):
        shared.write("overlays/prod", overlay | change)
        with pytest.raises(PreconditionFailed) as refusal:
            render(shared, release)
        assert why in refusal.value.why
    shared.write("overlays/prod", overlay)


def test_another_environment_is_a_copy_of_a_folder_and_of_a_table(
    shared: ClusterShop, release: Record
) -> None:
    write_policy(shared.folder, shared.machine.policy)
    path = shared.folder / "release.toml"
    text = path.read_text(encoding="utf-8")
    table = text[text.index("[environments.prod]") :]
    europe = table.replace("environments.prod", "environments.europe").replace("-prod", "-europe")
    path.write_text(text + europe, encoding="utf-8")
    overlays = shared.folder / "deploy" / "overlays"
    shutil.copytree(overlays / "prod", overlays / "europe")
    copied = overlays / "europe" / "kustomization.yaml"
    copied.write_text(copied.read_text(encoding="utf-8").replace("-prod", "-europe"))
    policy = load(path)
    environment = policy.environment("europe")
    assert isinstance(environment, ClusterEnvironment) and environment.after == "prod"
    bundle = {"image.json": shared.image(release).to_json()}
    desired = KubernetesPlatform(environment, policy).render(release, lambda: bundle, "an-event")
    objects = manifests.read(desired).objects
    assert {one["metadata"]["namespace"] for one in objects} == {"churn-europe"}


def test_41_the_wrong_cluster_is_refused_before_anything(shop: ClusterShop) -> None:
    release = shop.release()
    wrong = shop.changed(cluster="99999999-2222-3333-4444-555555555555")
    refused: list[Callable[[], object]] = [lambda: wrong.promote(release), wrong.rollback]
    for command in refused:
        with pytest.raises(PreconditionFailed) as refusal:
            command()
        assert CLUSTER in refusal.value.why and "context the-test" in refusal.value.what
        assert refusal.value.exit_code == 14
    assert not shop.workshop.ledger().history("prod")
    assert not applied(shop)


def test_41_a_context_once_found_is_kept(shop: ClusterShop) -> None:
    shop.promote(shop.release())
    asked = [call for call in shop.cluster.calls() if call[0] not in ("config", "kustomize")]
    assert asked and all(call[0] == "--context=the-test" for call in asked)
    shop.changed(context="another").look()
    assert shop.cluster.calls("--context=another")


def test_a_cluster_that_does_not_answer_is_refused(shop: ClusterShop) -> None:
    release = shop.release()
    shop.cluster.fault(silent=True)
    with pytest.raises(PreconditionFailed, match="the cluster of prod does not answer"):
        shop.promote(release)
    assert not shop.workshop.ledger().history("prod")


@pytest.mark.parametrize(
    "message",
    [
        "Unable to connect to the server: dial tcp 10.0.0.1:443: i/o timeout",
        "Unable to connect to the server: EOF",
        'Get "https://10.0.0.1/api": EOF',
        "The connection to the server 10.0.0.1 was refused - did you specify the right host?",
        "Error from server (ServiceUnavailable): the server is currently unable to handle it",
        "error: error validating data: failed to download openapi: the server is currently unable "
        "to handle the request; if you choose to ignore these errors, turn validation off",
        "Error from server: the server was unable to return a response in the time allotted, but "
        "may still be processing the request (get deployments.apps)",
        "the server has received too many requests and has asked us to try again later",
        "Error from server (Timeout): Timeout: request did not complete within requested timeout",
        "Error from server: etcdserver: leader changed",
        "error: failed to download openapi: the server has asked for the client to provide "
        "credentials",
        "error: You must be logged in to the server (Unauthorized)",
        "Error from server: apiserver not ready",
    ],
)
def test_what_an_api_server_says_that_cannot_answer_now_is_silence(
    shared: ClusterShop, message: str
) -> None:
    shared.cluster.fault(silent=message)
    try:
        with pytest.raises(Unreachable):
            run("get", "pods", "--output", "json")
    finally:
        shared.cluster.fault(silent=None)


@pytest.mark.parametrize(
    "message",
    [
        'Error from server (Forbidden): deployments.apps is forbidden: User "ci" cannot patch',
        'Error from server (Invalid): Deployment.apps "churn" is invalid: spec.selector',
        "Error from server (NotFound): namespaces churn-prod not found",
        'error: Apply failed with 1 conflict: conflict with "kubectl-edit": .spec.replicas',
        "error validating data: unknown object type",
    ],
)
def test_what_an_api_server_says_that_refuses_is_no_silence(
    shared: ClusterShop, message: str
) -> None:
    shared.cluster.fault(silent=message)
    try:
        with pytest.raises(KubectlFailed):
            run("get", "pods", "--output", "json")
    finally:
        shared.cluster.fault(silent=None)


def test_42_one_rejected_object_keeps_all_others_out(shop: ClusterShop) -> None:
    release = shop.release()
    shop.cluster.fault(rejects="Service")
    with pytest.raises(PreconditionFailed) as refusal:
        shop.promote(release)
    assert "admission webhook denies Service" in refusal.value.why
    assert refusal.value.exit_code == 14
    assert not applied(shop) and not shop.cluster.objects()
    assert not shop.workshop.ledger().history("prod")


def test_fields_of_another_manager_are_refused(
    shop: ClusterShop,
) -> None:
    first, second = shop.release(), shop.release(b"two")
    shop.promote(first)
    shop.cluster.edit(DEPLOYMENT, IMAGE, "example.com/hack:1")
    with pytest.raises(PreconditionFailed) as refusal:
        shop.promote(second)
    assert "conflict" in refusal.value.why
    assert "invoke deploy --env prod takes over" in refusal.value.next_step


def test_26_a_missing_image_is_found_before_anything_is_touched(
    shop: ClusterShop,
) -> None:
    release = shop.release()
    with listening(status=404) as registry:
        image = registry.address.removeprefix("http://") + "/models/churn"
        files = {
            "image.json": ImageRecord(
                **{**vars(shop.image(release)), "repository": image}
            ).to_json()
        }
        with pytest.raises(ArtifactGone) as refusal:
            platform(shop).require(release, files)
        assert "neither the registry nor a node has" in refusal.value.why
        with pytest.raises(PreconditionFailed, match="is gone"):
            platform(shop).examine(render(shop, release, repository=image))
        node = {
            "kind": "Node",
            "metadata": {"name": "one"},
            "status": {"images": [{"names": [f"{image}@{shop.image(release).digest}"]}]},
        }
        shop.cluster.apply([node])
        platform(shop).require(release, files)
    # A registry that does not answer has not confirmed that it is gone.
    platform(shop).require(release, files)


def test_36_a_pod_must_run_the_image_or_what_belongs_to_it(shop: ClusterShop) -> None:
    release = shop.release()
    shop.promote(release)
    image = shop.image(release)
    for digest, trouble in (
        (image.digest, ""),
        (image.image_id, ""),
        (f"sha256:{HEX}", f"runs sha256:{HEX} instead of {image.digest}"),
    ):
        shop.cluster.fault(runs=digest)
        assert trouble in platform(shop).observe().trouble
        assert bool(platform(shop).observe().trouble) == bool(trouble)


def test_36_what_a_runtime_has_chosen_of_an_index_belongs_to_it(shop: ClusterShop) -> None:
    release = shop.release()
    chosen, linux = f"sha256:{HEX}", {"os": "linux", "architecture": "arm64"}
    index = json.dumps({"manifests": [{"digest": chosen, "platform": linux}]}).encode()
    with listening(body=index) as registry:
        repository = registry.address.removeprefix("http://") + "/models/churn"
        digest = f"sha256:{sha256(index)}"
        shop.cluster.know(digest, answers_of(release))
        desired = render(shop, release, repository=repository, digest=digest)
        here = platform(shop)
        here.apply(desired, "an-event", lambda: None, lambda text: None)
        shop.cluster.fault(runs=chosen)
        assert here.observe().trouble == ""
        shop.cluster.fault(runs=f"sha256:{'1' * 64}")
        assert "which does not belong to it" in here.observe().trouble
    assert "the registry does not answer whether it belongs to it" in here.observe().trouble


def answers_of(release: Record) -> dict[str, str]:
    """Return the answers of a release's server."""
    output = {"digest": release.digest, "model_sha256": release.model_sha256}
    return output | {"release": release.version, "model": "good"}


def test_the_proxy_gets_a_pod_s_port_by_its_number(shop: ClusterShop) -> None:
    shop.promote(shop.release())
    for instance in platform(shop).observe().instances:
        assert instance.address.endswith(":8080")
        assert platform(shop).ask(instance.address, "/health") == {"status": "ok"}
        by_name = instance.address.replace(":8080", ":http")
        with pytest.raises(NotServing, match="error trying to reach service"):
            platform(shop).ask(by_name, "/health")


@pytest.mark.parametrize("fault", ["down", "nan"])
def test_37_metrics_that_cannot_be_read_are_no_measurement(shop: ClusterShop, fault: str) -> None:
    shop.promote(shop.release())
    here = platform(shop)
    (address, *_) = [one.address for one in here.observe().instances]
    shop.cluster.traffic(50)
    _, mark = here.answered(address, "")
    shop.cluster.fault(metrics=fault)
    assert here.answered(address, mark) == (here.answered(address, mark)[0], mark)
    assert here.answered(address, mark)[0].requests == 0
    with pytest.raises(Undecided, match="cannot be read"):
        here.answered(address, "")
    shop.cluster.fault(metrics=None)
    assert here.answered(address, mark)[0].requests > 0


def test_a_state_of_another_platform_or_a_damaged_one_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="has no kubernetes.yaml"):
        manifests.read({"process.json": b"{}"})
    for damaged in (b"kind: [", b"- 1", b"\xff"):
        with pytest.raises(HistoryCorrupt):
            manifests.read({"kubernetes.yaml": damaged})


def test_a_release_serves_since_its_rolling_update_was_complete(shop: ClusterShop) -> None:
    shop.promote(shop.release())
    since = platform(shop).observe().since
    assert abs(datetime.now(UTC) - datetime.fromisoformat(since)) < timedelta(minutes=1)
    with shop.cluster.state() as state:
        earlier = state["objects"][DEPLOYMENT]["status"]["conditions"][0]
        earlier["lastUpdateTime"] = since = "2026-11-01T00:00:00Z"
        # As when a node is drained, or a server crashes: other pods, of the same release.
        state["pods"].clear()
    shop.cluster.scale(DEPLOYMENT, 3)
    until_ready(shop, 3)
    assert platform(shop).observe().since == since
    shop.promote(shop.release(b"another"))
    assert platform(shop).observe().since > since


def test_servers_of_two_releases_do_not_serve_one_since_a_time(shop: ClusterShop) -> None:
    first, second = shop.release(), shop.release(b"two")
    shop.promote(first)
    here, before = platform(shop), shop.workshop.ledger().desired("env/prod")
    bundle = {"image.json": shop.image(second).to_json()}
    desired = here.render(second, lambda: bundle, "an-event")
    here.canary(desired, before, 1, "an-event", lambda: None, lambda text: None)
    seen = here.observe()
    assert {one.release for one in seen.instances} == {first.version, second.version}
    assert seen.since == ""


def until_ready(shop: ClusterShop, pods: int) -> None:
    deadline = time.monotonic() + 20
    while [one.state for one in platform(shop).observe().instances] != ["ready"] * pods:
        assert time.monotonic() < deadline, "the pods are not ready"


def test_29_what_was_changed_by_hand_is_named(shop: ClusterShop) -> None:
    release = shop.release()
    shop.promote(release)
    # Left to the autoscaler, because no manifest sets the number.
    shop.cluster.scale(DEPLOYMENT, 3)
    deadline = time.monotonic() + 20
    while (drift := shop.look().drift) and time.monotonic() < deadline:
        assert drift.endswith("not ready"), "the third pod is on its way, and nothing else"
    assert drift == ""
    shop.cluster.edit(SERVICE, ("spec", "selector"), {"app.kubernetes.io/name": "another"})
    assert f"{SERVICE.replace('/', ' ')} spec selector app.kubernetes.io/name" in shop.look().drift
    shop.cluster.remove(SERVICE)
    assert "the Service is gone" in shop.look().drift
    shop.cluster.remove(DEPLOYMENT)
    assert shop.look().drift == "nothing runs" or NAME in shop.look().drift
