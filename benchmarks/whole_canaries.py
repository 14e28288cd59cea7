"""Whole canaries with real servers: how often an equal release fails, and a slower one is found.

    nox -s benchmark_whole_canaries
    nox -s benchmark_whole_canaries -- --platform docker --results canaries.jsonl --minutes 8

Each canary is a whole promotion by the engine: git, servers, customers, verdict, and what follows from
it. Both releases have one model and one server, which the template generates, trains and installs;
the slower one takes 30 % longer for each request, and lets others pass meanwhile: with a queue behind
each it would be slower than that. Every setting of the table gets its turn: half of the customers keep
their connections or none of them does; the canary is one of two servers or one of four; customers
send enough requests for a verdict, or so few that held-out customers are replayed.

The machine that serves also asks: let nothing else run on it.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import random
import re
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import asdict, dataclass, replace
from io import BytesIO, StringIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from toolkit.release import wheel
from toolkit.release.canary.exact_tests import binomial_at_most
from toolkit.release.errors import CanaryInconclusive, RolledBack
from toolkit.release.platforms import platform_of
from toolkit.release.policy import CanaryPolicy, Environment, ImagePolicy, Policy
from toolkit.release.progress import Progress
from toolkit.release.records import FILE_NAME, Record
from toolkit.tests.workshop import Workshop

from benchmarks.load import run
from benchmarks.machine import machine
from demo.repository import TEMPLATE, bake, free_ports

# As many windows as in a generated release.toml, but short ones, with as many requests.
CANARY = CanaryPolicy(windows=10, window_s=1, looks=2, requests_per_s=200)
SLOWER = 1.3
CONNECTIONS = 8
# Of customers for each server: enough for a verdict, and too few.
ENOUGH_PER_S, FEW_PER_S = 90, 5
READY_TIMEOUT_S = 30
EQUAL, SLOW = "equal", "slower"
# The last: the machine was at fault, so that nothing was measured.
PASSED, FAILED, UNDECIDED, ABORTED = "passed", "failed", "undecided", "aborted"
OUTCOMES = (PASSED, FAILED, UNDECIDED, ABORTED)
# The line of the server in which a slower one waits; a loop's timer is late by up to a millisecond.
SERVED = "            self._predictions.ask(body, finish)\n"
SLOWED = f"""            def wait(response: Response, until: float = 0) -> None:
                until = until or started + {SLOWER} * (time.perf_counter() - started)
                if (rest := until - time.perf_counter()) > 0:
                    loop.call_later(max(0.0, rest - 0.002), wait, response, until)
                else:
                    finish(response)

            self._predictions.ask(body, wait)
