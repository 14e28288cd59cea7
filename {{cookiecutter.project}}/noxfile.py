# /// script
# dependencies = ["nox>=2026.10"]
# ///
"""The quality door: every check that CI asks for, by the same commands on a laptop.

`nox` runs the checks, `nox --list` shows them all. Each leaves reports/<session>.json and .md.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2026.10"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True
nox.options.download_python = "never"

# uv would fetch an interpreter that nobody asked for.
os.environ["UV_PYTHON_DOWNLOADS"] = "never"
# Without bytecode every run compiles pandas and scikit-learn again: four seconds each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

PACKAGE = "{{ cookiecutter.package }}"
REPORTS = Path("reports")
TYPED = ("src", "release", "security", "pipelines", "tests", "noxfile.py", "tasks.py")
# The package runs from src, as it stands: nothing to build, nothing that could be out of date.
FROM_SOURCE = {"PYTHONPATH": "src"}
# What tools say is read, also where somebody has asked for colours: nox takes only one of these.
PLAIN: Mapping[str, str | None] = {"NO_COLOR": "1", "FORCE_COLOR": None}
# The threads of linear algebra wait for one another by spinning, and several tests run at a time.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

# Each lock: what it is compiled from, beside the dependencies of a server. `dev` holds all.
LOCKS = {
    "requirements-dev.txt": ("--group", "dev", "pyproject.toml"),
    "requirements-train.txt": ("--group", "train", "pyproject.toml"),
    "requirements.txt": ("pyproject.toml",),
    "requirements-lint.txt": ("--group", "pyproject.toml:lint"),
    "requirements-doors.txt": ("--group", "pyproject.toml:doors"),
    "requirements-security.txt": ("--group", "pyproject.toml:security"),
    "requirements-pipelines.txt": ("--group", "pyproject.toml:pipelines"),
    "requirements-template.txt": ("--group", "pyproject.toml:template"),
}

# src/a.py:3:1: F401 'os' imported but unused
# src/a.py:3:1: unformatted: File would be reformatted
LINT = re.compile(r"(?:\./)?(?P<path>.+?):(?P<line>\d+):\d+: (?P<code>\w+):? (?P<message>.*)")
# src/a.py:3: error: Missing return statement  [return]
MYPY = re.compile(
    r"(?P<path>.+?):(?P<line>\d+): error: (?P<message>.*?)(?:  \[(?P<code>[a-z-]+)\])?"
)
# src/a.py:3: GitHub Token: in the file as it is now
FINDING = re.compile(r"(?P<path>.+?):(?P<line>\d+): (?P<code>[^:]+): (?P<message>.*)")
# .github/workflows/main.yml:3:1: property "x" is not defined [expression]
ACTIONLINT = re.compile(r"(?P<path>.+?):(?P<line>\d+):\d+: (?P<message>.*) \[(?P<code>[\w-]+)\]")
# ::error file=.github/workflows/main.yml,line=3,title=artipacked::main.yml:3: credentials persist
ZIZMOR = re.compile(
    r"::\w+ file=(?P<path>[^,]+),line=(?P<line>\d+),title=(?P<code>[^:]+)::(?P<message>.*)"
)


@nox.session(tags=["ci"])
def lint(session: nox.Session) -> None:
    """Find faults with flake8 and bugbear, and files that ruff would format otherwise."""
    install(session, "requirements-lint.txt")
    formatting = ("ruff", "format", "--check", "--output-format", "concise", ".")
    check(session, {("flake8",): LINT, formatting: LINT})


@nox.session(tags=["ci"])
def types(session: nox.Session) -> None:
    """Check the types of everything with mypy, strictly."""
    install(session, "requirements-dev.txt")
    check(session, {("mypy", *TYPED): MYPY})


@nox.session(tags=["ci"])
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after -- go to pytest."""
    install(session, "requirements-dev.txt")
    REPORTS.mkdir(exist_ok=True)
    results = REPORTS / "tests.xml"
    results.unlink(missing_ok=True)
    try:
        # Many tests wait for processes: three at a time keep two cores busy.
        chosen = session.posargs or ("--numprocesses", "3", "--dist", "worksteal")
        session.run("pytest", f"--junitxml={results}", *chosen, env=ONE_THREAD)
    finally:
        report_tests(results)


@nox.session(default=False)
def endurance(session: nox.Session) -> None:
    """Kill releases two hundred times, race fifty promotions, and live through long stories."""
    install(session, "requirements-dev.txt")
    session.run("pytest", "-m", "endurance", *session.posargs, env=ONE_THREAD)


