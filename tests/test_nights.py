"""A month of nights on a database that grows: what each does, and what it leaves."""

from __future__ import annotations

import csv
import json
import math
import random
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import sources
from living import Living, renew_checksums
from sources import Postgres, SourceMissing
from toolkit.pipelines import calls
from toolkit.tests import stand_in_forge
from toolkit.tests.listener import listening
from toolkit.tests.stand_in_forge import StandInForge

from demo.repository import Repository

FIRST = date(2026, 10, 1)
NIGHTS = 30
# A label is known ten days after the day on which a customer was observed.
KNOWN_AFTER = 10
HISTORY, PER_DAY = 50, 60
# The night in which no label became known: of a day on which nobody was observed.
QUIET = 2
BACKFILL, BACKFILLED = 8, 5000
DRIFT, BROKEN = 14, 18
# From this day on customers leave for other reasons, and many more are observed.
OTHER_REASONS, MORE_PER_DAY = 10, 90

COLUMNS = ("customer", "months", "bill", "calls", "plan", "region", "seen_on", "churned")
TYPES = ("text", "real", "real", "integer", "text", "text", "date", "text")
QUERY = "select * from customers where seen_on <= $1\n"
SOURCE = """\
schema = 1
kind = "sql"
url_from = "CUSTOMERS"
query = "customers.sql"

[labels]
observed = "seen_on"
known_after_days = {known_after}

[remote]
url = "{remote}"
"""
# Fewer customers become known in a test's month than in a company's.
DECAY = "\n[decay]\nmin_rows = 100\n"
BUCKET = "bucket"
HEADER = "| night | what happened | exit | snapshot | decision | what serves | issues |"


@dataclass(frozen=True)
class Night:
    """What one night did.

    Parameters
    ----------
    exit : int
        Of the first command that failed, or 0.
    said : str
        What all its commands have printed.
    pointer, report : dict
        data/snapshot.json and reports/nightly.json as it left them; empty where it left none.
    """

    exit: int
    said: str
    pointer: dict[str, Any]
    report: dict[str, Any]

    @property
    def decision(self) -> str:
        """The night's sentence, without what follows a figure in brackets or a second comma."""
        return ",".join(self.report.get("sentence", "-").split(",")[:2])

    @property
    def decay(self) -> str:
        """What became of the release that serves."""
        return str((self.report.get("decay") or {"state": "-"})["state"])


class Company:
    """A database whose customers are drawn by a seeded generator."""

    def __init__(self, database: Postgres, folder: Path) -> None:
        """Make an empty table."""
        self._database, self._folder = database, folder
        self._rng, self._count = random.Random(20261130), 0
        fields = ", ".join(" ".join(pair) for pair in zip(COLUMNS, TYPES, strict=True))
        database.run(f"create table customers ({fields})")

    def observe(self, day: int, count: int) -> None:
        """Add the customers of a day, counted from the first night."""
        file = self._folder / "day.csv"
        with file.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows(self._customer(day) for _ in range(count))
        self.run(f"\\copy customers from {file} csv")

    def run(self, *statements: str) -> str:
        """Run SQL."""
        return self._database.run(*statements)

    def _customer(self, day: int) -> list[Any]:
        rng = self._rng
        self._count += 1
        months, bill = rng.uniform(0, 60), rng.uniform(10, 120)
        asked, plan = rng.randrange(9), rng.choice(["basic", "full", "family"])
        region = rng.choice(["north", "south", "east", "west"])
        # What it takes many customers to learn: in each plan it is other bills that are too high.
        wish = math.sin(bill / 14 + 2 * len(plan)) + 0.3 * (asked - 4) - months / 40
        leaves = rng.random() < 1 / (1 + math.exp(-2.2 * wish))
        if day >= OTHER_REASONS:
            leaves = rng.random() < 0.36
        seen_on = FIRST + timedelta(days=day)
        return [
            *(f"c{self._count:06}", round(months, 1), round(bill, 2), asked, plan, region),
            *(seen_on.isoformat(), "yes" if leaves else "no"),
        ]


@pytest.fixture
def company(tmp_path: Path) -> Iterator[tuple[Company, Postgres]]:
    """Return a company with the customers of the months before the first night."""
    try:
        with sources.postgres(tmp_path / "server") as server:
            company = Company(server, tmp_path)
            for day in range(-HISTORY, 1):
                company.observe(day, 0 if day == QUIET - KNOWN_AFTER else PER_DAY)
            yield company, server
    except SourceMissing as missing:
        pytest.skip(str(missing))


