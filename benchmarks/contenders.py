"""Who is measured: this server, and others with the same pipeline, as people do it, on a frame.

    python -m benchmarks.contenders fastapi PIPELINE SOCKET
    python -m benchmarks.contenders bentoml PIPELINE FOLDER
    python -m benchmarks.contenders mlflow PIPELINE FOLDER

The first serves; the others write a folder from which `bentoml serve` and `mlflow models serve` do.
Each framework is only where it serves, so it is imported there.
"""

import argparse
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from pydantic import BaseModel, create_model

HOST = "127.0.0.1"
WORKERS = "CHURN_BENCHMARK_WORKERS"
BENTOML_SERVICE = """\
from benchmarks.contenders import bentoml_service

Churn = bentoml_service({pipeline!r})
"""


Request = dict[str, Any]
Command = list[str]


@dataclass(frozen=True)
class Contender:
    """A server: how it is started, and how it is asked about customers.

    Parameters
    ----------
    command : list of str
        With ``PORT`` where the port goes, or ``SOCKET`` where the number of a listening socket.
    ask : callable
        From customers to the path and the body.
    say : callable
        From what was answered to the probabilities.
    prepare : list of list of str
        What is run before.
    """

    command: Command
    ask: Callable[[list[Request]], tuple[str, Any]]
    say: Callable[[Any], list[float]]
    prepare: list[Command] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


def one_or_many(customers: list[Request], many: str) -> tuple[str, Any]:
    """Ask about one customer with an object, and about many, maybe elsewhere, with a list."""
    return ("/predict", customers[0]) if len(customers) == 1 else (many, customers)


def say_one_or_many(said: Any) -> list[float]:
    """Return the probabilities of an object, or of a list of them."""
    answers = said if isinstance(said, list) else [said]
    return [answer["churn_probability"] for answer in answers]


def this_server(repository: Path) -> Contender:
    """Return the generated repository's server, with all that it does besides answering."""
    bundle = str(repository / "reports" / "model")
    return Contender(
        [sys.executable, "-m", "toolkit.serving", "--bundle", bundle, "--fd", "SOCKET"],
        ask=lambda customers: one_or_many(customers, "/predict"),
        say=say_one_or_many,
    )


def bare() -> Contender:
    """Return an application that always says the same, on the same server: the limit of ours."""
    return Contender(
        [sys.executable, "-m", "benchmarks.contenders", "bare", "-", "SOCKET"],
        ask=lambda customers: ("/predict", customers),
        say=lambda said: [said["churn_probability"]],
    )


def others(
    pipeline: Path, folder: Path, bentoml: Path, mlflow: Path, workers: int
) -> dict[str, Contender]:
    """Return the others by name, the baseline first.

    Parameters
    ----------
    pipeline : pathlib.Path
        Written by joblib.
    folder : pathlib.Path
        Where they may write.
    bentoml, mlflow : pathlib.Path
        A Python that has it.
    workers : int
        How many processes BentoML and MLflow start to answer.
    """
    here = ["-m", "benchmarks.contenders"]
    bento = [str(bentoml.parent / "bentoml"), "serve", "service:Churn", "--working-dir"]
    flow = [str(mlflow.parent / "mlflow"), "models", "serve", "--env-manager", "local"]
    return {
        "FastAPI, pipeline on a frame": Contender(
            [sys.executable, *here, "fastapi", str(pipeline), "SOCKET"],
            ask=lambda customers: one_or_many(customers, "/predict_many"),
            say=say_one_or_many,
        ),
        "BentoML, pipeline on a frame": Contender(
            [*bento, str(folder), "--host", HOST, "--port", "PORT"],
            ask=lambda customers: ("/predict", {"customers": customers}),
            say=lambda said: list(said),
            prepare=[[str(bentoml), *here, "bentoml", str(pipeline), str(folder)]],
            environment={
                **{"BENTOML_HOME": str(folder), "BENTOML_DO_NOT_TRACK": "true"},
                WORKERS: str(workers),
            },
        ),
        "MLflow, pipeline on a frame": Contender(
            [
                *flow,
                "--workers",
                str(workers),
                "-m",
                str(folder / "model"),
                "-h",
                HOST,
                "-p",
                "PORT",
            ],
            ask=lambda customers: ("/invocations", {"dataframe_records": customers}),
            say=lambda said: [float(pair[1]) for pair in said["predictions"]],
            prepare=[[str(mlflow), *here, "mlflow", str(pipeline), str(folder)]],
            environment={"MLFLOW_DISABLE_TELEMETRY": "true"},
        ),
    }