"""


@dataclass(frozen=True)
class Setting:
    """Who asks, and how many servers there are.

    Parameters
    ----------
    platform : str
    kept : bool
        Whether half of the customers keep their connections.
    servers : int
        One of them is the canary.
    real : bool
        Whether customers send enough requests, so that none is replayed.
    """

    platform: str
    kept: bool
    servers: int
    real: bool

    def __str__(self) -> str:
        connections = "half kept alive" if self.kept else "new"
        requests = "real" if self.real else "replayed"
        return f"{self.platform} | {connections} | 1 of {self.servers} | {requests}"


@dataclass(frozen=True)
class Result:
    """One canary: its setting, whether the release was slower, and what came of it.

    Parameters
    ----------
    ratio : float or None
        The canary's p95 to its control's, on the servers that were measured last.
    again : bool
        Whether these were the second ones, because the release was slower on the first.
    """

    setting: str
    release: str
    outcome: str
    text: str
    seconds: float
    ratio: float | None = None
    again: bool = False


def settings(platform: str) -> list[Setting]:
    """Return all settings of a platform."""
    return [
        Setting(platform, kept, servers, real)
        for kept, servers, real in itertools.product((True, False), (2, 4), (True, False))
    ]


def ask_for_ever(port: int, body: bytes, kept: bool, per_second: float, seed: int) -> None:
    """Send requests at random times; one that fails is sent no second time."""
    rng, connection = random.Random(seed), http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    headers = {"Content-Type": "application/json"} | ({} if kept else {"Connection": "close"})
    due = time.monotonic()
    while True:
        due += rng.expovariate(per_second)
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            connection.request("POST", "/predict", body, headers)
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            connection.close()


def be_customers(port: int, bodies: Sequence[bytes], kept: bool, per_second: float) -> None:
    """Send requests on so many connections, in a process of their own."""
    for number in range(CONNECTIONS):
        keeps = kept and number % 2 == 0
        arguments = (port, bodies[number % len(bodies)], keeps, per_second / CONNECTIONS, number)
        threading.Thread(target=ask_for_ever, args=arguments, daemon=True).start()
    threading.Event().wait()


@contextmanager
def customers(setting: Setting, port: int, bodies: Sequence[bytes]) -> Iterator[None]:
    """Let customers ask for as long as the context lasts."""
    per_server = ENOUGH_PER_S if setting.real else FEW_PER_S
    # Those that keep their connections may all be with servers that are not compared.
    rate = per_server * setting.servers * (2 if setting.kept else 1)
    process = get_context("spawn").Process(
        target=be_customers, args=(port, bodies, setting.kept, rate), daemon=True
    )
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def bundle(workspace: Path) -> dict[str, bytes]:
    """Return the files of a release of a fresh repository, with its trained model."""
    folder = workspace / "churn-model"
    if not folder.exists():
        # Its Dockerfile; for a release it makes no difference.
        bake(workspace, platform="docker")
        run([sys.executable, "-m", "toolkit", "train"], folder)
    trained = folder / "reports" / "model"
    files = {path.name: path.read_bytes() for path in trained.iterdir() if path.is_file()}
    lock = (folder / "requirements" / "serving.txt").read_bytes()
    return files | wheel.build(folder, 0) | {"requirements.txt": lock}


def slower(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the same release with a server that takes longer for every request."""
    [name] = [name for name in files if name.endswith(".whl")]
    changed = BytesIO()
    with zipfile.ZipFile(BytesIO(files[name])) as old, zipfile.ZipFile(changed, "w") as new:
        for entry in old.infolist():
            content = old.read(entry).decode("utf-8", "surrogateescape")
            if entry.filename == "toolkit/serving/service.py":
                assert content.count(SERVED) == 1, "the server has changed"
                content = content.replace(SERVED, SLOWED)
            elif entry.filename.endswith("/RECORD"):
                content = re.sub(r"(?m)^(toolkit/serving/service\.py),.*$", r"\1,,", content)
            new.writestr(entry, content.encode("utf-8", "surrogateescape"))
    return {**files, name: changed.getvalue()}


@dataclass(frozen=True)
class Images:
    """Where images come from, and where they go.

    Parameters
    ----------
    context : pathlib.Path
        The folder of the Dockerfile.
    base : str
    registry : str
        ``host:port``.
    """

    context: Path
    base: str
    registry: str

    @property
    def policy(self) -> ImagePolicy:
        """Their name, and the most that they may weigh."""
        return ImagePolicy(f"{self.registry}/churn-model", 2000)

    def make(self, record: Record, files: Mapping[str, bytes]) -> bytes:
        """Build and push the image of a release, and return its record."""
        # Imported here: the other platform needs no Docker SDK.
        from toolkit.release.images.build import make
        from toolkit.release.images.record import FILE_NAME as IMAGE_NAME

        content = {**files, FILE_NAME: record.to_json()}
        made = make(*(self.context, record, content, self.policy, self.base, True, b"", Progress()))
        return made[IMAGE_NAME]


@contextmanager
def images(context: Path) -> Iterator[Images]:
    """Yield an engine's base image and a registry, as the tests of the template have them."""
    sys.path.insert(0, str(TEMPLATE / "tests"))
    import engine

    with ExitStack() as stack:
        try:
            found = stack.enter_context(engine.engine())
            registry = stack.enter_context(engine.registry())
            base = engine.base_image(found.client)
        except engine.EngineMissing as missing:
            sys.exit(str(missing))
        os.environ.update(found.environment)
        yield Images(context, base, registry)


