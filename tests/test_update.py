"""A repository follows its template: told when it has moved on, and updated without losing work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.repository import ENVIRONMENTS, FOREIGN, TEMPLATE, Repository

BINARIES = Path(sys.executable).parent
GENERATED = "{{cookiecutter.project}}"
# The last commit whose generated repository held as its owner's what is the toolkit's now.
BEFORE_TOOLKIT = "85ba6ce888d674d1b96f5677c37f21e1a6bd84c0"
ADA = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com"}


@dataclass(frozen=True)
class Source:
    """A copy of the template with a history of its own, and where its users keep their settings.

    Parameters
    ----------
    folder, settings : pathlib.Path
    """

    folder: Path
    settings: Path

    @classmethod
    def of_template(cls, workspace: Path) -> Source:
        """Copy the template as it stands here, uncommitted work and all, into a new history."""
        folder, settings = workspace / "template", workspace / "settings.yaml"
        listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for name in subprocess.check_output(listed, cwd=TEMPLATE, text=True).split("\0")[:-1]:
            if (TEMPLATE / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(TEMPLATE / name, folder / name)
        settings.write_text(f"replay_dir: {workspace}\n", encoding="utf-8")
        source = cls(folder, settings)
        source.git("init", "--quiet", "--initial-branch=main")
        source.git("add", "--all")
        source.git("commit", "--quiet", "--message=the template")
        return source

    def git(self, *arguments: str) -> str:
        committer = {name.replace("AUTHOR", "COMMITTER"): value for name, value in ADA.items()}
        environment = os.environ | ADA | committer | {"GIT_CONFIG_GLOBAL": os.devnull}
        command = ("git", *arguments)
        return subprocess.check_output(command, cwd=self.folder, env=environment, text=True).strip()

    def move_on(self, path: str, old: str, new: str) -> str:
        """Commit a change of one file and return the commit."""
        file = self.folder / path
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{path} holds {old!r} {text.count(old)} times, not once"
        file.write_text(text.replace(old, new), encoding="utf-8")
        self.git("commit", "--quiet", "--all", "--message=move on")
        return self.git("rev-parse", "HEAD")

    def cruft(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run cruft as a user without settings of their own would."""
        environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        return subprocess.run(
            [str(BINARIES / "cruft"), *arguments],
            cwd=folder,
            env=environment | {"COOKIECUTTER_CONFIG": str(self.settings)},
            capture_output=True,
            text=True,
            check=True,
        )

    def create(self, into: Path, *arguments: str) -> Repository:
        """Make a repository that follows this template, and commit it."""
        into.mkdir()
        self.cruft(into, "create", "--no-input", *arguments, str(self.folder))
        repository = Repository(into / "churn-model", into / "state", BINARIES)
        repository.begin(into / "remote.git")
        return repository


def copy_what_stands_here(folder: Path) -> None:
    """Copy the template's files, uncommitted work and all."""
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in subprocess.check_output(listed, cwd=TEMPLATE, text=True).split("\0")[:-1]:
        if (TEMPLATE / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TEMPLATE / name, folder / name)


def settings_of_nobody(folder: Path) -> Path:
    """Return a file with the settings of somebody who has none."""
    settings = folder / "settings.yaml"
    settings.write_text(f"replay_dir: {folder}\n", encoding="utf-8")
    return settings


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """The template as it stands here, in a new history."""
    source = Source(tmp_path / "template", settings_of_nobody(tmp_path))
    copy_what_stands_here(source.folder)
    source.git("init", "--quiet", "--initial-branch=main")
    source.git("add", "--all")
    source.git("commit", "--quiet", "--message=the template")
    return source


@pytest.fixture
def source_with_history(tmp_path: Path) -> Source:
    """The template as it stands here, after the history that it has."""
    return after_history(tmp_path, BEFORE_TOOLKIT)


