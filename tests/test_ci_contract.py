"""The CI files call nox and invoke and nothing else, both providers the same, and both validly."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Bake

BINARIES = Path(sys.executable).parent
WORKFLOWS = Path(".github/workflows")
GITLAB = Path(".gitlab-ci.yml")
PULL_REQUEST, MAIN, ROLLBACK, NIGHTLY, SCORE, DRILL, UPDATE = (
    WORKFLOWS / f"{name}.yml"
    for name in ("pull-request", "main", "rollback", "nightly", "score", "drill", "template")
)

INSTALL = "python -m pip install --require-hashes -r requirements/tools.txt"
# What CI does besides calling nox and invoke: installing them, listing the checks, showing their
# reports, joining the jobs, ending where there is nothing to propose or to compare, and refusing a
# rollback from another branch.
AROUND = {
    INSTALL,
    "python3 -m venv .venv",
    ". .venv/bin/activate",
    "sessions=$(nox --tags ci --list --json)",
    "echo sessions=$sessions >> $GITHUB_OUTPUT",
    "cat reports/*.md >> $GITHUB_STEP_SUMMARY",
    "test ${{ needs.plan.result }} = success",
    "test ${{ needs.check.result }} = success",
    "test -e reports/proposal.md || exit 0",
    "test -e .cruft.json || exit 0",
    "echo ::error::nothing was rolled back: start it from the branch main",
    "exit 1",
}
RELEASE = """
nox -s scan
invoke build --push
invoke promote --env staging --yes
"""
EVERY_CALL = f"""
invoke champion --env prod
nox -s lint
nox -s types
nox -s tests
nox -s data
nox -s features
nox -s gate
nox -s secrets
nox -s pipelines
nox -s toolkit
nox -s audit
invoke champion --env prod
nox -s train
invoke build
{RELEASE}
invoke promote --env prod --version HEAD --yes
invoke rollback --env staging --reason REASON --version VERSION
invoke rollback --env prod --reason REASON --version VERSION
nox -s snapshot
invoke pin
invoke champion --env prod
invoke champion --env prod --days-ago 7
nox -s nightly
invoke decay --env prod
nox -s snapshot -- --push
invoke pin --push
invoke build
{RELEASE}
invoke propose --env prod
invoke score --env prod --input INPUT --output OUTPUT --record
invoke drill --env staging --yes --issue
invoke prune --yes
nox -s template
"""


def sessions(repository: Path, *choice: str) -> list[str]:
    """Return the sessions that nox would run, in their order."""
    command = [sys.executable, "-m", "nox", *choice, "--list", "--json"]
    return [
        each["session"] for each in json.loads(subprocess.check_output(command, cwd=repository))
    ]


@pytest.fixture(scope="module")
def pipelines(baked: Path) -> Iterator[Any]:
    """Return the repository's own reader of its CI files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(baked)
        patch.setattr(sys, "dont_write_bytecode", True)
        yield importlib.import_module("toolkit.pipelines.calls")


@pytest.fixture
def broken(baked: Path, tmp_path: Path) -> Path:
    """Return a copy of the baked repository, to plant a mistake in."""
    return shutil.copytree(baked, tmp_path / "broken")


def plant(file: Path, right: str, wrong: str) -> int:
    """Replace the first `right` in a file and return its line."""
    text = file.read_text(encoding="utf-8")
    assert right in text
    file.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    return text[: text.index(right)].count("\n") + 1


def commands(pipelines: Any, repository: Path, *files: Path) -> list[str]:
    checks = sessions(repository, "--tags", "ci")
    found = (call for file in files for call in pipelines.calls(repository, file, checks))
    commands = [" ".join(call.words) for call in found]
    # What is typed into a form, GitHub calls an input, and GitLab a variable; both have variables.
    return [
        re.sub(
            r"\$(?:\{\{ (?:inputs|vars)\.)?(?:score_)?(reason|version|input|output)(?: \}\})?",
            upper,
            command,
            flags=re.IGNORECASE,
        )
        for command in commands
    ]


