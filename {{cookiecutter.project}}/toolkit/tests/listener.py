"""A server on loopback that keeps its requests, and answers as a test wants."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

# Method, path and body of a request; status and body of its answer.
Answer = Callable[[str, str, bytes], tuple[int, bytes]]


@dataclass
class Listener:
    """The requests and the answers of a listener.

    Parameters
    ----------
    address : str
        ``http://host:port``.
    status, body : int, bytes
        The answer to every request, unless ``answer`` knows one.
    answer : callable, optional
    location : str
        Where a redirect leads.
    requests : list of (str, dict, bytes)
        Path, headers and body of each.
    """

    address: str = ""
    status: int = 200
    body: bytes = b"{}"
    answer: Answer | None = None
    location: str = ""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def listening(
    status: int = 200, body: bytes = b"{}", answer: Answer | None = None
) -> Iterator[Listener]:
    """Listen until the context ends."""
    listener = Listener(status=status, body=body, answer=answer)

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            listener.requests.append((self.path, dict(self.headers), sent))
            status, body = listener.status, listener.body
            if listener.answer:
                status, body = listener.answer(self.command, self.path, sent)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if listener.location:
                self.send_header("Location", listener.location)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer

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
