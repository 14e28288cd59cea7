"""What takes effect beside the code that is reviewed is named with its place."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from toolkit.security import sources

PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "churn"

[tool.hatch.build.targets.wheel]
only-include = ["src/churn"]
"""
HASH = "    --hash=sha256:" + "a" * 64
LOCK = f"""\
# A comment.
numpy==2.5.1 \\
{HASH} \\
{HASH}
colorama==0.4.6 ; sys_platform == 'win32' \\
{HASH}
scikit-learn==1.9 \\
{HASH}
"""


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in which nothing takes effect unseen."""
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    write("pyproject.toml", PROJECT)
    write("requirements/serving.txt", LOCK)
    write("src/churn/__init__.py")
    write("toolkit/__init__.py")
    write("noxfile.py")
    return tmp_path


def write(path: str, text: str = "") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def found(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run the check, and return its findings."""
    code = sources.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if ": " in line]
    findings = [line for line in lines if not line.startswith("Next")]
    assert code == (1 if findings else 0)
    return findings


def test_a_repository_as_it_is_generated_has_no_finding(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert found(capsys) == []


@pytest.mark.parametrize(
    "line",
    [
        "--find-links https://example.com/wheels",
        "--index-url https://example.com/packages",
        "--extra-index-url=https://example.com/packages",
        "-i https://example.com/packages",
        "--no-binary :all:",
        "--trusted-host example.com",
        "-r other.txt",
        "-e .",
        "numpy",
        "numpy>=2",
        "extra @ https://example.com/extra.whl",
        "https://example.com/extra.whl",
        "./extra.whl",
        "numpy==2.5.1 --config-settings=a=b",
        "    --hash=md5:0123456789",
    ],
)
def test_an_option_in_a_lock_is_a_finding(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    write("requirements/serving.txt", f"{LOCK}{line}\n")
    [finding] = found(capsys)
    assert finding.startswith("requirements/serving.txt:9: lock: a lock holds versions and hashes")
    assert line.strip() in finding


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize(
    "name", ["uv.toml", "pip.conf", "pip.ini", ".pip/pip.conf", "hatch.toml", "invoke.yaml"]
)
def test_settings_that_take_effect_by_lying_there_are_findings(
    name: str, ignored: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    write(name, "[pip]\n")
    if ignored:
        write(".git/info/exclude", f"{name}\n")
    [finding] = found(capsys)
    assert finding.startswith(f"{name.split('/')[0]}:1: settings: ")


@pytest.mark.parametrize(
    "text",
    [
        '[tool.uv]\nindex-url = "https://example.com"\n',
        '[[tool.uv.index]]\nurl = "https://example.com"\n',
        '[tool]\nuv = { find-links = ["wheels"] }\n',
    ],
)
def test_an_index_in_pyproject_toml_is_a_finding(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = PROJECT[: PROJECT.index("[tool")]
    write("pyproject.toml", begin + text)
    lines = (begin + text).splitlines()
    line = next(number for number, one in enumerate(lines, start=1) if "uv" in one)
    [finding] = found(capsys)
    assert finding.startswith(f"pyproject.toml:{line}: settings: uv takes its package index")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[tool.hatch.build.hooks.custom]\n", 10),
        ("[tool.hatch.build.targets.wheel.hooks.custom]\n", 10),
        ('[tool.hatch.build.targets.wheel.force-include]\n"x.txt" = "x.pth"\n', 10),
        ('[tool.hatch.build.force-include]\n"x.txt" = "x.pth"\n', 10),
        ('[tool.hatch.build.targets.wheel.shared-data]\n"x" = "y"\n', 10),
        ('[tool.hatch.build.targets.wheel.shared-scripts]\n"x" = "y"\n', 10),
        ("[tool.hatch.metadata.hooks.custom]\n", 10),
        ('[tool.hatch.version]\nsource = "code"\n', 10),
    ],
)
def test_what_runs_or_adds_files_in_a_build_is_a_finding(
    text: str, line: int, capsys: pytest.CaptureFixture[str]
) -> None:
    write("pyproject.toml", PROJECT + text)
    [finding] = found(capsys)
    assert finding.startswith(f"pyproject.toml:{line}: build: ")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"hatchling.build"', '"ours.backend"'),
        ('"hatchling.build"', '"hatchling.build"\nbackend-path = ["."]'),
        ('["hatchling"]', '["hatchling", "hatch-plugin"]'),
        ('["hatchling"]', '["hatchling @ file:///tmp/hatchling"]'),
        (PROJECT[: PROJECT.index("[project]")], ""),
    ],
)
def test_another_build_backend_is_a_finding(
    old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write("pyproject.toml", PROJECT.replace(old, new))
    [finding] = found(capsys)
    assert finding.startswith("pyproject.toml:") and ": build: " in finding


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize(
    "path", ["start.pth", "src/start.pth", "src/churn/x.pth", "toolkit/sitecustomize.py"]
)
def test_files_that_python_runs_at_each_start_are_findings(
    path: str, ignored: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    write(path)
    if ignored:
        write(".gitignore", f"/{path}\n")
    message = "Python runs such a file at each start, whatever is imported"
    assert found(capsys) == [f"{path}:1: start: {message}"]


@pytest.mark.parametrize(
    ("path", "whose"),
    [
        ("uuid.py", "of Python's own module"),
        ("json/__init__.py", "of Python's own module"),
        ("src/typing.py", "of Python's own module"),
        ("hashlib.pyc", "of Python's own module"),
        ("zlib.cpython-311-x86_64-linux-gnu.so", "of Python's own module"),
        ("numpy/__init__.py", "of a locked package's module"),
        ("src/sklearn.py", "of a locked package's module"),
        ("src/toolkit/__init__.py", "of this repository's own module"),
    ],
)
def test_a_module_with_the_name_of_another_is_a_finding(
    path: str, whose: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(path)
    [finding] = found(capsys)
    at = path.removesuffix("/__init__.py")
    assert finding.startswith(f"{at}:1: shadow: it is imported as ") and whose in finding


def test_a_folder_without_python_shadows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    write("json/table.csv")
    assert found(capsys) == []


def test_without_pyproject_toml_it_cannot_tell(capsys: pytest.CaptureFixture[str]) -> None:
    Path("pyproject.toml").unlink()
    assert sources.main() == 1
    assert capsys.readouterr().out.startswith("could not tell: pyproject.toml cannot be read")
