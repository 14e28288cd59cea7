"""The releases of a generated repository: real servers, real git, and customers who never stop asking."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from living import Living, broken, release

from demo.changes import depend_on_a_laptop
from demo.client import Customers
from demo.repository import ENVIRONMENTS, Repository

CONFIGURATION, GATE, APPROVAL, LOCKED, PRECONDITION = 2, 10, 11, 13, 14
CHANGED = 15
ROLLED_BACK, NO_TARGET, CRASH_RESIDUE = 30, 40, 51


@pytest.fixture
def empty(living: Living, tmp_path: Path) -> Iterator[Living]:
    """Both releases, neither promoted."""
    clone = living.clone(tmp_path)
    yield clone
    clone.repository.stop()


@pytest.fixture(scope="module")
def promoted(living: Living, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    """Both releases, promoted to staging and prod in their order."""
    clone = living.clone(tmp_path_factory.mktemp("promoted"))
    for record in (clone.first, clone.second):
        for environment in ENVIRONMENTS:
            promote(clone.repository, environment, record["version"])
    yield clone
    clone.repository.stop()


def promote(repository: Repository, environment: str, version: str) -> None:
    if environment == "prod":
        repository.ask("approve", "--env", "prod", "--version", version)
    event = repository.ask("promote", "--env", environment, "--version", version, "--yes")
    assert (event["release"], event["outcome"]) == (version, "verified")


# No module of these is in a release.
NOT_RELEASED = re.compile(r"toolkit\.(checks|pipelines|release|reports|security|tests|.*train)")
IMPORT_ALL = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*sorted({"pandas", "sklearn", "skl2onnx", "jinja2", "nox", "invoke"} & set(sys.modules)))
"""


def test_a_released_wheel_holds_what_serves_and_needs_nothing_but_the_release_s_lock(
    promoted: Living,
) -> None:
    [bundle] = promoted.repository.state.rglob(f"releases/{promoted.second['version']}/bundle")
    [wheel] = bundle.glob("*.whl")
    names = [PurePosixPath(name) for name in zipfile.ZipFile(wheel).namelist()]
    modules = [".".join(name.with_suffix("").parts) for name in names if name.suffix == ".py"]
    assert {name.partition(".")[0] for name in modules} == {"churn_model", "toolkit"}
    assert {"churn_model.features", "toolkit.serving.api"} < set(modules)
    assert [name for name in modules if NOT_RELEASED.match(name)] == []
    python = str(bundle.parent / "venv" / "bin" / "python")
    # The owner's estimators are scikit-learn's, and no server asks for them.
    serving = [name for name in modules if name.startswith("toolkit.")] + ["churn_model.features"]
    imported = promoted.repository.capture(python, "-I", "-c", IMPORT_ALL, *serving)
    assert (imported.returncode, imported.stdout.strip()) == (0, ""), imported.stderr


def test_no_customer_is_turned_away_while_releases_change(promoted: Living) -> None:
    repository, address = promoted.repository, promoted.repository.address("prod")
    with Customers(address, promoted.customer()) as customers:
        repository.ask("rollback", "--env", "prod", "--reason", "to see what customers see")
        repository.ask("unhold", "--env", "prod", "--reason", "they saw nothing")
        promote(repository, "prod", promoted.second["version"])
    assert customers.failures == []
    assert set(customers.answers) == {promoted.first["version"], promoted.second["version"]}
    with Customers(address, promoted.customer()) as afterwards:
        repository.invoke("status")
    assert set(afterwards.answers) == {promoted.second["version"]}


def test_a_batch_run_gives_every_customer_of_the_sample_what_the_server_gives(
    promoted: Living, tmp_path: Path
) -> None:
    repository, scores = promoted.repository, tmp_path / "scores.csv"
    asked = ("--input", "data/sample.csv", "--output", str(scores), "--record")
    done = repository.ask("score", "--env", "prod", *asked)
    with (repository.folder / "data" / "sample.csv").open(newline="") as file:
        customers = [as_client(row) for row in csv.DictReader(file)]
    answers = [
        answer
        for first in range(0, len(customers), 1000)
        for answer in ask_prod(repository, customers[first : first + 1000])
    ]
    with scores.open(newline="") as file:
        told = list(csv.DictReader(file))
    assert [float(row["churn_probability"]) for row in told] == [
        answer["churn_probability"] for answer in answers
    ]
    assert [row["churn"] == "true" for row in told] == [answer["churn"] for answer in answers]
    assert {row["release"] for row in told} == {promoted.second["version"], done["release"]}
    assert (done["rows"], done["rejected"], done["is_recorded"]) == (len(customers), 0, True)
    note = repository.git("notes", "--ref=scores", "show", promoted.second["commit"])
    assert json.loads(note)["output_sha256"] == done["output_sha256"]


