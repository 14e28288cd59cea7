"""Every answer with ``--json`` fits release/answers.schema.json."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from invoke.tasks import Task
from jsonschema import Draft202012Validator, ValidationError

from toolkit.release import errors, tasks
from toolkit.tests.command_line import CommandLine
from toolkit.tests.listener import listening
from toolkit.tests.stand_in_forge import StandInForge, job
from toolkit.tests.workshop import Workshop, commit

PATH = Path(__file__).parents[3] / "release" / "answers.schema.json"
SCHEMA = json.loads(PATH.read_text(encoding="utf-8"))
SHARED = {"failure", "proof", "finding", "event", "plan", "record", "observation", "figures"}
TEXTS = {"name", "version", "commit", "digest", "sha256"}


def fit(name: str, answer: Any) -> Any:
    """Return an answer that fits its definition; `ValidationError` if it does not."""
    Draft202012Validator(SCHEMA | {"$ref": f"#/$defs/{name}"}).validate(answer)
    return answer


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every definition of an object with named properties, at any depth."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for part in schema.values():
            yield from objects(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects(part)


def test_the_schema_is_one_and_forgets_no_field() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    for definition in objects(SCHEMA["$defs"]):
        assert definition["additionalProperties"] is False
        assert definition["required"] == list(definition["properties"])


def test_every_command_with_json_has_a_definition_and_no_other_has() -> None:
    commands = {
        task.name
        for task in vars(tasks).values()
        if isinstance(task, Task) and "json" in inspect.signature(task.body).parameters
    }
    assert set(SCHEMA["$defs"]) == commands | SHARED | TEXTS | {"error"}


def test_every_exit_code_of_an_error_is_known() -> None:
    codes = {
        error.exit_code
        for error in vars(errors).values()
        if inspect.isclass(error) and issubclass(error, errors.ReleaseError)
    } - {errors.ReleaseError.exit_code}
    assert set(SCHEMA["$defs"]["error"]["properties"]["exit_code"]["enum"]) == codes


@pytest.fixture
def invoke(workshop: Workshop) -> CommandLine:
    """The command line in a clone in which a package can be trained and built."""
    workshop.pack()
    return CommandLine.of(workshop)


def test_every_answer_of_a_long_story_fits(
    invoke: CommandLine, workshop: Workshop, tmp_path: Path
) -> None:
    def ask(command: str, *arguments: str) -> Any:
        return fit(command, invoke.json(command, *arguments))

    def released(model: bytes) -> str:
        commit(invoke.folder, "work")
        workshop.train(model)
        assert not ask("build")["is_released"]
        built = ask("build", "--push")
        assert built["is_new"]
        return str(built["record"]["version"])

    staging = ("--env", "staging")
    assert ask("champion", "--env", "prod")["release"] is None
    assert ask("status")[0]["newest"] is None
    first = released(b"one")
    assert not ask("build")["is_new"]
    assert ask("promote", *staging, "--dry-run")["record"]["version"] == first
    assert ask("promote", *staging, "--yes")["outcome"] == "verified"
    assert ask("promote", *staging, "--yes")["nothing_to_do"]
    second = released(b"two")
    assert ask("diff", *staging)["figures"] == {"roc_auc": [0.9, 0.9]}
    ask("promote", *staging, "--yes")
    proposed = ask("propose", "--env", "prod")
    assert (proposed["release"], proposed["figures"]) == (second, {"roc_auc": [None, 0.9]})
    assert ask("approve", "--env", "prod")["approved_by"] == ["Ada <ada@example.com>"]
    assert ask("drill", *staging, "--sandbox")["target"] == first
    assert ask("hold", *staging)["kind"] == "hold"
    assert ask("hold", *staging) is None
    assert ask("status")[0]["hold"]["kind"] == "hold"
    assert ask("unhold", *staging)["kind"] == "unhold"
    assert ask("unhold", *staging) is None
    assert ask("rollback", *staging, "--dry-run")["before"] == second
    (tmp_path / "remote.git").rename(tmp_path / "gone.git")
    assert ask("rollback", *staging)["release"] == first
    unproved = invoke.run("audit", "--json")
    assert fit("audit", json.loads(unproved.stdout))["exit_code"] == unproved.returncode == 21
    (tmp_path / "gone.git").rename(tmp_path / "remote.git")
    assert ask("recover", *staging)["release"] == first
    assert ask("deploy", *staging)["version"] == first
    kinds = [event["kind"] for event in ask("history", *staging)]
    assert kinds == ["rollback", "unhold", "hold", "drill", "promote", "promote"]
    assert ask("audit")["environments"][0]["findings"] == []
    assert ask("prune", "--dry-run")["removed"] == []
    assert ask("champion", *staging)["release"] == first


def test_the_answer_of_protect_fits(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    ruleset = workshop.folder / ".github" / "rulesets" / "main.json"
    ruleset.parent.mkdir(parents=True)
    ruleset.write_text('{"name": "main", "rules": []}', encoding="utf-8")
    with listening(answer=StandInForge()) as listener:
        for name, value in job("GitHub", listener.address).items():
            monkeypatch.setenv(name, value)
        answer = fit("protect", CommandLine(workshop.folder).json("protect"))
    assert answer == {"forge": "GitHub", "rules": {"ruleset main": "created"}, "dry_run": False}


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["promote", "--env", "nowhere"], 2),
        (["propose", "--env", "prod"], 14),
        (["protect"], 2),
        (["build"], 10),
        (["promote", "--env", "prod"], 14),
        (["rollback", "--env", "prod"], 40),
    ],
)
def test_an_error_is_printed_as_json_too(
    invoke: CommandLine, command: list[str], code: int
) -> None:
    refused = invoke.run(*command, "--json")
    answer = fit("error", json.loads(refused.stdout))
    assert refused.returncode == answer["exit_code"] == code
    for line in (answer["error"]["what"], answer["error"]["next_step"]):
        assert line in refused.stderr


def test_an_answer_with_a_field_too_many_or_too_few_does_not_fit(workshop: Workshop) -> None:
    record = asdict(workshop.release())
    fit("deploy", record)
    with pytest.raises(ValidationError):
        fit("deploy", record | {"surprise": 1})
    del record["gate"]
    with pytest.raises(ValidationError):
        fit("deploy", record)
