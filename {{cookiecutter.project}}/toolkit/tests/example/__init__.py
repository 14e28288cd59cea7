"""An owner's package, as small as the toolkit's tests can do with."""
