"""The CI files call the two doors and nothing else, both providers the same, and both validly."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ci_calls import GITLAB, WORKFLOWS, Doors, github_calls, gitlab_calls, mistakes, read
from conftest import Bake

from demo.repository import TEMPLATE

BINARIES = Path(sys.executable).parent


@pytest.fixture(scope="module")
def doors(baked: Path) -> Doors:
    return Doors.of(baked)


@pytest.fixture
def broken(baked: Path, tmp_path: Path) -> Path:
    """Return a copy of the baked repository's CI files, to plant a mistake in."""
    shutil.copytree(baked / WORKFLOWS, tmp_path / WORKFLOWS)
    shutil.copy(baked / GITLAB, tmp_path)
    return tmp_path


def plant(file: Path, right: str, wrong: str) -> int:
    """Replace the first `right` in a file and return its line."""
    text = file.read_text(encoding="utf-8")
    assert right in text
    file.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    return text[: text.index(right)].count("\n") + 1


def test_every_session_task_and_flag_that_ci_names_exists(baked: Path, doors: Doors) -> None:
    assert mistakes(github_calls(baked) + gitlab_calls(baked), doors) == []


def test_both_providers_call_the_same_in_the_same_order(baked: Path) -> None:
    github = [call.words for call in github_calls(baked)]
    assert github == [call.words for call in gitlab_calls(baked)]
    assert [" ".join(words) for words in github] == [
        "nox -s lint",
        "nox -s types",
        "nox -s tests",
        "nox -s data",
        "nox -s features",
        "nox -s gate",
        "nox -s secrets",
        "nox -s audit",
        "invoke champion --env prod",
        "nox -s train",
        "invoke build --push",
        "invoke promote --env staging --yes",
        "invoke promote --env prod --yes",
        "invoke rollback --env staging",
        "invoke rollback --env prod",
    ]


def sessions(repository: Path, *choice: str) -> list[str]:
    """Return the sessions that nox would run, in their order."""
    command = [sys.executable, "-m", "nox", *choice, "--list", "--json"]
    return [
        each["session"] for each in json.loads(subprocess.check_output(command, cwd=repository))
    ]


def test_ci_checks_what_is_tagged_for_it(baked: Path) -> None:
    checks = read(baked / WORKFLOWS / "pull-request.yml")["jobs"]["check"]
    assert checks["strategy"]["matrix"]["session"] == sessions(baked, "--tags", "ci")


def test_nox_alone_runs_what_ci_checks_but_for_the_audit_which_needs_the_network(
    baked: Path,
) -> None:
    assert [*sessions(baked), "audit"] == sessions(baked, "--tags", "ci")


def test_ci_brings_all_history_where_secrets_are_looked_for(baked: Path) -> None:
    [check] = [
        entry
        for entry in read(baked / GITLAB)["check"]["parallel"]["matrix"]
        if "secrets" in entry["SESSION"]
    ]
    assert check == {"SESSION": ["secrets"], "GIT_DEPTH": "0"}
    steps = read(baked / WORKFLOWS / "pull-request.yml")["jobs"]["check"]["steps"]
    depth = steps[0]["with"]["fetch-depth"]
    assert depth == "${{ matrix.session == 'secrets' && '0' || '1' }}"


@pytest.mark.parametrize(
    ("file", "right", "wrong", "complaint"),
    [
        (WORKFLOWS / "pull-request.yml", "types, tests", "typos, tests", "no session 'typos'"),
        (WORKFLOWS / "main.yml", "nox -s train", "nox -s trian", "no session 'trian'"),
        (WORKFLOWS / "main.yml", "invoke build", "invoke bild", "no task 'bild'"),
        (WORKFLOWS / "main.yml", "--yes", "--yess", "invoke promote has no flag '--yess'"),
        (WORKFLOWS / "main.yml", "nox -s train", "make train", "not a call of a door"),
        (WORKFLOWS / "rollback.yml", "rollback --env", "rollback --to", "no flag '--to'"),
        (GITLAB, "nox -s train", "nox -s trian", "no session 'trian'"),
        (GITLAB, "invoke build", "invoke bild", "no task 'bild'"),
        (GITLAB, "--env staging --yes", "--env staging -f", "no flag '-f'"),
        (GITLAB, "    - nox -s train", "    - ./train.sh", "not a call of a door"),
    ],
)
def test_a_wrong_call_is_found_in_its_place(
    broken: Path, doors: Doors, file: Path, right: str, wrong: str, complaint: str
) -> None:
    line = plant(broken / file, right, wrong)
    found = mistakes(github_calls(broken) + gitlab_calls(broken), doors)
    # A variable's value is named where the command stands.
    at = f"{file}:" if file.name == "pull-request.yml" else f"{file}:{line}:"
    assert len(found) == 1, found
    assert found[0].startswith(at) and complaint in found[0]


