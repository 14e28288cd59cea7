"""What the sessions of noxfile.py do: each takes nox's session and raises where the check fails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nox

from . import checksums, environment, findings, reports, results, run
from .findings import FINDING

# The owner's code runs from src as it stands: nothing to build, nothing that could be out of date.
TOOLKIT = Path("toolkit")
SETTINGS = TOOLKIT / "pyproject.toml"


def lint(session: nox.Session, paths: Sequence[str]) -> None:
    """Run flake8 and ruff's format over the owner's code."""
    formatting = ("ruff", "format", "--check", "--output-format", "concise", *paths)
    tools = {("flake8", *paths): findings.LINT, formatting: findings.LINT}
    findings.run(session, environment.activate(session, "checks"), tools)


def types(session: nox.Session, paths: Sequence[str]) -> None:
    """Run mypy over the owner's code."""
    programs = environment.activate(session, "model")
    # mypy refuses a folder without Python: data/ is one where a table was adopted.
    checked = [path for path in paths if Path(path).is_file() or any(Path(path).rglob("*.py"))]
    findings.run(session, programs, {("mypy", *checked): findings.MYPY})


def tests(session: nox.Session) -> None:
    """Run the owner's tests; what stands after -- goes to pytest."""
    results.run(session, environment.activate(session, "model"), session.posargs)


def model(session: nox.Session, command: str, lock: str = "model") -> None:
    """Run a command of `python -m toolkit`, which leaves its own reports."""
    programs = environment.activate(session, lock)
    session.run(
        *(str(programs / "python"), *run.module("toolkit", command, *session.posargs)),
        external=True,
        # Several threads wait for one another by spinning where the cores are shared, as in CI.
        env={"PYTHONPATH": None, **results.ONE_THREAD},
    )


def security(session: nox.Session, command: str, lock: str = "checks") -> None:
    """Run a module of toolkit.security, which prints a finding a line."""
    programs = environment.activate(session, lock)
    python = ("python", *run.module(f"toolkit.security.{command}", *session.posargs))
    findings.run(session, programs, {python: FINDING})


def secrets(session: nox.Session) -> None:
    """Search for secrets, and for what takes effect beside the code that is reviewed."""
    programs = environment.activate(session, "checks")
    searches = {
        ("python", *run.module("toolkit.security.secrets", *session.posargs)): FINDING,
        ("python", *run.module("toolkit.security.sources")): FINDING,
    }
    findings.run(session, programs, searches)


def pipelines(session: nox.Session) -> None:
    """Hold the CI files against their schemas, their linters, and what they call."""
    tools: dict[tuple[str, ...], findings.Pattern] = {
        ("python", *run.module("toolkit.pipelines")): FINDING
    }
    workflows = [str(path) for path in sorted(Path(".github/workflows").glob("*.yml"))]
    if workflows:
        schema = ("check-jsonschema", "--builtin-schema", "vendor.github-workflows")
        zizmor = ("zizmor", "--offline", "--no-progress", "--persona", "pedantic")
        tools[*schema, *workflows] = FINDING
        labels = ("-config-file", ".github/actionlint.yaml")
        tools["actionlint", "-oneline", *labels, *workflows] = findings.ACTIONLINT
        tools[*zizmor, "--format", "github", *workflows] = findings.ZIZMOR
    if Path(".gitlab-ci.yml").exists():
        schema = ("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci")
        tools[*schema, "--data-transform", "gitlab-ci", ".gitlab-ci.yml"] = FINDING
    findings.run(session, environment.activate(session, "checks"), tools)


def toolkit(session: nox.Session) -> None:
    """Hold the toolkit against its CHECKSUMS, and run its own checks where it was changed."""
    changes = checksums.differences(TOOLKIT)
    document = {
        "schema": 1,
        "verdict": "changed" if changes else "passed",
        "findings": [{"path": f"toolkit/{name}", "change": change} for name, change in changes],
    }
    page = reports.table(("file", "change"), changes) if changes else "No file was changed.\n"
    reports.write(session.name, document, page)
    if not changes:
        session.log("toolkit: every file is as toolkit/CHECKSUMS says, tested by the template")
        return
    for name, change in changes:
        session.log(f"toolkit/{name}: {change}")
    session.log(f"toolkit: {len(changes)} files are not as the template has tested them")
    session.notify("toolkit_tests")


def toolkit_tests(session: nox.Session) -> None:
    """Run the toolkit's lint, types and tests; with arguments after --, pytest alone with them."""
    programs = environment.activate(session, "toolkit")
    if not session.posargs:
        style = ("--config", str(SETTINGS), "toolkit")
        formatting = ("ruff", "format", "--check", "--output-format", "concise", *style)
        tools = {
            ("flake8", "--toml-config", str(SETTINGS), "toolkit"): findings.LINT,
            formatting: findings.LINT,
            ("lint-imports", str(SETTINGS), "--no-cache"): FINDING,
            ("mypy", "--config-file", str(SETTINGS), "toolkit"): findings.MYPY,
        }
        findings.run(session, programs, tools)
    # Many tests wait for processes: three at a time keep two cores busy.
    chosen = tuple(session.posargs) or ("--numprocesses", "3", "--dist", "worksteal")
    if not any(argument.startswith(f"{TOOLKIT}/") for argument in chosen):
        # pytest takes its own default only where it is started beside its settings.
        chosen = (*chosen, str(TOOLKIT / "tests"))
    results.run(session, programs, ("--config-file", str(SETTINGS), *chosen))


def develop(session: nox.Session) -> None:
    """Fill .venv with everything that is locked, and let it import the code as it stands here."""
    programs = environment.install(session, environment.LOCKS / "toolkit.txt", Path(".venv"))
    [packages] = programs.parent.glob("lib/python*/site-packages")
    sources = [str(Path(name).absolute()) for name in run.SOURCES]
    (packages / "sources.pth").write_text("\n".join(sources) + "\n", encoding="utf-8")
    session.log(f"ready: {programs}")


def lock(session: nox.Session) -> None:
    """Compile the locks anew: the first takes what is asked for, and the others follow it."""
    programs = environment.activate(session, "tools")
    first, *_ = environment.SOURCES
    for name, sources in environment.SOURCES.items():
        followed = ("--constraint", str(environment.LOCKS / f"{first}.txt"))
        session.run(
            *(str(programs / "uv"), "pip", "compile", "--quiet", "--universal"),
            *("--generate-hashes", "--python-version", "3.11", "--fork-strategy", "fewest"),
            *("--no-annotate", "--no-header"),
            *("--output-file", str(environment.LOCKS / f"{name}.txt")),
            *(session.posargs if name == first else followed),
            *sources,
            external=True,
        )
