"""What a generated repository says of itself is true: files, links, commands and worked examples."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Bake
from guides import Command, Edit, Guide, guides
from living import Living

from demo.repository import Repository, free_ports

LINES_OF_A_PAGE = 120
# Until a server must be ready.
START_S = 60
# What only exists once something was run, or is an owner's choice: reports, releases, and these.
LATER = re.compile(
    r"(reports|dist|\.venv|\.nox)/.*|\.cruft\.json|allowed_signers"
    r"|data/(adoption\.md|(snapshot|erased)\.json|customers\.csv)"
    r"|(gate|quick-gate|model_card|nightly|proposal|scanned)\.(json|md)"
    r"|(release|image|sbom|canary)\.json|checksums\.txt|licences\.md"
)
REFERENCES = re.compile(r"(env|release|approval|origin|refs|snapshot)/.*")
PATH = re.compile(r"[\w.{*-]+(/[\w.*<>{}-]*)*")
ENDINGS = {".md", ".toml", ".py", ".json", ".csv", ".txt", ".yml", ".yaml", ".html", ".baseline"}
# Programs that a guide may name without a test that runs them here.
FOREIGN_PROGRAMS = {"cruft", "curl", "docker", "git", "kubectl", "pip", "promtool", "sha256sum"}
ENVIRONMENTS = {"staging", "prod", "dev"}
# Words that one would have to learn here first.
OWN_WORDS = re.compile(
    r"\b(doors?|wings?|said to (leave|stay)|who lives where|house)\b", re.IGNORECASE
)
ASK_TASKS = """
import json, sys
from invoke.collection import Collection
from invoke.loader import FilesystemLoader
tasks, _ = FilesystemLoader(start=".").load("tasks")
contexts = Collection.from_module(tasks).to_contexts()
print(json.dumps({task.name: sorted(task.flags) for task in contexts}))
"""


@pytest.fixture(
    scope="module",
    params=[
        {"ci": "both", "platform": "process"},
        {"ci": "both", "platform": "docker"},
        {"ci": "both", "platform": "kubernetes"},
        *(
            pytest.param({"ci": ci, "platform": platform}, marks=pytest.mark.full)
            for ci in ("github", "gitlab")
            for platform in ("process", "docker", "kubernetes")
        ),
    ],
    ids=lambda answers: "-".join(answers.values()),
)
def written(request: pytest.FixtureRequest, bake: Bake) -> Path:
    """Return a repository for each choice that the guides depend on."""
    return bake(**request.param)


@pytest.fixture(scope="module")
def sessions(baked: Path) -> set[str]:
    """Return the sessions that nox knows there."""
    nox = [str(Path(sys.executable).with_name("nox")), "--list"]
    done = subprocess.run(nox, cwd=baked, capture_output=True, text=True, check=True)
    return set(re.findall(r"^[*-] (\w+)", done.stdout, flags=re.MULTILINE))


@pytest.fixture(scope="module")
def tasks(baked: Path) -> dict[str, list[str]]:
    """Return the tasks that Invoke knows there, each with its flags."""
    ask = [sys.executable, "-c", ASK_TASKS]
    done = subprocess.run(ask, cwd=baked, capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_the_readme_is_one_page(written: Path) -> None:
    lines = Guide.read(written / "README.md").text.splitlines()
    assert len(lines) <= LINES_OF_A_PAGE


def test_every_link_leads_somewhere(written: Path) -> None:
    lost = []
    for guide in guides(written):
        for link in guide.links():
            path, _, anchor = link.partition("#")
            target = guide.path.parent / path if path else guide.path
            if not target.is_file() or (anchor and anchor not in Guide.read(target).anchors()):
                lost.append(f"{guide.path.name}: {link}")
    assert not lost


def test_the_readme_leads_to_every_guide(written: Path) -> None:
    linked = {link.partition("#")[0] for link in Guide.read(written / "README.md").links()}
    assert {f"docs/{path.name}" for path in written.glob("docs/*.md")} <= linked


def test_every_file_that_is_named_is_there(written: Path, sessions: set[str]) -> None:
    reports = {f"{session}.json" for session in sessions}
    missing = []
    for guide in guides(written):
        for name in filter(is_file_name, guide.spans()):
            found = [*written.glob(name.rstrip("/")), *guide.path.parent.glob(name.rstrip("/"))]
            if not found and "/" not in name:
                found = [*written.rglob(name)]
            if not found and name not in reports and not LATER.fullmatch(name):
                missing.append(f"{guide.path.name}: {name}")
    assert not missing


def is_file_name(span: str) -> bool:
    """Tell whether what stands in backticks names a file or a folder of the repository."""
    if not PATH.fullmatch(span) or REFERENCES.fullmatch(span) or "<" in span or "NAME" in span:
        return False
    return "/" in span or Path(span).suffix in ENDINGS


def test_every_command_is_known(
    written: Path, sessions: set[str], tasks: dict[str, list[str]]
) -> None:
    wrong = []
    for guide in guides(written):
        typed = [command.text for command in guide.whole.commands()]
        typed += [span for span in guide.spans() if span.startswith(("nox ", "invoke "))]
        for text in typed:
            for call in re.split(r" && ", text):
                if why := mistake(shlex.split(call), sessions, tasks, written):
                    wrong.append(f"{guide.path.name}: {call}: {why}")
    assert not wrong


def mistake(
    words: list[str], sessions: set[str], tasks: dict[str, list[str]], repository: Path
) -> str:
    """Return what is wrong with a command, or empty."""
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    match words:
        case ["nox", "-s", *arguments]:
            names = arguments[: arguments.index("--")] if "--" in arguments else arguments
            unknown = set(names) - sessions - {"sample"}
            return f"no session {', '.join(unknown)}" if unknown else ""
        case ["nox"] | ["nox" | "invoke", "--list"] | ["invoke", "--help", "TASK"]:
            return ""
        case ["invoke", task, *arguments]:
            if task not in tasks:
                return f"no task {task}"
            flags = {one for one in arguments if one.startswith("-")}
            unknown = flags - set(tasks[task])
            places = dict(zip(arguments, arguments[1:], strict=False))
            if places.get("--env", "prod") not in ENVIRONMENTS:
                return f"no environment {places['--env']}"
            return f"no flag {', '.join(unknown)}" if unknown else ""
        case ["python3" | ".", *_] | ["cp", "-r", *_] | ["cd", "toolkit"] | ["echo", *_]:
            return ""
        case [".nox/model/bin/python", "-m", module, *_]:
            return "" if (repository / module.replace(".", "/")).exists() else f"no {module}"
        case _:
            program = Path(words[0]).name
            return "" if program in FOREIGN_PROGRAMS else f"no program {program}"


@pytest.mark.parametrize(
    "command",
    [
        "nox -s lint typos",
        "invoke release",
        "invoke promote --env prod --now",
        "invoke rollback --env europe",
        ".nox/model/bin/python -m toolkit.server",
        "make release",
    ],
)
def test_a_wrong_command_is_found(
    baked: Path, sessions: set[str], tasks: dict[str, list[str]], command: str
) -> None:
    assert mistake(shlex.split(command), sessions, tasks, baked)


def test_nothing_wants_a_word_that_is_only_used_here(written: Path) -> None:
    found = [
        f"{guide.path.name}: {match[0]}"
        for guide in guides(written)
        for match in OWN_WORDS.finditer(guide.text)
    ]
    assert not found


def test_every_session_and_every_task_is_told(
    baked: Path, sessions: set[str], tasks: dict[str, list[str]]
) -> None:
    told = " ".join(Guide.read(baked / "docs/ci.md").spans())
    assert {one for one in sessions if f"nox -s {one}" not in told} == set()
    told = " ".join(Guide.read(baked / "docs/releases.md").spans())
    assert {one for one in tasks if f"invoke {one}" not in told} == set()


def test_every_exit_code_is_told_once(baked: Path) -> None:
    section = Guide.read(baked / "docs/releases.md").section("exit-codes").text
    told = [int(code) for code in re.findall(r"^\| (\d+) \|", section, flags=re.MULTILINE)]
    errors = (baked / "toolkit/release/errors.py").read_text(encoding="utf-8")
    raised = {int(code) for code in re.findall(r"exit_code = (\d+)", errors)}
    # Done, and drift, which is no error.
    assert told == sorted(raised | {0, 3})


def test_every_workflow_and_every_job_is_told(bake: Bake) -> None:
    repository = bake(ci="both", platform="kubernetes")
    guide = Guide.read(repository / "docs/ci.md")
    workflows = {path.name for path in repository.glob(".github/workflows/*.yml")}
    assert workflows <= set(guide.spans())
    pipeline = (repository / ".gitlab-ci.yml").read_text(encoding="utf-8")
    jobs = set(re.findall(r"^([a-z-]+):$", pipeline, flags=re.MULTILINE))
    assert jobs - {"workflow", "default"} <= set(guide.spans())


def test_every_metric_is_told(baked: Path) -> None:
    told = set(Guide.read(baked / "docs/model.md").spans())
    built_in = assigned(baked / "toolkit/model/metrics.py", "HIGHER_IS_BETTER")
    of_full_training = assigned(baked / "toolkit/model/policy_file.py", "FULL_TRAINING_METRICS")
    assert {*built_in, *of_full_training} <= told
    told = set(Guide.read(baked / "docs/serving.md").spans())
    counted = re.compile(r'"(churn_\w+)"')
    for module in ("observation.py", "monitoring.py"):
        source = (baked / "toolkit/serving" / module).read_text(encoding="utf-8")
        for name in counted.findall(source):
            assert told & {name, f"{name}_total"}, name


def assigned(module: Path, name: str) -> Any:
    """Return the literal that a module assigns to a name."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"{module.name} assigns no {name}")