def upper(found: re.Match[str]) -> str:
    return found[1].upper()


def held(repository: Path) -> subprocess.CompletedProcess[str]:
    """Hold a repository's CI files against nox and invoke, as `nox -s pipelines` does."""
    command = [sys.executable, "-B", "-m", "toolkit.pipelines"]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True)


def test_every_session_task_and_flag_that_ci_names_exists(baked: Path) -> None:
    done = held(baked)
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_providers_call_the_same_commands_in_the_same_order_and_nothing_else(
    pipelines: Any, baked: Path
) -> None:
    workflows = (PULL_REQUEST, MAIN, ROLLBACK, NIGHTLY, SCORE, DRILL, UPDATE)
    github = commands(pipelines, baked, *workflows)
    gitlab = commands(pipelines, baked, GITLAB)
    wanted = EVERY_CALL.split("\n")
    for found in (github, gitlab):
        assert [one for one in found if one not in AROUND] == [call for call in wanted if call]
    assert set(workflows) == {path for path in pipelines.files(baked) if path != GITLAB}


# Each writes an event or a release, which may have to be signed.
WRITES = re.compile(r"invoke (build --push|promote|propose|rollback|recover|drill|hold|unhold)\b")
SIGNING_KEY = "${{ secrets.RELEASE_SIGNING_KEY }}"


def test_each_step_that_writes_events_or_releases_is_given_the_signing_key_and_no_other(
    baked: Path,
) -> None:
    found = []
    for path in sorted((baked / WORKFLOWS).iterdir()):
        jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
        for step in [step for job in jobs.values() for step in job.get("steps", [])]:
            writes = WRITES.search(step.get("run", ""))
            key = step.get("env", {}).get("RELEASE_SIGNING_KEY")
            assert key == (SIGNING_KEY if writes else None), f"{path.name}: {step}"
            found += [writes[1]] if writes else []
        # Neither a job nor a workflow gives it to steps that train.
        assert path.read_text(encoding="utf-8").count(SIGNING_KEY) == str(jobs).count(SIGNING_KEY)
        assert SIGNING_KEY not in str([job.get("env") for job in jobs.values()])
    assert set(found) == {"build --push", "promote", "propose", "rollback", "drill"}


def test_what_calls_another_program_is_seen(pipelines: Any, broken: Path) -> None:
    plant(broken / MAIN, "nox -s train", "make train")
    plant(broken / GITLAB, "    - nox -s train", "    - ./train.sh")
    assert "make train" in commands(pipelines, broken, MAIN)
    assert "./train.sh" in commands(pipelines, broken, GITLAB)


def test_nox_alone_runs_what_ci_checks_but_for_the_audit_which_needs_the_network(
    baked: Path,
) -> None:
    checks = sessions(baked, "--tags", "ci")
    assert sessions(baked) == [check for check in checks if check != "audit"]


def test_every_job_installs_nox_and_invoke_before_it_calls_them(
    pipelines: Any, baked: Path
) -> None:
    calling = 0
    for file in pipelines.files(baked):
        if file == GITLAB:
            continue
        for name, job in pipelines.read(baked / file)["jobs"].items():
            scripts = [step.get("run", "") for step in job.get("steps", [])]
            calls = [at for at, each in enumerate(scripts) if re.search(r"\b(nox|invoke)\b", each)]
            if calls:
                calling += 1
                assert scripts.index(INSTALL) < calls[0], f"{file}: {name}"
    assert calling
    pipeline = pipelines.read(baked / GITLAB)
    assert pipeline["default"]["before_script"][-1] == INSTALL
    assert not [
        name for name, job in pipeline.items() if name != "default" and "before_script" in job
    ]


