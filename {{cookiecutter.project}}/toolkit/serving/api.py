"""The server's HTTP interface: what may be asked, and what is answered."""

import asyncio
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel, Field, ValidationError
from starlette.types import ASGIApp

from ..data.contract import Column
from ..data.expectation import Expectation
from ..model.predictor import Predictor
from .admission import LARGE_BYTES, Admission
from .customer import Customer, CustomerSchema, refusals
from .drain import Drain
from .monitoring import Monitor
from .observation import Observation

PREDICT = "/predict"
PATHS = ("/health", "/ready", "/version", PREDICT, "/metrics")
# Room for the largest list of customers that is answered, and for a generous way of writing it.
MAX_BODY_BYTES = 8 * 1024 * 1024
# What is too much is read and thrown away up to here, so that its sender can read the answer.
MAX_DISCARDED_BYTES = 8 * MAX_BODY_BYTES
# A request may break thousands of rules; these are told one by one.
MAX_REFUSALS = 100


class Answer(BaseModel):
    """What is said of one customer."""

    churn_probability: float = Field(ge=0, le=1, description="How probably the customer leaves")
    churn: bool = Field(description="Whether that is enough to say: this one leaves")


class Refusal(BaseModel):
    """One rule that a request has broken."""

    field: str = Field(description="A column, in a list with the customer's place: 3.age")
    value: str | int | float | bool | None = Field(description="What stood there")
    rule: str = Field(description="The rule's name")
    reason: str = Field(description="What must stand there")


class Refusals(BaseModel):
    """Why a request was refused."""

    count: int = Field(description="How many rules were broken")
    detail: list[Refusal] = Field(description="The first of them")


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str


class Status(BaseModel):
    """How the server is."""

    status: str


class Version(BaseModel):
    """What runs; outside of a release the first three are null."""

    release: str | None
    commit: str | None
    digest: str | None
    model_sha256: str


class TooLarge(Exception):
    """A body is longer than `MAX_BODY_BYTES`."""


def create_app(
    predictor: Predictor, expectation: Expectation, version: dict[str, str | None], drain: Drain
) -> ASGIApp:
    """Return the application.

    Parameters
    ----------
    predictor
        Answers the customers.
    expectation
        What customers and answers looked like at training.
    version
        What /version says.
    drain
        Tells when the server is on its way out.
    """
    release = version["release"] or "unreleased"
    # Without the pages for browsers: they load scripts from elsewhere.
    app = FastAPI(title="Churn model", version=release, docs_url=None, redoc_url=None)
    schema = CustomerSchema(predictor.contract)
    monitor = Monitor(expectation)
    registry = CollectorRegistry()
    registry.register(monitor)
    typical = {column.name: _typical(column, expectation) for column in predictor.contract.features}

    @app.get("/health")
    async def health() -> Status:
        """Whether the process answers at all."""
        return Status(status="ok")

    @app.get("/ready", response_model=Status, responses={503: {"model": Status}})
    async def ready() -> JSONResponse:
        """Whether the process may be sent customers: it has just answered one."""
        if drain.begun:
            return JSONResponse({"status": "draining"}, 503)
        predictor.answer([typical])
        return JSONResponse({"status": "ready"})

    @app.get("/version", response_model=Version)
    async def which() -> JSONResponse:
        """Which release this is, and the sha256 of the model that is loaded."""
        return JSONResponse(version)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Requests, latencies, customers and answers, for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    def respond(body: bytes) -> JSONResponse:
        try:
            if body.lstrip()[:1] == b"[":
                customers = schema.parse_many(body)
                answers = predictor.answer(customers)
                content: Any = answers
            else:
                customers = [schema.parse_one(body)]
                answers = predictor.answer(customers)
                content = answers[0]
        except ValidationError as error:
            broken = refusals(error)
            for one in broken:
                monitor.refuse(one["field"].rpartition(".")[2], one["rule"])
            return JSONResponse({"count": len(broken), "detail": broken[:MAX_REFUSALS]}, 422)
        monitor.count(customers, [answer["churn_probability"] for answer in answers])
        return JSONResponse(content)

    # The body is parsed by hand: FastAPI would try an object as a list too, and report both.
    @app.post(PREDICT, openapi_extra=_documentation(schema, typical), responses=_PROBLEMS)
    async def predict(request: Request) -> JSONResponse:
        """How probably a customer, or each customer of a list, is about to leave."""
        try:
            body = await _read(request)
        except TooLarge:
            problem = f"the body is longer than {MAX_BODY_BYTES} bytes: send fewer at a time"
            return JSONResponse({"detail": problem}, 413, {"Connection": "close"})
        # The event loop answers a few customers faster than a thread could be woken.
        if len(body) <= LARGE_BYTES:
            return respond(body)
        return await asyncio.to_thread(respond, body)

    return Observation(Admission(app, PREDICT), PATHS, registry, drain, release)


async def _read(request: Request) -> bytes:
    """Return the body; too large a one is not kept."""
    parts: list[bytes] = []
    length = 0
    async for part in request.stream():
        length += len(part)
        if length > MAX_DISCARDED_BYTES:
            break
        if length > MAX_BODY_BYTES:
            parts.clear()
        else:
            parts.append(part)
    if length > MAX_BODY_BYTES:
        raise TooLarge
    return b"".join(parts)


def _typical(column: Column, expectation: Expectation) -> float | str | None:
    """Return a value from the middle of a column, for the readiness probe and as an example."""
    expected = expectation.columns[column.name]
    if column.categories:
        return column.categories[0]
    low, high = column.range
    middle = expected.edges[len(expected.edges) // 2] if expected.edges else low
    value = min(max(middle, low), high)
    return round(value) if column.type == "integer" else value


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    413: {"model": Problem, "description": f"More than {MAX_BODY_BYTES} bytes"},
    422: {"model": Refusals, "description": "Not as the contract says"},
    503: {"model": Problem, "description": "Busy: see Retry-After"},
}


def _documentation(schema: CustomerSchema, typical: Customer) -> dict[str, Any]:
    """Return what OpenAPI says of a prediction's request and response."""
    answer = Answer.model_json_schema()
    one, many = {"value": typical}, {"value": [typical, typical]}
    said = {"churn_probability": 0.25, "churn": False}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": schema.json_schema(),
                    "examples": {"a customer": one, "several customers": many},
                }
            },
        },
        "responses": {
            "200": {
                "description": "Of a customer an answer, of a list of them a list in its order",
                "content": {
                    "application/json": {
                        "schema": {"anyOf": [answer, {"type": "array", "items": answer}]},
                        "examples": {
                            "a customer": {"value": said},
                            "several customers": {"value": [said, said]},
                        },
                    }
                },
            }
        },
    }
