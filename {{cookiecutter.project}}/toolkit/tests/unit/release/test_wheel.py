"""What a release brings for its server: the toolkit's modules in the wheel, files in the image."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.data.expectation import EXPECTATION_FILE
from toolkit.model.predictor import CONTRACT_FILE, MODEL_FILE, SMOKE_FILE
from toolkit.serving.__main__ import RELEASE_FILE
from toolkit.tests.releases import TOOLKIT, released_modules

PYPROJECT = TOOLKIT.parent / "pyproject.toml"
DOCKERFILE = TOOLKIT.parent / "Dockerfile"


def test_a_wheel_holds_just_what_a_server_imports() -> None:
    # In the template the file has placeholders, and is not TOML.
    listed = re.search(r"only-include = \[(.*?)\]", PYPROJECT.read_text("utf-8"), re.DOTALL)
    assert listed
    paths = [TOOLKIT.parent / name for name in re.findall(r'"(toolkit/[^"]+)"', listed[1])]
    held = {file for path in paths for file in (path.glob("*.py") if path.is_dir() else [path])}
    assert held == released_modules()


def test_a_server_loads_nothing_that_its_wheel_does_not_hold() -> None:
    modules = [f"toolkit.serving.{path.stem}" for path in (TOOLKIT / "serving").glob("*.py")]
    script = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    script += "print(*(getattr(one, '__file__', '') for one in sys.modules.values()), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", script, *modules],
        cwd=TOOLKIT.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    here = TOOLKIT.resolve()
    loaded = {Path(line) for line in done.stdout.splitlines() if line.startswith(str(here))}
    assert loaded
    assert loaded <= {path.resolve() for path in released_modules()}


@pytest.mark.skipif(not DOCKERFILE.exists(), reason="no image is made of these releases")
def test_an_image_holds_every_file_of_a_bundle_that_a_server_reads() -> None:
    copied = set(re.findall(r"\$\{BUNDLE\}/([\w.]+)", DOCKERFILE.read_text("utf-8")))
    read = {MODEL_FILE, CONTRACT_FILE, EXPECTATION_FILE, SMOKE_FILE, RELEASE_FILE}
    assert read <= copied