def test_ci_brings_all_history_for_the_secrets_and_the_champion(
    pipelines: Any, baked: Path
) -> None:
    assert pipelines.read(baked / GITLAB)["check"]["variables"]["GIT_DEPTH"] == "0"
    steps = pipelines.read(baked / PULL_REQUEST)["jobs"]["check"]["steps"]
    assert steps[0]["with"]["fetch-depth"] == "0"


def test_a_renamed_session_is_named_wherever_ci_calls_it(broken: Path) -> None:
    plant(broken / "noxfile.py", "def train(", "def learn(")
    done = held(broken)
    assert done.returncode == 1
    for file in (MAIN, GITLAB):
        lines = (broken / file).read_text(encoding="utf-8").splitlines()
        [line] = [number for number, text in enumerate(lines, start=1) if "nox -s train" in text]
        assert f"{file}:{line}: session: nox has no session 'train'\n" in done.stdout


def test_every_wrong_call_is_named_with_its_place(broken: Path) -> None:
    planted = [
        (MAIN, "--yes", "--yess", "flag: invoke promote has no flag '--yess'"),
        (ROLLBACK, "rollback --env", "rollback --to", "flag: invoke rollback has no flag '--to'"),
        (NIGHTLY, "invoke propose", "invoke propos", "task: invoke has no task 'propos'"),
        (UPDATE, "nox -s template", "nox -s templat", "session: nox has no session 'templat'"),
        (GITLAB, "nox -s train", "nox -s trian", "session: nox has no session 'trian'"),
        (GITLAB, "invoke drill", "invoke dril", "task: invoke has no task 'dril'"),
        (
            GITLAB,
            "--env staging --yes",
            "--env staging -f",
            "flag: invoke promote has no flag '-f'",
        ),
    ]
    wanted = [
        f"{file}:{plant(broken / file, right, wrong)}: {complaint}"
        for file, right, wrong, complaint in planted
    ]
    done = held(broken)
    assert done.returncode == 1
    # The last line says how much was looked at.
    assert sorted(done.stdout.splitlines()[:-1]) == sorted(wanted)


def test_a_check_that_one_provider_leaves_out_is_named(broken: Path) -> None:
    plant(broken / GITLAB, ", pipelines, toolkit", ", toolkit")
    done = held(broken)
    assert done.returncode == 1
    assert f"{GITLAB}:1: session: 'pipelines' is tagged ci, and nothing here runs it" in done.stdout


def test_a_file_that_is_no_pipeline_is_no_pass(broken: Path) -> None:
    plant(broken / MAIN, "jobs:", "jobs: [")
    done = held(broken)
    assert done.returncode == 1
    assert done.stdout.startswith(f"could not tell: {MAIN}")


def test_the_rollback_button_offers_the_environments_of_the_policy(
    pipelines: Any, baked: Path
) -> None:
    policy = tomllib.loads((baked / "release.toml").read_text(encoding="utf-8"))
    button = pipelines.read(baked / ROLLBACK)["on"]["workflow_dispatch"]["inputs"]
    assert button["environment"]["options"] == list(policy["environments"])


def test_no_run_can_queue_before_a_rollback_or_cancel_it(pipelines: Any, baked: Path) -> None:
    workflow = pipelines.read(baked / ROLLBACK)
    # The group is the run's own; nothing else in the file makes it wait.
    assert workflow["concurrency"]["group"] == "rollback-${{ github.run_id }}"
    assert "environment" not in workflow["jobs"]["rollback"]
    pipeline = pipelines.read(baked / GITLAB)
    assert pipeline[".rollback"]["needs"] == []
    for name in (".rollback", "rollback-staging", "rollback-prod"):
        assert "resource_group" not in pipeline[name]


