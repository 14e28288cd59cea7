"""How much the image of the sample's release adds to its base, package by package.

    nox -s benchmark_image
    nox -s benchmark_image -- --base python:3.13-slim

A fresh repository trains its model and builds the image, as its owner would, on the Docker Engine
that answers, else on one of its own, which only root can start. Without `--base` the base is the
tests' own, a Debian with Python.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import docker
from toolkit.release import inventory

from benchmarks.machine import machine
from demo.repository import Repository

MEGABYTE = 1_000_000
SHOWN = 8

sys.path.append(str(Path(__file__).parents[1] / "tests"))


def build(workspace: Path, base: str) -> dict[str, Any]:
    """Build the image of a fresh repository, and return the record of it."""
    repository = Repository.generate(workspace, platform="docker")
    repository.begin(workspace / "remote.git")
    repository.install_tools()
    programs = repository.programs
    repository.run([str(programs / "nox"), "-s", "train"])
    repository.run([str(programs / "invoke"), "build", "--base", base])
    [kept] = (repository.folder / "dist").glob("*/image.json")
    record: dict[str, Any] = json.loads(kept.read_bytes())
    return record


def print_table(client: docker.DockerClient, record: dict[str, Any]) -> None:
    """Print what an image adds to its base as Markdown: its largest packages, and the rest."""
    image, own = record["image_id"], record["own_bytes"]
    listed = client.containers.run(image, ["python3", "-c", inventory.script()], remove=True)
    packages = inventory.largest(inventory.parse(listed.decode()), count=SHOWN)
    sizes = {f"{one.name} {one.version}": one.bytes for one in packages}
    sizes["all others, the bundle and the environment"] = own - sum(sizes.values())
    print(f"\n{machine()}; {record['base']}, {(record['size_bytes'] - own) / MEGABYTE:.0f} MB\n")
    print("| above the base | MB | share |\n| --- | --- | --- |")
    for name, size in (sizes | {"together": own}).items():
        print(f"| {name} | {size / MEGABYTE:.1f} | {size / own:.0%} |")


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", help="the base image, with Python")
    base = parser.parse_args().base
    import engine

    with tempfile.TemporaryDirectory() as folder:
        try:
            with engine.engine() as found:
                os.environ.update(found.environment)
                base = base or engine.base_image(found.client)
                print_table(found.client, build(Path(folder), base))
        except engine.EngineMissing as missing:
            sys.exit(str(missing))


if __name__ == "__main__":
    main()
