"""Promotions and rollbacks in a cluster: real git and kustomize, a scripted cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from release.errors import RolledBack
from tests.clusters import ClusterShop, opened


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[ClusterShop]:
    """A cluster, and nothing in it."""
    with opened(tmp_path) as shop:
        yield shop


def test_a_promotion_serves_the_release_and_is_recorded(shop: ClusterShop) -> None:
    release = shop.release()
    event = shop.promote(release)
    assert event.outcome == "verified"
    assert shop.serves(release)
    assert not shop.look().drift


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (b"crash at start", "CrashLoopBackOff"),
        (b"never ready", "it runs, and is not ready"),
    ],
)
def test_13_a_bad_release_rolls_itself_back_and_shows_why(
    shop: ClusterShop, model: bytes, reason: str
) -> None:
    good, bad = shop.release(), shop.release(model)
    shop.promote(good)
    with pytest.raises(RolledBack) as refusal:
        shop.promote(bad)
    assert reason in refusal.value.why
    assert f"this model: {model.decode()}" in refusal.value.why
    assert shop.serves(good) and not shop.look().drift
