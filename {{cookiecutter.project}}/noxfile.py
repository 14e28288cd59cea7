# /// script
# dependencies = ["nox>=2026.10"]
# ///
"""The checks: `nox` runs what a pull request must pass, `nox --list` shows all of them.

CI runs the same sessions. Each leaves reports/<session>.json and .md. A check of your own is one
more function: with `tags=["ci"]`, CI runs it too.
"""

import sys
from pathlib import Path

import nox

# nox does not look for modules beside this file; last, none of them takes the place of another.
sys.path.append(str(Path(__file__).parent))
from toolkit.checks import sessions  # noqa: E402

nox.needs_version = ">=2026.10"
# Sessions that want the same lock share one environment, which toolkit.checks makes.
nox.options.default_venv_backend = "none"

OURS = ("src", "tests", "data", "noxfile.py", "tasks.py")


@nox.session(tags=["ci"])
def lint(session: nox.Session) -> None:
    """Check style with flake8 and bugbear, and the format with ruff."""
    sessions.lint(session, OURS)


@nox.session(tags=["ci"])
def types(session: nox.Session) -> None:
    """Check types with mypy, strictly."""
    sessions.types(session, OURS)


@nox.session(tags=["ci"])
def tests(session: nox.Session) -> None:
    """Run the tests of this model; arguments after -- go to pytest."""
    sessions.tests(session)


@nox.session(tags=["ci"])
def data(session: nox.Session) -> None:
    """Check the data against data/contract.toml, and for drift against data/reference.json."""
    sessions.model(session, "data")


@nox.session(tags=["ci"])
def features(session: nox.Session) -> None:
    """Compare the features and predictions of training with those of the server."""
    sessions.model(session, "features")


@nox.session(tags=["ci"])
def gate(session: nox.Session) -> None:
    """Train quickly on a sample, and check the metrics against quality.toml and the champion."""
    sessions.model(session, "gate")


@nox.session(tags=["ci"])
def secrets(session: nox.Session) -> None:
    """Find passwords, keys and tokens, also in the branch's commits, and what would run unseen."""
    sessions.secrets(session)


@nox.session(tags=["ci"])
def pipelines(session: nox.Session) -> None:
    """Check the CI files, and that the sessions, tasks and flags they call exist."""
    sessions.pipelines(session)


@nox.session(tags=["ci"])
def toolkit(session: nox.Session) -> None:
    """Compare toolkit/ with its CHECKSUMS; where a file was changed, run the toolkit's tests."""
    sessions.toolkit(session)


# A laptop on a train must be able to run `nox`; CI names this session, which fails offline.
@nox.session(tags=["ci"], default=False)
def audit(session: nox.Session) -> None:
    """Check every locked package for known vulnerabilities; needs the network."""
    sessions.security(session, "audit")


@nox.session(default=False)
def scan(session: nox.Session) -> None:
    """Check what `invoke build` has made for known vulnerabilities; needs the network."""
    sessions.security(session, "scan")


@nox.session(default=False)
def train(session: nox.Session) -> None:
    """Train on all data, export the model, and write the evidence that `invoke build` needs."""
    sessions.model(session, "train")


@nox.session(default=False)
def verify(session: nox.Session) -> None:
    """Compute again what `nox -s train` has reported, as `invoke build` does on the commit."""
    sessions.model(session, "verify")


@nox.session(default=False)
def nightly(session: nox.Session) -> None:
    """Train on all data, and tell whether the model beats what was served some days ago."""
    sessions.model(session, "nightly")


@nox.session(default=False)
def adopt(session: nox.Session) -> None:
    """Bring your own table: -- FILE --target COLUMN --id COLUMN [--positive VALUE]."""
    sessions.model(session, "adopt")


@nox.session(default=False)
def snapshot(session: nox.Session) -> None:
    """Take a snapshot of the table from data/source.toml; -- --push, --verify and others."""
    sessions.model(session, "snapshot", lock="source")


@nox.session(default=False)
def score(session: nox.Session) -> None:
    """Score a table, as `invoke score` asks in a file: -- --request FILE."""
    sessions.model(session, "score")


@nox.session(default=False)
def reference(session: nox.Session) -> None:
    """Accept the data as it is now: drift is measured against it from then on."""
    sessions.model(session, "reference")


@nox.session(default=False)
def template(session: nox.Session) -> None:
    """Show what `cruft update` would change here, and which toolkit files are your own."""
    sessions.security(session, "template", lock="template")


@nox.session(default=False)
def toolkit_tests(session: nox.Session) -> None:
    """Run the toolkit's lint, types and tests; with arguments after --, pytest alone."""
    sessions.toolkit_tests(session)


@nox.session(default=False)
def dev(session: nox.Session) -> None:
    """Fill .venv with everything that is locked, for your editor."""
    sessions.develop(session)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Compile the locks after a change in pyproject.toml; -- --upgrade takes newer versions."""
    sessions.lock(session)