def test_every_secret_that_is_told_of_was_planted_in_every_command(written: Path) -> None:
    text = Guide.read(written / "docs/secrets.md").text
    rows = re.findall(r"^\| ([^|]*`[A-Z_]+`[^|]*) \|", text, flags=re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    assert told & {"GITHUB_TOKEN", "CI_JOB_TOKEN"}
    test = written / "toolkit/tests/integration/release/test_leaks.py"
    [planted] = [
        node.value
        for node in ast.parse(test.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PLANTED"
    ]
    assert isinstance(planted, ast.Dict)
    names = {ast.literal_eval(key) for key in planted.keys if key}
    # The last one is planted where each command's notice goes.
    assert told <= names | {"RELEASE_WEBHOOK_URL"}


@pytest.fixture(scope="module")
def generated(living: Living, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Return a fresh repository whose environments are made."""
    repository = living.generate(tmp_path_factory.mktemp("documented"), ci="both")
    repository.git("init", "--quiet", "--initial-branch=main")
    repository.commit("Generated from the template")
    return repository


@pytest.fixture
def repository(generated: Repository) -> Iterator[Repository]:
    """Return that repository, and put everything back after the test."""
    yield generated
    generated.git("reset", "--quiet", "--hard")
    generated.git("clean", "--quiet", "-d", "--force")


def guide_of(repository: Repository, name: str) -> Guide:
    """Return one of its guides."""
    return Guide.read(repository.folder / "docs" / f"{name}.md")


@pytest.mark.parametrize(
    ("guide", "anchor"),
    [
        ("data", "add-a-rule-between-columns"),
        ("model", "add-a-derived-feature"),
        pytest.param("model", "add-an-estimator", marks=pytest.mark.full),
        ("model", "add-a-business-metric"),
        ("model", "change-a-threshold"),
        ("releases", "change-the-policy"),
        ("releases", "add-a-task"),
        ("ci", "add-a-check"),
        ("toolkit", "is-it-untouched"),
    ],
)
def test_a_worked_example_works(repository: Repository, guide: str, anchor: str) -> None:
    guide_of(repository, guide).section(anchor).follow(repository)


def test_a_column_is_added_as_the_guide_says(repository: Repository) -> None:
    export = repository.folder / "data" / "sample.csv"
    header, *rows = export.read_text(encoding="utf-8").splitlines()
    assert header.endswith(",churned")
    lines = [header.replace("churned", "support_calls,churned")]
    for number, row in enumerate(rows):
        columns, _, churned = row.rpartition(",")
        lines.append(f"{columns},{number % 4},{churned}")
    export.write_text("\n".join(lines) + "\n", encoding="utf-8")
    guide_of(repository, "data").section("add-a-column").follow(repository)


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl to ask the server with")
def test_a_server_answers_as_the_guide_says(repository: Repository) -> None:
    train, serve, *asks = guide_of(repository, "serving").section("try-it").commands()
    train.run(repository)
    [port] = free_ports(1)
    with serving(repository, serve.text.replace("8000", str(port)), port):
        for ask in asks:
            Command(ask.text.replace("8000", str(port)), ask.prints).run(repository)


@contextmanager
def serving(repository: Repository, command: str, port: int) -> Iterator[None]:
    """Start a server by the guide's command, and end it."""
    server = subprocess.Popen(
        ["bash", "-c", command],
        cwd=repository.folder,
        env=repository.environment,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + START_S
        while not is_ready(port):
            assert server.poll() is None and time.monotonic() < deadline, "the server is not ready"
            time.sleep(0.1)
        yield
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def is_ready(port: int) -> bool:
    """Tell whether a server is ready to be asked."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_an_approval_is_signed_as_the_guide_says(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    key = tmp_path / ".ssh" / "id_ed25519"
    key.parent.mkdir()
    repository.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
    guide_of(repository, "secrets").section("sign-approvals").follow(repository)
    signing = ("-c", "gpg.format=ssh", "-c", "gpg.ssh.allowedSignersFile=allowed_signers")
    repository.git(*signing, "tag", "--sign", "--message", "read the evidence", "signed")
    done = repository.capture("git", *signing, "verify-tag", "signed")
    assert done.returncode == 0, done.stderr
    assert 'Good "git" signature for ada@example.com' in done.stderr


@pytest.mark.full
def test_a_table_is_adopted_as_the_guide_says(repository: Repository) -> None:
    table = repository.folder / "path" / "to" / "customers.csv"
    table.parent.mkdir(parents=True)
    table.write_bytes((repository.folder / "data" / "sample.csv").read_bytes())
    guide_of(repository, "data").section("bring-your-own-table").follow(repository)


@pytest.mark.full
def test_all_worked_examples_together_pass_every_check(repository: Repository) -> None:
    for guide, anchor in (
        ("data", "add-a-rule-between-columns"),
        ("model", "add-a-derived-feature"),
        ("model", "add-a-business-metric"),
        ("releases", "change-the-policy"),
        ("releases", "add-a-task"),
        ("ci", "add-a-check"),
    ):
        for step in guide_of(repository, guide).section(anchor).steps():
            if isinstance(step, Edit):
                step.apply(repository)
    # Of a new feature it holds nothing yet.
    repository.run([str(repository.programs / "nox"), "-s", "reference"])
    done = repository.nox()
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.full
def test_the_toolkit_is_changed_as_the_guide_says(repository: Repository) -> None:
    edit, test, *_ = guide_of(repository, "toolkit").section("change-it").steps()
    assert isinstance(edit, Edit) and isinstance(test, Command)
    edit.apply(repository)
    test.run(repository)


@pytest.mark.full
def test_a_release_goes_out_and_back_as_the_runbook_says(living: Living, tmp_path: Path) -> None:
    clone = living.clone(tmp_path)
    repository = clone.repository
    guide = guide_of(repository, "releases")
    try:
        for environment in ("staging", "prod"):
            named = ("--env", environment, "--version", clone.first["version"])
            if environment == "prod":
                repository.ask("approve", *named)
            repository.ask("promote", *named, "--yes")
        for anchor in ("a-release-step-by-step", "at-3-am", "prove"):
            for command in guide.section(anchor).commands():
                # What it compares with comes from the network.
                if command.text != "nox -s scan":
                    command.run(repository)
        served = repository.ask("status", "--env", "prod")
        assert served[0]["release"] == clone.first["version"]
    finally:
        repository.stop()