def as_client(row: dict[str, str]) -> dict[str, float | None]:
    """Return a row of the sample as a client sends it."""
    names = ("age", "tenure_months", "monthly_spend")
    return {name: float(row[name]) if row[name] else None for name in names}


def ask_prod(repository: Repository, customers: list[dict[str, float | None]]) -> Any:
    """Return what /predict answers to a list of customers."""
    body = json.dumps(customers).encode()
    request = urllib.request.Request(f"http://{repository.address('prod')}/predict", body)
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def test_a_batch_run_during_which_prod_is_rolled_back_ends_with_its_own_release_and_says_so(
    promoted: Living, tmp_path: Path
) -> None:
    repository, scores = promoted.repository, tmp_path / "scores.csv"
    asked = ("--env", "prod", "--input", "data/sample.csv", "--output", str(scores))
    run = subprocess.Popen(
        [str(repository.programs / "invoke"), "score", *asked],
        cwd=repository.folder,
        env=repository.environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert run.stderr is not None
    said = []
    for line in run.stderr:
        said.append(line)
        if "score with the code of its commit" in line:
            break
    os.killpg(run.pid, signal.SIGSTOP)
    repository.ask("rollback", "--env", "prod", "--reason", "to see what a batch run does")
    os.killpg(run.pid, signal.SIGCONT)
    rest = run.communicate()[1]
    assert run.returncode == CHANGED, [*said, rest]
    first, second = promoted.first["version"], promoted.second["version"]
    assert f"prod serves {first} by now, and the scores are of {second}" in rest
    with scores.open(newline="") as file:
        assert {row["release"] for row in csv.DictReader(file)} == {second}
    repository.ask("unhold", "--env", "prod", "--reason", "seen")
    promote(repository, "prod", second)


def test_07_of_two_promotions_at_once_one_wins_and_the_other_says_who_holds_it(
    empty: Living,
) -> None:
    repository = empty.repository
    command = ["promote", "--env", "staging", "--version", empty.first["version"], "--yes"]
    runs = [
        subprocess.Popen(
            [str(repository.programs / "invoke"), *command],
            cwd=repository.folder,
            env=repository.environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [run.communicate()[1] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, LOCKED]
    lost = said[[run.returncode for run in runs].index(LOCKED)]
    assert "staging is locked by a promote of" in lost
    assert "Ada Example <ada.example@example.com> took the lock at" in lost
    assert len(repository.ask("history", "--env", "staging")) == 1


def test_10_11_prod_cannot_be_reached_past_staging_or_without_an_approval(empty: Living) -> None:
    repository, version = empty.repository, empty.first["version"]
    skipped = repository.invoke("promote", "--env", "prod", "--version", version, "--yes")
    assert skipped.returncode == PRECONDITION
    assert f"release {version} was not verified in staging" in skipped.stderr
    promote(repository, "staging", version)
    unapproved = repository.invoke("promote", "--env", "prod", "--yes")
    assert unapproved.returncode == APPROVAL
    assert f"release {version} is not approved for prod: 0 of 1" in unapproved.stderr
    assert f"invoke approve --env prod --version {version}" in unapproved.stderr


def test_23_a_rollback_with_nothing_to_go_back_to_changes_nothing(empty: Living) -> None:
    repository = empty.repository
    promote(repository, "staging", empty.first["version"])
    before = repository.git("for-each-ref")
    refused = repository.invoke("rollback", "--env", "staging")
    never = repository.invoke("rollback", "--env", "prod")
    assert repository.git("for-each-ref") == before
    assert repository.ask("status", "--env", "staging", "--exit-code")[0]["drift"] == ""
    assert (refused.returncode, never.returncode) == (NO_TARGET, NO_TARGET)
    assert "staging unchanged" in refused.stderr
    assert "prod unchanged" in never.stderr


def everything(living: Living) -> dict[str, object]:
    """Return every reference, every file with its time, and every process of a repository.

    A supervisor writes by itself, whether or not a command looks: its log, and its heartbeat.
    """
    repository = living.repository
    folders = (repository.folder, repository.state, living.remote)
    return {
        "references": [repository.git("for-each-ref"), repository.git("ls-remote", "origin")],
        "files": {
            str(path): (path.stat().st_size, path.stat().st_mtime_ns)
            for folder in folders
            for path in folder.rglob("*")
            if path.is_file() and path.suffix not in (".log", ".pyc")
            if path.name != "heartbeat.json"
        },
        "processes": [
            [instance["pid"] for instance in status["observation"]["instances"]]
            for status in repository.ask("status")
        ],
    }


@pytest.mark.parametrize(
    "command",
    [
        ["promote", "--env", "prod", "--dry-run"],
        ["--dry", "promote", "--env", "prod"],
        ["rollback", "--env", "prod", "--dry-run"],
        ["--dry", "rollback", "--env", "prod"],
        ["status"],
        ["history", "--env", "prod"],
        ["audit"],
    ],
)
def test_a_dry_run_and_a_look_write_nothing(promoted: Living, command: list[str]) -> None:
    if "promote" in command:
        command = [*command, "--version", promoted.first["version"]]
    before = everything(promoted)
    done = promoted.repository.invoke(*command)
    assert done.returncode == 0, done.stderr
    if command not in (["status"], ["audit"]):
        assert promoted.first["version"] in done.stdout + done.stderr
    assert everything(promoted) == before


@pytest.mark.parametrize("command", ["build", "recover", "deploy", "stop"])
def test_what_has_no_dry_run_refuses_one(promoted: Living, command: str) -> None:
    before = everything(promoted)
    environment = [] if command == "build" else ["--env", "prod"]
    refused = promoted.repository.invoke("--dry", command, *environment)
    assert refused.returncode == CONFIGURATION
    assert f"{command} has no dry run" in refused.stderr
    assert everything(promoted) == before


@pytest.mark.parametrize("command", ["promote", "stop"])
def test_without_a_terminal_a_change_wants_a_yes(promoted: Living, command: str) -> None:
    before = everything(promoted)
    version = ["--version", promoted.first["version"]] if command == "promote" else []
    refused = promoted.repository.invoke(command, "--env", "prod", *version)
    assert refused.returncode == CONFIGURATION
    assert f"invoke {command} --env prod --yes" in refused.stderr
    assert everything(promoted) == before


def test_13_a_release_that_does_not_start_rolls_itself_back(promoted: Living) -> None:
    repository = promoted.repository
    depend_on_a_laptop(repository)
    bad = release(repository)
    failed = repository.invoke("promote", "--env", "staging", "--yes")
    assert failed.returncode == ROLLED_BACK
    assert "KeyError: 'FEATURE_STORE'" in failed.stderr
    assert f"staging serves {promoted.second['version']}, as before" in failed.stderr
    newest = repository.ask("history", "--env", "staging")[0]
    assert (newest["release"], newest["outcome"]) == (bad["version"], "rolled-back")
    assert repository.ask("status", "--env", "staging", "--exit-code")[0]["drift"] == ""


def test_21_what_a_killed_promotion_left_is_recovered(empty: Living) -> None:
    repository = empty.repository
    promote(repository, "staging", empty.first["version"])
    # A lease that runs out this soon leaves prod no time for a canary.
    policy = repository.folder / "release.toml"
    without_canary = policy.read_text(encoding="utf-8").partition("[environments.prod.canary]")[0]
    policy.write_text(without_canary.replace("lease_s = 900", "lease_s = 3"), encoding="utf-8")
    command = ["promote", "--env", "staging", "--yes", "--version", empty.second["version"]]
    with subprocess.Popen(
        [str(repository.programs / "invoke"), *command],
        cwd=repository.folder,
        env=repository.environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if "2/5 stage" in line:
                run.kill()
    assert repository.invoke(*command).returncode == LOCKED
    time.sleep(3)
    died = repository.invoke(*command)
    assert died.returncode == CRASH_RESIDUE
    assert "invoke recover --env staging" in died.stderr
    recovered = repository.invoke("recover", "--env", "staging")
    assert recovered.returncode == 0, recovered.stderr
    assert repository.invoke("status", "--exit-code").returncode == 0
    newest, dead, _ = repository.ask("history", "--env", "staging")
    assert (newest["kind"], newest["outcome"]) == ("recover", "aborted")
    assert (dead["release"], dead["outcome"]) == (empty.second["version"], "unfinished")
    assert repository.ask("status")[0]["release"] == empty.first["version"]


def test_history_tells_the_whole_story_after_a_fresh_clone(
    promoted: Living, tmp_path: Path
) -> None:
    repository = promoted.repository
    repository.ask("rollback", "--env", "prod", "--reason", "customers complained")
    elsewhere = Repository(tmp_path / "elsewhere", tmp_path / "nowhere", repository.programs)
    repository.git("clone", "--quiet", str(promoted.remote), str(elsewhere.folder))
    told = elsewhere.invoke("history", "--env", "prod")
    assert told.returncode == 0
    assert told.stdout == repository.invoke("history", "--env", "prod").stdout
    audited = elsewhere.invoke("audit")
    assert audited.returncode == 0, audited.stderr
    assert audited.stdout.count("no finding; only origin has it") == len(ENVIRONMENTS)
    rolled_back, *_, second, first = told.stdout.splitlines()
    assert "rollback" in rolled_back and "because: customers complained" in rolled_back
    for line, record in ((second, promoted.second), (first, promoted.first)):
        assert record["version"] in line and "verified" in line
        assert "approved by Ada Example" in line


def test_a_platform_that_is_not_driven_is_refused_plainly(living: Living, tmp_path: Path) -> None:
    repository = living.generate(tmp_path)
    table = '[environments.prod]\nplatform = "{}"'
    repository.replace("release.toml", table.format("process"), table.format("nomad"))
    repository.begin(tmp_path / "remote.git")
    refused = repository.invoke("promote", "--env", "prod", "--yes")
    assert refused.returncode == CONFIGURATION
    assert "prod is on platform 'nomad'" in refused.stderr
    assert "prod unchanged" in refused.stderr


@pytest.mark.full
def test_the_same_commit_and_data_are_the_same_release_in_another_clone(
    living: Living, tmp_path: Path
) -> None:
    here = living.repository
    remote = tmp_path / "remote.git"
    here.git("init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    here.git("push", "--quiet", str(remote), "main")
    clone = Repository(tmp_path / "clone", tmp_path / "state", here.programs, actor="Bob Example")
    here.git("clone", "--quiet", str(remote), str(clone.folder))
    record = release(clone)
    assert record == living.second | {"evidence": record["evidence"]}
    before = clone.git("for-each-ref")
    again = clone.invoke("build")
    assert again.returncode == 0
    assert f"{record['version']} is released already: nothing to do" in again.stderr
    assert clone.git("for-each-ref") == before


def test_06_09_build_refuses_what_the_gate_did_not_see(living: Living) -> None:
    repository = living.repository
    evidence = repository.folder / "reports" / "gate.json"
    kept = evidence.read_bytes()
    faults = {
        "for commit 0000000": {"commit": "0" * 40},
        "its verdict is 'failed'": {"verdict": "failed"},
        "from a 'quick' training": {"training": "quick"},
        "uncommitted changes in the tree": {"tree_clean": False},
        "no file in reports/model has the model_sha256": {"model_sha256": "0" * 64},
        "its schema is 1": {"schema": 1},
        "it names no data_sha256": {"data_sha256": None},
    }
    try:
        for complaint, change in faults.items():
            evidence.write_text(json.dumps(json.loads(kept) | change))
            refused = repository.invoke("build")
            assert (refused.returncode, complaint in refused.stderr) == (GATE, True), refused.stderr
        for content in (b"", b"[]", b"{"):
            evidence.write_bytes(content)
            assert repository.invoke("build").returncode == GATE
        evidence.unlink()
        missing = repository.invoke("build")
        assert (missing.returncode, "evidence is missing" in missing.stderr) == (GATE, True)
    finally:
        evidence.write_bytes(kept)
    with broken(repository, "README.md", "# churn-model", "# churn-model, edited"):
        dirty = repository.invoke("build")
        assert dirty.returncode == PRECONDITION
        assert "README.md" in dirty.stderr