def adopt(repository: Repository, company: Company, folder: Path) -> None:
    """Adopt the table, and let it come from the database from then on."""
    file = folder / "customers.csv"
    known = f"seen_on <= date '{FIRST - timedelta(days=KNOWN_AFTER)}'"
    company.run(f"\\copy (select * from customers where {known}) to {file} csv header")
    columns = ("--target", "churned", "--id", "customer")
    adopted = repository.nox("-s", "adopt", "--", str(file), *columns)
    assert adopted.returncode == 0, adopted.stdout + adopted.stderr
    (repository.folder / "data" / "customers.sql").write_text(QUERY, encoding="utf-8")
    said = SOURCE.format(known_after=KNOWN_AFTER, remote=folder / BUCKET)
    (repository.folder / "data" / "source.toml").write_text(said, encoding="utf-8")
    with (repository.folder / "quality.toml").open("a", encoding="utf-8") as policy:
        policy.write(DECAY)


def pass_one(living: Living, remote: Path, state: Path, folder: Path, day: date) -> Night:
    """Run the job of the night in a fresh clone, as the forge does.

    Only the day is given to it, and the scan is left out: what it compares with is in the network.
    """
    repository = Repository(folder, state, living.repository.programs)
    living.repository.git("clone", "--quiet", str(remote), str(folder))
    living.lend_environments(repository)
    said, code = "", 0
    for line in calls.read(folder / calls.GITLAB)["nightly"]["script"]:
        words = shlex.split(line)
        if words[0] == "test":
            assert words == ["test", "-e", "reports/proposal.md", "||", "exit", "0"]
            if (folder / "reports" / "proposal.md").exists():
                continue
            break
        if words == ["nox", "-s", "scan"]:
            continue
        if words == ["nox", "-s", "snapshot"]:
            words += ["--", "--as-of", day.isoformat()]
        done = repository.capture(str(repository.programs / words[0]), *words[1:])
        said += f"$ {shlex.join(words)}\n{done.stdout}{done.stderr}"
        code = done.returncode
        if code:
            break
    report = folder / "reports" / "nightly.json"
    return Night(
        code,
        said,
        json.loads((folder / "data" / "snapshot.json").read_bytes()),
        json.loads(report.read_bytes()) if report.exists() else {},
    )


def accept(repository: Repository, branch: str) -> None:
    """Merge a night's pin, and let its release go to prod, as a person does in the morning."""
    repository.git("fetch", "--quiet", "--tags", "origin")
    repository.git("merge", "--quiet", "--no-ff", "--no-edit", f"origin/{branch}")
    repository.git("push", "--quiet", "origin", "main")
    to_prod(repository, serving(repository, "staging"))


def to_prod(repository: Repository, version: str) -> None:
    repository.ask("approve", "--env", "prod", "--version", version, "--reason", "read its card")
    repository.ask("promote", "--env", "prod", "--version", version, "--yes")


def serving(repository: Repository, environment: str) -> str:
    """Return the release that an environment serves."""
    [status] = repository.ask("status", "--env", environment)
    version: str = status["release"]
    return version