def test_a_call_that_only_one_provider_makes_is_found(broken: Path) -> None:
    plant(broken / GITLAB, "    - invoke build --push\n", "")
    github = [call.words for call in github_calls(broken)]
    assert github != [call.words for call in gitlab_calls(broken)]


def test_the_rollback_button_offers_the_environments_of_the_policy(baked: Path) -> None:
    policy = tomllib.loads((baked / "release.toml").read_text(encoding="utf-8"))
    button = read(baked / WORKFLOWS / "rollback.yml")["on"]["workflow_dispatch"]["inputs"]
    assert button["environment"]["options"] == list(policy["environments"])


def test_ci_runs_on_a_python_that_every_repository_allows(baked: Path) -> None:
    offered = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))["python"]
    workflows = [read(path) for path in sorted((baked / WORKFLOWS).iterdir())]
    used = {
        step["with"]["python-version"]
        for workflow in workflows
        for job in workflow["jobs"].values()
        for step in job.get("steps", [])
        if "setup-python" in step.get("uses", "")
    }
    used.add(read(baked / GITLAB)["default"]["image"].removeprefix("python:"))
    assert used == {max(offered, key=lambda version: int(version.split(".")[1]))}


def validate(tool: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BINARIES / tool), *arguments], cwd=cwd, capture_output=True, text=True
    )


def test_the_workflows_fit_their_schema(baked: Path) -> None:
    files = [str(path) for path in (baked / WORKFLOWS).iterdir()]
    schema = ("--builtin-schema", "vendor.github-workflows")
    run = validate("check-jsonschema", *schema, *files, cwd=baked)
    assert run.returncode == 0, run.stdout


def test_the_pipeline_fits_its_schema(baked: Path) -> None:
    schema = ("--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci")
    run = validate("check-jsonschema", *schema, str(GITLAB), cwd=baked)
    assert run.returncode == 0, run.stdout


def test_the_workflows_are_safe(baked: Path) -> None:
    options = ("--offline", "--no-progress", "--persona", "pedantic")
    run = validate("zizmor", *options, str(WORKFLOWS), cwd=baked)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_workflows_have_no_faults(baked: Path) -> None:
    files = [str(path) for path in (baked / WORKFLOWS).iterdir()]
    run = validate("actionlint", "-ignore", 'label "model-server" is unknown', *files, cwd=baked)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize(
    ("tool", "right", "wrong"),
    [
        ("zizmor", "persist-credentials: false", "clean: true"),
        ("zizmor", "permissions: {}", "permissions: write-all"),
        ("actionlint", "needs: [check]", "needs: [chekc]"),
        ("actionlint", "matrix.session }}", "matrix.sesion }}"),
    ],
)
def test_a_validator_sees_a_planted_fault(broken: Path, tool: str, right: str, wrong: str) -> None:
    file = broken / WORKFLOWS / "pull-request.yml"
    plant(file, right, wrong)
    options = {"zizmor": ("--offline", "--persona", "pedantic"), "actionlint": ()}[tool]
    run = validate(tool, *options, str(file), cwd=broken)
    assert run.returncode != 0


UPDATERS = {
    Path(".github/dependabot.yml"): "vendor.dependabot",
    Path("renovate.json"): "vendor.renovate",
}


@pytest.mark.parametrize("platform", ["process", "docker"])
def test_what_renews_dependencies_fits_its_schema_and_waits_a_week(
    bake: Bake, platform: str
) -> None:
    repository = bake(ci="both", platform=platform)
    for file, schema in UPDATERS.items():
        run = validate("check-jsonschema", "--builtin-schema", schema, str(file), cwd=repository)
        assert run.returncode == 0, run.stdout
    github, gitlab = (read(repository / file) for file in UPDATERS)
    wanted = ["github-actions", *(["docker"] if platform == "docker" else []), "pip"]
    assert [entry["package-ecosystem"] for entry in github["updates"]] == wanted
    assert {entry["cooldown"]["default-days"] for entry in github["updates"]} == {"7"}
    assert gitlab["minimumReleaseAge"] == "7 days"
    safe = ("--offline", "--no-progress", "--persona", "pedantic")
    run = validate("zizmor", *safe, ".github/dependabot.yml", cwd=repository)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        (Path(".github/dependabot.yml"), "interval: weekly", "interval: often"),
        (Path(".github/dependabot.yml"), "default-days: 7", "days: 7"),
        (Path("renovate.json"), '"packageRules": [', '"packageRules": [1,'),
    ],
)
def test_a_fault_in_what_renews_dependencies_is_seen(
    baked: Path, tmp_path: Path, file: Path, right: str, wrong: str
) -> None:
    copy = tmp_path / file.name
    shutil.copy(baked / file, copy)
    plant(copy, right, wrong)
    schema = ("--builtin-schema", UPDATERS[file])
    assert validate("check-jsonschema", *schema, str(copy), cwd=tmp_path).returncode != 0
