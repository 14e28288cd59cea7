"""Every call of a CI file is found with its place, and checked against the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.pipelines import CannotTell
from toolkit.pipelines.calls import GITLAB, Call, calls
from toolkit.pipelines.commands import Commands, mistakes, out_of_order, unreached

ROOT = Path(__file__).parents[4]
WORKFLOW = Path(".github/workflows/main.yml")
COMMANDS = Commands(
    sessions=frozenset({"lint", "train"}),
    checks=("lint",),
    flags={"promote": frozenset({"--env", "--yes"})},
)


def workflow(*steps: str, matrix: str = "") -> str:
    job = ["on: push", "jobs:", "  only:", *([f"    strategy: {matrix}"] if matrix else [])]
    return "\n".join([*job, "    steps:", *(f"      - {step}" for step in steps)])


def read(folder: Path, file: Path, content: str) -> list[Call]:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return calls(folder, file, COMMANDS.checks)


def test_a_command_has_its_line(tmp_path: Path) -> None:
    block = "run: |\n          nox -s lint\n          nox -s train"
    found = read(tmp_path, WORKFLOW, workflow(block))
    assert [(call.line, call.words[2]) for call in found] == [(6, "lint"), (7, "train")]


def test_a_matrix_that_nox_fills_runs_every_check(tmp_path: Path) -> None:
    step = "{run: nox -s $IT, env: {IT: '${{ matrix.session }}'}}"
    plan = "{matrix: {include: '${{ fromJSON(needs.plan.outputs.sessions) }}'}}"
    found = read(tmp_path, WORKFLOW, workflow(step, matrix=plan))
    assert [call.words for call in found] == [("nox", "-s", "lint")]
    assert not list(unreached(found, COMMANDS))


def test_a_matrix_of_gitlab_runs_each_of_its_values(tmp_path: Path) -> None:
    job = "a:\n  parallel: {matrix: [{IT: [lint, train]}]}\n  script: [nox -s $IT]"
    assert [call.words[2] for call in read(tmp_path, GITLAB, job)] == ["lint", "train"]


def test_a_flag_that_depends_on_a_variable_is_checked_too(tmp_path: Path) -> None:
    found = read(tmp_path, GITLAB, 'a:\n  script:\n    - invoke promote ${V:+--version "$V"}')
    (mistake,) = mistakes(found, COMMANDS)
    assert mistake == f"{GITLAB}:3: flag: invoke promote has no flag '--version'"


@pytest.mark.parametrize(
    ("command", "mistake"),
    [
        ("nox -s trian", "session: nox has no session 'trian'"),
        ("invoke promot", "task: invoke has no task 'promot'"),
        ("invoke promote -y", "flag: invoke promote has no flag '-y'"),
    ],
)
def test_a_call_of_an_unknown_command_is_named(tmp_path: Path, command: str, mistake: str) -> None:
    found = read(tmp_path, WORKFLOW, workflow(f"run: {command}"))
    assert list(mistakes(found, COMMANDS)) == [f"{WORKFLOW}:5: {mistake}"]


def test_a_check_that_nothing_runs_is_named(tmp_path: Path) -> None:
    found = read(tmp_path, WORKFLOW, workflow("run: nox -s train"))
    (sentence,) = unreached(found, COMMANDS)
    assert "'lint' is tagged ci" in sentence


@pytest.mark.parametrize(
    ("commands", "lines"),
    [
        (["invoke build", "nox -s scan", "invoke build --push"], []),
        (["invoke build", "nox -s train", "nox -s scan", "invoke build --push --json"], []),
        (["invoke build --push"], [5]),
        (["invoke build", "invoke build --push"], [6]),
        (["nox -s scan", "invoke build", "invoke build --push"], [7]),
        (["nox -s scan", "invoke build --push"], [6]),
        (["invoke build", "nox -s scan", "invoke build --push", "invoke build --push"], [8]),
    ],
)
def test_a_release_that_is_not_built_and_scanned_before_is_named(
    tmp_path: Path, commands: list[str], lines: list[int]
) -> None:
    found = read(tmp_path, WORKFLOW, workflow(*(f"run: {command}" for command in commands)))
    places = [one.partition(": order: ")[0] for one in out_of_order(found)]
    assert places == [f"{WORKFLOW}:{line}" for line in lines]


@pytest.mark.parametrize("content", ["jobs: [", "on: push", "jobs: {a: {steps: [{run: 'a \"'}]}}"])
def test_a_file_that_cannot_be_read_is_no_pass(tmp_path: Path, content: str) -> None:
    with pytest.raises(CannotTell, match="main.yml"):
        read(tmp_path, WORKFLOW, content)


def test_nox_and_invoke_list_their_own_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    commands = Commands.of(ROOT)
    assert {"lint", "train", "nightly"} <= commands.sessions
    assert "pipelines" in commands.checks
    assert {"--env", "--yes"} <= commands.flags["promote"]
