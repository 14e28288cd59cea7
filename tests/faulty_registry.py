"""Stands between an engine and a real registry, and does what a real one cannot be made to do."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

CHUNK = 65536


@dataclass
class FaultyRegistry:
    """Forwards every connection, unless it has a fault.

    Parameters
    ----------
    upstream : str
        ``host:port`` of the registry behind it.
    refuses : bool
        Whether connections are closed at once, as those to a registry that is gone.
    hangs : bool
        Whether connections are taken, and nothing is ever answered.
    cuts_manifests : bool
        Whether a connection breaks when a manifest is about to be stored: all layers are there then.
    renames : tuple of bytes
        A tag, and one of the same length that is looked up in its place: somebody has moved it.
    """

    upstream: str
    refuses: bool = False
    hangs: bool = False
    cuts_manifests: bool = False
    renames: tuple[bytes, bytes] | None = None
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def address(self) -> str:
        """Where the engine finds it."""
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def mend(self) -> None:
        """Have no fault any more."""
        self.refuses, self.hangs, self.cuts_manifests, self.renames = False, False, False, None

    def serve(self) -> None:
        """Accept until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        host, _, port = self.upstream.partition(":")
        with client, contextlib.suppress(OSError):
            if self.refuses:
                return
            if self.hangs:
                while client.recv(CHUNK):
                    continue
                return
            with socket.create_connection((host, int(port))) as server:
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                while request := client.recv(CHUNK):
                    if (
                        self.cuts_manifests
                        and request.startswith(b"PUT ")
                        and b"/manifests/" in request
                    ):
                        return
                    if self.renames and request.startswith((b"GET ", b"HEAD ")):
                        request = request.replace(*self.renames)
                    server.sendall(request)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(CHUNK):
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def before(upstream: str) -> Iterator[FaultyRegistry]:
    """Yield a registry without a fault, before the real one."""
    registry = FaultyRegistry(upstream)
    threading.Thread(target=registry.serve, daemon=True).start()
    try:
        yield registry
    finally:
        # A thread that waits in accept() is not woken by close() alone.
        registry.listener.shutdown(socket.SHUT_RDWR)
        registry.listener.close()