def test_only_main_gets_the_machine_that_serves_and_a_rollback_elsewhere_is_red(
    pipelines: Any, baked: Path
) -> None:
    serving = {
        (path.name, name): job
        for path in sorted((baked / WORKFLOWS).iterdir())
        for name, job in pipelines.read(path)["jobs"].items()
        if "model-server" in job.get("runs-on", "")
    }
    # A push starts those of main.yml, and only a push to main.
    assert pipelines.read(baked / MAIN)["on"] == {"push": {"branches": ["main"]}}
    alone = {place for place, job in serving.items() if job.get("if") == ON_MAIN}
    assert alone == {place for place in serving if place[0] != MAIN.name}
    assert {file for file, _ in alone} == {ROLLBACK.name, NIGHTLY.name, DRILL.name}
    refused = pipelines.read(baked / ROLLBACK)["jobs"]["elsewhere"]
    assert refused["if"] == ON_MAIN.replace("==", "!=")
    assert refused["steps"][-1]["run"].endswith("exit 1\n")
    pipeline = pipelines.read(baked / GITLAB)
    here = "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"
    assert [rule["if"] for rule in pipeline["workflow"]["rules"]][1:] == [here]
    for name in (".rollback", "release", "production"):
        assert [rule["if"].startswith(here) for rule in pipeline[name]["rules"]] == [True]


def test_the_job_for_prod_records_the_reviewers_of_its_own_environment(
    pipelines: Any, baked: Path
) -> None:
    job = pipelines.read(baked / MAIN)["jobs"]["production"]
    assert job["steps"][-1]["env"]["REVIEWED_ENVIRONMENT"] == job["environment"]


def test_a_queue_of_merges_gets_the_check_that_it_waits_for(pipelines: Any, baked: Path) -> None:
    assert "merge_group" in pipelines.read(baked / PULL_REQUEST)["on"]


def test_two_changes_of_an_environment_never_overlap_and_none_is_dropped(
    pipelines: Any, baked: Path
) -> None:
    jobs = {
        (file, name): job
        for file in (MAIN, NIGHTLY, DRILL)
        for name, job in pipelines.read(baked / file)["jobs"].items()
        if "uses" not in job
    }
    groups = {place: job["concurrency"] for place, job in jobs.items()}
    for group in groups.values():
        assert (group["cancel-in-progress"], group["queue"]) == ("false", "max")
    assert {place: group["group"] for place, group in groups.items()} == {
        (MAIN, "release"): "promote-staging",
        (MAIN, "production"): "promote-prod",
        (NIGHTLY, "nightly"): "promote-staging",
        (DRILL, "drill"): "promote-staging",
    }
    pipeline = pipelines.read(baked / GITLAB)
    assert pipeline[".release"]["resource_group"] == "promote-staging"
    assert pipeline["drill"]["resource_group"] == "promote-staging"
    assert pipeline["production"]["resource_group"] == "promote-prod"


ON_MAIN = "${{ github.ref == 'refs/heads/main' }}"

# What a step must do for its job to be allowed to write that.
WRITING = {
    "contents": ("invoke build", "invoke promote", "invoke rollback", "invoke drill", "--record"),
    "issues": ("invoke propose", "invoke drill"),
    "id-token": ("actions/attest@",),
    "attestations": ("actions/attest@",),
}


def test_no_job_may_write_what_it_does_not_write(pipelines: Any, baked: Path) -> None:
    written = 0
    for file in pipelines.files(baked):
        if file == GITLAB:
            continue
        workflow = pipelines.read(baked / file)
        assert workflow["permissions"] == {}
        for name, job in workflow["jobs"].items():
            steps = " ".join(step.get("run", step.get("uses", "")) for step in job.get("steps", []))
            for scope, access in job["permissions"].items():
                if access == "write":
                    written += 1
                    assert any(use in steps for use in WRITING[scope]), f"{file}: {name}: {scope}"
                else:
                    assert access == "read"
    assert written


def test_no_expression_is_pasted_into_a_script(pipelines: Any, baked: Path) -> None:
    scripts = [
        step["run"]
        for file in pipelines.files(baked)
        if file != GITLAB
        for job in pipelines.read(baked / file)["jobs"].values()
        for step in job.get("steps", [])
        if "run" in step
    ]
    assert scripts
    assert not [script for script in scripts if "${{" in script]


