"""The inventory of a release has one form for an image and for an environment."""

from __future__ import annotations

import json

import pytest

from toolkit.release import inventory

COMPONENTS = [
    inventory.Component("pypi", "numpy", "2.0", "BSD-3-Clause", 70),
    inventory.Component("deb", "libc6", "2.36", "", 5),
    inventory.Component("pypi", "anyio", "4.0", "", 1),
]


def test_a_bill_of_materials_names_every_component_and_is_the_same_twice() -> None:
    bill = inventory.sbom(COMPONENTS, "container", "registry/models", "v1")
    assert bill == inventory.sbom(COMPONENTS, "container", "registry/models", "v1")
    document = json.loads(bill)
    assert document["bomFormat"] == "CycloneDX"
    assert document["metadata"]["component"]["type"] == "container"
    assert {one["purl"] for one in document["components"]} == {
        *("pkg:pypi/numpy@2.0", "pkg:deb/debian/libc6@2.36", "pkg:pypi/anyio@4.0"),
    }


def test_licences_and_sizes_are_of_the_release_s_own_packages() -> None:
    table = inventory.licences(COMPONENTS).decode()
    assert "| numpy | 2.0 | BSD-3-Clause |" in table
    assert "| anyio | 4.0 | unknown |" in table
    assert "libc6" not in table
    assert [one.name for one in inventory.largest(COMPONENTS, 5)] == ["numpy", "anyio"]


def test_the_inventory_can_be_taken_by_any_python(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(inventory.script(), "script", "exec"), {"__name__": "__main__"})
    found = {one.name: one for one in inventory.parse(capsys.readouterr().out)}
    assert found["docker"].licence == "Apache-2.0"
    assert found["docker"].bytes > 100_000
