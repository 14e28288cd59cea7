"""A batch run is of the release that serves, says how it ended, and changes nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from toolkit.release import score as scoring
from toolkit.release.errors import (
    ConfigurationError,
    NotScored,
    PreconditionFailed,
    PushFailed,
    ReleaseChanged,
)
from toolkit.release.platforms import installation
from toolkit.release.progress import Progress
from toolkit.release.records import Record
from toolkit.release.score import Options, Scored
from toolkit.tests.command_line import write_policy
from toolkit.tests.workshop import Workshop, git

SCORER = Path(__file__).parents[2] / "stand_in_scorer.py"
ANSWERS = Path(scoring.__file__).with_name("answers.schema.json")
DAY = date(2026, 11, 20)


class Table:
    """A table, and runs that score it in a workshop in which a release serves."""

    def __init__(self, shop: Workshop, folder: Path) -> None:
        self.shop, self.folder = shop, folder
        policy = replace(shop.machine.policy, score=(str(SCORER),))
        write_policy(shop.folder, policy)
        self.policy = policy
        self.release = self.serve(b"one")

    def serve(self, model: bytes) -> Record:
        record = self.shop.release(model)
        self.shop.record_promotion(record, self.shop.prod)
        return record

    def score(self, how: str = "well", **options: Any) -> Scored:
        """Score a table with this content."""
        table = self.folder / "customers.csv"
        table.write_text(how)
        asked = Options(str(table), str(self.folder / "scores.csv"), DAY, **options)
        repository = self.shop.machine.repository
        return scoring.score(repository, self.policy, "prod", asked, Progress())


@pytest.fixture
def table(shared_workshop: Workshop, tmp_path: Path) -> Table:
    return Table(shared_workshop, tmp_path)


def test_the_release_that_serves_scores_and_the_report_is_kept(table: Table) -> None:
    newer = table.shop.release(b"two")  # It is released, and serves nowhere.
    before = git(table.shop.folder, "for-each-ref")
    done = table.score()
    assert done.release == table.release.version != newer.version
    assert (done.rows, done.scored, done.rejected, done.churn) == (3, 2, 1, 1)
    assert (done.by, done.as_of, done.is_recorded) == ("Ada <ada@example.com>", "2026-11-20", False)
    assert (table.folder / "scores.csv").read_bytes() == b"scores"
    reports = table.shop.folder / "reports"
    assert json.loads((reports / "score.json").read_bytes())["release"] == done.release
    assert (reports / "score.md").read_text() == "# Batch scores"
    assert git(table.shop.folder, "for-each-ref") == before
    schema = json.loads(ANSWERS.read_bytes())
    answer = json.loads(json.dumps(asdict(done)))
    Draft202012Validator(schema | {"$ref": "#/$defs/score"}).validate(answer)


def test_a_path_is_that_of_where_the_command_was_typed(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(table.folder)
    Path("here.csv").write_text("well")
    repository = table.shop.machine.repository
    asked = Options("here.csv", "there.csv", DAY)
    scoring.score(repository, table.policy, "prod", asked, Progress())
    assert Path("there.csv").read_bytes() == b"scores"


@pytest.mark.parametrize(
    ("how", "error", "why"),
    [
        ("refused", NotScored, "it is refused"),
        ("wrong", ConfigurationError, "it is wrong"),
        ("silent", NotScored, "it left no report"),
        ("forged", NotScored, "it names 000000000000-00000000 with the model"),
    ],
)
def test_a_run_that_does_not_pass_says_why(
    table: Table, how: str, error: type[Exception], why: str
) -> None:
    with pytest.raises(error) as failed:
        table.score(how)
    assert why in str(failed.value)
    assert table.release.version in str(failed.value)


def test_where_nothing_serves_nobody_is_scored(shared_workshop: Workshop, tmp_path: Path) -> None:
    asked = Options("in.csv", "out.csv", DAY)
    machine = shared_workshop.machine
    with pytest.raises(PreconditionFailed, match="prod serves no release yet"):
        scoring.score(machine.repository, machine.policy, "prod", asked, Progress())


def test_a_release_from_before_batch_scores_is_named(table: Table) -> None:
    write_policy(table.shop.folder, table.shop.machine.policy)
    older = table.serve(b"older")
    with pytest.raises(ConfigurationError) as failed:
        table.score()
    assert f"release {older.version} was built before there were batch scores" in str(failed.value)


def test_an_environment_that_cannot_be_made_scores_nobody(table: Table) -> None:
    record = table.shop.release(b"two", others={"requirements.txt": b"no-such-package-of-ours==1"})
    table.shop.record_promotion(record, table.shop.prod)
    with pytest.raises(PreconditionFailed, match="the release's environment cannot be made"):
        table.score()


@pytest.mark.parametrize("explain", [-1, 101])
def test_more_contributions_than_a_prediction_has_are_refused(explain: int) -> None:
    with pytest.raises(ConfigurationError, match="a prediction has 0 to 100 contributions"):
        Options("in.csv", "out.csv", DAY, explain)


def test_a_day_is_read_or_refused() -> None:
    assert scoring.day_of("2026-11-20") == DAY
    assert scoring.day_of(None) >= DAY
    with pytest.raises(ConfigurationError, match="--as-of yesterday: no day"):
        scoring.day_of("yesterday")


def test_a_release_that_is_replaced_meanwhile_finishes_and_says_so(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    install = installation.install

    def meanwhile(*arguments: Any) -> None:
        install(*arguments)
        table.serve(b"two")

    monkeypatch.setattr(installation, "install", meanwhile)
    with pytest.raises(ReleaseChanged) as changed:
        table.score(record=True)
    assert changed.value.exit_code == 15
    assert f"the scores are of {table.release.version}" in str(changed.value)
    assert (table.folder / "scores.csv").read_bytes() == b"scores"
    [line] = notes(table)
    assert line["release"] == table.release.version


def notes(table: Table) -> list[dict[str, Any]]:
    """Return what the remote's notes say of the release's commit."""
    remote = table.folder / "remote.git"
    text = git(remote, "notes", "--ref=scores", "show", table.release.commit)
    return [json.loads(line) for line in text.splitlines() if line]


def test_each_recorded_run_is_a_line_in_a_note_at_the_remote(table: Table) -> None:
    assert table.score(record=True).is_recorded
    # Another clone has recorded one as well, which this one has not seen.
    other = table.folder / "other"
    git(table.folder, "clone", "--quiet", str(table.folder / "remote.git"), str(other))
    reference = "refs/notes/scores:refs/notes/scores"
    git(other, "fetch", "--quiet", "origin", reference)
    git(other, "config", "user.name", "Grace")
    git(other, "config", "user.email", "grace@example.com")
    line = json.dumps({"by": "Grace"})
    git(other, "notes", "--ref=scores", "append", "-m", line, table.release.commit)
    git(other, "push", "--quiet", "origin", reference)
    table.score("well\n", record=True)
    found = notes(table)
    ada = "Ada <ada@example.com>"
    assert sorted(one["by"] for one in found) == [ada, ada, "Grace"]
    first, second = (one for one in found if one["by"] == ada)
    assert first["output_sha256"] == second["output_sha256"]
    assert "scores.csv" not in json.dumps(found)


def test_a_note_that_the_remote_does_not_take_is_an_error_and_the_scores_stay(
    table: Table,
) -> None:
    hook = table.folder / "remote.git" / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho no notes here >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(PushFailed) as failed:
        table.score(record=True)
    assert "no notes here" in str(failed.value)
    assert (table.folder / "scores.csv").read_bytes() == b"scores"
    # It is not lost: the next one that the remote takes brings it along.
    hook.unlink()
    table.score("well\n", record=True)
    assert len(notes(table)) == 2
