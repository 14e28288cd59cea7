"""A release is built from the commit, whatever the working tree holds and git is told of it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from toolkit.release.build import Options, build
from toolkit.release.errors import BuildFailed, PreconditionFailed
from toolkit.release.git import Repository
from toolkit.release.progress import Progress
from toolkit.release.sources import opened
from toolkit.tests.workshop import PYPROJECT, Workshop, git

CODE = Path("src", "stand_in", "__init__.py")
ROOT = Path(__file__).parents[4]


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A repository with a package that can be built, and reports that git ignores."""
    shop = Workshop.open(tmp_path / "clone", tmp_path / "remote.git")
    shop.pack()
    shop.train(b"model")
    return shop


def commit(shop: Workshop) -> None:
    """Commit everything, and train."""
    git(shop.folder, "add", "--all")
    git(shop.folder, "commit", "--quiet", "--message=a change")
    shop.train(b"model")


def wheel_of(shop: Workshop) -> dict[str, bytes]:
    """Build and release HEAD; return the files of its wheel."""
    record = build(shop.ledger(), shop.machine.policy, Progress(), Options(push=True)).record
    bundle = shop.ledger().bundle(record.version)
    [content] = [one for name, one in bundle.items() if name.endswith(".whl")]
    with ZipFile(BytesIO(content)) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


def refusal_of(shop: Workshop) -> str:
    """Build, which is refused; return why. No release is there afterwards."""
    with pytest.raises(PreconditionFailed) as refusal:
        build(shop.ledger(), shop.machine.policy, Progress(), Options(push=True))
    assert shop.ledger().versions() == []
    return f"{refusal.value.what}: {refusal.value.why}"


@pytest.mark.parametrize("flag", ["--skip-worktree", "--assume-unchanged"])
def test_files_that_git_was_told_to_overlook_are_named_and_refused(
    shop: Workshop, flag: str
) -> None:
    git(shop.folder, "update-index", flag, str(CODE))
    (shop.folder / CODE).write_text("import os  # not in the commit\n", encoding="utf-8")
    assert git(shop.folder, "status", "--porcelain") == ""
    with pytest.raises(PreconditionFailed, match="told to overlook changes") as refusal:
        wheel_of(shop)
    assert refusal.value.why == str(CODE) and shop.ledger().versions() == []
    for command in refusal.value.next_step.split("; "):
        git(shop.folder, *command.split()[1:])
    assert refusal_of(shop) == f"the working tree has uncommitted changes: {CODE}"


@pytest.mark.parametrize("where", [".git/info/exclude", "ignored"])
@pytest.mark.parametrize("path", ["src/stand_in/extra.py", "toolkit/extra.py", "src/extra.pth"])
def test_ignored_files_among_the_code_are_named_and_refused(
    shop: Workshop, where: str, path: str
) -> None:
    with (shop.folder / where).open("a", encoding="utf-8") as file:
        file.write(f"{path}\nignored\n")
    if where == "ignored":
        git(shop.folder, "config", "core.excludesFile", str(shop.folder / where))
    (shop.folder / path).parent.mkdir(exist_ok=True)
    (shop.folder / path).write_text("import os\n", encoding="utf-8")
    assert git(shop.folder, "status", "--porcelain") == ""
    why = refusal_of(shop)
    assert why == f"files that no commit holds are among the code of the release: {path}"


def test_a_repository_among_the_code_that_git_ignores_is_named_and_refused(shop: Workshop) -> None:
    (shop.folder / ".git/info/exclude").write_text("src/stand_in/own/\n", encoding="utf-8")
    own = shop.folder / "src" / "stand_in" / "own"
    own.mkdir()
    (own / "extra.py").write_text("import os\n", encoding="utf-8")
    git(own, "init", "--quiet")
    assert git(shop.folder, "status", "--porcelain") == ""
    assert refusal_of(shop).endswith("among the code of the release: src/stand_in/own/")


def test_bytecode_among_the_code_is_no_obstacle(shop: Workshop) -> None:
    (shop.folder / ".git/info/exclude").write_text("__pycache__/\n", encoding="utf-8")
    cache = shop.folder / CODE.parent / "__pycache__"
    cache.mkdir()
    (cache / "extra.cpython-311.pyc").write_bytes(b"bytecode")
    assert not any("pyc" in name for name in wheel_of(shop))


