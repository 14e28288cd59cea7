"""What comes out of the oven: exactly the files that were chosen, and no trace of the template."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Bake

from demo.repository import TEMPLATE

# Every file of a repository called churn_model, whatever else was chosen.
ALWAYS = """
.gitignore
.secrets.baseline
CODEOWNERS
LICENSE
README.md
audit.toml
data/contract.toml
data/make_sample.py
data/reference.json
data/sample.csv
docs/secrets.md
model_card.toml
noxfile.py
pipelines/__init__.py
pipelines/__main__.py
pipelines/calls.py
pipelines/doors.py
pyproject.toml
quality.toml
release.toml
release/__init__.py
release/answers.schema.json
release/approvals.py
release/audit/__init__.py
release/audit/books.py
release/audit/branch.py
release/audit/chain.py
release/audit/finding.py
release/audit/permission.py
release/audit/sequence.py
release/board.py
release/build.py
release/canary/__init__.py
release/canary/answers.py
release/canary/exact_tests.py
release/canary/exceedances.py
release/canary/histogram.py
release/canary/picture.py
release/canary/traffic.py
release/canary/trial.py
release/canary/verdict.py
release/champion.py
release/change.py
release/checks.py
release/difference.py
release/door.py
release/drill.py
release/engine.py
release/errors.py
release/event.py
release/files.py
release/forge/__init__.py
release/forge/client.py
release/forge/issues.py
release/forge/protection.py
release/forge/review.py
release/freeze.py
release/git.py
release/images/__init__.py
release/images/build.py
release/images/host.py
release/images/record.py
release/images/registry.py
release/images/scan.py
release/inside.py
release/inventory.py
release/ledger.py
release/notice.py
release/objects.py
release/pages/board.html
release/plan.py
release/platforms/__init__.py
release/platforms/docker.py
release/platforms/kubectl.py
release/platforms/kubernetes.py
release/platforms/manifests.py
release/platforms/process.py
release/platforms/rollout.py
release/platforms/socket_holder.py
release/platforms/socket_taker.py
release/platforms/supervisor.py
release/policy.py
release/progress.py
release/proposal.py
release/prune.py
release/records.py
release/references.py
release/smoke.py
release/status.py
requirements-dev.txt
requirements-doors.txt
requirements-lint.txt
requirements-pipelines.txt
requirements-security.txt
requirements-template.txt
requirements-train.txt
requirements.txt
security/__init__.py
security/audit.py
security/scan.py
security/secrets.py
security/template.py
security/tokens.py
security/trivy.py
security/versions.py
security/waivers.py
src/churn_model/__init__.py
src/churn_model/__main__.py
src/churn_model/admission.py
src/churn_model/adoption.py
src/churn_model/adoption_text.py
src/churn_model/api.py
src/churn_model/champion.py
src/churn_model/champion_gate.py
src/churn_model/charts.py
src/churn_model/comparison.py
src/churn_model/consistency.py
src/churn_model/contract.py
src/churn_model/customer.py
src/churn_model/data_report.py
src/churn_model/data_runs.py
src/churn_model/dataset.py
src/churn_model/dialect.py
src/churn_model/distribution.py
src/churn_model/document.py
src/churn_model/drain.py
src/churn_model/drift.py
src/churn_model/errors.py
src/churn_model/estimators.py
src/churn_model/evaluation.py
src/churn_model/evidence.py
src/churn_model/examination.py
src/churn_model/expectation.py
src/churn_model/export.py
src/churn_model/fairness.py
src/churn_model/features.py
src/churn_model/gate_report.py
src/churn_model/gates.py
src/churn_model/healthcheck.py
src/churn_model/inference.py
src/churn_model/logs.py
src/churn_model/measurement.py
src/churn_model/model_card.py
src/churn_model/monitoring.py
src/churn_model/nightly.py
src/churn_model/observation.py
src/churn_model/pages/data.html
src/churn_model/pages/gate.html
src/churn_model/pages/level.html
src/churn_model/pages/model_card.html
src/churn_model/pages/page.html
src/churn_model/pages/verdict.html
src/churn_model/places.py
src/churn_model/policy.py
src/churn_model/policy_file.py
src/churn_model/predictor.py
src/churn_model/probe.py
src/churn_model/progress.py
src/churn_model/reference.py
src/churn_model/reports.py
src/churn_model/runs.py
src/churn_model/scoring.py
src/churn_model/serving.py
src/churn_model/slices.py
src/churn_model/table.py
src/churn_model/thresholds.py
src/churn_model/training.py
src/churn_model/validation.py
src/churn_model/verdicts.py
tasks.py
tests/bundles.py
tests/cluster/test_story.py
tests/clusters.py
tests/conftest.py
tests/customers.py
tests/disks.py
tests/door.py
tests/history.py
tests/integration/release/conftest.py
tests/integration/release/test_answers.py
tests/integration/release/test_canary.py
tests/integration/release/test_drill.py
tests/integration/release/test_full_disk.py
tests/integration/release/test_interrupts.py
tests/integration/release/test_kills.py
tests/integration/release/test_leaks.py
tests/integration/release/test_kubernetes.py
tests/integration/release/test_process.py
tests/integration/release/test_proposals.py
tests/integration/release/test_races.py
tests/integration/release/test_remote.py
tests/integration/release/test_stories.py
tests/integration/release/test_supervisor.py
tests/integration/release/test_surroundings.py
tests/integration/test_serving.py
tests/kubectl.py
tests/listener.py
tests/page.py
tests/releases.py
tests/shelf.py
tests/stand_in_forge.py
tests/stand_in_server.py
tests/unit/model/conftest.py
tests/unit/model/test_admission.py
tests/unit/model/test_adoption.py
tests/unit/model/test_champion.py
tests/unit/model/test_charts.py
tests/unit/model/test_comparison.py
tests/unit/model/test_consistency.py
tests/unit/model/test_contract.py
tests/unit/model/test_customer.py
tests/unit/model/test_data_report.py
tests/unit/model/test_dataset.py
tests/unit/model/test_dialect.py
tests/unit/model/test_distribution.py
tests/unit/model/test_drift.py
tests/unit/model/test_edge_cases.py
tests/unit/model/test_estimators.py
tests/unit/model/test_evaluation.py
tests/unit/model/test_evidence.py
tests/unit/model/test_expectation.py
tests/unit/model/test_export.py
tests/unit/model/test_fairness.py
tests/unit/model/test_features.py
tests/unit/model/test_fuzzed_tables.py
tests/unit/model/test_gate_report.py
tests/unit/model/test_gates.py
tests/unit/model/test_inference.py
tests/unit/model/test_logs.py
tests/unit/model/test_main.py
tests/unit/model/test_monitoring.py
tests/unit/model/test_nightly.py
tests/unit/model/test_policy.py
tests/unit/model/test_predictor.py
tests/unit/model/test_reference.py
tests/unit/model/test_reports.py
tests/unit/model/test_sample.py
tests/unit/model/test_scoring.py
tests/unit/model/test_serving.py
tests/unit/model/test_slices.py
tests/unit/model/test_table.py
tests/unit/model/test_training.py
tests/unit/model/test_validation.py
tests/unit/pipelines/test_pipelines.py
tests/unit/release/conftest.py
tests/unit/release/test_approvals.py
tests/unit/release/test_audit.py
tests/unit/release/test_audit_releases.py
tests/unit/release/test_board.py
tests/unit/release/test_build.py
tests/unit/release/test_canary_answers.py
tests/unit/release/test_canary_verdict.py
tests/unit/release/test_champion.py
tests/unit/release/test_checks.py
tests/unit/release/test_clocks.py
tests/unit/release/test_damage.py
tests/unit/release/test_docker.py
tests/unit/release/test_engine.py
tests/unit/release/test_exact_tests.py
tests/unit/release/test_forge.py
tests/unit/release/test_freeze.py
tests/unit/release/test_full_disk.py
tests/unit/release/test_histogram.py
tests/unit/release/test_images.py
tests/unit/release/test_interrupts.py
tests/unit/release/test_inventory.py
tests/unit/release/test_issues.py
tests/unit/release/test_kubernetes.py
tests/unit/release/test_ledger.py
tests/unit/release/test_moved_branch.py
tests/unit/release/test_notice.py
tests/unit/release/test_objects.py
tests/unit/release/test_picture.py
tests/unit/release/test_plan.py
tests/unit/release/test_policy.py
tests/unit/release/test_proposal.py
tests/unit/release/test_protection.py
tests/unit/release/test_records.py
tests/unit/release/test_registry.py
tests/unit/release/test_replay.py
tests/unit/release/test_smoke.py
tests/unit/release/test_status.py
tests/unit/release/test_supervisor.py
tests/unit/security/test_audit.py
tests/unit/security/test_scan.py
tests/unit/security/test_secrets.py
tests/unit/security/test_template.py
tests/unit/test_walls.py
tests/workshop.py
""".split()

CI_FILES = {
    "github": [
        ".github/actionlint.yaml",
        ".github/dependabot.yml",
        ".github/rulesets/environments.json",
        ".github/rulesets/main.json",
        ".github/rulesets/releases.json",
        ".github/workflows/drill.yml",
        ".github/workflows/main.yml",
        ".github/workflows/nightly.yml",
        ".github/workflows/pull-request.yml",
        ".github/workflows/rollback.yml",
        ".github/workflows/template.yml",
    ],
    "gitlab": [".gitlab-ci.yml", ".gitlab/protection.json", "renovate.json"],
}
CI_FILES["both"] = CI_FILES["github"] + CI_FILES["gitlab"]
CLUSTER = ".github/workflows/cluster.yml"

PLATFORM_FILES: dict[str, list[str]] = {
    "process": [],
    "docker": [".dockerignore", "Dockerfile"],
    "kubernetes": [
        ".dockerignore",
        "Dockerfile",
        "deploy/base/autoscaler.yaml",
        "deploy/base/deployment.yaml",
        "deploy/base/disruption-budget.yaml",
        "deploy/base/kustomization.yaml",
        "deploy/base/network-policy.yaml",
        "deploy/base/service-account.yaml",
        "deploy/base/service.yaml",
        "deploy/gitops/argo-application.yaml",
        "deploy/gitops/flux-kustomization.yaml",
        "deploy/monitoring/alerts.test.yaml",
        "deploy/monitoring/alerts.yaml",
        "deploy/monitoring/dashboard.json",
        "deploy/overlays/prod/kustomization.yaml",
        "deploy/overlays/staging/kustomization.yaml",
        "deploy/rbac.yaml",
        "deploy/trivyignore.yaml",
        "docs/kubernetes.md",
    ],
}

QUESTIONS = {
    question: choices
    for question, choices in json.loads(
        (TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8")
    ).items()
    if not question.startswith("_")
}
CHOICES = {question: answer for question, answer in QUESTIONS.items() if isinstance(answer, list)}

# "${{" is GitHub's own.
JINJA = re.compile(r"(?<!\$)\{\{|\{%|\{##")


def files(repository: Path) -> list[str]:
    """Return every file of a repository, sorted."""
    paths = (path for path in repository.rglob("*") if path.is_file())
    return sorted(path.relative_to(repository).as_posix() for path in paths)


def assert_whole(repository: Path, ci: str, platform: str) -> None:
    """Exactly the chosen files are there; each reads as what it is, without a trace of Jinja."""
    both = [CLUSTER] if platform == "kubernetes" and ci != "gitlab" else []
    assert files(repository) == sorted(ALWAYS + CI_FILES[ci] + PLATFORM_FILES[platform] + both)
    for path in map(repository.joinpath, files(repository)):
        text = path.read_text(encoding="utf-8")
        # The reports' pages are Jinja for the repository itself, the rules Go templates for Prometheus.
        left = None if path.parent.name in ("pages", "monitoring") else JINJA.search(text)
        assert left is None, f"{path}: {text[left.start() : left.start() + 60]!r}"
        assert text == "" or text.endswith("\n"), path
        match path.suffix:
            case ".py":
                compile(text, path.name, "exec")
            case ".toml":
                tomllib.loads(text)
            case ".yml" | ".yaml":
                list(yaml.safe_load_all(text))
            case ".json":
                json.loads(text)


@pytest.mark.parametrize(
    ("ci", "platform"), list(itertools.product(CHOICES["ci"], CHOICES["platform"]))
)
def test_a_repository_has_exactly_the_files_that_were_chosen(
    bake: Bake, ci: str, platform: str
) -> None:
    assert_whole(bake(ci=ci, platform=platform), ci, platform)


@pytest.mark.parametrize("license", CHOICES["license"])
def test_a_license_is_chosen(bake: Bake, license: str) -> None:
    repository = bake(license=license)
    assert_whole(repository, "github", "process")
    first_words = {
        "Apache-2.0": "Apache License Version 2.0, January 2004",
        "MIT": "MIT License",
        "BSD-3-Clause": "BSD 3-Clause License",
        "Proprietary": "Copyright (c) Model Team. All rights reserved.",
    }
    text = (repository / "LICENSE").read_text(encoding="utf-8")
    assert " ".join(text.split()).startswith(first_words[license])
    assert project(repository)["license"] == {"Proprietary": "LicenseRef-Proprietary"}.get(
        license, license
    )


@pytest.mark.parametrize("python", CHOICES["python"])
def test_a_lowest_python_is_chosen(bake: Bake, python: str) -> None:
    repository = bake(python=python, platform="docker")
    assert_whole(repository, "github", "docker")
    assert project(repository)["requires-python"] == f">={python}"
    dockerfile = (repository / "Dockerfile").read_text(encoding="utf-8")
    base = re.search(r"^ARG BASE=python:3\.(\d+)-slim@sha256:[0-9a-f]{64}$", dockerfile, re.M)
    assert base, "the base is not pinned by its digest"
    assert int(base[1]) >= int(python.removeprefix("3."))


@pytest.mark.parametrize(
    ("name", "package"),
    [("Retention.Score-2", "retention_score_2"), ("churn", "churn"), ("a_b", "a_b")],
)
def test_the_package_follows_the_project(bake: Bake, name: str, package: str) -> None:
    repository = bake(project=name)
    assert repository.name == name
    assert project(repository)["name"] == name
    assert [path.name for path in (repository / "src").iterdir()] == [package]


def test_the_answers_land(bake: Bake) -> None:
    repository = bake(
        package="leavers",
        description="Who leaves",
        author="Ada",
        email="ada@example.com",
        platform="kubernetes",
        registry="localhost:5000/team",
    )
    assert project(repository)["description"] == "Who leaves"
    assert project(repository)["authors"] == [{"name": "Ada", "email": "ada@example.com"}]
    deployment = (repository / "deploy/base/deployment.yaml").read_text(encoding="utf-8")
    assert "image: localhost:5000/team/leavers\n" in deployment
    assert '"leavers.serving"' in (repository / "Dockerfile").read_text(encoding="utf-8")
    assert "churn_model" not in (repository / "noxfile.py").read_text(encoding="utf-8")


def test_the_same_answers_make_the_same_bytes(bake: Bake) -> None:
    first, second = bake(), bake()
    assert files(first) == files(second)
    for name in files(first):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_what_is_copied_is_the_template_itself(bake: Bake) -> None:
    """CI files, locks, data and pages are never rendered: they read the same before and after."""
    baked = bake(ci="both", platform="kubernetes")
    source = TEMPLATE / "{{cookiecutter.project}}"
    copied = [name for name in CI_FILES["both"] if name != ".github/dependabot.yml"]
    copied += [CLUSTER, "data/sample.csv", "data/reference.json"]
    copied += [path.name for path in source.glob("requirements*.txt")]
    assert len(copied) > 6
    for name in copied:
        assert (baked / name).read_bytes() == (source / name).read_bytes(), name
    model_wing = ("src/{{cookiecutter.package}}/pages", "src/churn_model/pages")
    for folder, baked_folder in (model_wing, ("release/pages", "release/pages")):
        pages = sorted((source / folder).iterdir())
        assert pages
        for page in pages:
            copy = baked / baked_folder / page.name
            assert copy.read_bytes() == page.read_bytes(), page.name


def test_git_ignores_no_file_of_a_fresh_repository(bake: Bake) -> None:
    repository = bake(ci="both", platform="kubernetes")
    subprocess.run(["git", "init", "--quiet"], cwd=repository, check=True)
    listing = ["git", "ls-files", "--others", "--exclude-standard"]
    seen = subprocess.check_output(listing, cwd=repository, text=True).splitlines()
    assert sorted(seen) == [name for name in files(repository) if not name.startswith(".git/")]


def test_every_question_has_a_prompt_for_people() -> None:
    prompts = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))[
        "__prompts__"
    ]
    assert list(prompts) == list(QUESTIONS)
    for question, choices in CHOICES.items():
        assert list(prompts[question]) == ["__prompt__", *choices]


@pytest.mark.options
@pytest.mark.parametrize(
    ("ci", "platform", "python", "license"),
    list(itertools.product(*(CHOICES[each] for each in ("ci", "platform", "python", "license")))),
)
def test_every_combination_of_options(
    bake: Bake, ci: str, platform: str, python: str, license: str
) -> None:
    assert_whole(bake(ci=ci, platform=platform, python=python, license=license), ci, platform)


def project(repository: Path) -> Any:
    """Return the `project` table of a repository's pyproject.toml."""
    text = (repository / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]
