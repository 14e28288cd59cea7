"""The server: answers for one model bundle over HTTP.

    python -m <package>.serving --bundle DIR --host 127.0.0.1 --port 8000
    python -m <package>.serving --bundle DIR --fd 3 --fd 4

With --fd it serves on listening sockets that it inherited.
"""

import argparse
import asyncio
import json
import socket
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import ValidationError

from . import predictor as predictors
from .contract import Column
from .customer import CustomerSchema, refusals
from .drain import Drain, DrainingServer
from .errors import ConfigurationError, ModelWingError
from .observation import Observation
from .predictor import Predictor

RELEASE_FILE = "release.json"
# Up to here the event loop answers faster than a thread could be woken.
MAX_CUSTOMERS_IN_THE_LOOP = 100
# Longer than the pauses of a client that keeps its connection: who closes first loses the race.
KEEP_ALIVE_S = 75
READY_PROBE_NUMBER = 0.0


def identity(bundle: Path, predictor: Predictor) -> dict[str, str | None]:
    """Return which release and which model this is; outside of a release the first three are None.

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


def create_app(predictor: Predictor, version: dict[str, str | None], drain: Drain) -> FastAPI:
    """Return the application.

    Parameters
    ----------
    predictor
        Answers the customers.
    version
        What /version says.
    drain
        Tells when the server is on its way out.
    """
    release = version["release"] or "unreleased"
    app = FastAPI(title="Churn model", version=release)
    schema = CustomerSchema(predictor.contract)
    registry = CollectorRegistry()
    paths = ("/health", "/ready", "/version", "/predict", "/metrics")
    app.add_middleware(Observation, paths=paths, registry=registry, drain=drain, release=release)
    probe = [{column.name: _probe(column) for column in predictor.contract.features}]

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the process answers at all."""
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> JSONResponse:
        """Whether the process may be sent customers: it has just answered one."""
        if drain.begun:
            return JSONResponse({"status": "draining"}, 503)
        predictor.answer(probe)
        return JSONResponse({"status": "ready"})

    @app.get("/version", response_model=None)
    async def which() -> dict[str, str | None]:
        """Which release this is, and the sha256 of the model that is loaded."""
        return version

    @app.get("/metrics")
    async def metrics() -> Response:
        """Requests and their latencies, for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    # The body is parsed by hand: FastAPI would try an object as a list too, and report both.
    body = {"required": True, "content": {"application/json": {"schema": schema.json_schema()}}}

    @app.post("/predict", openapi_extra={"requestBody": body}, response_model=None)
    async def predict(request: Request) -> JSONResponse:
        """How probably a customer, or each customer of a list, is about to leave."""
        body = await request.body()
        try:
            if body.lstrip()[:1] != b"[":
                return JSONResponse(predictor.answer([schema.parse_one(body)])[0])
            customers = schema.parse_many(body)
        except ValidationError as error:
            return JSONResponse({"detail": refusals(error)}, 422)
        if len(customers) <= MAX_CUSTOMERS_IN_THE_LOOP:
            return JSONResponse(predictor.answer(customers))
        return JSONResponse(await asyncio.to_thread(predictor.answer, customers))

    return app


def _probe(column: Column) -> float | str:
    if column.categories:
        return column.categories[0]
    return column.minimum if column.minimum is not None else READY_PROBE_NUMBER


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return what the command line asks for; a mistake ends the program with 2."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}.serving")
    parser.add_argument("--bundle", type=Path, required=True, help="folder with model and contract")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--fd", type=int, action="append", help="an inherited listening socket")
    where.add_argument("--port", type=int, help="a port to listen on")
    parser.add_argument("--host", default="127.0.0.1", help="the address of --port")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal, and return the exit code: 0 drained, 2 wrong bundle or arguments."""
    asked = parse(arguments)
    try:
        sockets = [socket.socket(fileno=fd) for fd in asked.fd or ()]
        predictor = predictors.load(asked.bundle)
        version = identity(asked.bundle, predictor)
    except ModelWingError as error:
        print(f"{error}\nNext: {error.next_step}.", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"--fd: {error.strerror}: no listening socket was inherited there", file=sys.stderr)
        return 2
    drain = Drain()
    config = uvicorn.Config(
        create_app(predictor, version, drain),
        host=asked.host,
        port=asked.port or 0,
        # Requests are counted at /metrics; a line each would cost more than the prediction.
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    DrainingServer(config, drain).run(sockets or None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
