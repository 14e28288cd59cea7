"""Which snapshots were erased, and why: data/erased.json."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ...errors import ConfigurationError

FILE = "erased.json"


@dataclass(frozen=True)
class Erasure:
    """A snapshot whose bytes were erased, for ever.

    Attributes
    ----------
    content_sha256
        Its name.
    on, reason
        The day, as ISO 8601, and why.
    """

    content_sha256: str
    on: str
    reason: str


def load(file: Path) -> list[Erasure]:
    """Return what was erased, as the file beside a pointer says.

    Raises
    ------
    ConfigurationError
        The file is not what `erase` writes.
    """
    place = file.with_name(FILE)
    if not place.exists():
        return []
    try:
        return TypeAdapter(list[Erasure]).validate_json(place.read_bytes(), strict=True)
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        raise ConfigurationError(f"{place}: {why}", f"restore {place}") from None
