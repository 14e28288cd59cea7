"""The image of a release: built from its bundle on a real engine, proved, and pushed once.

The numbers in the names are those of the failure cases that every release machine meets.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import engine
import image_index
import pytest
from docker.models.images import Image
from faulty_registry import FaultyRegistry
from living import Living, broken, scan
from trivy_database import DEBIAN, PYTHON, Database

from demo.repository import Repository

pytestmark = pytest.mark.full

GATE, BUILD_FAILED, PUSH_FAILED, REGISTRY_DIFFERS = 10, 20, 21, 22
PLANTED = "planted-secret-token"
# As long as a version.
OTHER_TAG = "0" * 12 + "-" + "0" * 8
MEGABYTE = 1_000_000
# What the release adds to its base, and all of it.
MAX_OWN_MB, MAX_MB = 150, 600


@dataclass(frozen=True)
class Shop:
    """A trained repository whose image is built and scanned, and what it is pushed to.

    Parameters
    ----------
    repository : Repository
    client : docker.DockerClient
    registry : FaultyRegistry
        What release.toml names.
    open_registry, locked_registry : str
        The real ones that it can stand before.
    """

    repository: Repository
    client: docker.DockerClient
    registry: FaultyRegistry
    open_registry: str
    locked_registry: str

    def build(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `invoke build` on the tests' base image."""
        return self.repository.invoke("build", "--base", engine.BASE_IMAGE, *arguments)

    @property
    def images(self) -> str:
        """Where release.toml sends them."""
        return f"{self.registry.address}/models/churn-model"

    def releases(self) -> str:
        """Return the tags of all releases."""
        return self.repository.git("tag", "--list", "release/*")

    def forget(self, release: str) -> None:
        """Take a release out of git, here and at the remote."""
        self.repository.git("tag", "--delete", release)
        self.repository.git("push", "--quiet", "--delete", "origin", release)

    def push(self, image: str, tag: str) -> str:
        """Push an image beside the releases, as anybody can, and return its digest."""
        self.client.images.get(image).tag(self.images, tag)
        self.client.images.push(self.images, tag)
        return str(self.client.images.get_registry_data(f"{self.images}:{tag}").id)

    def kept(self) -> dict[str, Any]:
        """Return what the newest build has kept of its image."""
        folders = [path for path in (self.repository.folder / "dist").iterdir() if path.is_dir()]
        newest = max(folders, key=lambda path: path.stat().st_mtime_ns)
        kept: dict[str, Any] = json.loads((newest / "image.json").read_bytes())
        return kept


@pytest.fixture(scope="module")
def shop(
    living: Living,
    docker_engine: engine.Engine,
    registry: FaultyRegistry,
    known_holes: Database,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shop]:
    """Return a repository on the docker platform, beside an engine and two registries."""
    workspace = tmp_path_factory.mktemp("image")
    repository = living.generate(
        workspace, platform="docker", registry=f"{registry.address}/models"
    )
    repository.begin(workspace / "remote.git")
    trained = repository.nox("-s", "train")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    with engine.locked_registry() as locked:
        shop = Shop(repository, docker_engine.client, registry, registry.upstream, locked)
        built = shop.build()
        assert built.returncode == 0, built.stderr
        scan(repository)
        yield shop


@pytest.fixture(autouse=True)
def sound_registry(shop: Shop) -> Iterator[None]:
    """Put the registry back after each test."""
    yield
    shop.registry.mend()
    shop.registry.upstream = shop.open_registry


def refused(shop: Shop, code: int, *words: str) -> str:
    """Try to release, and insist on an exit code, words, and that there is no release."""
    done = shop.build("--push")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    for word in (*words, "state: no release was made"):
        assert word in done.stderr
    assert shop.releases() == ""
    return done.stdout + done.stderr


def test_without_a_push_it_is_proved_and_nothing_is_released(shop: Shop) -> None:
    done = shop.build()
    assert done.returncode == 0, done.stderr
    assert "invoke build --push releases it" in done.stderr
    assert shop.releases() == ""
    kept = shop.kept()
    assert kept["digest"] == ""
    assert kept["own_bytes"] < MAX_OWN_MB * MEGABYTE
    assert kept["size_bytes"] < MAX_MB * MEGABYTE
    assert f"{kept['own_bytes'] / MEGABYTE:.0f} MB are not of the base" in done.stderr
    assert "MB  onnxruntime" in done.stderr


