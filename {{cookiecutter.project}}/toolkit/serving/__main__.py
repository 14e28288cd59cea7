"""Serves the model of one bundle over HTTP.

    python -m toolkit.serving --bundle DIR --host 127.0.0.1 --port 8000
    python -m toolkit.serving --bundle DIR --fd 3 --fd 4

With --fd it serves on inherited listening sockets. With CONNECTIONS=close in its environment, as in
a canary, each response asks its client to reconnect.
"""

import argparse
import gc
import json
import os
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry

from ..data import expectation as expectations
from ..errors import ConfigurationError, ToolkitError
from ..model import predictor as predictors
from ..model.predictor import Predictor
from . import logs
from .api import create_app
from .connection import configuration
from .drain import Drain, DrainingServer
from .limits import Connections, Limits, raise_file_limit
from .proof import prove

RELEASE_FILE = "release.json"
# Set by the platforms of toolkit.release.
CONNECTIONS, CLOSE = "CONNECTIONS", "close"


def identity(bundle: Path, predictor: Predictor) -> dict[str, str | None]:
    """Return the release and the model being served; the first three are None outside a release.

    Raises
    ------
    ConfigurationError
        The bundle's release.json cannot be read.
    """
    path = bundle / RELEASE_FILE
    try:
        record = json.loads(path.read_bytes()) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}", "restore the bundle") from None
    return {
        "release": record.get("version"),
        "commit": record.get("commit"),
        "digest": record.get("digest"),
        "model_sha256": predictor.sha256,
    }


def inherited(fds: Iterable[int]) -> list[socket.socket]:
    """Return the sockets of descriptors; `ConfigurationError` for one that is no socket."""
    try:
        return [socket.socket(fileno=fd) for fd in fds]
    except OSError as error:
        raise ConfigurationError(
            f"--fd: {error.strerror}: not an inherited listening socket",
            "use --port, or pass a listening socket on",
        ) from None


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the parsed command line; a usage error exits with 2."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}")
    parser.add_argument(
        "--bundle", type=Path, required=True, help="a folder with model and contract"
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--fd", type=int, action="append", help="an inherited listening socket")
    where.add_argument("--port", type=int, help="a port to listen on")
    parser.add_argument("--host", default="127.0.0.1", help="the address of --port")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal; return the exit code: 0 drained, 2 wrong bundle or arguments.

    A server that answers otherwise than the gated model did ends before it accepts a connection.
    """
    options = parse(arguments)
    try:
        sockets = inherited(options.fd or ())
        predictor = predictors.load(options.bundle)
        expectation = expectations.load(options.bundle, predictor.contract)
        version = identity(options.bundle, predictor)
        lines = logs.set_up()
        # An application of its own: the served one counts its customers alone.
        prove(
            options.bundle,
            create_app(predictor, expectation, version, Drain(), CollectorRegistry()),
        )
    except ToolkitError as error:
        print(f"{error}\nNext: {error.next_step}.", file=sys.stderr)
        return error.exit_code
    drain = Drain(of_canary=os.environ.get(CONNECTIONS) == CLOSE)
    connections = Connections(Limits(connections=raise_file_limit(Limits.connections)))
    app = create_app(predictor, expectation, version, drain, connections.metrics, lines.write)
    config = configuration(app, options.host, options.port or 0)
    # What is loaded stays: a collection of all of it would stop the server for some 50 ms.
    gc.freeze()
    DrainingServer(config, drain, connections).run(sockets or [config.bind_socket()])
    return 0


if __name__ == "__main__":
    sys.exit(main())