def change(company: Company, night: int) -> str:
    """Let the company have the day before a night; return what happened in words."""
    company.observe(night, MORE_PER_DAY if night >= OTHER_REASONS else PER_DAY)
    happened = {
        QUIET: "no label became known",
        BACKFILL: "a branch's customers were added",
        DRIFT: "the bills are closer to one another",
        DRIFT + 1: "they are as before",
        BROKEN: "the bill has another name",
        BROKEN + 1: "it has its name again",
    }
    if night == BACKFILL:
        for day in range(-2 * HISTORY, -HISTORY):
            company.observe(day, BACKFILLED // HISTORY)
    if night == DRIFT:
        company.run(
            "create table kept as select * from customers",
            "update customers set bill = 65 + (bill - 65) / 2",
        )
    if night == DRIFT + 1:
        company.run(
            "update customers set bill = kept.bill from kept where kept.customer = customers.customer"
        )
    if night == BROKEN:
        company.run("alter table customers rename bill to amount")
    if night == BROKEN + 1:
        company.run("alter table customers rename amount to bill")
    return happened.get(night, "")


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_a_month_of_nights_on_a_database(
    living: Living,
    company: tuple[Company, Postgres],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    customers, server = company
    monkeypatch.setenv("CUSTOMERS", server.url)
    repository = living.generate(tmp_path, ci="gitlab")
    repository.release_unscanned()
    adopt(repository, customers, tmp_path)
    renew_checksums(repository)
    remote = tmp_path / "remote.git"
    repository.begin(remote)
    forge = StandInForge({"issues": []})
    nights: dict[int, Night] = {}
    lines = [HEADER, "| --- " * 7 + "|"]
    try:
        with listening(answer=forge) as listener:
            for name, value in stand_in_forge.job("GitLab", listener.address).items():
                monkeypatch.setenv(name, value)
            for night in range(1, NIGHTS + 1):
                happened = change(customers, night)
                day = FIRST + timedelta(days=night)
                one = pass_one(living, remote, repository.state, tmp_path / f"night-{night}", day)
                nights[night] = one
                if one.report.get("decision") == "propose":
                    accept(repository, f"snapshot/{day}")
                    happened += "; " * bool(happened) + "its release went to prod"
                lines.append(
                    f"| {night} | {happened} | {one.exit} | {one.pointer['rows']} as of "
                    f"{one.pointer['as_of']} | {one.decision} | {one.decay} | "
                    f"{len(forge.lists['issues'])} |"
                )
                with capsys.disabled():
                    print("\n" * (night == 1) + "\n".join(lines if night == 1 else lines[-1:]))
                if one.exit:
                    print(one.said)
            require(nights, forge, repository, tmp_path / BUCKET)
    finally:
        repository.stop()
        # The nights' clones have deployed there, and this one has no branch of it.
        repository.invoke("stop", "--env", "staging", "--yes")


def require(
    nights: dict[int, Night], forge: StandInForge, repository: Repository, bucket: Path
) -> None:
    """Hold what the month has left against what each of its nights should do."""
    assert {night: one.exit for night, one in nights.items() if one.exit} == {DRIFT: 1, BROKEN: 1}
    proposed = [night for night, one in nights.items() if one.report.get("decision") == "propose"]
    assert proposed[0] == 1
    assert BACKFILL in proposed
    quiet = nights[QUIET]
    assert quiet.report["sentence"].startswith("nothing new: release ")
    assert "cross-validation" not in quiet.said, "nothing is trained"
    assert quiet.pointer == nights[1].pointer
    for night, what in ((DRIFT, "data: failed, see"), (BROKEN, "bill: schema: no such column")):
        assert what in nights[night].said
        assert nights[night].report == {}
    # What failed has left nothing: it is the pointer that was accepted last.
    accepted = max(night for night in proposed if night < BROKEN)
    assert nights[BROKEN].pointer == nights[accepted].pointer
    states = [one.decay for one in nights.values()]
    assert states[2] == "waiting"
    assert states[-1] == "fell"
    # One issue for each proposal, and one for all nights in which the champion had decayed.
    titles = [issue["title"] for issue in forge.lists["issues"]]
    serves = serving(repository, "prod")
    assert titles[-1] == f"{serves} ranks the customers of prod worse than it did"
    assert [one.partition(" ")[0] for one in titles[:-1]] == ["Promote"] * len(proposed)
    record = json.loads(repository.git("show", f"release/{serves}:release.json"))
    pointer = nights[proposed[-1]].pointer
    named = (pointer["content_sha256"], pointer["as_of"])
    assert (record["data_sha256"], record["data_as_of"]) == named
    evidence = json.loads(repository.git("show", f"release/{serves}:gate.json"))
    assert (evidence["data_sha256"], evidence["data_as_of"]) == named
    proved = repository.ask("audit")["environments"]
    assert {one["environment"]: one["findings"] for one in proved} == {"staging": [], "prod": []}
    # Of nights without a proposal neither the bytes nor the pin is at the remote.
    bytes_there = {file.stem for file in bucket.rglob("*.parquet")}
    assert bytes_there == {nights[night].pointer["sha256"] for night in proposed}
    branches = repository.git("ls-remote", "--heads", "origin", "snapshot/*").splitlines()
    assert len(branches) == len(proposed)