def test_the_same_bundle_is_the_same_image(shop: Shop) -> None:
    assert shop.build().returncode == 0
    first = shop.kept()
    assert shop.build().returncode == 0
    assert shop.kept() == first


def test_the_same_bundle_gives_the_same_layers_to_who_remembers_no_step(
    shop: Shop, tmp_path: Path
) -> None:
    assert shop.build().returncode == 0
    kept = shop.kept()
    bundle = Path("dist", kept["tag"])

    def build_anew(place: str) -> Image:
        shutil.copytree(shop.repository.folder / bundle, tmp_path / place / bundle)
        shutil.copy(shop.repository.folder / "Dockerfile", tmp_path / place)
        image, _ = shop.client.images.build(
            path=str(tmp_path / place),
            nocache=True,
            rm=True,
            buildargs={"BASE": engine.BASE_IMAGE, "BUNDLE": str(bundle)},
        )
        return image

    # Most of the time goes by waiting for packages.
    with ThreadPoolExecutor() as both:
        images = [*both.map(build_anew, ("here", "there"))]
    layers = [image.attrs["RootFS"]["Layers"] for image in images]
    remembered = shop.client.images.get(kept["image_id"]).attrs["RootFS"]["Layers"]
    assert layers == [remembered, remembered]
    assert images[0].id != images[1].id, "neither was built anew"
    # The engine remembers these steps now: what is pushed next is another image with these layers.
    assert shop.build().returncode == 0
    scan(shop.repository)


def test_a_base_with_a_tag_and_a_digest_is_told_apart_too(shop: Shop) -> None:
    assert shop.build().returncode == 0
    own_bytes = shop.kept()["own_bytes"]
    digest = shop.push(engine.BASE_IMAGE, "bookworm")
    shop.client.images.remove(f"{shop.images}:bookworm")
    base = f"{shop.images}:bookworm@{digest}"
    done = shop.repository.invoke("build", "--base", base)
    assert done.returncode == 0, done.stderr
    assert (shop.kept()["base"], shop.kept()["own_bytes"]) == (base, own_bytes)


def test_it_holds_what_serves_and_nothing_that_trains(shop: Shop) -> None:
    assert shop.build().returncode == 0
    script = (
        "import importlib.metadata as m; print(*(d.metadata['Name'] for d in m.distributions()))"
    )
    said = shop.client.containers.run(
        shop.kept()["image_id"], ["python3", "-c", script], remove=True
    )
    names = said.decode().split()
    assert {"onnxruntime", "fastapi", "churn-model"} <= set(names)
    assert {"pandas", "scikit-learn", "skl2onnx", "pip", "setuptools"}.isdisjoint(names)


def test_what_its_packages_list_is_in_it(shop: Shop) -> None:
    assert shop.build().returncode == 0
    # Of a distribution's `files` newer Pythons leave out those that are missing.
    script = (
        "import csv, importlib.metadata as m; "
        "listed = [d.locate_file(row[0]) for d in m.distributions() "
        "for row in csv.reader(d.read_text('RECORD').splitlines())]; "
        "print(len(listed), *(f for f in listed if not f.exists()))"
    )
    said = shop.client.containers.run(
        shop.kept()["image_id"], ["python3", "-c", script], remove=True
    )
    listed, *missing = said.decode().split()
    assert int(listed) > 1000 and missing == []


def test_an_image_that_was_not_scanned_is_not_pushed(shop: Shop) -> None:
    scanned = shop.repository.folder / "reports" / "scanned.json"
    content = scanned.read_text()
    next_step = "next:  invoke build, then nox -s scan, then invoke build --push"
    scanned.unlink()
    refused(shop, GATE, "the release has not passed a scan", "scanned.json", next_step)
    scanned.write_text(content.replace(shop.kept()["image_id"], "sha256:" + "0" * 64))
    refused(shop, GATE, "it is about the image sha256:000", shop.kept()["image_id"], next_step)
    scanned.write_text(content)


