"""The guides of a generated repository, read and followed as its owner would: README.md and docs/.

A worked example is a section of a guide. An edit is a fenced block below a comment that names the
file and the place, as in ``<!-- quality.toml: instead of min = 0.80 -->``; a console block is typed,
and must print what it shows, where ``...`` stands for anything. ``<!-- exit 1 -->`` above a console
block says how its last command ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from demo.repository import Repository

HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
FENCED = re.compile(
    r"(?:^ *<!-- (?P<comment>[^\n]+) -->\n)?"
    r"^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
EDIT = re.compile(
    r"(?P<path>\S+): (?P<paragraph>paragraph )?(?P<place>at the end|above|below|instead of)"
    r"(?: (?P<line>.+))?"
)
EXIT = re.compile(r"exit (\d+)")
SPAN = re.compile(r"`([^`\n]+)`")
ANYTHING = "..."


@dataclass(frozen=True)
class Command:
    """What a console block says one types, and what is printed then.

    Parameters
    ----------
    text : str
    prints : tuple of str
        Lines of what is printed, in which ``...`` stands for anything.
    code : int
        How it ends.
    """

    text: str
    prints: tuple[str, ...]
    code: int = 0

    def run(self, repository: Repository) -> None:
        """Type it, and compare how it ends and what it prints with what the guide says."""
        done = repository.capture("bash", "-c", self.text)
        printed = done.stdout + done.stderr
        assert done.returncode == self.code, f"{self.text}\n{printed}"
        for line in self.prints:
            parts = map(re.escape, line.strip().split(ANYTHING))
            assert re.search(".*".join(parts), printed), f"{self.text}\n{line}\nnot in:\n{printed}"


@dataclass(frozen=True)
class Edit:
    """What a guide says one writes into a file.

    Parameters
    ----------
    path : str
    place : str
        Where, seen from a line that is there: above, below, instead of; or at the end.
    line : str
        A text that is in the file once; the place is that of its whole lines. Empty at the end.
    text : str
        What is written.
    is_paragraph : bool
        Whether empty lines stand around it, as many as the file's style wants.
    """

    path: str
    place: str
    line: str
    text: str
    is_paragraph: bool

    def apply(self, repository: Repository) -> None:
        """Make the edit."""
        file = repository.folder / self.path
        before = file.read_text(encoding="utf-8")
        empty = ("\n\n" if file.suffix == ".py" else "\n") if self.is_paragraph else ""
        if self.place == "at the end":
            file.write_text(f"{before}{empty}{self.text}", encoding="utf-8")
            return
        assert before.count(self.line) == 1, f"{self.path}: {self.line!r} is not there once"
        start = before.rindex("\n", 0, before.index(self.line)) + 1
        end = before.index("\n", before.index(self.line) + len(self.line)) + 1
        head, line, tail = before[:start], before[start:end], before[end:]
        if self.is_paragraph:
            head = head.rstrip("\n") + "\n" + empty
        written = {
            "above": f"{self.text}{empty}{line}",
            "below": f"{line}{empty}{self.text}",
            "instead of": self.text,
        }[self.place]
        file.write_text(head + written + tail, encoding="utf-8")


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it, up to the next heading of its level or above."""

    text: str

    def follow(self, repository: Repository) -> None:
        """Make every edit and type every command, in their order."""
        for step in self.steps():
            match step:
                case Edit():
                    step.apply(repository)
                case Command():
                    step.run(repository)

    def steps(self) -> Iterator[Edit | Command]:
        """Yield the edits and the commands, in their order."""
        for block in FENCED.finditer(self.text):
            comment = block["comment"] or ""
            text = re.sub(f"^{block['indent']}", "", block["text"], flags=re.MULTILINE)
            if block["language"] == "console":
                *commands, last = _commands(text)
                ends = EXIT.fullmatch(comment)
                yield from commands
                yield Command(last.text, last.prints, int(ends[1]) if ends else 0)
            elif edit := EDIT.fullmatch(comment):
                line = (edit["line"] or "").replace("\\n", "\n")
                yield Edit(edit["path"], edit["place"], line, text, bool(edit["paragraph"]))
            else:
                assert not comment, f"{comment!r} is no edit"

    def commands(self) -> list[Command]:
        """Return the commands of all console blocks."""
        return [step for step in self.steps() if isinstance(step, Command)]


@dataclass(frozen=True)
class Guide:
    """A Markdown file of a repository.

    Parameters
    ----------
    path : pathlib.Path
    text : str
    """

    path: Path
    text: str

    @classmethod
    def read(cls, path: Path) -> Guide:
        """Read a guide."""
        return cls(path, path.read_text(encoding="utf-8"))

    @property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return FENCED.sub("", self.text)

    @property
    def whole(self) -> Section:
        """The whole guide as one section."""
        return Section(self.text)

    def anchors(self) -> set[str]:
        """Return what a link may name behind its ``#``, as the forges make it of a heading."""
        return {_anchor(title) for _, title in HEADING.findall(self.prose)}

    def links(self) -> list[str]:
        """Return where its links lead."""
        return re.findall(r"\]\(([^)\s]+)\)", self.prose)

    def spans(self) -> list[str]:
        """Return what stands in backticks."""
        return SPAN.findall(self.prose)

    def section(self, anchor: str) -> Section:
        """Return the section that a link to this anchor leads to."""
        headings = list(HEADING.finditer(self.text))
        [start] = [one for one in headings if _anchor(one[2]) == anchor]
        later = (one for one in headings if one.start() > start.start())
        ends = (one.start() for one in later if len(one[1]) <= len(start[1]))
        return Section(self.text[start.end() : next(ends, len(self.text))])


def guides(repository: Path) -> list[Guide]:
    """Return every guide of a repository: README.md, docs/ and that of the toolkit."""
    alone = [repository / "README.md", repository / "toolkit" / "README.md"]
    return [Guide.read(path) for path in (*alone, *sorted(repository.glob("docs/*.md")))]


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _commands(text: str) -> Iterator[Command]:
    for said in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *prints = said.splitlines()
        yield Command(command, tuple(prints))
