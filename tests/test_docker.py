"""Releases on one Docker host: brought by digest, changed without a lost request, taken back.

The numbers in the names are those of the failure cases that every release machine meets.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import engine
import image_index
import pytest
from docker_host import LEASE_S, PATIENCE_S, Host, answer_the_contrary, release
from faulty_registry import FaultyRegistry
from living import Living
from trivy_database import Database

from demo.changes import learn_more_slowly

# The first test waits for an engine, its base image and four releases: beside other work, minutes each.
pytestmark = [pytest.mark.full, pytest.mark.timeout(2700)]

DRIFTED, ROLLED_BACK, GONE, CRASH_RESIDUE = 3, 30, 41, 51
# Of a promotion without a canary; in the third the servers are changed.
STEPS, CHANGED_IN = 5, 3


@pytest.fixture(scope="module")
def host(
    living: Living,
    docker_engine: engine.Engine,
    registry: FaultyRegistry,
    known_holes: Database,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Host]:
    """Return four releases in a registry; nothing is promoted."""
    workspace = tmp_path_factory.mktemp("docker")
    repository = living.generate(
        workspace, platform="docker", registry=f"{registry.address}/models"
    )
    repository.begin(workspace / "remote.git")
    first = release(repository)
    learn_more_slowly(repository)
    second = release(repository)
    source = "toolkit/serving/__main__.py"
    repository.replace(
        source, "inherited(options.fd or ())", "inherited(map((999).__add__, options.fd or ()))"
    )
    repository.commit("Serve, but not on a socket that is handed over")
    bad = release(repository)
    repository.git("revert", "--no-edit", "HEAD")
    answer_the_contrary(repository)
    wrong = release(repository)
    smoke = json.loads(repository.git("show", f"release/{second}:smoke.json"))
    yield Host(
        *(repository, docker_engine.client, registry, first, second, bad, wrong),
        smoke["cases"][0],
    )
    for environment in ("staging", "prod"):
        repository.invoke("stop", "--env", environment, "--yes")


@pytest.fixture(autouse=True)
def sound_registry(host: Host) -> Iterator[None]:
    """Put the registry back after each test."""
    upstream = host.registry.upstream
    yield
    host.registry.mend()
    host.registry.upstream = upstream


@pytest.fixture
def short_lease(host: Host) -> Iterator[None]:
    """Let a killed command lock its environment for seconds only, and a canary take no longer."""
    path = host.repository.folder / "release.toml"
    policy = path.read_text(encoding="utf-8")
    with ExitStack() as stack:
        stack.callback(path.write_text, policy, encoding="utf-8")
        for setting, value in (("lease_s = 900", LEASE_S), ("windows = 10", 2), ("looks = 2", 1)):
            name = setting.partition(" ")[0]
            host.repository.replace("release.toml", f"\n{setting}\n", f"\n{name} = {value}\n")
        yield


def test_05_a_tag_that_has_moved_is_told_and_the_digest_wins(host: Host) -> None:
    assert "warning" not in host.would_promote("staging", host.first)
    base = host.client.images.get(engine.BASE_IMAGE)
    base.tag(host.images, host.first)
    host.client.images.push(host.images, host.first)
    done = host.repository.invoke(
        *("promote", "--env", "staging", "--version", host.first, "--yes")
    )
    assert done.returncode == 0, done.stderr
    assert f"warning   {host.images}:{host.first} is sha256:" in done.stderr
    assert f"the release is {host.digest(host.first)}: the digest counts" in done.stderr
    served = {server.attrs["Config"]["Image"] for server in host.servers("staging")}
    assert served == {f"{host.images}@{host.digest(host.first)}"}
    # Their logs are limited, as release.toml says.
    logs = [server.attrs["HostConfig"]["LogConfig"] for server in host.servers("staging")]
    assert {log["Config"]["max-size"] for log in logs} == {"50m"}


def test_a_release_is_promoted_by_digest_and_changed_without_a_lost_request(host: Host) -> None:
    # What is only in the registry is brought from there.
    host.remove(host.second)
    host.promote("prod", host.first)
    host.promote("staging", host.second)
    with host.customers() as customers:
        host.promote("prod", host.second)
        time.sleep(0.5)
    assert customers.failures == []
    assert customers.answers.keys() == {host.first, host.second}
    newest = host.repository.ask("history", "--env", "prod")[0]
    assert newest["canary"].startswith("pass: "), "one of two servers has tried it first"
    [status] = host.repository.ask("status", "--env", "prod", "--exit-code")
    assert status["release"] == host.second
    for server in host.servers("prod"):
        assert "@sha256:" in server.attrs["Config"]["Image"]
        assert server.attrs["HostConfig"]["ReadonlyRootfs"]
        assert server.attrs["HostConfig"]["CapDrop"] == ["ALL"]


def test_a_drill_goes_back_and_comes_forward_without_a_lost_request(host: Host) -> None:
    with host.customers() as customers:
        drill = host.repository.ask("drill", "--env", "prod", "--yes")
        time.sleep(0.5)
    assert (drill["release"], drill["target"]) == (host.second, host.first)
    assert drill["requests"] > 0 and drill["unanswered"] == 0
    assert customers.failures == []
    assert customers.answers.keys() == {host.first, host.second}
    assert host.serves("prod") == host.second
    newest = host.repository.ask("history", "--env", "prod")[0]
    assert (newest["kind"], newest["outcome"]) == ("drill", "noted")


def test_13_a_release_that_does_not_serve_rolls_itself_back(host: Host) -> None:
    with host.customers("staging") as customers:
        done = host.repository.invoke(
            *("promote", "--env", "staging", "--version", host.bad, "--yes")
        )
        time.sleep(0.5)
    assert done.returncode == ROLLED_BACK, done.stderr
    assert "not an inherited listening socket" in done.stderr
    assert host.repository.ask("history", "--env", "staging")[0]["outcome"] == "rolled-back"
    assert customers.failures == []
    [status] = host.repository.ask("status", "--env", "staging", "--exit-code")
    assert status["release"] == host.second


def test_what_serves_tells_a_fault_of_the_host_from_one_of_the_release(host: Host) -> None:
    serves = host.serves("staging")
    new = host.other(serves)
    promote = ("promote", "--env", "staging", "--version", new, "--yes")
    # A damaged disk: all containers read this file of the base image when they start.
    with host.without("usr/lib/python3.11/argparse.py"), host.customers("staging") as customers:
        done = host.repository.invoke(*promote)
    assert done.returncode == ROLLED_BACK, done.stderr
    assert "No module named 'argparse'" in done.stderr
    assert f"no server of {serves}, which serves, starts either" in done.stderr
    assert customers.failures == []
    assert host.serves("staging") == serves
    assert host.repository.ask("history", "--env", "staging")[0]["outcome"] == "aborted"
    assert host.repository.invoke(*promote).returncode == 0


def test_14_a_healthy_release_that_answers_wrongly_never_answers_a_customer(host: Host) -> None:
    # Its answer is known, and the contrary of it is another one.
    host.let_serve("staging", host.second)
    with host.customers("staging") as customers:
        done = host.repository.invoke(
            *("promote", "--env", "staging", "--version", host.wrong, "--yes")
        )
        time.sleep(0.5)
    assert done.returncode == ROLLED_BACK, done.stderr
    assert "the gated model answered" in done.stderr
    assert host.repository.ask("history", "--env", "staging")[0]["outcome"] == "rolled-back"
    assert customers.failures == [] and customers.total > 100
    assert customers.probabilities.keys() == {host.second}
    expected = host.case["response"]["churn_probability"]
    assert abs(1 - 2 * expected) > 0.01, "the contrary would be the same"
    answered = customers.probabilities[host.second]
    assert [one for one in answered if abs(one - expected) > 1e-5] == []
    assert host.serves("staging") == host.second


@pytest.mark.usefixtures("short_lease")
@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_18_a_promotion_killed_after_any_step_is_ended(host: Host, step: int) -> None:
    before = host.serves("staging")
    new = host.other(before)
    with host.customers("staging") as customers:
        host.kill_promotion(
            *("staging", new),
            lambda line: f" {step + 1}/{STEPS} " in line or "recorded as" in line,
        )
        recovered = host.repository.invoke("recover", "--env", "staging")
        time.sleep(0.5)
    assert customers.failures == []
    # Killed before the servers were changed it is undone, afterwards it is completed.
    assert host.serves("staging") == (new if step >= CHANGED_IN else before)
    newest = host.repository.ask("history", "--env", "staging")[0]
    if step < STEPS - 1:
        assert recovered.returncode == 0, recovered.stderr
        outcome = "verified" if step >= CHANGED_IN else "aborted"
        assert (newest["kind"], newest["outcome"]) == ("recover", outcome)
    else:
        # The kill may come after the event was written: then there is nothing to recover.
        assert newest["outcome"] == "verified"


@pytest.mark.usefixtures("short_lease")
def test_18_a_promotion_killed_while_a_server_starts_is_undone(host: Host) -> None:
    before = host.serves("staging")
    new = host.other(before)
    with host.customers("staging") as customers:
        host.kill_promotion(
            *("staging", new),
            lambda line: f" {CHANGED_IN}/{STEPS} " in line and host.starts("staging", new),
        )
        refused = host.repository.invoke(
            *("promote", "--env", "staging", "--version", new, "--yes")
        )
        recovered = host.repository.ask("recover", "--env", "staging")
        time.sleep(0.5)
    assert refused.returncode == CRASH_RESIDUE, refused.stderr
    assert (recovered["kind"], recovered["outcome"]) == ("recover", "aborted")
    assert customers.failures == []
    assert host.serves("staging") == before


@pytest.mark.usefixtures("short_lease")
def test_18_a_canary_whose_command_was_killed_is_removed(host: Host) -> None:
    before = host.serves("prod")
    new = host.other(before)
    with host.customers() as customers:
        host.kill_promotion(
            *("prod", new), lambda line: "3/6 canary" in line and host.starts("prod", new)
        )
        recovered = host.repository.ask("recover", "--env", "prod")
        time.sleep(0.5)
    assert (recovered["kind"], recovered["outcome"]) == ("recover", "aborted")
    assert customers.failures == []
    assert host.serves("prod") == before


def test_36_a_tag_may_be_an_index_of_the_release_s_image_and_of_no_other(host: Host) -> None:
    host.let_serve("staging", host.second)
    platform = image_index.platform(host.client)
    image_index.put(host.images, host.first, host.digest(host.first), platform)
    assert "warning" not in host.would_promote("staging", host.first)
    index = image_index.put(host.images, host.first, host.digest(host.second), platform)
    assert f"is {index} at the registry" in host.would_promote("staging", host.first)


@pytest.mark.parametrize("fault", ["refuses", "hangs"])
def test_a_registry_that_is_down_keeps_no_promotion_of_an_image_that_is_here(
    host: Host, fault: str
) -> None:
    host.let_serve("staging", host.second)
    setattr(host.registry, fault, True)
    began = time.monotonic()
    said = host.would_promote("staging", host.first)
    assert f"{host.images}:{host.first} cannot be read at the registry" in said
    assert time.monotonic() - began < PATIENCE_S


def test_26_an_image_that_is_gone_is_found_out_before_anything_is_touched(host: Host) -> None:
    for environment in ("staging", "prod"):
        host.let_serve(environment, host.second)
        # The container that holds the port runs from the release that served first.
        host.repository.invoke("stop", "--env", environment, "--yes")
        host.repository.ask("deploy", "--env", environment)
    before = host.repository.git("rev-parse", "env/prod")
    rollback = ("rollback", "--env", "prod")
    host.remove(host.first)
    assert host.repository.invoke(*rollback, "--dry-run").returncode == 0
    with engine.registry() as empty:
        host.registry.upstream = empty
        done = host.repository.invoke(*rollback)
    assert done.returncode == GONE, done.stderr
    assert f"neither the host nor the registry has {host.images}@sha256:" in done.stderr
    assert "state: prod unchanged" in done.stderr
    assert host.repository.git("rev-parse", "env/prod") == before
    [status] = host.repository.ask("status", "--env", "prod", "--exit-code")
    assert status["release"] == host.second


def test_29_a_server_that_somebody_has_removed_is_seen_and_brought_back(host: Host) -> None:
    host.servers("prod")[0].remove(force=True)
    changed = host.repository.invoke("status", "--env", "prod", "--exit-code")
    assert changed.returncode == DRIFTED, changed.stdout
    assert "1 of 2 servers exist" in changed.stdout
    host.repository.ask("deploy", "--env", "prod")
    assert len(host.servers("prod")) == 2
    assert host.repository.ask("status", "--env", "prod", "--exit-code")


def test_a_server_that_ends_is_started_again_on_its_socket(host: Host) -> None:
    server = host.servers("prod")[0]
    with host.customers() as customers:
        # Its first process hears a signal from inside only where it has a handler: it drains.
        server.exec_run(["python3", "-c", "import os, signal; os.kill(1, signal.SIGTERM)"])
        deadline = time.monotonic() + PATIENCE_S
        while not server.attrs["RestartCount"]:
            assert time.monotonic() < deadline, server.status
            time.sleep(0.2)
            server.reload()
        time.sleep(2)
    assert customers.failures == []
    assert host.repository.ask("status", "--env", "prod", "--exit-code")


def test_a_rollback_needs_no_registry_while_the_image_is_on_the_host(host: Host) -> None:
    host.client.images.pull(f"{host.images}@{host.digest(host.first)}")
    host.registry.refuses = True
    with host.customers() as customers:
        event = host.repository.ask("rollback", "--env", "prod", "--reason", "a test")
        time.sleep(0.5)
    assert (event["release"], event["outcome"]) == (host.first, "verified")
    assert customers.failures == []
    assert customers.answers[host.first] > 0


def test_an_environment_that_is_stopped_has_no_container_left(host: Host) -> None:
    host.repository.invoke("stop", "--env", "prod", "--yes")
    assert host.servers("prod") == []
    ended = host.repository.invoke("status", "--env", "prod", "--exit-code")
    assert ended.returncode == DRIFTED