@nox.session(default=False)
def cluster(session: nox.Session) -> None:
    """Release to a real Kubernetes cluster, in a namespace of its own that is removed again."""
    if not os.environ.get("KUBECONFIG"):
        session.skip("KUBECONFIG names no cluster")
    install(session, "requirements-dev.txt")
    session.run("pytest", "-m", "cluster", "--capture=no", *session.posargs, "tests/cluster")


@nox.session(tags=["ci"])
def data(session: nox.Session) -> None:
    """Hold the data against its contract, and against the reference for drift."""
    run_model_wing(session, "data")


@nox.session(tags=["ci"])
def features(session: nox.Session) -> None:
    """Compare the features that are promised, trained on, and served."""
    run_model_wing(session, "features")


@nox.session(tags=["ci"])
def gate(session: nox.Session) -> None:
    """Hold a quick training on a sample against quality.toml."""
    run_model_wing(session, "gate")


@nox.session(tags=["ci"])
def secrets(session: nox.Session) -> None:
    """Look for passwords, keys and tokens in every file, and in all that the branch adds."""
    install(session, "requirements-security.txt")
    check(session, {("python", "-m", "security.secrets", *session.posargs): FINDING})


# A laptop on a train must be able to run `nox`; CI names this session, which fails offline.
@nox.session(tags=["ci"], default=False)
def audit(session: nox.Session) -> None:
    """Hold every locked package against the known vulnerabilities; needs the network."""
    install(session, "requirements-security.txt")
    check(session, {("python", "-m", "security.audit"): FINDING})


@nox.session(tags=["ci"])
def pipelines(session: nox.Session) -> None:
    """Find faults in the CI files, and calls of sessions, tasks and flags that are not there."""
    install(session, "requirements-pipelines.txt")
    tools: dict[tuple[str, ...], re.Pattern[str]] = {("python", "-m", "pipelines"): FINDING}
    workflows = [str(path) for path in sorted(Path(".github/workflows").glob("*.yml"))]
    if workflows:
        schema = ("check-jsonschema", "--builtin-schema", "vendor.github-workflows")
        audit = ("zizmor", "--offline", "--no-progress", "--persona", "pedantic")
        tools[*schema, *workflows] = FINDING
        labels = ("-config-file", ".github/actionlint.yaml")
        tools["actionlint", "-oneline", *labels, *workflows] = ACTIONLINT
        tools[*audit, "--format", "github", *workflows] = ZIZMOR
    if Path(".gitlab-ci.yml").exists():
        schema = ("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci")
        tools[*schema, "--data-transform", "gitlab-ci", ".gitlab-ci.yml"] = FINDING
    check(session, tools)


@nox.session(default=False)
def scan(session: nox.Session) -> None:
    """Hold what `invoke build` has made against the known vulnerabilities; needs the network."""
    install(session, "requirements-security.txt")
    check(session, {("python", "-m", "security.scan"): FINDING})


@nox.session(default=False)
def template(session: nox.Session) -> None:
    """Tell whether the template has moved on, and what `cruft update` would change here."""
    install(session, "requirements-template.txt")
    check(session, {("python", "-m", "security.template"): FINDING})


@nox.session(default=False)
def train(session: nox.Session) -> None:
    """Train on all data, export the model, and hold it against quality.toml: what a build wants."""
    run_model_wing(session, "train")


@nox.session(default=False)
def nightly(session: nox.Session) -> None:
    """Train fully, and tell whether the model is better than what served some days ago."""
    run_model_wing(session, "nightly")


@nox.session(default=False)
def adopt(session: nox.Session) -> None:
    """Take your own table in: -- FILE --target COLUMN --id COLUMN [--positive VALUE]."""
    run_model_wing(session, "adopt")


@nox.session(default=False)
def reference(session: nox.Session) -> None:
    """Accept the data as it is now: later data is held against it for drift."""
    run_model_wing(session, "reference")


