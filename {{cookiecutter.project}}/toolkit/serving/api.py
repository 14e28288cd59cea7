"""The server's HTTP interface."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.registry import Collector
from pydantic import BaseModel, Field

from ..data.expectation import Expectation
from ..model.predictor import Predictor
from .admission import Admission
from .customer import Customer, CustomerSchema
from .drain import Drain
from .explanation import Explainer
from .limits import MAX_BODY_BYTES
from .logs import nowhere
from .monitoring import Monitor
from .observation import Observation
from .prediction import EXPLAIN, MAX_CONTRIBUTIONS, PREDICT, Predictions
from .service import Service
from .turns import Turns, answers_alike

PATHS = ("/health", "/ready", "/version", PREDICT, "/metrics")


class Prediction(BaseModel):
    """The prediction for one customer."""

    churn_probability: float = Field(ge=0, le=1, description="Probability that the customer churns")
    churn: bool = Field(description="Predicted churn: the probability reaches the threshold")


class ColumnContribution(BaseModel):
    """What one column contributed to a prediction, against the reference customer."""

    feature: str = Field(description="The column")
    value: str | int | float | None = Field(description="The customer's value")
    reference: str | int | float | None = Field(description="The reference customer's value")
    log_odds: float = Field(description="By how much the value moved the log-odds of churn")
    probability: float = Field(ge=0, le=1, description="The probability with the reference's value")


class Reasons(BaseModel):
    """What moved a prediction most, against the customer of the medians and modes."""

    reference_probability: float = Field(ge=0, le=1, description="The reference customer's")
    contributions: list[ColumnContribution] = Field(description="The largest first")
    other_log_odds: float = Field(description="What all that is not told moved together")


class FieldError(BaseModel):
    """One error in a request."""

    field: str = Field(description="The column, in a list after the customer's index: 3.age")
    value: str | int | float | bool | None = Field(description="The value in the request")
    rule: str = Field(description="The name of the violated rule")
    reason: str = Field(description="What the rule demands")


class FieldErrors(BaseModel):
    """Why a request was refused."""

    count: int = Field(description="The number of errors")
    detail: list[FieldError] = Field(description="The first of them")


class Problem(BaseModel):
    """Why a request failed."""

    detail: str


class Status(BaseModel):
    """The state of the server."""

    status: str


class Version(BaseModel):
    """The release being served; outside a release the first three are null."""

    release: str | None
    commit: str | None
    digest: str | None
    model_sha256: str


def create_app(
    predictor: Predictor,
    expectation: Expectation,
    version: dict[str, str | None],
    drain: Drain,
    refused: Collector,
    write_line: Callable[[str], None] = nowhere,
) -> Service:
    """Return the application.

    Parameters
    ----------
    predictor
        The model.
    expectation
        The distributions of features and predictions at training.
    version
        The response of /version.
    drain
        Whether the server is shutting down.
    refused
        Counts the requests that did not arrive whole.
    write_line
        Takes a line of the log for each request.
    """
    release = version["release"] or "unreleased"
    app = FastAPI(
        title="Churn model",
        version=release,
        # The documentation pages load scripts from other sites.
        docs_url=None,
        redoc_url=None,
        # A redirect would repeat the request's Host, whatever that is.
        redirect_slashes=False,
    )
    schema = CustomerSchema(predictor.contract)
    monitor = Monitor(expectation)
    registry = CollectorRegistry()
    registry.register(monitor)
    registry.register(refused)
    explainer = Explainer(predictor, expectation)
    typical = explainer.reference

    @app.get("/health")
    async def health() -> Status:
        """Liveness: the process responds."""
        return Status(status="ok")

    @app.get("/ready", response_model=Status, responses={503: {"model": Status}})
    async def ready() -> JSONResponse:
        """Readiness: the model has just made a prediction, and the server is not shutting down."""
        if drain.begun:
            return JSONResponse({"status": "draining"}, 503)
        predictor.answer([typical])
        return JSONResponse({"status": "ready"})

    @app.get("/version", response_model=Version)
    async def which() -> JSONResponse:
        """The release being served, and the sha256 of the loaded model."""
        return JSONResponse(version)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Requests, latencies, features and predictions, for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    turns = Turns(predictor, together=answers_alike(predictor, expectation))
    predictions = Predictions(predictor.threshold, schema, turns, monitor, explainer)

    # Of most requests the body goes to the predictions without coming here: see Service.
    @app.post(PREDICT, openapi_extra=_documentation(schema, typical), responses=_PROBLEMS)
    async def predict(request: Request) -> Response:
        """The probability that a customer, or each customer of a list, churns."""
        body, wanted = await request.body(), request.query_params.get(EXPLAIN)
        answer = await (
            predictions.answer(body) if wanted is None else predictions.explain(body, wanted)
        )
        if answer.error is not None:
            raise answer.error
        return Response(answer.content, answer.status, media_type=answer.content_type.decode())

    admission = Admission(app, PREDICT)
    observation = Observation(admission, PATHS, registry, drain, release, write_line)
    return Service(observation, admission, observation, predictions)


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "Invalid HTTP"},
    408: {"model": Problem, "description": "Not complete in time"},
    413: {"model": Problem, "description": f"A body of more than {MAX_BODY_BYTES} bytes"},
    422: {"model": FieldErrors, "description": "Invalid under the data contract"},
    431: {"model": Problem, "description": "Too long a header"},
    503: {"model": Problem, "description": "Busy: see Retry-After"},
}


def _documentation(schema: CustomerSchema, typical: Customer) -> dict[str, Any]:
    """Return the OpenAPI documentation of a prediction's request and response."""
    prediction = Prediction.model_json_schema()
    reasons = Reasons.model_json_schema()
    # OpenAPI would look for its definitions elsewhere.
    del reasons["$defs"]
    reasons["properties"]["contributions"]["items"] = ColumnContribution.model_json_schema()
    prediction["properties"]["explanation"] = reasons
    one, many = {"value": typical}, {"value": [typical, typical]}
    example = {"churn_probability": 0.25, "churn": False}
    number = {"type": "integer", "minimum": 1, "maximum": MAX_CONTRIBUTIONS}
    what = "Tells of each prediction so many columns that moved it most"
    return {
        "parameters": [{"name": EXPLAIN, "in": "query", "schema": number, "description": what}],
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
                "description": "A prediction; for a list of customers, a list in its order",
                "content": {
                    "application/json": {
                        "schema": {"anyOf": [prediction, {"type": "array", "items": prediction}]},
                        "examples": {
                            "a customer": {"value": example},
                            "several customers": {"value": [example, example]},
                        },
                    }
                },
            }
        },
    }
