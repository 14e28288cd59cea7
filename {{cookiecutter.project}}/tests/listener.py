"""A server on loopback that keeps what it was sent, and answers as a test says."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Listener:
    """What came in, and what goes out.

    Parameters
    ----------
    address : str
        ``http://host:port``.
    status, body : int, bytes
        The answer to every request.
    requests : list of (str, dict, bytes)
        Path, headers and body of each.
    """

    address: str = ""
    status: int = 200
    body: bytes = b"{}"
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def listening(status: int = 200, body: bytes = b"{}") -> Iterator[Listener]:
    """Listen until the context ends."""
    listener = Listener(status=status, body=body)

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            listener.requests.append((self.path, dict(self.headers), sent))
            self.send_response(listener.status)
            self.send_header("Content-Length", str(len(listener.body)))
            self.end_headers()
            self.wfile.write(listener.body)

        do_GET = do_POST = answer

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
