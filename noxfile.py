# /// script
# dependencies = ["nox>=2026.10.20"]
# ///
"""The template's doors: `nox` lints and tests it, `nox -s demo` shows what it makes."""

from pathlib import Path

import nox

nox.needs_version = ">=2026.10.20"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True
nox.options.download_python = "never"

# The model wing's benchmarks run its code with its own lock, and beside what it is compared with.
TRAIN_LOCK = "{{cookiecutter.project}}/requirements-train.txt"
DOORS_LOCK = "{{cookiecutter.project}}/requirements-doors.txt"
COOKIECUTTER = "cookiecutter==2.7.1"
GREAT_EXPECTATIONS = "great_expectations==1.24.1"
BENTOML = "bentoml==1.4.40"
MLFLOW = "mlflow==3.17.2"
# What a trained pipeline is read with must be what it was written with.
PIPELINE = ("joblib", "numpy", "pandas", "scikit-learn", "scipy", "threadpoolctl")

SOURCES = ("hooks", "tests", "demo", "benchmarks", "noxfile.py")


def install(session: nox.Session) -> None:
    """Install what the template's own work needs, locked and hashed."""
    # uv would otherwise try to download an interpreter that is not found.
    session.env["UV_PYTHON_DOWNLOADS"] = "never"
    session.install("--require-hashes", "--requirement", "requirements-dev.txt")


def install_model_wing(session: nox.Session, *contenders: str) -> None:
    """Install what a generated repository trains with, and what it is measured against."""
    session.env["UV_PYTHON_DOWNLOADS"] = "never"
    session.install("--require-hashes", "--requirement", TRAIN_LOCK)
    session.install(COOKIECUTTER, *contenders)


def install_apart(session: nox.Session, contender: str) -> str:
    """Install what the lock does not go together with, beside the session; return its Python."""
    folder = Path(session.virtualenv.location, "apart", contender.partition("==")[0])
    python = str(folder / "bin" / "python")
    lock = Path(TRAIN_LOCK).read_text(encoding="utf-8").splitlines()
    pins = [line.split()[0] for line in lock if line.partition("==")[0] in PIPELINE]
    session.run("python", "-m", "venv", str(folder))
    session.run(python, "-m", "pip", "install", "--quiet", contender, *pins, external=True)
    return python


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and format of the template's own Python."""
    install(session)
    session.run("flake8", *SOURCES)
    session.run("mypy", *SOURCES)
    session.run("ruff", "format", "--check", *SOURCES)


@nox.session
def tests(session: nox.Session) -> None:
    """Bake the template, run what it makes, drive its releases, break it."""
    install(session)
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    # What measures or loads the machine runs by itself, and first: after the others pytest would
    # remove their many files, for a minute. Most of those wait for processes: two at a time.
    session.run("pytest", "-m", "alone")
    session.run("pytest", "-m", "not options and not alone", "-n", "2", "--dist", "loadfile")


@nox.session(default=False)
def options(session: nox.Session) -> None:
    """Bake the full product of the options, which takes minutes."""
    install(session)
    session.run("pytest", "-m", "options", *session.posargs)


@nox.session(default=False)
def benchmark(session: nox.Session) -> None:
    """Measure how long a developer waits, which takes minutes."""
    install(session)
    session.run("python", "-m", "benchmarks.pipeline", *session.posargs)


@nox.session(default=False)
def benchmark_canary(session: nox.Session) -> None:
    """Measure how often a canary's verdict is right, against the figures it was chosen by."""
    install(session)
    session.run("python", "-m", "benchmarks.canary", *session.posargs)


@nox.session(default=False)
def benchmark_data(session: nox.Session) -> None:
    """Measure the data check against pandas assertions and Great Expectations."""
    install_model_wing(session, GREAT_EXPECTATIONS)
    session.run("python", "-m", "benchmarks.data")


@nox.session(default=False)
def benchmark_drift(session: nox.Session) -> None:
    """Measure how often drift is seen where there is none, and where there is."""
    install_model_wing(session)
    session.run("python", "-m", "benchmarks.drift")


@nox.session(default=False)
def benchmark_gate(session: nox.Session) -> None:
    """Measure how often the gate blocks equal models, and misses worse ones."""
    install_model_wing(session)
    session.run("python", "-m", "benchmarks.gate")


@nox.session(default=False)
def benchmark_audit(session: nox.Session) -> None:
    """Measure the audit of a thousand events, and whether it names what is planted there."""
    session.env["UV_PYTHON_DOWNLOADS"] = "never"
    session.install("--require-hashes", "--requirement", DOORS_LOCK)
    # The history is written with what the repository's own tests build releases with.
    session.install(COOKIECUTTER, "pytest")
    session.run("python", "-m", "benchmarks.audit")


@nox.session(default=False)
def benchmark_serving(session: nox.Session) -> None:
    """Measure the server against FastAPI, BentoML and MLflow with the same pipeline on a frame."""
    install_model_wing(session)
    bentoml, mlflow = install_apart(session, BENTOML), install_apart(session, MLFLOW)
    session.run("python", "-m", "benchmarks.serving", "--bentoml", bentoml, "--mlflow", mlflow)


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """Go from nothing to a promoted, verified and rolled-back model."""
    install(session)
    session.run("python", "-m", "demo", *session.posargs)
