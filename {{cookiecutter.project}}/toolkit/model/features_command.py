"""The features command, which starts a second process before it imports what both import."""

from ..places import Places
from .other_process import OtherProcess


def check_features(places: Places) -> bool:
    """Run `consistency.check`."""
    with OtherProcess() as other:
        # Both import pandas and scikit-learn now, side by side.
        from . import consistency

        return consistency.check(places, other)
