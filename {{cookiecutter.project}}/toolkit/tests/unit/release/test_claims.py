"""What a desired state says that it runs, held against the release: every lie is named."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from toolkit.release.images.record import ImageRecord
from toolkit.release.platforms import claims
from toolkit.release.records import IMAGE_NAME, Record, digest_of, sha256

COMMIT = "c0ffee" * 6 + "c0ff"
ARTIFACTS = {"model.onnx": sha256(b"model")}
RECORD = Record(
    version=f"{COMMIT[:12]}-{sha256(b'model')[:8]}",
    commit=COMMIT,
    digest=digest_of(ARTIFACTS),
    model_sha256=sha256(b"model"),
    data_sha256=sha256(b"data"),
    artifacts=ARTIFACTS,
    evidence={},
    gate="passed",
)
IMAGE = ImageRecord(
    repository="registry.example/churn",
    tag=RECORD.version,
    digest=f"sha256:{sha256(b'manifest')}",
    image_id=f"sha256:{sha256(b'configuration')}",
    base="base",
    release_digest=RECORD.digest,
    size_bytes=2,
    own_bytes=1,
)
BUNDLE = {IMAGE_NAME: IMAGE.to_json()}
SERVE = ("-m", "toolkit.serving")
PROCESS = {"release": RECORD.version, "digest": RECORD.digest, "serve": list(SERVE), "port": 1}
DOCKER = PROCESS | {"image": IMAGE.reference, "image_id": IMAGE.image_id}


def complaint(name: str, manifest: object, serve: tuple[str, ...] | None = SERVE) -> str:
    return claims.complaint({name: json.dumps(manifest).encode()}, RECORD, BUNDLE, serve)


@pytest.mark.parametrize(("name", "manifest"), [("process.json", PROCESS), ("docker.json", DOCKER)])
def test_what_the_platform_has_rendered_is_believed(name: str, manifest: object) -> None:
    assert complaint(name, manifest) == ""


@pytest.mark.parametrize("key", ["release", "digest", "serve", "image", "image_id"])
def test_a_manifest_of_something_else_is_named(key: str) -> None:
    assert complaint("docker.json", DOCKER | {key: "other"}).startswith(f"{key} in its docker.json")


def test_the_command_of_an_older_release_is_not_asked() -> None:
    assert complaint("process.json", PROCESS | {"serve": ["older.py"]}, serve=None) == ""


@pytest.mark.parametrize("content", [b"{", b"[]", b"null", b"\xff"])
def test_a_manifest_that_cannot_be_read_is_named(content: bytes) -> None:
    output = claims.complaint({"process.json": content}, RECORD, BUNDLE, SERVE)
    assert output.startswith("its manifests cannot be read")


def cluster(image: str, digest: str = RECORD.digest) -> dict[str, bytes]:
    """Return the manifests of a Deployment, with the index for an agent."""
    pod = {"containers": [{"name": "server", "image": image}]}
    deployment = {
        "kind": "Deployment",
        "metadata": {"name": "churn"},
        "spec": {
            "template": {"metadata": {"annotations": {"release.digest": digest}}, "spec": pod}
        },
    }
    index = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["kubernetes.yaml"],
    }
    return {
        "kubernetes.yaml": json.dumps(deployment).encode(),
        "kustomization.yaml": (json.dumps(index, indent=2) + "\n").encode(),
    }


def test_manifests_of_a_cluster_run_the_release_s_image_alone() -> None:
    good = cluster(f"{IMAGE.repository}:{IMAGE.tag}@{IMAGE.digest}")
    assert claims.complaint(good, RECORD, BUNDLE, SERVE) == ""
    other = replace(IMAGE, digest=f"sha256:{sha256(b'another')}")
    lies = {
        "runs registry.example/churn@sha256:": cluster(other.reference),
        "is of the bundle sha256:0": cluster(IMAGE.reference, digest="sha256:0"),
        "is not the one of kubernetes.yaml alone": good | {"kustomization.yaml": b"{}"},
    }
    for why, state in lies.items():
        assert why in claims.complaint(state, RECORD, BUNDLE, SERVE)