@nox.session(venv_backend="none", default=False)
def dev(session: nox.Session) -> None:
    """Make .venv ready to type in: everything locked, and the package in place."""
    python = Path(".venv", "Scripts" if os.name == "nt" else "bin", "python")
    venv: tuple[str, ...]
    pip: tuple[str, ...]
    if shutil.which("uv"):
        venv = ("uv", "venv", "--quiet", "--allow-existing", "--python", sys.executable, ".venv")
        pip = ("uv", "pip", "install", "--quiet", "--python", str(python))
    else:
        venv = (sys.executable, "-m", "virtualenv", "--quiet", ".venv")
        pip = (str(python), "-m", "pip", "install", "--quiet")
    session.run(*venv, external=True)
    session.run(*pip, "--require-hashes", "--requirement", "requirements-dev.txt", external=True)
    # The lock has brought hatchling: nothing that is not locked is fetched to build with.
    session.run(*pip, "--no-deps", "--no-build-isolation", "--editable", ".", external=True)
    session.log(f"ready: {python.parent}")


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Write the locks anew after a change in pyproject.toml; -- --upgrade takes newer versions."""
    install(session, "requirements-doors.txt")
    settled: tuple[str, ...] = ()
    for name, sources in LOCKS.items():
        session.run(
            *("uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes"),
            *("--python-version", "3.11", "--fork-strategy", "fewest"),
            *("--no-annotate", "--no-header", "--output-file", name),
            *settled,
            *(session.posargs if not settled else ()),
            *sources,
        )
        # The others take what the first has chosen: one version of each package in all locks.
        settled = ("--constraint", "requirements-dev.txt")


def install(session: nox.Session, requirements: str) -> None:
    """Install exactly what a lock says, or refuse."""
    session.install("--require-hashes", "--requirement", requirements)


def run_model_wing(session: nox.Session, run: str) -> None:
    """Run one of the model wing's runs, which leaves its own reports."""
    install(session, "requirements-train.txt")
    session.run("python", "-m", PACKAGE, run, *session.posargs, env=FROM_SOURCE)


def check(session: nox.Session, tools: Mapping[tuple[str, ...], re.Pattern[str]]) -> None:
    """Run tools, report every finding of all of them, and fail if one has failed.

    Parameters
    ----------
    tools
        Command lines, each with what one line about a finding looks like.
    """
    findings: list[dict[str, Any]] = []
    remarks: list[str] = []
    failed = []
    for command, finding in tools.items():
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            try:
                session.run(*command, env=PLAIN, stdout=output, stderr=subprocess.STDOUT)
            except CommandFailed:
                failed.append(command[2] if command[0] == "python" else command[0])
            output.seek(0)
            lines = output.read().splitlines()
        print(*lines, sep="\n", flush=True)
        for line in lines:
            if match := finding.fullmatch(line):
                findings.append(match.groupdict())
            else:
                remarks.append(line)
    for found in findings:
        found["line"] = int(found["line"])
    document = {
        "schema": 1,
        "verdict": "failed" if failed else "passed",
        "findings": findings,
        "remarks": remarks,
    }
    header = ("path", "line", "code", "message")
    rows = [[found[name] or "" for name in header] for found in findings]
    nothing = "It failed without a finding.\n" if failed else "No finding.\n"
    page = table(header, rows) if rows else nothing
    page += "\n".join(["\n```text", *remarks, "```\n"])
    write_reports(session.name, document, page)
    if failed:
        session.error(f"{' and '.join(failed)} failed: {len(findings)} findings, see above")


def report_tests(results: Path) -> None:
    """Turn pytest's results into the session's reports; without results the tests have failed."""
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    failures = []
    if results.exists():
        suite = ElementTree.parse(results).getroot().find("testsuite")
        assert suite is not None, "pytest writes one suite"
        counts = {name: int(suite.get(name, 0)) for name in counts}
        for case in suite.iter("testcase"):
            for fault in (*case.findall("failure"), *case.findall("error")):
                name = f"{case.get('classname')}.{case.get('name')}"
                failures.append({"test": name, "message": fault.get("message", "")})
    passed = counts["tests"] > 0 and not failures
    document = {
        "schema": 1,
        "verdict": "passed" if passed else "failed",
        **counts,
        "failed_tests": failures,
    }
    page = table(counts, [list(counts.values())])
    if failures:
        rows = [[fault["test"], fault["message"]] for fault in failures]
        page += "\n" + table(("test", "message"), rows)
    write_reports("tests", document, page)


def table(header: Iterable[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    cells = (
        [" ".join(str(cell).split()).replace("|", "\\|").replace("<", "&lt;") for cell in line]
        for line in lines
    )
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def write_reports(name: str, document: Mapping[str, Any], page: str) -> None:
    """Write a session's JSON and Markdown, each whole or not at all."""
    REPORTS.mkdir(exist_ok=True)
    verdict = document["verdict"]
    for ending, text in (
        ("json", json.dumps(document, indent=2) + "\n"),
        ("md", f"# {name}: {verdict}\n\n{page}"),
    ):
        scratch = REPORTS / f".{name}.{ending}"
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(REPORTS / f"{name}.{ending}")


if __name__ == "__main__":
    nox.main()
