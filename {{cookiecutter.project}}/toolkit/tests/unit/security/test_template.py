"""What an update of the template would change is named, and what of the toolkit is the owner's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from toolkit.security import template
from toolkit.tests.workshop import git

# Written so that this file is not taken for a template itself.
GENERATED = "{" * 2 + "cookiecutter.project" + "}" * 2
LOGIN = "ada:s3same"
LINES = "first\nsecond\nthird\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A template with two files and a toolkit."""
    source = tmp_path / "template"
    inside = source / GENERATED
    (inside / "toolkit").mkdir(parents=True)
    for name in ("engine.py", "gate.py", "CHECKSUMS"):
        (inside / "toolkit" / name).write_text(LINES)
    (inside / ".gitignore").write_text("*.pyc\n")
    (source / "cookiecutter.json").write_text('{"project": "made"}')
    (inside / "model.py").write_text(LINES)
    (inside / "README.md").write_text("# It\n")
    git(source, "init", "--quiet", "--initial-branch=main")
    commit(source, "begin")
    return source


@pytest.fixture
def made(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that was made from the template; without the settings of the user."""
    monkeypatch.setenv("COOKIECUTTER_CONFIG", str(tmp_path / "settings.yaml"))
    (tmp_path / "settings.yaml").write_text(f"replay_dir: {tmp_path}\n")
    made = tmp_path / "made"
    shutil.copytree(source / GENERATED, made)
    link = {
        "template": str(source),
        "commit": git(source, "rev-parse", "HEAD"),
        "checkout": None,
        "context": {"cookiecutter": {"project": "made"}},
        "directory": None,
    }
    (made / ".cruft.json").write_text(json.dumps(link))
    git(made, "init", "--quiet", "--initial-branch=main")
    commit(made, "begin")
    monkeypatch.chdir(made)
    return made


def commit(folder: Path, message: str) -> str:
    """Commit everything and return the commit's first letters."""
    git(folder, "add", "--all")
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    git(folder, *author, "commit", "--quiet", f"--message={message}")
    return git(folder, "rev-parse", "HEAD")[:12]


def output(capsys: pytest.CaptureFixture[str], code: int) -> str:
    """Return the output of a comparison, which must not change the repository."""
    before = git(Path.cwd(), "status", "--porcelain")
    assert template.main() == code
    assert git(Path.cwd(), "status", "--porcelain") == before
    return capsys.readouterr().out


def test_a_repository_of_today_is_up_to_date(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "the template generates the same" in output(capsys, 0)


def test_what_the_template_does_not_generate_asks_for_no_update(
    source: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = git(source, "rev-parse", "HEAD")[:12]
    (source / "README.md").write_text("About the template\n")
    new = commit(source, "say more")
    assert f"the template generates the same at {new} as at {old}" in output(capsys, 0)


def test_every_file_that_an_update_changes_is_named(
    source: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / GENERATED / "model.py").write_text(LINES.replace("first", "1st"))
    (source / GENERATED / "new file.md").write_text("new\n")
    (source / GENERATED / "README.md").unlink()
    commit(source, "move on")
    out = output(capsys, 1)
    for line in ("model.py:1: changed: ", "new file.md:1: new: ", "README.md:1: removed: "):
        assert f"\n{line}" in f"\n{out}"
    assert "cruft update, with nothing uncommitted" in out and "git ls-files -u" in out


def test_own_changes_that_an_update_keeps_are_not_named(
    source: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (made / "model.py").write_text(LINES.replace("third", "3rd"))
    commit(made, "mine")
    assert "the template generates the same" in output(capsys, 0)


@pytest.mark.parametrize("depth", [[], ["--depth=1"]])
def test_a_conflict_is_named_whatever_git_knows_of_the_past(
    source: Path,
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    depth: list[str],
) -> None:
    (source / GENERATED / "model.py").write_text(LINES.replace("second", "theirs"))
    commit(source, "move on")
    (made / "model.py").write_text(LINES.replace("second", "mine"))
    commit(made, "mine")
    git(tmp_path, "clone", "--quiet", *depth, f"file://{made}", "clone")
    monkeypatch.chdir(tmp_path / "clone")
    assert "model.py:1: conflict: " in output(capsys, 1)


def test_files_of_the_toolkit_that_are_the_template_s_are_not_named(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (made / "toolkit" / "engine.pyc").write_bytes(b"ignored")
    (made / "model.py").write_text("the owner's")
    assert "own" not in output(capsys, 0)


def test_a_change_of_the_toolkit_is_named_as_the_owner_s_also_with_its_checksum_edited_along(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = json.loads((made / ".cruft.json").read_bytes())["commit"][:12]
    for name in ("engine.py", "CHECKSUMS"):
        (made / "toolkit" / name).write_text(LINES.replace("third", "3rd"))
    out = output(capsys, 0)
    for name in ("engine.py", "CHECKSUMS"):
        assert f"toolkit/{name}:1: own: changed here, not by the template at {commit}\n" in out
    assert out.count(": own: ") == 2 and "\n2 files of toolkit/ are your own" in out


def test_new_and_removed_files_of_the_toolkit_are_named_as_the_owner_s(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (made / "toolkit" / "gate.py").unlink()
    (made / "toolkit" / "mine.py").write_text("mine\n")
    commit(made, "mine")
    out = output(capsys, 0)
    assert "toolkit/gate.py:1: own: removed here" in out
    assert "toolkit/mine.py:1: own: new here" in out


def test_the_toolkit_is_compared_with_the_template_of_the_recorded_commit(
    source: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / GENERATED / "toolkit" / "engine.py").write_text(LINES.replace("first", "1st"))
    commit(source, "move on")
    (made / "toolkit" / "gate.py").write_text(LINES.replace("third", "3rd"))
    commit(made, "mine")
    out = output(capsys, 1)
    named = [line.split(": ")[:2] for line in out.splitlines() if line.startswith("toolkit/")]
    assert named == [["toolkit/gate.py:1", "own"], ["toolkit/engine.py:1", "changed"]]


def test_a_template_may_be_in_a_folder_of_its_repository(
    source: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "models").mkdir()
    for path in ("cookiecutter.json", GENERATED):
        (source / path).rename(source / "models" / path)
    commit(source, "make room for another template")
    link = json.loads((made / ".cruft.json").read_bytes())
    moved = {"commit": git(source, "rev-parse", "HEAD"), "directory": "models"}
    (made / ".cruft.json").write_text(json.dumps(link | moved))
    (made / "toolkit" / "gate.py").write_text("mine\n")
    commit(made, "follow it")
    assert "toolkit/gate.py:1: own: changed here" in output(capsys, 0)


def test_a_repository_without_a_link_gets_the_command_that_makes_it(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (made / ".cruft.json").unlink()
    commit(made, "unlink")
    out = output(capsys, 1)
    assert "could not tell: there is no committed .cruft.json" in out
    assert "cruft link ADDRESS" in out


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("template", f"https://{LOGIN}@127.0.0.1:9/template", "Failed to connect"),
        ("template", "/nowhere/template", "does not exist"),
        ("commit", "1" * 40, "could not be resolved"),
        ("commit", None, ".cruft.json is broken"),
    ],
)
def test_what_cannot_be_compared_is_no_pass(
    made: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    reason: str,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    link = json.loads((made / ".cruft.json").read_bytes())
    (made / ".cruft.json").write_text(json.dumps(link | {name: value}))
    commit(made, "another link")
    out = output(capsys, 1)
    assert out.startswith("could not tell: ") and reason in out
    assert LOGIN not in out and len(out) < 500