@dataclass(frozen=True)
class OnFrames:
    """A pipeline that begins with a frame, and the columns of that frame.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
    numbers, categories : list of str
    """

    pipeline: Any
    numbers: list[str]
    categories: list[str]

    def customer(self) -> Any:
        """Return the pydantic model of a customer; mypy cannot know a type that is made here."""
        fields: dict[str, Any] = dict.fromkeys(self.numbers, (float | None, ...))
        fields |= dict.fromkeys(self.categories, (str | None, ...))
        return create_model("Customer", **fields)

    def probabilities(self, customers: list[Any]) -> list[float]:
        """Return the probabilities of churn: a frame of the request, and the pipeline on it."""
        frame = pd.DataFrame([customer.model_dump() for customer in customers])
        answers: list[float] = self.pipeline.predict_proba(frame)[:, 1].tolist()
        return answers


def derive(features: Any, frame: pd.DataFrame) -> Any:
    """Return the features that are computed from columns, [n, k]; a step of the pipeline."""
    return np.column_stack(list(features.derived(frame).values()))


class Answer(BaseModel):
    """What is said of one customer."""

    churn_probability: float


def fastapi_app(path: Path) -> Any:
    """Return the application of the baseline."""
    from fastapi import FastAPI

    model: OnFrames = joblib.load(path)
    # Made while it runs, from the table: no type checker can know it.
    customer_type = model.customer()
    app = FastAPI()

    @app.post("/predict")
    async def predict(customer: customer_type) -> Answer:  # type: ignore[valid-type]
        [probability] = model.probabilities([customer])
        return Answer(churn_probability=probability)

    @app.post("/predict_many")
    async def predict_many(
        customers: list[customer_type],  # type: ignore[valid-type]
    ) -> list[Answer]:
        return [
            Answer(churn_probability=probability) for probability in model.probabilities(customers)
        ]

    return app


def bentoml_service(path: str) -> Any:
    """Return the service, of as many workers as the environment says."""
    import bentoml

    model: OnFrames = joblib.load(path)
    # Made while it runs, from the table: no type checker can know it.
    customer_type = model.customer()

    @bentoml.service(workers=int(os.environ[WORKERS]))
    class Churn:
        @bentoml.api
        def predict(
            self,
            customers: list[customer_type],  # type: ignore[valid-type]
        ) -> list[float]:
            return model.probabilities(customers)

    return Churn


def serve_on(listening: str, app: Any, **options: Any) -> None:
    """Serve on a listening socket with uvicorn and the fast parts that it can be installed with."""
    import uvicorn

    config = uvicorn.Config(app, loop="uvloop", http="httptools", **options)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(listening))])


def serve_with_fastapi(pipeline: Path, listening: str) -> None:
    """Serve the pipeline with FastAPI."""
    serve_on(listening, fastapi_app(pipeline))


async def always_the_same(scope: Any, receive: Any, send: Any) -> None:
    """Answer each request with the same prediction; an ASGI application."""
    await receive()
    body = b'{"churn_probability":0.25,"churn":false}'
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def serve_bare(_: Path, listening: str) -> None:
    """Serve nothing but the server."""
    serve_on(listening, always_the_same, access_log=False, lifespan="off", ws="none")


def write_for_bentoml(pipeline: Path, folder: str) -> None:
    """Write the module that `bentoml serve` is told to import."""
    service = BENTOML_SERVICE.format(pipeline=str(pipeline))
    Path(folder, "service.py").write_text(service, encoding="utf-8")


def write_for_mlflow(pipeline: Path, folder: str) -> None:
    """Write the model with a signature, without which MLflow checks no request."""
    import mlflow.sklearn
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    model: OnFrames = joblib.load(pipeline)
    columns = [ColSpec("double", name) for name in model.numbers]
    columns += [ColSpec("string", name) for name in model.categories]
    mlflow.sklearn.save_model(
        model.pipeline,
        Path(folder, "model"),
        # Named, so that MLflow does not start a process to find out.
        pip_requirements=["scikit-learn"],
        serialization_format="cloudpickle",
        # Numbers with nulls are floats in a frame.
        signature=ModelSignature(Schema(columns)),
        pyfunc_predict_fn="predict_proba",
    )


DOES = {
    "bare": serve_bare,
    "fastapi": serve_with_fastapi,
    "bentoml": write_for_bentoml,
    "mlflow": write_for_mlflow,
}


def main() -> None:
    """Serve, or write what is served."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("framework", choices=DOES)
    parser.add_argument("pipeline", type=Path, help="written by joblib")
    parser.add_argument("where", help="the number of a listening socket, or a folder")
    asked = parser.parse_args()
    DOES[asked.framework](asked.pipeline, asked.where)


if __name__ == "__main__":
    main()