def test_a_filter_that_hides_a_change_from_git_is_found_out(shop: Workshop) -> None:
    """The working tree holds one code, and git is shown another one."""
    (shop.folder / CODE).write_text("HONEST = True\n", encoding="utf-8")
    commit(shop)
    (shop.folder / ".git" / "info" / "attributes").write_text("*.py filter=hide\n")
    git(shop.folder, "config", "filter.hide.clean", "sed s/False/True/")
    (shop.folder / CODE).write_text("HONEST = False\n", encoding="utf-8")
    git(shop.folder, "add", str(CODE))
    assert git(shop.folder, "status", "--porcelain") == ""
    why = f"files differ from the commit, and git status does not say so: {CODE}"
    assert refusal_of(shop) == why


def test_attributes_leave_nothing_out_of_the_export_and_change_no_byte(shop: Workshop) -> None:
    text = "VERSION = '$Format:%H$'\r\n"
    (shop.folder / CODE).write_bytes(text.encode())
    (shop.folder / CODE.with_name("kept.py")).write_text("KEPT = True\n", encoding="utf-8")
    attributes = (
        "__init__.py export-subst\nkept.py export-ignore\n*.py ident working-tree-encoding=utf-8\n"
    )
    (shop.folder / ".gitattributes").write_text(attributes, encoding="utf-8")
    commit(shop)
    wheel = wheel_of(shop)
    assert wheel["stand_in/__init__.py"] == text.encode()
    assert wheel["stand_in/kept.py"] == b"KEPT = True\n"


def cloned_for_windows(shop: Workshop) -> Workshop:
    """Return a clone with the setting that git proposes on Windows."""
    folder = shop.folder.parent / "windows"
    settings = ("core.autocrlf=true", "user.name=Ada", "user.email=ada@example.com")
    options = [f"--config={setting}" for setting in settings]
    git(shop.folder.parent, "clone", "--quiet", *options, str(shop.folder), str(folder))
    return Workshop(folder, replace(shop.machine, repository=Repository(folder)))


def test_a_clone_that_converts_line_endings_has_the_bytes_of_the_commit(shop: Workshop) -> None:
    """Without .gitattributes its data would have another digest, and nothing could be built."""
    tables = {"table.csv": b"a,b\n1,2\n", "from_windows.csv": b"a,b\r\n1,2\r\n"}
    for name, content in tables.items():
        (shop.folder / name).write_bytes(content)
    commit(shop)
    converted = cloned_for_windows(shop)
    assert (converted.folder / "table.csv").read_bytes() != tables["table.csv"]
    with pytest.raises(PreconditionFailed, match="git status does not say so") as refusal:
        with opened(converted.machine.repository, allow_dirty=False):
            pass
    assert "table.csv" in refusal.value.why
    shutil.rmtree(converted.folder)

    shutil.copy(ROOT / ".gitattributes", shop.folder)
    commit(shop)
    clone = cloned_for_windows(shop)
    clone.train(b"model")
    assert {name: (clone.folder / name).read_bytes() for name in tables} == tables
    here, there = (
        build(one.ledger(), one.machine.policy, Progress(), Options(push=False)).record
        for one in (shop, clone)
    )
    assert here == there


def test_a_symbolic_link_in_the_commit_is_refused(shop: Workshop) -> None:
    (shop.folder / "src" / "stand_in" / "secret.py").symlink_to("/etc/hostname")
    commit(shop)
    assert "src/stand_in/secret.py is a symbolic link" in refusal_of(shop)


def test_a_submodule_in_the_commit_is_refused(shop: Workshop) -> None:
    head = git(shop.folder, "rev-parse", "HEAD")
    git(shop.folder, "update-index", "--add", "--cacheinfo", f"160000,{head},src/more")
    git(shop.folder, "commit", "--quiet", "--message=more code, elsewhere")
    (shop.folder / "src" / "more").mkdir()
    shop.train(b"model")
    assert "src/more is a submodule" in refusal_of(shop)


