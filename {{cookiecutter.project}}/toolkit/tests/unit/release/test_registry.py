"""An index at a registry counts as a release's image if it lists exactly that."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Iterator

import pytest
import requests

from toolkit.release.images.registry import INDEXES, lists
from toolkit.release.records import sha256

MANIFEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
HERE = {"os": "linux", "architecture": "amd64"}
ADA = {"username": "ada", "password": "secret"}


class Registry(http.server.BaseHTTPRequestHandler):
    """Gives one index to clients with a token, and tokens to Ada, as the large registries do."""

    content = b""

    def do_GET(self) -> None:
        sent = self.headers.get("Authorization", "")
        host = self.headers["Host"]
        if self.path.startswith("/token?"):
            known = base64.b64encode(b"ada:secret").decode()
            wanted = "service=models&scope=repository%3Ateam%2Fchurn%3Apull"
            good = sent == f"Basic {known}" and self.path == f"/token?{wanted}"
            self.answer(200 if good else 403, b'{"token": "t0ken"}')
        elif sent != "Bearer t0ken":
            scope = 'service="models",scope="repository:team/churn:pull"'
            self.answer(401, b"", f'Bearer realm="http://{host}/token",{scope}')
        elif self.path.startswith("/v2/team/churn/manifests/sha256:"):
            assert INDEXES[0] in self.headers["Accept"]
            self.answer(200, self.content)
        else:
            self.answer(404, b"")

    def answer(self, status: int, content: bytes, challenge: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def repository() -> Iterator[str]:
    """Return the repository of a registry on loopback."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}/team/churn"
        server.shutdown()
        thread.join()


def index(*manifests: object) -> bytes:
    return json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()


@pytest.mark.parametrize(
    ("content", "has_it"),
    [
        (index({"digest": MANIFEST, "platform": HERE}), True),
        (index({"digest": OTHER, "platform": HERE}, {"digest": MANIFEST, "platform": HERE}), True),
        (index({"digest": MANIFEST, "platform": HERE | {"variant": "v2"}}), True),
        (index({"digest": MANIFEST, "platform": HERE | {"architecture": "arm64"}}), False),
        (index({"digest": OTHER, "platform": HERE}), False),
        (index({"digest": MANIFEST}), False),
        (index(), False),
        (b"[]", False),
        (b"no index at all", False),
    ],
)
def test_36_an_index_belongs_to_an_image_that_it_lists_for_the_platform(
    repository: str, monkeypatch: pytest.MonkeyPatch, content: bytes, has_it: bool
) -> None:
    monkeypatch.setattr(Registry, "content", content)
    assert lists(repository, f"sha256:{sha256(content)}", MANIFEST, HERE, ADA) is has_it


def test_36_an_index_with_another_digest_is_not_trusted(
    repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Registry, "content", index({"digest": MANIFEST, "platform": HERE}))
    assert not lists(repository, OTHER, MANIFEST, HERE, ADA)


def test_40_an_index_that_is_refused_is_an_error_without_the_password(repository: str) -> None:
    with pytest.raises(requests.HTTPError) as refusal:
        lists(repository, OTHER, MANIFEST, HERE, ADA | {"password": "planted-secret"})
    assert refusal.value.response.status_code == 403
    assert "planted-secret" not in str(refusal.value)
