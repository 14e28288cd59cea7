"""Each file that decides what is released has a line in CODEOWNERS."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.pipelines import CannotTell
from toolkit.pipelines.owners import ALWAYS, OWNERS, WHERE_CHOSEN, deciding, unowned

ROOT = Path(__file__).parents[4]


def owners(root: Path, lines: list[str]) -> list[str]:
    """Write CODEOWNERS, and return the findings."""
    (root / OWNERS).parent.mkdir(exist_ok=True)
    (root / OWNERS).write_text("\n".join(lines), encoding="utf-8")
    return list(unowned(root))


def lines_of(root: Path) -> list[str]:
    return ["* ada@example.com", *(f"{path} ada@example.com # a word" for path in deciding(root))]


def test_every_deciding_file_of_this_repository_has_its_own_line() -> None:
    assert list(unowned(ROOT)) == []


def test_every_deciding_file_is_named_where_its_line_is_missing(tmp_path: Path) -> None:
    for path in WHERE_CHOSEN:
        (tmp_path / path[1:]).mkdir()
    every = lines_of(tmp_path)
    assert owners(tmp_path, every) == []
    for path in (*ALWAYS, *WHERE_CHOSEN):
        [found] = owners(tmp_path, [line for line in every if not line.startswith(f"{path} ")])
        assert found == f"{OWNERS}:1: owner: no line names {path}, which decides what is released"


def test_a_line_that_takes_the_owner_away_is_named(tmp_path: Path) -> None:
    [found] = owners(tmp_path, [*lines_of(tmp_path), "/toolkit/release/ # nobody's"])
    number = len(lines_of(tmp_path)) + 1
    assert found.startswith(f"{OWNERS}:{number}: owner: /toolkit/release/ has no owner")


@pytest.mark.parametrize("other", ["CODEOWNERS", ".github/CODEOWNERS", ".gitlab/CODEOWNERS"])
def test_another_file_that_a_forge_reads_first_is_named(tmp_path: Path, other: str) -> None:
    (tmp_path / other).parent.mkdir(exist_ok=True)
    (tmp_path / other).touch()
    found = owners(tmp_path, lines_of(tmp_path))
    assert found == [f"{other}:1: owner: a forge may read this file in place of {OWNERS}"]


def test_without_codeowners_it_cannot_tell(tmp_path: Path) -> None:
    with pytest.raises(CannotTell, match="CODEOWNERS cannot be read"):
        list(unowned(tmp_path))
