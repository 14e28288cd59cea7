"""Pushes are verified at the registry, and unsafe configurations are named."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from docker.errors import ImageNotFound

from toolkit.release.errors import (
    BuildFailed,
    HistoryCorrupt,
    PushFailed,
    RegistryDiffers,
)
from toolkit.release.images.build import context, faults
from toolkit.release.images.host import Host
from toolkit.release.images.record import ImageRecord, parse
from toolkit.release.records import Record, digest_of, sha256

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
ARTIFACTS = {"model.onnx": sha256(b"model")}
RECORD = Record(
    version="0123456789ab-" + sha256(b"model")[:8],
    commit="0123456789ab" + "0" * 28,
    digest=digest_of(ARTIFACTS),
    model_sha256=sha256(b"model"),
    data_sha256=sha256(b"data"),
    artifacts=ARTIFACTS,
    evidence={},
    gate="passed",
)
IMAGE = ImageRecord(
    "registry/models", RECORD.version, DIGEST, OTHER, "python:3", RECORD.digest, 3, 2
)
CONFIGURATION: dict[str, Any] = {
    "User": "10001:10001",
    "Healthcheck": {"Test": ["CMD", "true"]},
    "Cmd": ["python3", "-m", "server"],
    "Env": ["PATH=/bin"],
    "Labels": {
        f"org.opencontainers.image.{name}": "x" for name in ("title", "version", "revision")
    },
}


class Engine:
    """Replays messages of a real Docker Engine."""

    def __init__(self, *messages: object, held: str = DIGEST) -> None:
        self.messages = messages
        self.held = held
        self.api = SimpleNamespace(push=self.stream, build=self.stream)
        self.images = SimpleNamespace(get=self.get, get_registry_data=self.registry_data)

    def stream(self, *_: object, **__: object) -> Iterator[object]:
        for message in self.messages:
            if isinstance(message, Exception):
                raise message
            yield message

    def get(self, name: str) -> str:
        return name

    def registry_data(self, *_: object, **__: object) -> object:
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        return SimpleNamespace(id=self.held, attrs={"Descriptor": {"mediaType": kind}})

    def none(self, name: str) -> str:
        raise ImageNotFound(f"No such image: {name}")

    def push(self) -> str:
        image: Any = SimpleNamespace(tag=lambda *_: True)
        host: Any = Host(self)  # type: ignore[arg-type]  # nothing else is used
        digest: str = host.push(image, "registry/models", "v1", lambda _: None)
        return digest


LAYER = {"id": "abc", "status": "Pushed"}
DONE = {"aux": {"Tag": "v1", "Digest": DIGEST, "Size": 1}}


def test_a_push_that_the_registry_confirms_gives_its_digest() -> None:
    assert Engine(LAYER, DONE).push() == DIGEST


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ((LAYER,), "without a digest"),
        ((), "without a digest"),
        ((LAYER, {"aux": {"Digest": "sha256:short"}}), "without a digest"),
        (({"errorDetail": {"message": "denied"}, "error": "denied"},), "denied"),
        (({"error": "no space left on device"},), "no space left"),
        ((LAYER, requests.ConnectionError("the engine went away")), "went away"),
        ((LAYER, DONE, requests.ReadTimeout("read timed out")), "timed out"),
    ],
)
def test_02_03_a_push_that_fails_or_is_cut_off_is_no_push(
    messages: tuple[object, ...], why: str
) -> None:
    with pytest.raises(PushFailed) as refusal:
        Engine(*messages).push()
    assert why in refusal.value.why
    assert "registry/models did not accept the image" in refusal.value.what
    assert refusal.value.exit_code == 21


def test_04_a_registry_that_holds_another_image_is_refused() -> None:
    with pytest.raises(RegistryDiffers) as refusal:
        Engine(DONE, held=OTHER).push()
    assert OTHER in refusal.value.why
    assert refusal.value.exit_code == 22


def test_03_40_a_refusal_names_the_user_and_never_the_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REGISTRY_USER", "ada")
    monkeypatch.setenv("REGISTRY_TOKEN", "planted-secret")
    with pytest.raises(PushFailed) as refusal:
        Engine({"error": "denied"}).push()
    assert "(user: ada, from REGISTRY_USER)" in refusal.value.what
    assert "planted-secret" not in str(refusal.value)


def test_a_build_that_fails_shows_the_engine_s_last_lines() -> None:
    engine = Engine({"stream": "Step 1/2 : FROM x\n"}, {"error": "pip exited with 1"})
    host: Any = Host(engine)  # type: ignore[arg-type]  # nothing else is used
    with pytest.raises(BuildFailed) as refusal:
        host.build(b"", "name", {}, lambda _: None)
    assert refusal.value.why == "Step 1/2 : FROM x\npip exited with 1"


def test_the_size_of_an_image_that_is_not_there_is_an_error_and_not_nothing() -> None:
    engine = Engine()
    engine.images.get = engine.none
    host: Any = Host(engine)  # type: ignore[arg-type]  # nothing else is used
    with pytest.raises(BuildFailed, match="the engine does not know python:3.13"):
        host.size("python:3.13")


def test_a_sound_configuration_has_no_fault() -> None:
    assert faults(CONFIGURATION) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"User": ""}, "runs as root"),
        ({"User": "0:10001"}, "runs as root"),
        ({"User": "root"}, "runs as root"),
        ({"Healthcheck": None}, "no HEALTHCHECK"),
        ({"Healthcheck": {"Test": ["NONE"]}}, "no HEALTHCHECK"),
        ({"Cmd": ["/bin/sh", "-c", "python3"]}, "a shell starts the server"),
        ({"Cmd": None}, "a shell starts the server"),
        ({"Env": ["REGISTRY_TOKEN=x"]}, "it holds the variable REGISTRY_TOKEN"),
        ({"Env": ["db_password=x"]}, "it holds the variable db_password"),
        ({"Labels": None}, "no label org.opencontainers.image.revision"),
    ],
)
def test_a_configuration_that_allows_too_much_is_named(
    change: dict[str, object], fault: str
) -> None:
    assert fault in "\n".join(faults(CONFIGURATION | change))


def test_the_same_bundle_is_the_same_context() -> None:
    files = {"b.whl": b"2", "a.toml": b"1"}
    packed = context(b"FROM x", RECORD, files)
    assert packed == context(b"FROM x", RECORD, dict(reversed(files.items())))
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        folder = f"dist/{RECORD.version}"
        assert archive.getnames() == ["Dockerfile", f"{folder}/a.toml", f"{folder}/b.whl"]


def test_an_image_record_is_read_back_and_names_the_image_by_digest() -> None:
    assert parse(IMAGE.to_json(), RECORD) == IMAGE
    assert IMAGE.reference == f"registry/models@{DIGEST}"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "Expecting value"),
        (b"[]", "object"),
        (json.dumps({"schema": 2}).encode(), "schema is not 1"),
        (json.dumps({"schema": 1, "tag": "x"}).encode(), "its keys"),
        (replace(IMAGE, release_digest=OTHER).to_json(), f"it is of the bundle {OTHER}"),
    ],
)
def test_33_an_image_record_that_is_not_this_release_s_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(HistoryCorrupt) as refusal:
        parse(content, RECORD)
    assert why in refusal.value.why
    assert refusal.value.exit_code == 50