class Place:
    """A repository with an environment of some servers, and three releases: two equal, one slow."""

    def __init__(
        self,
        workspace: Path,
        setting: Setting,
        files: Mapping[str, bytes],
        images: Images | None,
    ) -> None:
        self.setting, self.images = setting, images
        folder = workspace / f"{setting.platform}-{setting.servers}"
        folder.mkdir(parents=True)
        [self.port] = free_ports(1)
        self.environment = Environment(
            name=f"prod-{setting.servers}-{workspace.name}",
            platform=setting.platform,
            host="127.0.0.1",
            port=self.port,
            instances=setting.servers,
            canary=CANARY,
            ready_timeout_s=READY_TIMEOUT_S,
        )
        policy = Policy(
            *("churn-model", ("-m", "toolkit.serving"), 100, 3600, (self.environment,)),
            image=images.policy if images else None,
            scan=False,
        )
        shop = Workshop.open(folder / "clone", None)
        self.shop = replace(shop, machine=replace(shop.machine, policy=policy))
        self.equal = tuple(self.release(files) for _ in range(2))
        self.slow = self.release(slower(files))
        self.serves = self.equal[0]
        self.promote(self.serves)

    def release(self, files: Mapping[str, bytes]) -> Record:
        """Make a release of these files, and its image where one is needed."""
        make = self.images.make if self.images else None
        image = (lambda record: make(record, files)) if make else None
        return self.shop.release(files["model.onnx"], others=files, image=image)

    def promote(self, record: Record) -> str:
        """Promote a release by name, and return what its canary says."""
        plan = self.shop.machine.plan_promotion(self.environment, record.version)
        return self.shop.machine.promote(plan, Progress()).canary

    def canary(self, kind: str) -> Result:
        """Promote a release that is equal to the one that serves, or slower."""
        [other] = [one for one in self.equal if one != self.serves]
        record = other if kind == EQUAL else self.slow
        began = time.monotonic()
        try:
            text, outcome = self.promote(record), PASSED
            self.serves = record
        except RolledBack as error:
            text = error.why
            outcome = FAILED if "the canary failed" in text else ABORTED
        except CanaryInconclusive as error:
            text, outcome = error.why, UNDECIDED
        seconds = time.monotonic() - began
        measured = self.measured()
        if record is self.slow and outcome == PASSED:
            self.promote_without_canary(other)
        return Result(
            *(str(self.setting), kind, outcome, text.partition("\n")[0], seconds),
            ratio=measured.get("figures", {}).get("ratio"),
            again=measured.get("first") is not None,
        )

    def measured(self) -> dict[str, Any]:
        """Return what the canary of the newest event has recorded, empty where there was none."""
        ledger = self.shop.ledger()
        [newest, *_] = ledger.history(self.environment.name)
        return ledger.analysis(newest.sha)

    def promote_without_canary(self, record: Record) -> None:
        """Let an equal release serve again."""
        machine_ = self.shop.machine
        environment = replace(self.environment, canary=None)
        machine_.promote(machine_.plan_promotion(environment, record.version), Progress())
        self.serves = record

    def close(self) -> None:
        """End its servers."""
        platform_of(self.environment, self.shop.machine.policy).stop("", lambda: None)


def upper_bound(k: int, n: int, risk: float = 0.05) -> float:
    """Return the rate that k of n rule out to be exceeded, at this risk (Clopper and Pearson)."""
    if k == n:
        return 1.0
    low, high = k / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if binomial_at_most(k, n, middle) > risk else (low, middle)
    return high