def test_every_job_of_both_providers_runs_on_the_same_python(pipelines: Any, baked: Path) -> None:
    workflows = [pipelines.read(path) for path in sorted((baked / WORKFLOWS).iterdir())]
    used = {
        step["with"]["python-version"]
        for workflow in workflows
        for job in workflow["jobs"].values()
        for step in job.get("steps", [])
        if "setup-python" in step.get("uses", "")
    }
    used.add(pipelines.read(baked / GITLAB)["default"]["image"].removeprefix("python:"))
    assert used == {"3.13"}


TOOLS = {
    "schema": ("check-jsonschema", "--builtin-schema", "vendor.github-workflows"),
    "pipeline schema": (
        *("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci"),
        *("--data-transform", "gitlab-ci"),
    ),
    "dependabot": ("check-jsonschema", "--builtin-schema", "vendor.dependabot"),
    "renovate": ("check-jsonschema", "--builtin-schema", "vendor.renovate"),
    "actionlint": ("actionlint", "-config-file", ".github/actionlint.yaml"),
    "zizmor": ("zizmor", "--offline", "--no-progress", "--persona", "pedantic"),
}


def validate(tool: str, file: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run one of the tools of `nox -s pipelines` on a file."""
    program, *options = TOOLS[tool]
    command = [str(BINARIES / program), *options, str(file)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def test_every_tool_finds_the_files_without_a_fault(pipelines: Any, baked: Path) -> None:
    for file in pipelines.files(baked):
        chosen = ["pipeline schema"] if file == GITLAB else ["schema", "actionlint", "zizmor"]
        for tool in chosen:
            done = validate(tool, file, baked)
            assert done.returncode == 0, done.stdout + done.stderr


def test_a_repository_for_a_cluster_tries_its_releases_in_one(pipelines: Any, bake: Bake) -> None:
    repository, file = bake(ci="github", platform="kubernetes"), WORKFLOWS / "cluster.yml"
    called = commands(pipelines, repository, file)
    assert "nox -s toolkit_tests -- -m cluster --capture=no" in called
    assert held(repository).returncode == 0
    for tool in ("schema", "actionlint", "zizmor"):
        done = validate(tool, file, repository)
        assert done.returncode == 0, done.stdout + done.stderr


CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"
RUN = 'run: nox -s "$SESSION"'
FAULTS = [
    ("zizmor", PULL_REQUEST, "persist-credentials: false", "clean: true", "artipacked"),
    ("zizmor", PULL_REQUEST, "permissions: {}", "permissions: write-all", "excessive-permissions"),
    ("zizmor", MAIN, "permissions: {}\n\n", "", "excessive-permissions"),
    ("zizmor", MAIN, " # to record who has reviewed this run", "", "undocumented-permissions"),
    ("zizmor", MAIN, f"{CHECKOUT} # v7.0.1", "actions/checkout@v7", "unpinned-uses"),
    (
        "zizmor",
        PULL_REQUEST,
        RUN,
        "run: echo ${{ github.event.pull_request.title }}",
        "template-injection",
    ),
    ("zizmor", PULL_REQUEST, "  pull_request:", "  pull_request_target:", "dangerous-triggers"),
    (
        "zizmor",
        MAIN,
        "    uses: ./.github",
        "    secrets: inherit\n    uses: ./.github",
        "secrets-inherit",
    ),
    ("zizmor", MAIN, "secrets.REGISTRY_TOKEN", "toJSON(secrets)", "overprovisioned-secrets"),
    (
        "zizmor",
        PULL_REQUEST,
        "if: ${{ always() }}",
        "if: github.actor == 'dependabot[bot]'",
        "bot-conditions",
    ),
    (
        "zizmor",
        MAIN,
        "env:\n      GIT_AUTHOR_NAME",
        "env:\n      ACTIONS_ALLOW_UNSECURE_COMMANDS: true\n      GIT_AUTHOR_NAME",
        "insecure-commands",
    ),
    ("actionlint", PULL_REQUEST, "needs: [plan]", "needs: [paln]", '"paln"'),
    ("actionlint", PULL_REQUEST, "steps.check.outcome", "steps.chekc.outcome", '"chekc"'),
    ("actionlint", PULL_REQUEST, "outputs.sessions) }}", "outputs.session) }}", '"session"'),
    ("actionlint", PULL_REQUEST, 'nox -s "$SESSION"', "nox -s $SESSION", "SC2086"),
    ("actionlint", MAIN, "model-server", "modelserver", '"modelserver" is unknown'),
    ("actionlint", ROLLBACK, "inputs.version", "inputs.versoin", '"versoin"'),
    ("actionlint", NIGHTLY, "17 2 * * *", "67 2 * * *", "invalid CRON"),
    ("actionlint", NIGHTLY, "hashFiles(", "hashFile(", '"hashFile"'),
    ("actionlint", MAIN, "${{ github.actor }}", "${{ github.actr }}", '"actr"'),
    ("schema", PULL_REQUEST, "timeout-minutes", "timeout-minuts", "timeout-minuts"),
    ("schema", MAIN, "runs-on", "run-on", "run-on"),
    ("schema", DRILL, "contents: write", "contents: admin", "admin"),
    ("pipeline schema", GITLAB, "when: manual", "when: manul", "manul"),
    ("pipeline schema", GITLAB, "expire_in", "expires_in", "expires_in"),
]


@pytest.mark.parametrize(("tool", "file", "right", "wrong", "complaint"), FAULTS)
def test_a_planted_fault_is_named(
    broken: Path, tool: str, file: Path, right: str, wrong: str, complaint: str
) -> None:
    plant(broken / file, right, wrong)
    done = validate(tool, file, broken)
    assert done.returncode != 0
    assert complaint in done.stdout + done.stderr


UPDATERS = {
    "dependabot": Path(".github/dependabot.yml"),
    "renovate": Path("renovate.json"),
}


@pytest.mark.parametrize("platform", ["process", "docker"])
def test_what_renews_dependencies_fits_its_schema_and_waits_a_week(
    bake: Bake, pipelines: Any, platform: str
) -> None:
    repository = bake(ci="both", platform=platform)
    for tool, file in UPDATERS.items():
        done = validate(tool, file, repository)
        assert done.returncode == 0, done.stdout
    github, gitlab = (pipelines.read(repository / file) for file in UPDATERS.values())
    wanted = ["github-actions", *(["docker"] if platform == "docker" else []), "pip"]
    assert [entry["package-ecosystem"] for entry in github["updates"]] == wanted
    assert {entry["cooldown"]["default-days"] for entry in github["updates"]} == {"7"}
    assert gitlab["minimumReleaseAge"] == "7 days"
    done = validate("zizmor", UPDATERS["dependabot"], repository)
    assert done.returncode == 0, done.stdout + done.stderr


def test_renovate_looks_at_every_lock(baked: Path, pipelines: Any) -> None:
    [pattern] = pipelines.read(baked / UPDATERS["renovate"])["pip_requirements"][
        "managerFilePatterns"
    ]
    locks = [str(path.relative_to(baked)) for path in (baked / "requirements").iterdir()]
    assert locks
    assert [lock for lock in locks if re.search(pattern.strip("/"), lock)] == locks


@pytest.mark.parametrize(
    ("tool", "right", "wrong"),
    [
        ("dependabot", "interval: weekly", "interval: often"),
        ("dependabot", "default-days: 7", "days: 7"),
        ("renovate", '"packageRules": [', '"packageRules": [1,'),
    ],
)
def test_a_fault_in_what_renews_dependencies_is_seen(
    broken: Path, tool: str, right: str, wrong: str
) -> None:
    plant(broken / UPDATERS[tool], right, wrong)
    assert validate(tool, UPDATERS[tool], broken).returncode != 0
