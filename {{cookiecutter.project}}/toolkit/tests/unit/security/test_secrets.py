"""A secret is found wherever the branch has it, and is never printed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from toolkit.checks import checksums
from toolkit.security import secrets
from toolkit.tests.workshop import git

# In two pieces, so that nobody takes this file for a leak.
TOKEN = "ghp_" + "a1B2" * 9
ANOTHER = "ghp_" + "C3d4" * 9


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository without a finding, on a branch that has added nothing yet."""
    for name in ("GITHUB_BASE_REF", "CI_DEFAULT_BRANCH"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "user.name", "Ada")
    git(folder, "config", "user.email", "ada@example.com")
    assert secrets.main(["--update"]) == 0
    commit(folder, "settings.py", "DEBUG = False\n")
    git(folder, "switch", "--quiet", "--create", "work")
    return folder


def commit(folder: Path, name: str, text: str) -> str:
    """Commit a file and return the commit's short name."""
    (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", f"--message={name}")
    return git(folder, "rev-parse", "--short", "HEAD")


def output(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    """Return the output of a search, which must not hold the secret."""
    capsys.readouterr()
    assert secrets.main(list(arguments)) == code
    out, err = capsys.readouterr()
    assert TOKEN not in out + err and ANOTHER not in out + err
    return out


def test_nothing_is_found_in_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert "searched 2 files, of which 0 hold no text, and what was added to main" in output(
        capsys, 0
    )


def test_a_token_in_a_file_is_named_before_it_is_committed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "notes.md").write_text(f"# Notes\n\n{TOKEN}\n")
    out = output(capsys, 1)
    assert "notes.md:3: Access Token: in the file as it is now\n" in out
    assert "revoke it" in out and "nox -s secrets -- --update" in out


def test_a_token_that_the_branch_has_added_and_removed_is_named_with_its_commit(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leak = commit(folder, "settings.py", f"DEBUG = True\nTOKEN = '{TOKEN}'\n")
    commit(folder, "settings.py", f"TOKEN = '{TOKEN}'\n")
    commit(folder, "settings.py", "DEBUG = False\n")
    out = output(capsys, 1)
    assert f"settings.py:2: Access Token: added in commit {leak}, and removed since\n" in out
    assert out.count("settings.py:") == 1


def test_a_token_that_a_merge_has_added_and_removed_is_found(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(folder, "switch", "--quiet", "--create", "side")
    commit(folder, "other.py", f"TOKEN = '{TOKEN}'\n")
    commit(folder, "other.py", "")
    git(folder, "switch", "--quiet", "work")
    commit(folder, "settings.py", "DEBUG = True\n")
    git(folder, "merge", "--quiet", "--no-edit", "side")
    assert "other.py:1: Access Token" in output(capsys, 1)


def test_a_token_of_the_default_branch_does_not_fail_the_branch_that_removes_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(folder, "switch", "--quiet", "main")
    commit(folder, "settings.py", f"TOKEN = '{TOKEN}'\n")
    git(folder, "switch", "--quiet", "--create", "fix")
    commit(folder, "settings.py", f"TOKEN = '{TOKEN}'\nDEBUG = False\n")
    assert "in the file as it is now" in output(capsys, 1)
    commit(folder, "settings.py", "DEBUG = False\n")
    output(capsys, 0)


def test_without_a_branch_to_compare_with_only_the_files_are_searched(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(folder, "branch", "--quiet", "--move", "main", "trunk")
    commit(folder, "settings.py", f"TOKEN = '{TOKEN}'\n")
    commit(folder, "settings.py", "DEBUG = False\n")
    assert "and no history: there is no branch to compare with (origin/HEAD" in output(capsys, 0)


def test_ci_names_its_default_branch(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    git(folder, "update-ref", "refs/remotes/origin/trunk", "main")
    git(folder, "branch", "--quiet", "--delete", "main")
    monkeypatch.setenv("CI_DEFAULT_BRANCH", "trunk")
    commit(folder, "settings.py", f"TOKEN = '{TOKEN}'\n")
    commit(folder, "settings.py", "DEBUG = False\n")
    assert "and removed since" in output(capsys, 1)


@pytest.mark.parametrize("name", ["origin/HEAD", "origin/trunk", "main"])
def test_no_tag_is_taken_for_the_default_branch(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Anybody may push one, and git takes a tag before a branch."""
    if name == "origin/trunk":
        git(folder, "update-ref", "refs/remotes/origin/trunk", "main")
        monkeypatch.setenv("CI_DEFAULT_BRANCH", "trunk")
    commit(folder, "settings.py", f"TOKEN = '{TOKEN}'\n")
    commit(folder, "settings.py", "DEBUG = False\n")
    git(folder, "tag", name, "HEAD")
    assert "and removed since" in output(capsys, 1)


@pytest.mark.parametrize("way", ["replacement", "grafts", "GIT_GRAFT_FILE"])
def test_nothing_in_a_clone_hides_what_the_branch_has_added(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    """The newest commit would come after the default branch itself."""
    commit(folder, "settings.py", f"TOKEN = '{TOKEN}'\n")
    commit(folder, "settings.py", "DEBUG = False\n")
    newest, base = git(folder, "rev-parse", "HEAD", "main").split()
    if way == "replacement":
        git(folder, "replace", "--graft", newest, base)
    else:
        name = ".git/info/grafts" if way == "grafts" else "../parents"
        (folder / name).write_text(f"{newest} {base}\n", encoding="utf-8")
        if way == "GIT_GRAFT_FILE":
            monkeypatch.setenv(way, str(folder / name))
    assert "and removed since" in output(capsys, 1)


def test_in_a_shallow_clone_the_search_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(folder, "settings.py", "DEBUG = True\n")
    shallow = folder.parent / "shallow"
    git(folder.parent, "clone", "--quiet", "--depth=1", folder.as_uri(), str(shallow))
    monkeypatch.chdir(shallow)
    assert "could not tell: this clone is shallow" in output(capsys, 1)


def test_outside_of_git_the_search_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / secrets.BASELINE).write_bytes(secrets.BASELINE.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert "could not tell: git rev-parse: fatal: not a git repository" in output(capsys, 1)


def test_what_was_accepted_is_accepted_on_another_line_and_in_no_other_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "notes.md").write_text(TOKEN)
    assert "lists 1 findings as no secrets" in output(capsys, 0, "--update")
    assert TOKEN not in (folder / secrets.BASELINE).read_text()
    (folder / "notes.md").write_text(f"Notes:\n\n{TOKEN}\n")
    output(capsys, 0)
    (folder / "other.md").write_text(TOKEN)
    assert "notes.md:" not in (out := output(capsys, 1)) and "other.md:1" in out


def test_a_baseline_that_is_older_than_a_token_does_not_hide_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "notes.md").write_text(TOKEN)
    output(capsys, 0, "--update")
    (folder / "notes.md").write_text(ANOTHER)
    assert "notes.md:1: Access Token" in output(capsys, 1)


@pytest.mark.parametrize(
    "token",
    [
        *(f"gh{kind}_" + "a1B2" * 9 for kind in "oprsu"),
        "ghs_" + "12345_eyJhbGci.a1B2-_" * 10,
        "github_pat_" + "a1B2c" * 16,
        "glpat-" + "a1B2c" * 4,
        "glcbt-" + "64_" + "a1B2c" * 4,
        "dckr_pat_" + "a1B2c" * 5,
        "hf_" + "aBcD" * 8,
        "AKIA" + "A1B2" * 4,
    ],
)
def test_the_tokens_of_today_are_found(
    folder: Path, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "notes.md").write_text(f"see {token}, which works\n")
    assert "notes.md:1: " in (out := output(capsys, 1)) and token not in out


def test_a_finding_marked_as_a_secret_is_never_accepted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "notes.md").write_text(TOKEN)
    output(capsys, 0, "--update")
    baseline = folder / secrets.BASELINE
    document = json.loads(baseline.read_bytes())
    document["results"]["notes.md"][0]["is_secret"] = True
    baseline.write_text(json.dumps(document))
    output(capsys, 1)
    output(capsys, 0, "--update")
    assert "notes.md:1" in output(capsys, 1)


def test_a_baseline_of_other_plugins_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline = folder / secrets.BASELINE
    document = json.loads(baseline.read_bytes())
    document["plugins_used"] = []
    baseline.write_text(json.dumps(document))
    assert "made with other plugins or filters: nox -s secrets -- --update" in output(capsys, 1)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b"\xff"])
def test_a_missing_or_broken_baseline_fails(
    folder: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline = folder / secrets.BASELINE
    baseline.unlink()
    if content is not None:
        baseline.write_bytes(content)
    assert ".secrets.baseline is missing or broken" in output(capsys, 1)


def test_a_token_is_found_whatever_the_file_is_encoded_in_and_called(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "windows.env").write_text(TOKEN, encoding="utf-16")
    (folder / "latin.txt").write_bytes(f"caf\xe9 {TOKEN}".encode("latin-1"))
    (folder / "image.svg").write_text(f"<!-- {TOKEN} -->")
    (folder / "noise.bin").write_bytes(b"\0" + TOKEN.encode())
    out = output(capsys, 1)
    for name in ("windows.env", "latin.txt", "image.svg"):
        assert f"{name}:1: Access Token" in out
    assert "of which 1 hold no text" in out


def test_what_locks_tables_and_digests_hold_is_no_secret_and_the_same_elsewhere_is_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = hashlib.sha256(b"data").hexdigest()
    (folder / "data").mkdir()
    (folder / "data/sample.csv").write_text(f'id\n"{digest}"\n')
    (folder / "reference.json").write_text(json.dumps({"data_sha256": digest}, indent=2))
    (folder / "requirements.txt").write_text(f"a==1 \\\n    --hash=sha256:{digest}\n")
    output(capsys, 0)
    (folder / "data/make.py").write_text(f'KEY = "{digest}"\n')
    (folder / "table.csv").write_text(f'id\n"{digest}"\n')
    out = output(capsys, 1)
    assert "data/make.py:1: Hex High Entropy String" in out
    assert "table.csv:2: Hex High Entropy String" in out


@pytest.fixture
def toolkit(folder: Path) -> Path:
    """A toolkit in which the template has overlooked a token, as the default branch has it."""
    toolkit = folder / "toolkit"
    toolkit.mkdir()
    git(folder, "switch", "--quiet", "main")
    (toolkit / "board.py").write_text(f"TOKEN = '{TOKEN}'\n")
    list_checksums(toolkit)
    commit(folder, "settings.py", "DEBUG = None\n")
    git(folder, "switch", "--quiet", "--force-create", "work")
    return toolkit


def list_checksums(toolkit: Path) -> None:
    """Write CHECKSUMS as it must be."""
    text = "".join(f"{line}\n" for line in checksums.lines(toolkit))
    (toolkit / checksums.FILE).write_text(text)


def test_a_file_that_is_as_the_template_made_it_is_left_out(
    toolkit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = output(capsys, 0)
    assert "searched 3 files" in out and "but not the 1 of toolkit/ that the template has" in out
    assert "toolkit/board.py:1: Access Token" in output(capsys, 1, "--all")
    assert "lists 1 findings" in output(capsys, 0, "--update")
    output(capsys, 0, "--all")


def test_a_token_in_a_changed_file_of_the_toolkit_is_found(
    toolkit: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (toolkit / "board.py").read_text()
    leak = commit(folder, "toolkit/board.py", f"{before}ANOTHER = '{ANOTHER}'\n")
    assert "toolkit/board.py:2: Access Token: in the file as it is now\n" in output(capsys, 1)
    commit(folder, "toolkit/board.py", before)
    added = f"toolkit/board.py:2: Access Token: added in commit {leak}, and removed since\n"
    assert added in output(capsys, 1)


def test_checksums_that_were_edited_along_hide_no_token(
    toolkit: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (toolkit / "board.py").write_text(f"ANOTHER = '{ANOTHER}'\n")
    list_checksums(toolkit)
    commit(folder, "settings.py", "DEBUG = True\n")
    assert "toolkit/board.py:1: Access Token" in output(capsys, 1)


@pytest.mark.parametrize("line", [TOKEN, f"{'0' * 64}  {TOKEN}", f"# {TOKEN}"])
def test_a_token_among_the_checksums_is_found(
    toolkit: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (toolkit / checksums.FILE).open("a") as file:
        file.write(f"{line}\n")
    assert "toolkit/CHECKSUMS:2: Access Token" in output(capsys, 1)


def test_without_a_branch_to_compare_with_the_checksums_of_now_count(
    toolkit: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(folder, "branch", "--quiet", "--move", "main", "trunk")
    assert "but not the 1 of toolkit/" in output(capsys, 0)
    (toolkit / "board.py").write_text(f"ANOTHER = '{ANOTHER}'\n")
    assert "toolkit/board.py:1: Access Token" in output(capsys, 1)


def test_a_token_behind_lines_that_are_left_out_is_named_with_its_own_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    locked = f"a==1 \\\n    --hash=sha256:{hashlib.sha256(b'a').hexdigest()}\n"
    (folder / "requirements.txt").write_bytes(f"{locked * 3}# {TOKEN}\r\n".encode())
    assert "requirements.txt:7: Access Token" in output(capsys, 1)