def test_an_image_with_a_hole_that_could_be_mended_is_not_pushed(
    shop: Shop, known_holes: Database
) -> None:
    session = ("--reuse-existing-virtualenvs", "-s", "scan")
    known_holes.plant(DEBIAN, "openssl", "CVE-2026-1", "HIGH")
    done = shop.repository.nox(*session)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "does not fail: CVE-2026-1: libssl3 " in done.stdout
    known_holes.plant(DEBIAN, "openssl", "CVE-2026-1", "HIGH", fixed="99.1")
    known_holes.plant(PYTHON, "onnxruntime", "CVE-2026-2", "CRITICAL", fixed="99.1")
    done = shop.repository.nox(*session)
    assert done.returncode != 0
    assert re.search(r"(?m)^Dockerfile:\d+: CVE-2026-1: libssl3 \S+ in debian 12", done.stdout)
    where = r"app/venv/lib/\S+/onnxruntime-\S+/METADATA \(CRITICAL\): fixed in 99.1"
    lock = r"(?m)^requirements/serving.txt:\d+"
    assert re.search(rf"{lock}: CVE-2026-2: onnx\S+ \S+ in {where}", done.stdout)
    refused(shop, GATE, "its verdict is 'failed'")
    known_holes.forget()
    scan(shop.repository)


