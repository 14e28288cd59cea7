"""A repository follows its template: told when it has moved on, and updated without losing work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.repository import FOREIGN, TEMPLATE, Repository

BINARIES = Path(sys.executable).parent
GENERATED = "{{cookiecutter.project}}"
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


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source.of_template(tmp_path)


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
