"""Where the table of customers comes from: data/source.toml."""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import ConfigurationError
from . import document
from .document import Range, Section

ORIGIN_FILE = "source.toml"
SCHEMA = 1
FILES, SQL, COMMAND = "files", "sql", "command"
KEEP_DAYS = 90
RANGES = {
    "labels.known_after_days": Range(0, 3_650, "a label that takes ten years trains no model"),
    "remote.keep_days": Range(1, 36_500, "a snapshot is kept for some days at least"),
}
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Parameters of a URL that hold a secret.
SECRET = re.compile(r"(^|[&;])[^=&;]*(password|secret|token|sig|key)[^=&;]*=", re.IGNORECASE)


@dataclass(frozen=True)
class Labels:
    """When the label of a row is known.

    Attributes
    ----------
    observed
        The column of the day on which a row was observed.
    known_after_days
        So many days later it is known who churned.
    """

    observed: str
    known_after_days: int


@dataclass(frozen=True)
class Remote:
    """Where the bytes of snapshots lie for everybody, and how many days they are kept at least."""

    url: str
    keep_days: int


@dataclass(frozen=True)
class Origin:
    """The content of data/source.toml.

    Attributes
    ----------
    path
        Its file.
    kind
        ``files``, ``sql`` or ``command``.
    url, url_from
        Of files or of a database: it stands in the file, or in a variable of this name.
    query
        The file of the query of a database; None for other kinds.
    script
        The file of a command; None for other kinds.
    labels, remote
        None where the file does not say.
    """

    path: Path
    kind: str
    url: str | None
    url_from: str | None
    query: Path | None
    script: Path | None
    labels: Labels | None
    remote: Remote | None

    @property
    def in_git(self) -> Path | None:
        """The table's file where it lies beside source.toml, so that git keeps it; else None."""
        if self.kind != FILES or self.url is None or is_elsewhere(self.url):
            return None
        return self.path.parent / self.url

    def address(self) -> str:
        """Return the URL, which may hold a password: it must be shown to nobody.

        Raises
        ------
        ConfigurationError
            The variable that should hold it is not set.
        """
        if self.url is not None:
            return self.url
        assert self.url_from is not None, "a source without URL has no address"
        if address := os.environ.get(self.url_from):
            return address
        raise ConfigurationError(
            f"{self.path}: url_from: the variable {self.url_from} is not set",
            f"export {self.url_from}=... with the path or the URL of the table",
        )


def is_elsewhere(url: str) -> bool:
    """Return whether a URL leads out of the folder of source.toml."""
    return "://" in url or PurePosixPath(url).is_absolute()


def load(path: Path) -> Origin:
    """Read data/source.toml.

    Raises
    ------
    ConfigurationError
        Names the file and the key that is missing, unknown, contradictory or holds a password.
    """
    top = document.read(path, SCHEMA, RANGES)
    kind = top.choice("kind", (FILES, SQL, COMMAND))
    url = url_from = query = script = None
    if kind == COMMAND:
        script = _beside(top, "script")
    else:
        url, url_from = _url(top)
    if kind == SQL:
        query = _beside(top, "query")
    labels = remote = None
    if "labels" in top:
        section = top.table("labels")
        labels = Labels(section.take("observed", str), section.take("known_after_days", int))
        section.finish()
    if "remote" in top:
        section = top.table("remote")
        place = section.take("url", str)
        _refuse_secrets(section, "url", place)
        remote = Remote(place, section.take_or("keep_days", int, KEEP_DAYS))
        section.finish()
    top.finish()
    return Origin(path, kind, url, url_from, query, script, labels, remote)


def _url(top: Section) -> tuple[str | None, str | None]:
    if ("url" in top) == ("url_from" in top):
        raise top.refuse("url", "one of url and url_from must say where the table is")
    if "url_from" in top:
        name = top.take("url_from", str)
        if not VARIABLE.fullmatch(name):
            raise top.refuse("url_from", f"must be the name of a variable, not {name!r}")
        return None, name
    url = top.take("url", str)
    _refuse_secrets(top, "url", url)
    if not is_elsewhere(url) and ".." in PurePosixPath(url).parts:
        raise top.refuse("url", "a file beside this one, or an absolute path or URL, is meant")
    return url, None


def _refuse_secrets(section: Section, key: str, url: str) -> None:
    """Refuse a URL with a password: it would be in git for ever."""
    rest = url.partition("://")[2]
    # Not by urllib: a password with a / or a [ in it would be none there.
    if ":" in rest.rpartition("@")[0] or SECRET.search(rest.partition("?")[2]):
        raise section.refuse(
            key,
            "holds a password or a key, and this file is in git: change that secret, since it has "
            'been written down; then let a variable hold the URL: url_from = "NAME"',
        )


def _beside(top: Section, key: str) -> Path:
    name = top.take(key, str)
    file = top.file.parent / name
    if PurePosixPath(name).name != name or not file.is_file():
        raise top.refuse(key, f"must be a file in {top.file.parent}, not {name!r}")
    return file