def test_an_engine_that_does_not_answer_is_no_pass(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
        done = shop.repository.nox("--reuse-existing-virtualenvs", "-s", "scan")
    assert done.returncode != 0
    assert "could not tell: trivy: " in done.stdout and "/nowhere.sock" in done.stdout
    refused(shop, GATE, "scanned.json")
    scan(shop.repository)


def test_01_a_registry_that_cannot_be_reached(shop: Shop) -> None:
    shop.registry.refuses = True
    refused(
        shop, PUSH_FAILED, f"{shop.registry.address}/models/churn-model did not accept the image"
    )


def test_02_a_registry_that_dies_while_it_is_pushed_to(shop: Shop) -> None:
    shop.registry.cuts_manifests = True
    refused(shop, PUSH_FAILED, "did not accept the image")


def test_03_40_a_registry_that_denies_is_told_with_the_user_and_without_the_token(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.registry.upstream = shop.locked_registry
    refused(shop, PUSH_FAILED, "that of docker login", "docker login")
    monkeypatch.setenv("REGISTRY_USER", engine.ACCOUNT["username"])
    monkeypatch.setenv("REGISTRY_TOKEN", PLANTED)
    said = refused(shop, PUSH_FAILED, "user: pusher, from REGISTRY_USER")
    assert PLANTED not in said
    for path in (shop.repository.folder / "dist").rglob("*"):
        assert path.is_dir() or PLANTED.encode() not in path.read_bytes()
    image = shop.client.images.get(shop.kept()["image_id"])
    assert PLANTED not in json.dumps([image.attrs, image.history()])


def test_04_a_tag_that_somebody_else_has_moved(shop: Shop) -> None:
    shop.push(engine.BASE_IMAGE, OTHER_TAG)
    shop.registry.renames = (shop.kept()["tag"].encode(), OTHER_TAG.encode())
    refused(shop, REGISTRY_DIFFERS, "is not the image that was pushed", "the registry has sha256:")


def test_36_an_index_of_something_else_is_not_the_image(shop: Shop) -> None:
    pushed = shop.push(engine.BASE_IMAGE, OTHER_TAG)
    index = image_index.put(shop.images, OTHER_TAG, pushed, image_index.platform(shop.client))
    shop.registry.renames = (shop.kept()["tag"].encode(), OTHER_TAG.encode())
    refused(shop, REGISTRY_DIFFERS, f"the registry has {index}")


@pytest.mark.parametrize("kind", [image_index.OCI, image_index.DOCKER])
def test_36_an_index_that_holds_the_image_is_the_image(shop: Shop, kind: str) -> None:
    assert shop.build().returncode == 0
    pushed = shop.push(shop.kept()["image_id"], OTHER_TAG)
    platform = image_index.platform(shop.client)
    index = image_index.put(shop.images, OTHER_TAG, pushed, platform, kind)
    shop.registry.renames = (shop.kept()["tag"].encode(), OTHER_TAG.encode())
    done = shop.build("--push")
    assert done.returncode == 0, done.stderr
    # What is kept is what was pushed, and not what somebody has wrapped it in.
    assert shop.kept()["digest"] == pushed != index
    shop.forget(shop.releases())


def test_36_an_index_that_holds_the_image_for_another_platform_is_not_it(shop: Shop) -> None:
    pushed = shop.push(shop.kept()["image_id"], OTHER_TAG)
    elsewhere = image_index.platform(shop.client) | {"architecture": "s390x"}
    index = image_index.put(shop.images, OTHER_TAG, pushed, elsewhere)
    shop.registry.renames = (shop.kept()["tag"].encode(), OTHER_TAG.encode())
    refused(shop, REGISTRY_DIFFERS, f"the registry has {index}")


@pytest.mark.parametrize(
    ("path", "old", "new", "words"),
    [
        ("Dockerfile", "USER 10001:10001", "USER 0:0", "DL3002"),
        ("Dockerfile", "USER 10001:10001\n", "", "it runs as root"),
        (
            "Dockerfile",
            "EXPOSE 8080\n",
            "EXPOSE 8080\nENV API_KEY=x\n",
            "`ARG` or `ENV`",
        ),
        (
            "Dockerfile",
            'CMD ["python3", "-m", "toolkit.serving"',
            "CMD python3 -m x #",
            "DL3025",
        ),
        ("Dockerfile", '"/app/bundle", "--host"', '"/app/nothing", "--host"', "/app/nothing/model"),
        ("Dockerfile", '"/tmp/bundle/requirements.txt"]', '"/tmp/nothing.txt"]', "nothing.txt"),
        ("release.toml", "max_mb = 600", "max_mb = 60", "release.toml allows 60"),
    ],
)
def test_06_an_image_with_a_fault_is_not_built_not_even_to_look_at(
    shop: Shop, path: str, old: str, new: str, words: str
) -> None:
    with broken(shop.repository, path, old, new):
        done = shop.build("--allow-dirty")
    assert done.returncode == BUILD_FAILED, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_release_is_in_the_registry_and_in_git_and_made_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.registry.upstream = shop.locked_registry
    monkeypatch.setenv("REGISTRY_USER", engine.ACCOUNT["username"])
    monkeypatch.setenv("REGISTRY_TOKEN", engine.ACCOUNT["password"])
    done = shop.build("--push")
    assert done.returncode == 0, done.stderr
    kept = shop.kept()
    tag = shop.releases()
    assert tag == f"release/{kept['tag']}"
    assert json.loads(shop.repository.git("show", f"{tag}:image.json")) == kept
    bill = json.loads(shop.repository.git("show", f"{tag}:sbom.json"))
    assert {"onnxruntime", "libc6"} <= {one["name"] for one in bill["components"]}
    scanned = json.loads(shop.repository.git("show", f"{tag}:scanned.json"))
    assert (scanned["verdict"], scanned["image_id"]) == ("passed", kept["image_id"])
    assert "| onnxruntime |" in shop.repository.git("show", f"{tag}:licences.md")
    sums = shop.repository.folder / "dist" / kept["tag"] / "checksums.txt"
    image = f"{kept['digest'].removeprefix('sha256:')}  {kept['repository']}"
    assert image in sums.read_text(encoding="utf-8").splitlines()
    pulled = shop.client.images.pull(
        f"{kept['repository']}@{kept['digest']}", auth_config=engine.ACCOUNT
    )
    assert pulled.id == kept["image_id"]
    again = shop.build("--push")
    assert (again.returncode, "is released already: nothing to do" in again.stderr) == (0, True)
    assert set(os.listdir(shop.repository.folder / "dist")) == {kept["tag"], "checksums.txt"}
    assert Path(shop.repository.folder / "dist" / kept["tag"] / "release.json").is_file()
