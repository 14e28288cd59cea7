"""An advisory service on loopback, as far as pip-audit speaks to one: POST /v1/query of osv.dev."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Advisories:
    """What the service knows, and what it was asked.

    Parameters
    ----------
    port : int
    known : dict of str to dict
        An advisory by the package that it is about.
    asked : set of (str, str)
        Every package and version that somebody wanted to know about.
    """

    port: int
    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: set[tuple[str, str]] = field(default_factory=set)

    def plant(self, package: str, id: str, alias: str, fixed: str) -> None:
        """Let every version of a package have a hole until it is fixed."""
        affected = {
            "package": {"name": package, "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
        }
        self.known[package] = {
            "id": id,
            "aliases": [alias],
            "summary": "Planted by a test",
            "affected": [affected],
        }

    def answer(self, query: dict[str, Any]) -> dict[str, Any]:
        """Return what osv.dev would: an empty object where nothing is known."""
        package = query["package"]["name"]
        self.asked.add((package, query["version"]))
        return {"vulns": [self.known[package]]} if package in self.known else {}


@contextmanager
def advisories(patch: pytest.MonkeyPatch) -> Iterator[Advisories]:
    """Serve advisories, and let pip-audit ask there."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            content = json.dumps(service.answer(query)).encode()
            self.send_response(200 if self.path == "/v1/query" else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing: a test asks a hundred times."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service = Advisories(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ask_at(patch, service.port)
        yield service
        server.shutdown()


def ask_at(patch: pytest.MonkeyPatch, port: int) -> None:
    """Let pip-audit ask on a port of this machine, without a proxy in between."""
    patch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
    patch.setenv("PIP_AUDIT_OSV_URL", f"http://127.0.0.1:{port}/v1/query")
    patch.setenv("NO_PROXY", "127.0.0.1")
