"""A release that starts, is healthy and answers wrongly never answers a customer.

The server is the real one, with a real model: only the folder of its packages is the toolkit's own.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toolkit.data import contract as contracts
from toolkit.data import dataset as datasets
from toolkit.data import table
from toolkit.model import policy_file, training
from toolkit.release.checks import known_bad
from toolkit.release.errors import RolledBack
from toolkit.release.records import FILE_NAME, Record
from toolkit.tests import bundles, customers
from toolkit.tests.clusters import ClusterShop, opened
from toolkit.tests.workshop import Workshop

ROOT = Path(__file__).parents[4]
PATIENCE_S = 30
# Between two requests of a customer.
PAUSE_S = 0.02
OK, TOLERANCE = 200, 1e-5
# The real server, by the interpreter of these tests and its packages.
SERVER = """
import os, sys
os.execve({python!r}, [{python!r}, "-m", "toolkit.serving", *sys.argv[1:]], {variables!r})
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Two models of one contract, each with its files: a good one, and one of turned labels."""
    folder = tmp_path_factory.mktemp("data")
    contract = contracts.load(customers.write(folder, customers.make()))
    policy = policy_file.load(folder / "quality.toml", "toolkit.tests.example")
    dataset = datasets.from_table(table.read(contract), contract)
    turned = replace(dataset, labels=1 - dataset.labels)
    found = []
    for number, data in enumerate((dataset, turned)):
        place = tmp_path_factory.mktemp(f"bundle{number}")
        bundles.write(place, contract, training.train(data, contract, policy.training))
        found.append({path.name: path.read_bytes() for path in place.iterdir()})
    return found[0], found[1]


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """The real server, as a script."""
    variables = {"PYTHONPATH": str(ROOT)} | {
        name: os.environ[name] for name in ("PATH", "PYTHONPYCACHEPREFIX") if name in os.environ
    }
    script = tmp_path / "server.py"
    script.write_text(SERVER.format(python=sys.executable, variables=variables), encoding="utf-8")
    return script


@pytest.fixture
def shop(workshop: Workshop, server: Path) -> Workshop:
    """A workshop whose releases are served by the real server."""
    machine = workshop.machine
    environments = tuple(
        replace(one, ready_timeout_s=PATIENCE_S) for one in machine.policy.environments
    )
    policy = replace(machine.policy, serve=(str(server),), environments=environments)
    return replace(workshop, machine=replace(machine, policy=policy))


class Customers:
    """Ask again and again, and keep every answer; `address` is where a new connection leads."""

    def __init__(self, address: Callable[[], tuple[str, int]], request: Any) -> None:
        self._address = address
        self._body = json.dumps(request)
        self._over = threading.Event()
        self.answers: list[tuple[int, Any]] = []
        self.lost: list[Exception] = []

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask from several threads, on new and on kept connections, while the context lasts."""
        threads = [threading.Thread(target=self._ask, args=(kept,)) for kept in (True, False) * 2]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def differing(self, expected: float) -> list[Any]:
        """Return the answers that are not the expected one."""
        return [
            (status, answer)
            for status, answer in self.answers
            if status != OK or abs(answer["churn_probability"] - expected) > TOLERANCE
        ]

    def _ask(self, kept: bool) -> None:
        connection = None
        while not self._over.wait(PAUSE_S):
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(*self._address(), timeout=PATIENCE_S)
                connection.request("POST", "/predict", self._body)
                response = connection.getresponse()
                self.answers.append((response.status, json.loads(response.read())))
                ended = not kept or response.will_close
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(error)
                ended = True
            if connection and ended:
                connection.close()
                connection = None


def test_14_a_healthy_release_that_answers_wrongly_never_answers_a_customer(
    shop: Workshop, models: tuple[dict[str, bytes], dict[str, bytes]]
) -> None:
    good, other = models
    first = shop.release(good["model.onnx"], others=good)
    shop.promote(first, shop.staging)
    # Its smoke cases are of the gated model, and its model is another.
    wrong = other | {"smoke.json": good["smoke.json"]}
    second = shop.release(wrong["model.onnx"], others=wrong)
    case = json.loads(good["smoke.json"])["cases"][0]
    clients = Customers(lambda: (shop.staging.host, shop.staging.port), case["request"])
    with clients.asking(), pytest.raises(RolledBack) as refusal:
        shop.promote(second, shop.staging)
    assert "the gated model answered" in refusal.value.why
    assert known_bad(shop.ledger().history("staging")) == {second.version}
    assert len(clients.answers) > 100 and not clients.lost
    assert clients.differing(case["response"]["churn_probability"]) == []


def in_pods(shop: ClusterShop, server: Path, files: dict[str, bytes]) -> Record:
    """Make a release whose pods run the real server."""
    record = shop.release(files["model.onnx"], others=files)
    bundle = shop.folder.parent / record.version
    bundle.mkdir()
    for name, content in {**files, FILE_NAME: record.to_json()}.items():
        (bundle / name).write_bytes(content)
    shop.serve(record, [sys.executable, str(server), "--bundle", str(bundle)])
    return record


def test_14_in_a_cluster_no_pod_of_a_release_that_answers_wrongly_becomes_ready(
    server: Path, models: tuple[dict[str, bytes], dict[str, bytes]], tmp_path: Path
) -> None:
    good, other = models
    case = json.loads(good["smoke.json"])["cases"][0]
    with opened(tmp_path) as begun:
        shop = begun.changed(timeout_s=PATIENCE_S)
        first = in_pods(shop, server, good)
        shop.promote(first)
        second = in_pods(shop, server, other | {"smoke.json": good["smoke.json"]})
        # As the Service would: to pods that are ready, and to no others.
        clients = Customers(shop.cluster.endpoint, case["request"])
        with clients.asking(), pytest.raises(RolledBack) as refusal:
            shop.promote(second)
        assert shop.serves(first)
    assert "the gated model answered" in refusal.value.why
    assert known_bad(shop.workshop.ledger().history("prod")) == {second.version}
    assert len(clients.answers) > 100
    assert clients.differing(case["response"]["churn_probability"]) == []


def test_the_other_model_with_smoke_cases_of_its_own_serves(
    shop: Workshop, models: tuple[dict[str, bytes], dict[str, bytes]]
) -> None:
    good, other = models
    for model in (good, other):
        assert shop.promote(shop.release(model["model.onnx"], others=model), shop.staging)
    expected = json.loads(other["smoke.json"])["cases"][0]["response"]["churn_probability"]
    usual = json.loads(good["smoke.json"])["cases"][0]["response"]["churn_probability"]
    assert abs(expected - usual) > 1e-3, "a client could not tell these models apart"