def report(results: Sequence[Result]) -> None:
    """Print a table, a row for each setting, and the sums."""
    print(
        "\n| platform | connections | canary | requests | release | canaries | passed | failed | "
        "undecided | aborted | measured twice |\n" + "| --- " * 11 + "|"
    )
    keys = sorted({(one.setting, one.release) for one in results})
    for key in keys:
        these = [one for one in results if (one.setting, one.release) == key]
        outcomes = [one.outcome for one in these]
        counts = " | ".join(str(outcomes.count(one)) for one in OUTCOMES)
        again = sum(one.again for one in these)
        print(f"| {' | '.join(key)} | {len(these)} | {counts} | {again} |")
    alike = [one.outcome for one in results if one.release == EQUAL]
    slow = [one.outcome for one in results if one.release == SLOW]
    if alike:
        alarms = alike.count(FAILED)
        bound = upper_bound(alarms, len(alike))
        print(
            f"\nfalse alarms: {alarms} of {len(alike)}, at most {bound:.1%} (95 %); "
            f"undecided: {alike.count(UNDECIDED)}"
        )
    if slow:
        found = slow.count(FAILED)
        print(
            f"slower by 30 %: {found} of {len(slow)} failed ({found / len(slow):.0%}), "
            f"{slow.count(UNDECIDED)} undecided, {slow.count(PASSED)} passed"
        )
    for kind in (EQUAL, SLOW):
        ratios = sorted(one.ratio for one in results if one.release == kind and one.ratio)
        if ratios:
            middle = ratios[len(ratios) // 2]
            print(
                f"{kind}: p95 {middle:.2f} times the control's, {ratios[0]:.2f} to {ratios[-1]:.2f}"
            )
    if results:
        seconds = sorted(one.seconds for one in results)
        print(f"a canary took {seconds[len(seconds) // 2]:.0f} s, the longest {seconds[-1]:.0f} s")


def canaries(
    turns: Sequence[tuple[Setting, str]],
    workspace: Path,
    files: Mapping[str, bytes],
    images: Images | None,
    until: float,
    log: Path,
) -> list[Result]:
    """Run canaries one after another, none after a time; log and return what came of each."""
    os.environ["XDG_STATE_HOME"] = str(workspace / "state")
    bodies = [json.dumps(one).encode() for one in json.loads(files["smoke.json"])["replay"]]
    results: list[Result] = []
    places: dict[int, Place] = {}
    with ExitStack() as stack:
        stack.enter_context(redirect_stderr(StringIO()))
        for setting, kind in turns:
            if time.monotonic() > until:
                break
            if setting.servers not in places:
                places[setting.servers] = Place(workspace, setting, files, images)
                stack.callback(places[setting.servers].close)
            place = places[setting.servers]
            place.setting = setting
            with customers(setting, place.port, bodies):
                time.sleep(1)
                results.append(place.canary(kind))
            one = results[-1]
            print(f"{one.setting} | {kind}: {one.outcome}, {one.seconds:.0f} s: {one.text}")
            sys.stdout.flush()
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(one)) + "\n")
    return results


def main() -> None:
    """Run canaries until there are enough or the time is over, and print the table."""
    parser = argparse.ArgumentParser(description="Whole canaries, with equal and slower releases.")
    parser.add_argument("--platform", choices=("process", "docker"), default="process")
    parser.add_argument("--rounds", type=int, default=7, help="canaries of each kind and setting")
    parser.add_argument("--minutes", type=float, default=60, help="begin none after so long")
    parser.add_argument("--release", choices=(EQUAL, SLOW), help="only canaries of these")
    parser.add_argument("--at-once", type=int, default=1, help="so many canaries run at a time")
    added = "a file that earlier results are read from, and these are added to"
    parser.add_argument("--results", type=Path, help=added)
    parser.add_argument("--workspace", type=Path, help="a folder that keeps the trained model")
    asked = parser.parse_args()
    until = time.monotonic() + 60 * asked.minutes
    results: list[Result] = []
    if asked.results and asked.results.exists():
        lines = asked.results.read_text(encoding="utf-8").splitlines()
        results = [Result(**json.loads(line)) for line in lines]
    kinds = [asked.release] if asked.release else [EQUAL, SLOW]
    turns = [(one, kind) for one in settings(asked.platform) for kind in kinds] * asked.rounds
    # Slices of a long run add up to all of it.
    done = Counter((one.setting, one.release) for one in results)
    turns = [turn for turn in turns if not _take(done, (str(turn[0]), turn[1]))]
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = asked.workspace or scratch
        files = bundle(folder)
        with ExitStack() as stack:
            made = None
            if asked.platform == "docker":
                made = stack.enter_context(images(folder / "churn-model"))
            pool = stack.enter_context(ProcessPoolExecutor(asked.at_once, get_context("spawn")))
            log = asked.results or scratch / "results.jsonl"
            lanes = []
            for lane in range(asked.at_once):
                mine, place = turns[lane :: asked.at_once], scratch / str(lane)
                lanes.append(pool.submit(canaries, mine, place, files, made, until, log))
            new = [result for lane in lanes for result in lane.result()]
    print(f"\n{machine()}, {asked.at_once} canaries at a time")
    report(results + new)


def _take(counts: Counter[tuple[str, str]], key: tuple[str, str]) -> bool:
    """Take one off a count; return whether there was one."""
    counts[key] -= 1
    return counts[key] >= 0


if __name__ == "__main__":
    main()
