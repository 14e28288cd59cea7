"""What is generated: exactly the files that were chosen, and no trace of the template."""

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

# Every file outside toolkit/ of a repository called churn_model, whatever else was chosen.
ALWAYS = """
.gitattributes
.gitignore
.pre-commit-config.yaml
.secrets.baseline
LICENSE
README.md
audit.toml
data/contract.toml
data/make_sample.py
data/reference.json
data/sample.csv
data/source.toml
docs/CODEOWNERS
docs/ci.md
docs/data.md
docs/model.md
docs/releases.md
docs/secrets.md
docs/serving.md
docs/toolkit.md
model_card.toml
noxfile.py
pyproject.toml
quality.toml
release.toml
requirements/checks.txt
requirements/model.txt
requirements/serving.txt
requirements/source.txt
requirements/template.txt
requirements/toolkit.txt
requirements/tools.txt
src/churn_model/__init__.py
src/churn_model/estimators.py
src/churn_model/features.py
src/churn_model/metrics.py
tasks.py
tests/test_data.py
tests/test_estimators.py
tests/test_features.py
tests/test_metrics.py
tests/test_smoke.py
""".split()

# What whoever generates a repository with the defaults must find their way in.
MAX_FILES, MAX_PYTHON_LINES, MAX_TOP_LEVEL = 75, 1_200, 20

