"""A release with a severe vulnerability that has a fix fails, and so does an incomplete scan."""

from __future__ import annotations

import hashlib
import json
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from toolkit.security import CannotTell, scan, trivy
from toolkit.security.scan import Release, Vulnerability, understand
from toolkit.security.waivers import Waiver

TODAY = date(2026, 11, 24)
IMAGE = "sha256:" + "a" * 64
NUMPY = "app/venv/lib/python3.13/site-packages/numpy-2.5.1.dist-info/METADATA"


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, of which no release was built."""
    monkeypatch.chdir(tmp_path)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "ada@example.com")
    Path("Dockerfile").write_text("# The image.\nARG BASE=python:3.13-slim\n")
    Path("audit.toml").write_text("schema = 1\n")
    Path("release.toml").write_text("schema = 1\n[image]\n")
    Path(".gitignore").write_text("/dist/\n/reports/\n")
    for command in ("init", "add --all", "commit --message begin"):
        subprocess.run(["git", *command.split()], check=True, capture_output=True)
    return tmp_path


def commit() -> str:
    return subprocess.check_output(["git", "rev-parse", "HEAD"], text=True)[:12]


def built(version: str = "01234567") -> Release:
    """Write what `invoke build` writes, and return the release."""
    folder = Path("dist", f"{commit()}-{version}")
    folder.mkdir(parents=True)
    lock = "jinja2==3.1.0 \\\n    --hash=sha256:00\nnumpy==2.5.1 \\\n    --hash=sha256:00\n"
    (folder / "requirements.txt").write_text(lock)
    (folder / "image.json").write_text(json.dumps({"image_id": IMAGE}))
    components = [{"name": name} for name in ("Jinja2", "numpy", "libssl3")]
    (folder / "sbom.json").write_text(json.dumps({"components": components}))
    checksum = hashlib.sha256(lock.encode()).hexdigest()
    line = f"{checksum}  requirements.txt\n"
    digest = "sha256:" + hashlib.sha256(line.encode()).hexdigest()
    record = {"artifacts": {"requirements.txt": checksum}, "digest": digest}
    (folder / "release.json").write_text(json.dumps(record))
    return Release(folder, IMAGE, digest)


def known(package: str, **more: object) -> dict[str, object]:
    """Return trivy's description of one vulnerability."""
    output = {"VulnerabilityID": "CVE-2026-1", "InstalledVersion": "1", "FixedVersion": "2"}
    return output | {"PkgName": package, "Severity": "HIGH", "Title": "A way out"} | more


def answer(*known_of_python: object, known_of_system: object = ()) -> dict[str, Any]:
    """Return trivy's report of the image of `built`."""
    python = {
        "Target": "Python",
        "Class": "lang-pkgs",
        "Packages": [{"Name": "jinja2"}, {"Name": "NumPy"}],
        "Vulnerabilities": list(known_of_python),
    }
    system = {
        "Target": f"{IMAGE} (debian 12.5)",
        "Class": "os-pkgs",
        "Packages": [{"Name": "libssl3"}],
        "Vulnerabilities": known_of_system,
    }
    metadata = {"ImageID": IMAGE, "OS": {"Family": "debian", "Name": "12.5"}}
    return {"Metadata": metadata, "Results": [system, python]}


def test_a_python_and_a_system_package_are_printed_with_the_place_of_their_version() -> None:
    python = known("NumPy", PkgPath=NUMPY, VendorIDs=["GHSA-1"], InstalledVersion="2.5.1")
    system = known("libssl3", Severity="CRITICAL", VulnerabilityID="CVE-2026-2")
    output = understand(answer(python, known_of_system=[system]), built())
    assert list(map(str, output)) == [
        "Dockerfile:2: CVE-2026-2: libssl3 1 in debian 12.5 (CRITICAL): fixed in 2: A way out",
        "requirements/serving.txt:3: "
        f"CVE-2026-1: numpy 2.5.1 in {NUMPY} (HIGH, GHSA-1): fixed in 2: "
        "A way out",
    ]


def test_a_python_package_that_is_the_base_s_is_chosen_with_the_base() -> None:
    [output] = understand(answer(known("pip", PkgPath="usr/lib/pip/METADATA")), built())
    assert str(output).startswith("Dockerfile:2: CVE-2026-1: pip 1 in usr/lib/pip/METADATA")


def test_of_a_lock_there_is_only_the_line() -> None:
    lock = Release(built().folder, "")
    [output] = understand({"Results": [answer(known("numpy"))["Results"][1]]}, lock)
    where = "requirements/serving.txt:3"
    assert str(output) == f"{where}: CVE-2026-1: numpy 1 (HIGH): fixed in 2: A way out"


def test_a_package_that_trivy_has_not_seen_is_not_passed() -> None:
    output = answer()
    output["Results"][1]["Packages"].pop()
    with pytest.raises(CannotTell, match="has not seen 1 packages: numpy"):
        understand(output, built())
    with pytest.raises(CannotTell, match="has not seen 2 packages: jinja2, numpy"):
        understand({}, Release(next(Path("dist").iterdir()), ""))


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"ImageID": "sha256:" + "b" * 64}, "has scanned another image, sha256:bbb"),
        ({"ImageID": IMAGE}, "no advisories, or none any more, for the image's system, none"),
        (
            {"ImageID": IMAGE, "OS": {"Family": "debian", "Name": "9", "EOSL": True}},
            "no advisories, or none any more, for the image's system, debian 9",
        ),
    ],
)
def test_another_image_and_a_system_without_advisories_are_not_passed(
    metadata: dict[str, object], why: str
) -> None:
    with pytest.raises(CannotTell, match=why):
        understand(answer() | {"Metadata": metadata}, built())