def test_a_large_file_may_be_kept_outside_of_git(shop: Workshop) -> None:
    """As Git LFS does: the commit holds a pointer, and the working tree the file."""
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    (shop.folder / "pointer").write_text(pointer, encoding="utf-8")
    (shop.folder / ".gitattributes").write_text("*.csv filter=large\n", encoding="utf-8")
    git(shop.folder, "config", "filter.large.clean", "cat pointer")
    (shop.folder / "table.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    commit(shop)
    assert git(shop.folder, "show", "HEAD:table.csv") == pointer.strip()
    assert "stand_in/__init__.py" in wheel_of(shop)


def test_hidden_changes_may_be_built_to_look_at_and_are_never_released(shop: Workshop) -> None:
    git(shop.folder, "update-index", "--skip-worktree", str(CODE))
    options = Options(push=True, allow_dirty=True)
    release = build(shop.ledger(), shop.machine.policy, Progress(), options)
    assert not release.is_released and shop.ledger().versions() == []


def test_a_folder_named_like_the_build_tool_is_not_run(shop: Workshop) -> None:
    ran = shop.folder.parent / "ran"
    for path in ("hatchling/__init__.py", "hatchling/__main__.py", "uuid.py", "zipfile.py"):
        (shop.folder / path).parent.mkdir(exist_ok=True)
        code = f"open({str(ran)!r}, 'a').write({path!r})\n"
        (shop.folder / path).write_text(code, encoding="utf-8")
    commit(shop)
    assert "stand_in/__init__.py" in wheel_of(shop)
    assert not ran.exists()


def test_settings_of_an_installer_in_the_repository_change_nothing(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop.folder / "uv.toml").write_text("no settings at all\n", encoding="utf-8")
    commit(shop)
    monkeypatch.chdir(shop.folder)
    assert "stand_in/__init__.py" in wheel_of(shop)


@pytest.mark.parametrize(
    "table",
    [
        "tool.hatch.build.hooks.custom",
        "tool.hatch.build.targets.wheel.hooks.custom",
        "tool.hatch.metadata.hooks.custom",
    ],
)
def test_a_build_hook_is_not_run(shop: Workshop, table: str) -> None:
    ran = shop.folder.parent / "ran"
    (shop.folder / "hatch_build.py").write_text(f"open({str(ran)!r}, 'w')\n", encoding="utf-8")
    (shop.folder / "pyproject.toml").write_text(f"{PYPROJECT}\n[{table}]\n", encoding="utf-8")
    commit(shop)
    with pytest.raises(BuildFailed, match="would run code of their own") as refusal:
        wheel_of(shop)
    assert refusal.value.why == f"pyproject.toml: {table.removesuffix('.custom')}"
    assert not ran.exists() and shop.ledger().versions() == []


def test_no_code_says_which_version_a_wheel_has(shop: Workshop) -> None:
    version = PYPROJECT.replace('version = "1"', 'dynamic = ["version"]')
    version += '\n[tool.hatch.version]\nsource = "code"\npath = "src/stand_in/__init__.py"\n'
    (shop.folder / "pyproject.toml").write_text(version, encoding="utf-8")
    commit(shop)
    with pytest.raises(BuildFailed) as refusal:
        wheel_of(shop)
    assert refusal.value.why == "pyproject.toml: tool.hatch.version"


def test_settings_of_the_build_in_another_file_are_refused(shop: Workshop) -> None:
    (shop.folder / "hatch.toml").write_text("[build.hooks.custom]\n", encoding="utf-8")
    commit(shop)
    with pytest.raises(BuildFailed) as refusal:
        wheel_of(shop)
    assert refusal.value.why == "hatch.toml"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("start.pth", "start.pth: Python may run it at each start"),
        ("sitecustomize.py", "sitecustomize.py: Python may run it at each start"),
        ("stand_in/extra.py", "stand_in/extra.py: no file of the commit has this path"),
    ],
)
def test_no_file_gets_into_the_wheel_under_another_name(
    shop: Workshop, target: str, why: str
) -> None:
    (shop.folder / "notes.txt").write_text("import os\n", encoding="utf-8")
    included = PYPROJECT + "\n[tool.hatch.build.targets.wheel.force-include]\n"
    (shop.folder / "pyproject.toml").write_text(f"{included}'notes.txt' = {target!r}\n")
    commit(shop)
    with pytest.raises(BuildFailed) as refusal:
        wheel_of(shop)
    assert refusal.value.why.startswith(why)


def test_a_file_beside_the_packages_is_refused(shop: Workshop) -> None:
    (shop.folder / "notes.txt").write_text("import os\n", encoding="utf-8")
    shared = PYPROJECT + "\n[tool.hatch.build.targets.wheel.shared-data]\n"
    (shop.folder / "pyproject.toml").write_text(f"{shared}'notes.txt' = 'lib/start.pth'\n")
    commit(shop)
    with pytest.raises(BuildFailed) as refusal:
        wheel_of(shop)
    assert refusal.value.why.startswith("stand_in-1.data/data/lib/start.pth: Python may run it")


def test_a_wheel_may_have_scripts_that_import_its_package(shop: Workshop) -> None:
    scripts = PYPROJECT.replace('version = "1"', 'version = "1"\nscripts = { go = "stand_in:go" }')
    (shop.folder / "pyproject.toml").write_text(scripts)
    commit(shop)
    assert "stand_in-1.dist-info/entry_points.txt" in wheel_of(shop)
