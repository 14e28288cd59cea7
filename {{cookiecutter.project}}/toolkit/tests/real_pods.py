"""Pods of the scripted cluster whose servers are real: each listens on a port of this machine.

The kubectl that has started one ends long before it, so the server notes itself how it has ended.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NOTING = """"$@"; echo $? > "$0" """
TIMEOUT_S = 5
OK = 200


def run(pod: dict[str, Any], release: Mapping[str, Any], folder: str) -> int | None:
    """Start a pod's server if it was not started yet; return its exit code once it has ended."""
    code = Path(folder, f"{pod['metadata']['name']}.exit")
    if "pid" not in pod:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            pod["port"] = probe.getsockname()[1]
        with code.with_suffix(".log").open("wb") as log:
            server = subprocess.Popen(
                [
                    *("/bin/sh", "-c", NOTING, str(code)),
                    *(*release["command"], "--port", str(pod["port"])),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        pod["pid"] = server.pid
    text = code.read_text(encoding="utf-8") if code.exists() else ""
    return int(text) if text.endswith("\n") else None


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod's server says so, as its readiness probe would see it."""
    try:
        return bool(answer(pod, "ready", b""))
    except OSError:
        return False


def answer(pod: Mapping[str, Any], path: str, body: bytes) -> str:
    """Return what a pod's server answers; `OSError` if that is an error, or nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", pod["port"], timeout=TIMEOUT_S)
    try:
        connection.request("POST" if body else "GET", f"/{path}", body or None)
        response = connection.getresponse()
        text = response.read().decode()
    except http.client.HTTPException as error:
        raise OSError(f"no answer: {error!r}") from None
    finally:
        connection.close()
    if response.status != OK:
        raise OSError(f"{response.status}: {text}")
    return text
