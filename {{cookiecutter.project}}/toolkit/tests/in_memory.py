"""A platform in memory: a thread of the test serves the release over HTTP.

It lets the engine's decisions be tested without starting a process for each. The `process` platform
has tests of its own.
"""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from toolkit.release.canary.traffic import Replay
from toolkit.release.canary.verdict import Side
from toolkit.release.errors import ArtifactGone, ReleaseFailed
from toolkit.release.platforms.protocol import Instance, Observation
from toolkit.release.records import FILE_NAME, Record, parse
from toolkit.release.smoke import ask_over_http

from .stand_in_server import Handler
from .workshop import SERVER


class InMemoryPlatform:
    """Serves one release at a time, and breaks where a test says so."""

    def __init__(self) -> None:
        self.bundles: dict[str, Mapping[str, bytes]] = {}
        self.release: Record | None = None
        self.since = ""
        self.gone: list[Record] = []
        self.before_apply: Callable[[Record], None] = lambda record: None
        self.lock = threading.Lock()

        class OwnHandler(Handler):
            """Its answers belong to this platform alone."""

        self.handler = OwnHandler
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), OwnHandler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        """End the thread and its socket."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def locate(self) -> None:
        pass

    @staticmethod
    def render(
        record: Record, bundle: Callable[[], Mapping[str, bytes]] = dict, event: str = ""
    ) -> dict[str, bytes]:
        manifest = {"release": record.version, "digest": record.digest, "serve": [str(SERVER)]}
        return {"process.json": json.dumps(manifest).encode()}

    def examine(self, desired: Mapping[str, bytes]) -> None:
        pass

    def require(self, record: Record, bundle: Mapping[str, bytes]) -> None:
        if record in self.gone:
            raise ArtifactGone("its registry has lost it")

    def warning(self, record: Record, bundle: Mapping[str, bytes]) -> str:
        return "it looks odd" if bundle["model.onnx"] == b"odd" else ""

    def preflight(self, record: Record, bundle: Callable[[], Mapping[str, bytes]]) -> None:
        self.bundles[record.version] = bundle()

    def apply(
        self,
        desired: Mapping[str, bytes],
        event: str,
        guard: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        record = parse(desired[FILE_NAME], "a test")
        rendered = json.loads(desired["process.json"])
        assert rendered["release"] == record.version, "the state was not rendered here"
        self.before_apply(record)
        with self.lock:
            guard()
            model = self.bundles[record.version]["model.onnx"]
            if model in (b"crash at start", b"never ready"):
                raise ReleaseFailed(f"release {record.version}: {model.decode()}")
            self.handler.record, self.handler.model = vars(record), model
            if self.release != record:
                self.since = datetime.now(UTC).isoformat(timespec="seconds")
            self.release = record

    def canary(
        self,
        desired: Mapping[str, bytes],
        before: Mapping[str, bytes],
        instances: int,
        event: str,
        guard: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        raise AssertionError("this platform has one server, and no canary")

    def answered(self, address: str, mark: str) -> tuple[Side, str]:
        raise AssertionError("this platform keeps no log")

    def replay(self, requests: Sequence[Any], per_second: int) -> Replay:
        return Replay([self.address], requests, per_second)

    def changed(self, desired: Mapping[str, bytes]) -> str:
        return ""

    def unready(self, record: Record) -> str:
        return "" if record.version in self.bundles else "it is not staged"

    def stored(self) -> list[str]:
        return list(self.bundles)

    def discard(self, release: str) -> None:
        self.bundles.pop(release, None)

    def stop(self, event: str, guard: Callable[[], None]) -> None:
        guard()
        self.release = None

    def ask(self, address: str, path: str, body: Any = None) -> Any:
        return ask_over_http(address, path, body)

    def observe(self) -> Observation:
        if self.release is None:
            return Observation("", (), "nothing runs")
        instance = Instance(self.release.version, self.release.digest, self.address, 1, "ready", 0)
        return Observation(self.address, (instance, instance), "", self.since)