def after_history(tmp_path: Path, commit: str) -> Source:
    """Return the template as it stands here, after a history that must have a commit."""
    known = ("git", "cat-file", "-e", f"{commit}^{{commit}}")
    if subprocess.run(known, cwd=TEMPLATE, capture_output=True).returncode:
        pytest.skip(f"commit {commit} is not in this clone: git fetch --unshallow")
    source = Source(tmp_path / "template", settings_of_nobody(tmp_path))
    clone = ("git", "clone", "--quiet", str(TEMPLATE), str(source.folder))
    subprocess.run(clone, check=True, env=os.environ | {"GIT_CONFIG_GLOBAL": os.devnull})
    source.git("rm", "-r", "--quiet", ".")
    copy_what_stands_here(source.folder)
    source.git("add", "--all")
    source.git("commit", "--quiet", "--allow-empty", "--message=as it stands here")
    return source


def told(repository: Repository) -> dict[str, str]:
    """Return what `nox -s template` names: each file, and what becomes of it."""
    repository.nox("-s", "template")
    report = repository.folder / "reports" / "template.json"
    document = json.loads(report.read_text(encoding="utf-8"))
    found = {finding["path"]: finding["code"] for finding in document["findings"]}
    assert document["verdict"] == ("failed" if found else "passed"), document["remarks"]
    page = report.with_suffix(".md").read_text(encoding="utf-8")
    assert all(path in page for path in found)
    return found


AUDIT = "# Known vulnerabilities that are accepted"
QUALITY = "# What data and model must reach"


def test_an_update_brings_what_is_new_and_keeps_what_is_ones_own(
    source: Source, tmp_path: Path
) -> None:
    repository = source.create(tmp_path / "made")
    green = repository.nox("-s", "template", "secrets")
    assert green.returncode == 0, green.stdout + green.stderr
    assert told(repository) == {}

    repository.replace("quality.toml", QUALITY, f"# Ours.\n{QUALITY}")
    repository.commit("Say whose it is")
    new = source.move_on(f"{GENERATED}/audit.toml", AUDIT, f"# News.\n{AUDIT}")
    red = repository.nox("-s", "template")
    assert red.returncode == 1
    assert "Next: .nox/template/bin/cruft update, with nothing uncommitted" in red.stdout
    assert told(repository) == {"audit.toml": "changed"}

    source.cruft(repository.folder, "update", "--skip-apply-ask")
    assert (repository.folder / "audit.toml").read_text(encoding="utf-8").startswith("# News.")
    assert (repository.folder / "quality.toml").read_text(encoding="utf-8").startswith("# Ours.")
    link = json.loads((repository.folder / ".cruft.json").read_text(encoding="utf-8"))
    assert link["commit"] == new
    repository.commit("Follow the template")
    assert told(repository) == {}


def test_an_update_from_an_older_tag_meets_what_both_have_changed(
    source: Source, tmp_path: Path
) -> None:
    source.git("tag", "v1")
    source.move_on(f"{GENERATED}/audit.toml", AUDIT, f"# News.\n{AUDIT}")
    (source.folder / GENERATED / "docs").mkdir(exist_ok=True)
    (source.folder / GENERATED / "docs" / "news.md").write_text("# {{ cookiecutter.project }}\n")
    source.git("add", "--all")
    source.move_on(f"{GENERATED}/quality.toml", QUALITY, f"# Theirs.\n{QUALITY}")

    repository = source.create(tmp_path / "made", "--checkout", "v1")
    repository.replace("quality.toml", QUALITY, f"# Ours.\n{QUALITY}")
    repository.commit("Say whose it is")
    coming = {"audit.toml": "changed", "docs/news.md": "new", "quality.toml": "conflict"}
    assert told(repository) == coming

    done = source.cruft(repository.folder, "update", "--skip-apply-ask")
    assert done.returncode == 0
    assert repository.git("diff", "--name-only", "--diff-filter=U") == "quality.toml"
    both = (repository.folder / "quality.toml").read_text(encoding="utf-8")
    assert "# Ours." in both and "# Theirs." in both and both.startswith("<<<<<<<")
    news = (repository.folder / "docs" / "news.md").read_text(encoding="utf-8")
    assert news == "# churn-model\n"


