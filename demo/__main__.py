"""The whole story: from nothing to a model that was promoted, verified and rolled back.

Run by `nox -s demo`; `nox -s demo -- --keep` leaves the repository and its servers to play with.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.changes import answer_after, learn_more_slowly
from demo.client import Customers
from demo.repository import ENVIRONMENTS, CommandFailed, Repository

FAILED_AND_ROLLED_BACK = 30


class Story:
    """Tells the steps of one repository, and how long each took."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.timeline: list[tuple[str, float]] = []

    @contextmanager
    def chapter(self, title: str) -> Iterator[None]:
        """Announce a step and note its time."""
        print(f"\n=== {title}", flush=True)
        began = time.monotonic()
        yield
        self.timeline.append((title, time.monotonic() - began))

    def type(self, *command: str, code: int = 0) -> None:
        """Show a command as its owner types it, and run it."""
        print(f"\n$ {' '.join(command)}", flush=True)
        self.repository.run([str(self.repository.programs / command[0]), *command[1:]], code)

    def release(self) -> dict[str, Any]:
        """Train and release what is committed, and return the release's record."""
        self.type("invoke", "champion", "--env", "prod")
        self.type("nox", "-s", "train")
        self.type("invoke", "build", "--push")
        return self.repository.record()

    def promote(self, environment: str, code: int = 0) -> None:
        """Promote, with an approval where the environment wants one."""
        if environment == "prod":
            self.type("invoke", "approve", "--env", "prod", "--reason", "read the evidence")
        self.type("invoke", "promote", "--env", environment, "--yes", code=code)

    def customer(self, version: str) -> dict[str, Any]:
        """Return a customer that a release was tested with."""
        smoke = self.repository.folder / "dist" / version / "smoke.json"
        request: dict[str, Any] = json.loads(smoke.read_text(encoding="utf-8"))["cases"][0][
            "request"
        ]
        return request

    def predict(self, environment: str, customer: dict[str, Any]) -> None:
        """Ask an environment about one customer, and show the answer."""
        address = f"http://{self.repository.address(environment)}/predict"
        body = json.dumps(customer)
        print(f"\n$ curl {address} --json '{body}'", flush=True)
        request = urllib.request.Request(
            address, body.encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            print(response.read().decode(), flush=True)

    def tell(self) -> None:
        """Print the timeline."""
        print("\nTimeline")
        for title, seconds in self.timeline:
            print(f"  {seconds:7.1f} s  {title}")
        print(f"  {sum(seconds for _, seconds in self.timeline):7.1f} s  in all", flush=True)


def say_customers(customers: Customers) -> None:
    """Print what customers saw meanwhile; `CommandFailed` if one was turned away."""
    answered = ", ".join(f"{count} by {release}" for release, count in customers.answers.items())
    print(f"\nmeanwhile {customers.total} requests were answered ({answered}), ", end="")
    print(f"{len(customers.failures)} failed", flush=True)
    if customers.failures:
        raise CommandFailed(f"customers were turned away: {customers.failures[:3]}")


def tell(story: Story, workspace: Path) -> None:
    """Live through two releases, a slow third that its canary stops, and a rollback."""
    repository = story.repository
    with story.chapter("make it a git repository, with a bare remote"):
        repository.begin(workspace / "remote.git")
    with story.chapter("install nox and invoke"):
        repository.install_tools()
    with story.chapter("everything that a pull request must survive"):
        story.type("nox")
    with story.chapter("train and build the first release"):
        first = story.release()
    customer = story.customer(first["version"])
    with story.chapter("first release to staging"):
        story.promote("staging")
    with story.chapter("first release approved, and to prod"):
        story.promote("prod")
        story.predict("prod", customer)
    with story.chapter("a second release, which learns more slowly"):
        learn_more_slowly(repository)
        story.release()
        story.promote("staging")
        with Customers(repository.address("prod"), customer) as customers:
            story.promote("prod")
        say_customers(customers)
    with story.chapter("a third release, which waits 100 ms: its canary finds that out"):
        answer_after(repository, 100)
        story.release()
        story.promote("staging")
        with Customers(repository.address("prod"), customer) as customers:
            story.promote("prod", code=FAILED_AND_ROLLED_BACK)
        say_customers(customers)
    with (
        story.chapter("prod rolled back"),
        Customers(repository.address("prod"), customer) as customers,
    ):
        story.type("invoke", "rollback", "--env", "prod", "--reason", "customers complained")
    say_customers(customers)
    with story.chapter("what happened, from git alone"):
        story.type("invoke", "status")
        for environment in ENVIRONMENTS:
            story.type("invoke", "history", "--env", environment)
        story.type("invoke", "audit")


def main() -> int:
    """Run the demo; exit 1 when a step did not go as it must."""
    parser = argparse.ArgumentParser(prog="nox -s demo --")
    parser.add_argument("--keep", action="store_true", help="leave the repository and its servers")
    options = parser.parse_args()
    workspace = Path(tempfile.mkdtemp(prefix="churn-demo-"))
    print("=== generate a repository from the template", flush=True)
    began = time.monotonic()
    repository = Repository.generate(workspace)
    repository.release_unscanned()
    story = Story(repository)
    story.timeline.append(("generate a repository from the template", time.monotonic() - began))
    code = 0
    try:
        tell(story, workspace)
    except CommandFailed as error:
        print(f"\nThe demo stopped: {error}", file=sys.stderr, flush=True)
        code = 1
    finally:
        if options.keep:
            print(f"\nThe repository is {repository.folder}. To play with it:")
            print(f"  cd {repository.folder} && . .venv/bin/activate")
            print(f"  export XDG_STATE_HOME={repository.state}")
            print("  invoke status")
            print("and when done: invoke stop --env staging; invoke stop --env prod")
        else:
            repository.stop()
            shutil.rmtree(workspace, ignore_errors=True)
    story.tell()
    return code


if __name__ == "__main__":
    sys.exit(main())
