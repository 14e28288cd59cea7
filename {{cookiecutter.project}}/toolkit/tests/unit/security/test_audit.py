"""A locked package with a known vulnerability fails, and so does one without an answer."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from toolkit.security import CannotTell, audit
from toolkit.security.audit import Package, Vulnerability
from toolkit.security.waivers import Waiver, parse, report

TODAY = date(2026, 11, 24)
JINJA = Package("jinja2", "3.1.0", ("--hash=sha256:00",), ("requirements/serving.txt:1",))
CLICK = Package("click", "8.1.0", ("--hash=sha256:00",), ("requirements/serving.txt:3",))
KNOWN = Vulnerability(JINJA, ("PYSEC-1", "CVE-2026-1"), ("3.1.6",), "A sandbox with a way out")


def waiver(package: str = "jinja2", id: str = "CVE-2026-1", until: date = TODAY) -> Waiver:
    return Waiver(package, id, until, "our templates are our own", line=4)


def test_every_package_of_every_lock_is_read_once_and_production_is_named_first(
    tmp_path: Path,
) -> None:
    jinja = "jinja2==3.1.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n"
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "model.txt").write_text(
        jinja + "pywin32==312 ; sys_platform == 'win32' \\\n    --hash=sha256:22\n"
    )
    (tmp_path / "requirements" / "serving.txt").write_text("# by hand\n\n" + jinja)
    packages = {package.name: package for package in audit.read_locks(tmp_path)}
    assert list(packages) == ["jinja2", "pywin32"]
    assert packages["jinja2"].places == ("requirements/serving.txt:3", "requirements/model.txt:1")
    assert packages["jinja2"].hashes == ("--hash=sha256:00", "--hash=sha256:11")
    assert packages["pywin32"].version == "312"


@pytest.mark.parametrize("line", ["requests>=2", "-e .", "git+https://example.com/a.git"])
def test_what_is_not_locked_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "serving.txt").write_text(f"{line}\n")
    with pytest.raises(CannotTell, match="requirements/serving.txt:1 is not a locked package"):
        audit.read_locks(tmp_path)


def test_without_a_lock_the_audit_fails(tmp_path: Path) -> None:
    with pytest.raises(CannotTell, match="there is no lock"):
        audit.read_locks(tmp_path)


def test_two_versions_of_a_package_are_checked_in_two_rounds() -> None:
    older = Package("click", "8.0.0", (), ("requirements/serving.txt:5",))
    rounds = [set(some) for some in audit.rounds([JINJA, older, CLICK])]
    assert rounds == [{JINJA, CLICK}, {older}]


def test_a_service_that_cannot_be_reached_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", "http://127.0.0.1:9/v1/query")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(CannotTell, match="(?s)pip-audit: .*Next: "):
        audit.ask([JINJA])


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [{"name": "click", "skip_reason": "Dependency not found on PyPI"}],
        [{"name": "click", "version": "8.0.9", "vulns": []}],
    ],
)
def test_a_package_that_was_skipped_is_not_passed(answers: list[dict[str, Any]]) -> None:
    answers.append({"name": "jinja2", "version": "3.1.0", "vulns": []})
    with pytest.raises(CannotTell, match="did not answer for 1 of 2 packages: click"):
        audit.understand([JINJA, CLICK], answers)


def test_a_vulnerability_is_printed_with_place_names_and_fixed_version() -> None:
    known = {
        "id": "PYSEC-1",
        "aliases": ["CVE-2026-1"],
        "fix_versions": ["3.1.6"],
        "description": "A sandbox with a way out",
    }
    answers: list[dict[str, Any]] = [
        {"name": "jinja2", "version": "3.1.0", "vulns": [known]},
        {"name": "click", "version": "8.1.0", "vulns": []},
    ]
    assert audit.understand([JINJA, CLICK], answers) == [KNOWN]
    assert str(KNOWN) == (
        "requirements/serving.txt:1: PYSEC-1: jinja2 3.1.0 (CVE-2026-1): fixed in 3.1.6: "
        "A sandbox with a way out"
    )


def test_a_vulnerability_fails_until_it_is_waived_by_any_of_its_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert report([KNOWN], [], TODAY, audit.FIX) == 1
    assert str(KNOWN) in capsys.readouterr().out
    for id in ("PYSEC-1", "CVE-2026-1"):
        assert report([KNOWN], [waiver(id=id)], TODAY, audit.FIX) == 0
        out = capsys.readouterr().out
        assert (
            f"{id} of jinja2 is waived until 2026-11-24, because our templates are our own" in out
        )


@pytest.mark.parametrize("other", [waiver(package="click"), waiver(id="CVE-2026-2")])
def test_a_waiver_is_for_one_vulnerability_of_one_package(
    other: Waiver, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report([KNOWN], [other], TODAY, audit.FIX) == 1
    assert "not needed here: remove it" in capsys.readouterr().out


def test_an_expired_waiver_fails_with_what_it_was_for_and_without(
    capsys: pytest.CaptureFixture[str],
) -> None:
    expired = waiver(until=date(2026, 11, 23))
    for found in ([KNOWN], []):
        assert report(found, [expired], TODAY, audit.FIX) == 1
        out = capsys.readouterr().out
        assert "audit.toml:4: CVE-2026-1: the waiver for jinja2 expired on 2026-11-23" in out
        assert (str(KNOWN) in out) == bool(found)


WAIVER = """schema = 1
[[waiver]]
package = "jinja2"
id = "CVE-2026-1"
until = 2026-11-24
reason = "our templates are our own"
"""


def test_a_waiver_is_read_with_its_line() -> None:
    assert parse(WAIVER, TODAY) == [waiver()]
    assert parse("schema = 1\n", TODAY) == []


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("schema = 1", "schema = 2", "schema must be 1"),
        ("schema = 1", "", "schema must be 1"),
        ("[[waiver]]", "[[waver]]", r"\[\[waiver\]\] tables, and nothing else"),
        ("[[waiver]]", "[waiver]", r"\[\[waiver\]\] tables, and nothing else"),
        ("[[waiver]]", "[[waiver", "line 2"),
        ('reason = "our templates are our own"', "", "waiver 1: must have package, id, until"),
        ("reason", "resaon", "waiver 1: must have package, id, until and reason"),
        ("our templates are our own", " ", "waiver 1: reason must be a text"),
        ('"CVE-2026-1"', "20261", "waiver 1: id must be a text"),
        ("2026-11-24", '"2026-11-24"', "waiver 1: until must be a date"),
        ("2026-11-24", "2026-11-24T10:00:00Z", "waiver 1: until must be a date"),
        ("2026-11-24", "2027-02-23", "at most 90 days are allowed, until 2027-02-22"),
    ],
)
def test_a_waiver_that_is_not_just_as_it_should_be_is_refused(old: str, new: str, why: str) -> None:
    with pytest.raises(CannotTell, match=why):
        parse(WAIVER.replace(old, new), TODAY)