def test_an_update_moves_codeowners_with_what_its_owner_has_written(
    source: Source, tmp_path: Path
) -> None:
    now, before = f"{GENERATED}/docs/CODEOWNERS", f"{GENERATED}/CODEOWNERS"
    source.git("mv", now, before)
    source.git("rm", "--quiet", f"{GENERATED}/.gitattributes")
    source.move_on(before, "/docs/CODEOWNERS {{", "/CODEOWNERS {{")
    source.git("tag", "before")
    source.git("revert", "--no-edit", "HEAD")

    repository = source.create(tmp_path / "made", "--checkout", "before")
    repository.replace("CODEOWNERS", "/data/ model-team@example.com", "/data/ grace@example.com")
    repository.commit("Let Grace look at data")
    source.cruft(repository.folder, "update", "--skip-apply-ask")
    assert not (repository.folder / "CODEOWNERS").exists()
    lines = (repository.folder / "docs" / "CODEOWNERS").read_text(encoding="utf-8").splitlines()
    assert {"/data/ grace@example.com", "/docs/CODEOWNERS model-team@example.com"} < set(lines)
    assert "* -text" in (repository.folder / ".gitattributes").read_text(encoding="utf-8")
    assert repository.git("diff", "--name-only", "--diff-filter=U") == ""


def test_a_repository_without_a_link_or_without_its_template_cannot_tell(
    source: Source, tmp_path: Path
) -> None:
    repository = source.create(tmp_path / "made")
    source.folder.rename(tmp_path / "gone")
    gone = repository.nox("-s", "template")
    assert gone.returncode == 1
    assert "could not tell: cruft update: " in gone.stdout
    (repository.folder / ".cruft.json").unlink()
    repository.commit("As plain Cookiecutter makes it")
    unlinked = repository.nox("-s", "template")
    assert unlinked.returncode == 1
    assert "Next: .nox/template/bin/cruft link ADDRESS" in unlinked.stdout


FEATURES = "src/churn_model/features.py"
NIGHTLY = ".github/workflows/nightly.yml"
REFERENCE = "data/reference.json"
IS_SENIOR = '''def is_senior(age: Vector) -> Vector:
    """Return 1 from 65 years on, else 0; null where the age is."""
    return np.where(np.isnan(age), np.nan, age >= 65)
'''
# A conflict as git writes it: the owner's lines, and the template's.
CONFLICT = re.compile(r"<<<<<<< .*\n((?:.*\n)*?)=======\n((?:.*\n)*?)>>>>>>> .*\n")


def edit_as_an_owner(repository: Repository) -> None:
    """Derive a feature, relax a threshold, and let the nightly training run at another time."""
    repository.replace(FEATURES, "\n\nDERIVED = (\n", f"\n\n{IS_SENIOR}\n\nDERIVED = (\n")
    entry = '    Derived("is_senior", ("age",), is_senior),\n'
    repository.replace(FEATURES, "DERIVED = (\n", f"DERIVED = (\n{entry}")
    accuracy = '[[rule]]\nmetric = "accuracy"\nmin = 0.8'
    repository.replace("quality.toml", f"{accuracy}5\n", f"{accuracy}4\n")
    repository.replace(NIGHTLY, 'cron: "17 2 ', 'cron: "59 4 ')
    accepted = repository.nox("-s", "reference")
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    repository.commit("Know seniors")


def release(repository: Repository) -> str:
    """Train and build what is committed, put it into staging, and return the version."""
    repository.ask("champion", "--env", "prod")
    trained = repository.nox("-s", "train")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    version: str = repository.ask("build", "--push")["record"]["version"]
    repository.ask("promote", "--env", "staging", "--version", version, "--yes")
    return version


def to_prod(repository: Repository, version: str) -> None:
    """Approve a release, and promote it to prod."""
    repository.ask("approve", "--env", "prod", "--version", version)
    repository.ask("promote", "--env", "prod", "--version", version, "--yes")


def keep_own_values(repository: Repository) -> None:
    """Take the new release.toml, with the ports and the canary that the owner had."""
    ours = tomllib.loads(repository.git("show", ":2:release.toml"))["environments"]
    repository.git("checkout", "--quiet", "--theirs", "release.toml")
    path = repository.folder / "release.toml"
    theirs = tomllib.loads(path.read_text(encoding="utf-8"))["environments"]
    for name, table in theirs.items():
        before, after = (f"port = {one['port']}\n" for one in (table, ours[name]))
        repository.replace("release.toml", before, after)
    repository.make_canaries_short()
    repository.release_unscanned()


