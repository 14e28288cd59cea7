"""The wings never import one another: model, release machine, security, pipelines, and doors."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = next((ROOT / "src").glob("*/__init__.py")).parent.name
MODEL = sorted((ROOT / "src").rglob("*.py"))
RELEASE = sorted((ROOT / "release").rglob("*.py"))
SECURITY = sorted((ROOT / "security").rglob("*.py"))
PIPELINES = sorted((ROOT / "pipelines").rglob("*.py"))
NOXFILE, TASKS = ROOT / "noxfile.py", ROOT / "tasks.py"

FORBIDDEN = [
    (MODEL, {"release", "security", "pipelines", "noxfile", "tasks"}),
    (RELEASE, {PACKAGE, "security", "pipelines", "noxfile", "tasks"}),
    (SECURITY, {PACKAGE, "release", "pipelines", "noxfile", "tasks"}),
    (PIPELINES, {PACKAGE, "release", "security", "noxfile", "tasks"}),
    ([NOXFILE], {PACKAGE, "release", "security", "pipelines", "tasks"}),
    ([TASKS], {PACKAGE, "security", "pipelines", "noxfile"}),
]


def imported(source: str) -> Iterator[str]:
    """Yield the first word of every absolute import, wherever in the source it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").partition(".")[0]


def climbing(source: str, depth: int) -> Iterator[int]:
    """Yield the lines of relative imports that leave a package `depth` folders up."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level > depth:
            yield node.lineno


@pytest.mark.parametrize(
    ("file", "forbidden"),
    [
        pytest.param(file, forbidden, id=str(file.relative_to(ROOT)))
        for files, forbidden in FORBIDDEN
        for file in files
    ],
)
def test_a_wing_imports_no_other_wing(file: Path, forbidden: set[str]) -> None:
    source = file.read_text(encoding="utf-8")
    assert forbidden.isdisjoint(imported(source))
    inside = file.relative_to(ROOT / "src" if file in MODEL else ROOT)
    assert not list(climbing(source, len(inside.parts) - 1))


def test_all_wings_are_there() -> None:
    assert MODEL and RELEASE and SECURITY and PIPELINES
    assert NOXFILE.is_file() and TASKS.is_file()


def test_an_import_is_found_wherever_it_stands() -> None:
    source = "def f():\n  import release.engine\n  from tasks import build\n  from . import x\n"
    assert set(imported(source)) == {"release", "tasks"}


def test_a_relative_import_out_of_the_wing_is_found() -> None:
    assert list(climbing("from ..release import engine\n", depth=1)) == [1]
