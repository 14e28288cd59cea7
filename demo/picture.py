"""Draws the end of the demo, docs/demo.svg.

    nox -s demo 2>&1 | tee demo.log
    .nox/dev/bin/python -m demo.picture demo.log docs/demo.svg

The lines from the last chapter on are drawn, as wide as a page; the outcome of each event is coloured.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 150
LAST_CHAPTER = "=== what happened, from git alone"
COLOURS = {r"\bverified\b": "green", r"\brolled-back\b": "yellow", r"^\$ .*": "bold"}


def lines_of(log: str) -> list[str]:
    """Return the lines of the demo's last chapter and its timeline, cut to the width."""
    _, _, end = log.partition(f"{LAST_CHAPTER}\n")
    told = [line for line in end.strip().splitlines() if not line.startswith("nox > ")]
    cut = [line if len(line) <= COLUMNS else f"{line[: COLUMNS - 3]}..." for line in told]
    return ["$ nox -s demo", "...", *cut]


def draw(lines: list[str]) -> str:
    """Return the SVG of a terminal with these lines."""
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), highlight=False)
    for line in lines:
        text = Text(line)
        for pattern, colour in COLOURS.items():
            text.highlight_regex(pattern, colour)
        console.print(text)
    return console.export_svg(title="nox -s demo", unique_id="terminal")


def main() -> None:
    """Draw the log that the first argument names into the file that the second one names."""
    log, picture = (Path(argument) for argument in sys.argv[1:])
    svg = draw(lines_of(log.read_text(encoding="utf-8")))
    # A README's picture loads nothing from elsewhere.
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code, ", "")
    # Renderers differ in whether they keep the spaces at the beginning of a line.
    svg = svg.replace("<svg ", '<svg xml:space="preserve" ', 1)
    picture.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
