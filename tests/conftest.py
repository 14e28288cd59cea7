"""What the tests share: the template, and repositories baked from it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import engine
import faulty_registry
import pytest
import trivy_database
from faulty_registry import FaultyRegistry
from living import Living, shared
from trivy_database import Database

from demo import repository as repositories

Bake = Callable[..., Path]

# The toolkit that some tests import is what every repository gets a copy of.
sys.pycache_prefix = str(repositories.TEMPLATE / ".nox" / "bytecode")

# The files whose tests take minutes begin first, and one that bakes only beside them: it need not
# wait for the living repository. So no worker is left alone at the end with a long one.
FIRST = (
    *("test_release", "test_github_pipeline", "test_manifests", "test_gitlab_pipeline"),
    *("test_image", "test_docker", "test_breakage", "test_telco", "test_docs", "test_toolkit"),
    *("test_update", "test_model"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes longest first; the tests of a file keep their order."""
    order = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(scope="session")
def bake(tmp_path_factory: pytest.TempPathFactory) -> Bake:
    """Return a function that bakes a repository into a new folder, unless `into` names one."""

    def bake(into: Path | None = None, **answers: str) -> Path:
        return repositories.bake(into or tmp_path_factory.mktemp("baked"), **answers)

    return bake


@pytest.fixture(scope="session")
def baked(bake: Bake) -> Path:
    """Return one repository with the CI files of both providers, for tests that only read it."""
    return bake(ci="both")


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[engine.Engine]:
    """Return a real engine with the tests' base image; the commands of a repository find it too."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(engine.engine())
            engine.base_image(found.client)
        except engine.EngineMissing as missing:
            pytest.skip(str(missing))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in found.environment.items():
            patch.setenv(name, value)
        yield found


@pytest.fixture(scope="module")
def registry(docker_engine: engine.Engine) -> Iterator[FaultyRegistry]:
    """Return an empty registry, behind a proxy that can be told to have a fault."""
    with ExitStack() as stack:
        try:
            upstream = stack.enter_context(engine.registry())
        except engine.EngineMissing as missing:
            pytest.skip(str(missing))
        yield stack.enter_context(faulty_registry.before(upstream))


@pytest.fixture(scope="module")
def known_holes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Return what trivy knows in this module's tests: nothing, before one plants something."""
    with pytest.MonkeyPatch.context() as patch:
        yield trivy_database.in_use(patch, tmp_path_factory.mktemp("trivy"))


@pytest.fixture(scope="session")
def living(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Living:
    """Return a repository that is green, trained, and has two releases; nothing is promoted."""
    base = tmp_path_factory.getbasetemp()
    workspace = (base if worker_id == "master" else base.parent) / "living"
    return shared(workspace, tmp_path_factory.mktemp("living-copy"))