def do_what_the_changelog_asks(repository: Repository) -> None:
    """Follow the section of CHANGELOG.md about the toolkit, step by step, by its numbers."""
    # 2
    cruft = str(repository.folder / ".nox" / "template" / "bin" / "cruft")
    updated = repository.capture(cruft, "update", "--skip-apply-ask")
    assert updated.returncode == 0, updated.stdout + updated.stderr
    assert not list(repository.folder.rglob("*.rej"))
    # 3
    conflicts = repository.git("diff", "--name-only", "--diff-filter=U").splitlines()
    assert conflicts == [REFERENCE, "quality.toml", "release.toml", FEATURES]
    _, quality, _, features = (repository.folder / name for name in conflicts)
    repository.git("checkout", "--quiet", "--ours", REFERENCE)
    text = quality.read_text(encoding="utf-8")
    text = CONFLICT.sub(lambda found: found[2].replace("min = 0.85", "min = 0.84"), text)
    quality.write_text(text, encoding="utf-8")
    text = features.read_text(encoding="utf-8")
    entry = '    DerivedFeature("is_senior", ("age",), is_senior),\n'
    new = "FEATURES = (\n"
    text = CONFLICT.sub(
        lambda found: f"{IS_SENIOR}\n\n{found[2]}".replace(new, f"{new}{entry}"), text
    )
    features.write_text(text, encoding="utf-8")
    keep_own_values(repository)
    # 4
    contract = tomllib.loads((repository.folder / "data" / "contract.toml").read_text("utf-8"))
    assert contract["package"] == "churn_model"
    # 6
    repository.commit("Follow the template")
    # 7
    shutil.rmtree(repository.folder / ".nox")
    repository.install_tools()
    # Of later sections: the champion's folder and the reference say more than they did.
    repository.ask("champion", "--env", "prod")
    accepted = repository.nox("-s", "reference")
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    repository.commit("Accept the same table, with what the reference holds now")


@pytest.fixture
def of_before(source_with_history: Source, tmp_path: Path) -> Iterator[Repository]:
    """A repository that was generated before there was a toolkit, edited by its owner."""
    into = tmp_path / "made"
    into.mkdir()
    created = ("create", "--no-input", "--checkout", BEFORE_TOOLKIT)
    source_with_history.cruft(into, *created, str(source_with_history.folder))
    folder = into / "churn-model"
    repository = Repository(folder, into / "state", folder / ".venv" / "bin")
    # First as it was generated: git merges three ways only from a file that it has kept.
    repository.begin(into / "remote.git")
    repository.take_free_ports()
    repository.make_canaries_short()
    repository.commit("Use ports of our own")
    repository.install_tools("requirements-doors.txt")
    edit_as_an_owner(repository)
    yield repository
    for environment in ENVIRONMENTS:
        repository.invoke("stop", "--env", environment, "--yes")


@pytest.mark.full
def test_a_repository_of_before_the_toolkit_is_updated_as_the_changelog_says(
    of_before: Repository,
) -> None:
    repository = of_before
    old = release(repository)
    to_prod(repository, old)
    coming = told(repository)
    assert {name for name, code in coming.items() if code == "conflict"} == {
        FEATURES,
        REFERENCE,
        "quality.toml",
        "release.toml",
    }

    do_what_the_changelog_asks(repository)
    green = repository.nox()
    assert green.returncode == 0, green.stdout + green.stderr
    assert told(repository) == {}

    # What the owner has changed is still there, and in use.
    features = json.loads((repository.folder / "reports" / "features.json").read_text("utf-8"))
    assert "is_senior" in features["names"]
    assert 'cron: "59 4 ' in (repository.folder / NIGHTLY).read_text(encoding="utf-8")
    new = release(repository)
    gate = json.loads((repository.folder / "reports" / "gate.json").read_text("utf-8"))
    assert gate["champion"]["state"] == "scored" and gate["champion"]["release"] == old
    [accuracy] = [rule for rule in gate["rules"] if rule["subject"] == "accuracy"]
    assert "0.84" in accuracy["rule"]

    # The release of before serves again, beside code that it has never seen.
    to_prod(repository, new)
    repository.ask("rollback", "--env", "prod")
    repository.ask("promote", "--env", "staging", "--version", old, "--yes")
    for status in repository.ask("status", "--exit-code"):
        assert status["release"] == old
    assert [proof["findings"] for proof in repository.ask("audit")["environments"]] == [[], []]