CI_FILES = {
    "github": [
        ".github/actionlint.yaml",
        ".github/dependabot.yml",
        ".github/rulesets/environments.json",
        ".github/rulesets/main.json",
        ".github/rulesets/release-job-environments.json",
        ".github/rulesets/release-job-releases.json",
        ".github/rulesets/releases.json",
        ".github/workflows/drill.yml",
        ".github/workflows/score.yml",
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

GENERATED = TEMPLATE / "{{cookiecutter.project}}"
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


def owners(repository: Path) -> list[str]:
    """Return the files that their owner may edit: all outside toolkit/."""
    return [name for name in files(repository) if not name.startswith("toolkit/")]


@pytest.fixture(scope="session")
def toolkit() -> dict[str, bytes]:
    """Return every file of the template's toolkit, without what running it has left there."""
    listing = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "toolkit")
    names = subprocess.check_output(listing, cwd=GENERATED, text=True).split("\0")[:-1]
    there = (GENERATED / name for name in names)
    return {p.relative_to(GENERATED).as_posix(): p.read_bytes() for p in there if p.is_file()}


def assert_whole(repository: Path, toolkit: dict[str, bytes], ci: str, platform: str) -> None:
    """Exactly the chosen files are there; each can be read as what it is, and holds no Jinja."""
    both = [CLUSTER] if platform == "kubernetes" and ci != "gitlab" else []
    chosen = ALWAYS + CI_FILES[ci] + PLATFORM_FILES[platform] + both
    assert owners(repository) == sorted(chosen)
    for path in map(repository.joinpath, chosen):
        text = path.read_text(encoding="utf-8")
        # The rules are Go templates for Prometheus.
        left = None if path.parent.name == "monitoring" else JINJA.search(text)
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
    assert_toolkit(repository, toolkit)


def assert_toolkit(repository: Path, toolkit: dict[str, bytes]) -> None:
    """The toolkit is the template's, byte by byte."""
    baked = {name: (repository / name).read_bytes() for name in files(repository)}
    found = {name: content for name, content in baked.items() if name.startswith("toolkit/")}
    assert found.keys() == toolkit.keys()
    assert [name for name in toolkit if found[name] != toolkit[name]] == []


@pytest.mark.parametrize(
    ("ci", "platform"), list(itertools.product(CHOICES["ci"], CHOICES["platform"]))
)
def test_a_repository_has_exactly_the_files_that_were_chosen(
    bake: Bake, toolkit: dict[str, bytes], ci: str, platform: str
) -> None:
    assert_whole(bake(ci=ci, platform=platform), toolkit, ci, platform)


def test_an_owner_finds_their_way_in_a_repository_of_the_defaults(bake: Bake) -> None:
    repository = bake()
    lines = {
        name: len((repository / name).read_text(encoding="utf-8").splitlines())
        for name in owners(repository)
    }
    assert len(lines) <= MAX_FILES
    assert sum(n for name, n in lines.items() if name.endswith(".py")) <= MAX_PYTHON_LINES
    assert len(list(repository.iterdir())) <= MAX_TOP_LEVEL


def test_the_toolkit_holds_no_answer(bake: Bake, toolkit: dict[str, bytes]) -> None:
    repository = bake(
        project="Retention.Score-2",
        package="leavers",
        description="Who leaves",
        author="Ada",
        email="ada@example.com",
        license="MIT",
        python="3.12",
        ci="gitlab",
        platform="kubernetes",
        registry="localhost:5000/team",
    )
    assert_toolkit(repository, toolkit)
    for name, content in toolkit.items():
        assert not re.search(rb"\{\{ ?cookiecutter", content), name


@pytest.mark.parametrize("license", CHOICES["license"])
def test_a_license_is_chosen(bake: Bake, toolkit: dict[str, bytes], license: str) -> None:
    repository = bake(license=license)
    assert_whole(repository, toolkit, "github", "process")
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
def test_a_lowest_python_is_chosen(bake: Bake, toolkit: dict[str, bytes], python: str) -> None:
    repository = bake(python=python, platform="docker", ci="both")
    assert_whole(repository, toolkit, "both", "docker")
    assert project(repository)["requires-python"] == f">={python}"
    dockerfile = (repository / "Dockerfile").read_text(encoding="utf-8")
    base = re.search(r"^ARG BASE=python:3\.(\d+)-slim@sha256:[0-9a-f]{64}$", dockerfile, re.M)
    assert base, "the base is not pinned by its digest"
    assert int(base[1]) >= int(python.removeprefix("3."))
    ci = [*(repository / ".github" / "workflows").iterdir(), repository / ".gitlab-ci.yml"]
    text = "".join(path.read_text(encoding="utf-8") for path in ci)
    asked_for = re.findall(r"python-version: (.+)|image: python:(.+)", text)
    [used] = {version.strip('"') for pair in asked_for for version in pair if version}
    assert used == max("3.13", python)


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
    contract = tomllib.loads((repository / "data/contract.toml").read_text(encoding="utf-8"))
    assert contract["package"] == "leavers"
    for name in owners(repository):
        assert "churn_model" not in (repository / name).read_text(encoding="utf-8"), name


def test_the_same_answers_make_the_same_bytes(bake: Bake) -> None:
    first, second = bake(), bake()
    assert files(first) == files(second)
    for name in files(first):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_what_is_copied_is_the_template_itself(bake: Bake) -> None:
    """CI files, locks and data are never rendered: they read the same before and after."""
    baked = bake(ci="both", platform="kubernetes")
    copied = [name for name in CI_FILES["both"] if name != ".github/dependabot.yml"]
    copied += [CLUSTER, "data/sample.csv", "data/reference.json"]
    copied += [f"requirements/{path.name}" for path in (GENERATED / "requirements").iterdir()]
    assert len(copied) > 6
    for name in copied:
        assert (baked / name).read_bytes() == (GENERATED / name).read_bytes(), name


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


@pytest.mark.full
@pytest.mark.parametrize(
    ("ci", "platform", "python", "license"),
    list(itertools.product(*(CHOICES[each] for each in ("ci", "platform", "python", "license")))),
)
def test_every_combination_of_options(
    bake: Bake, toolkit: dict[str, bytes], ci: str, platform: str, python: str, license: str
) -> None:
    repository = bake(ci=ci, platform=platform, python=python, license=license)
    assert_whole(repository, toolkit, ci, platform)


def project(repository: Path) -> Any:
    """Return the `project` table of a repository's pyproject.toml."""
    text = (repository / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]