def vulnerability(severity: str = "HIGH", fixed_in: str = "2") -> Vulnerability:
    names = ("CVE-2026-1", "GHSA-1")
    return Vulnerability("libssl3", "1", fixed_in, names, severity, "Dockerfile:2", "debian", "Out")


@pytest.mark.parametrize(
    ("severity", "fixed_in", "code"),
    [
        ("CRITICAL", "2", 1),
        ("HIGH", "2", 1),
        ("HIGH", "", 0),
        ("MEDIUM", "2", 0),
        ("LOW", "2", 0),
        ("UNKNOWN", "2", 0),
    ],
)
def test_a_severe_vulnerability_with_a_fix_fails_and_others_are_printed(
    severity: str, fixed_in: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scan.judge([vulnerability(severity, fixed_in)], [], TODAY) == code
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("Dockerfile:2: CVE" if code else "does not fail: CVE-2026-1: libssl3 1")


def test_a_waiver_may_be_of_a_package_of_the_system() -> None:
    for id, code in (("CVE-2026-1", 0), ("GHSA-1", 0), ("CVE-2026-2", 1)):
        assert (
            scan.judge([vulnerability()], [Waiver("libssl3", id, TODAY, "no TLS", 2)], TODAY)
            == code
        )


def test_what_was_built_of_head_is_found() -> None:
    release = built()
    other = release.folder.with_name("0" * 12 + "-01234567")
    for folder in (other, Path(f"{release.folder}-dirty")):
        folder.mkdir()
    assert Release.of_head() == release
    Path("release.toml").write_text("schema = 1\n")
    assert Release.of_head() == Release(release.folder, "", release.digest)


@pytest.mark.parametrize("name", ["requirements.txt", "release.json"])
def test_a_bundle_that_was_edited_after_the_build_is_not_scanned(name: str) -> None:
    path = built().folder / name
    path.write_text(
        path.read_text().replace("numpy", "nympy").replace('"digest": "', '"digest": "x')
    )
    with pytest.raises(CannotTell, match="is not what was built"):
        Release.of_head()


def test_without_a_release_of_head_or_with_two_the_scan_fails() -> None:
    with pytest.raises(CannotTell, match="no release in dist was built from HEAD"):
        Release.of_head()
    built()
    built("89abcdef")
    with pytest.raises(CannotTell, match="more than one release was built from HEAD"):
        Release.of_head()


def run(monkeypatch: pytest.MonkeyPatch, output: object) -> int:
    """Run the scan with an answer of trivy, and with evidence of an earlier run."""
    scan.EVIDENCE.parent.mkdir()
    scan.EVIDENCE.write_text("{}")
    monkeypatch.setattr(trivy, "scan", lambda *_: output)
    monkeypatch.setattr(trivy, "ask_versions", lambda: ("0.76.0", "today"))
    return scan.main()


@pytest.mark.parametrize(("output", "verdict"), [((), "passed"), ([known("libssl3")], "failed")])
def test_the_evidence_names_the_image_and_the_verdict(
    monkeypatch: pytest.MonkeyPatch, output: object, verdict: str
) -> None:
    release = built()
    assert run(monkeypatch, answer(known_of_system=output)) == (verdict == "failed")
    evidence = json.loads(scan.EVIDENCE.read_bytes())
    assert (evidence["verdict"], evidence["image_id"]) == (verdict, IMAGE)
    assert (evidence["release"], evidence["tree_clean"]) == (release.folder.name, True)
    assert (evidence["schema"], evidence["digest"]) == (2, release.digest)
    assert len(evidence["vulnerabilities"]) == len(list(output))  # type: ignore[call-overload]


def test_the_evidence_says_whether_the_tree_was_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    built()
    Path("audit.toml").write_text("schema = 1\n\n")
    assert run(monkeypatch, answer()) == 0
    assert json.loads(scan.EVIDENCE.read_bytes())["tree_clean"] is False


@pytest.mark.parametrize(
    "output", [None, [], {}, {"Metadata": {}}, answer(), answer({"PkgName": 1})]
)
def test_an_unreadable_answer_leaves_no_evidence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output: Any
) -> None:
    release = built()
    if output == answer():
        (release.folder / "image.json").unlink()
    assert run(monkeypatch, output) == 1
    assert "could not tell: " in capsys.readouterr().out
    assert not scan.EVIDENCE.exists()


def test_an_old_database_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def database(days: int) -> object:
        updated = (datetime.now(UTC) - timedelta(days)).isoformat()
        return {"Version": "0.76.0", "VulnerabilityDB": {"UpdatedAt": updated}}

    monkeypatch.setattr(trivy, "_run", lambda *_: database(days=1))
    assert trivy.ask_versions()[0] == "0.76.0"
    monkeypatch.setattr(trivy, "_run", lambda *_: database(days=8))
    with pytest.raises(CannotTell, match="must not be older than 7 days"):
        trivy.ask_versions()
