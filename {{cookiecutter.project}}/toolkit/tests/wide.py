"""The small table of customers with forty more columns: of each type, with nulls and odd names."""

import itertools
import random
from pathlib import Path

from toolkit.tests import customers

COLUMNS = 40
NULL_RATE = 0.1
PLACES = ("north", 'the "south"', "Łódź", "a,b", "1:2", "-")
# What a contract says of each type, and how its values are drawn.
KINDS = {
    "integer": 'type = "integer"\nmin = -1000\nmax = 1000',
    "number": 'type = "number"\nmax = 1e9',
    "category": f'type = "category"\ncategories = [{", ".join(map(repr, PLACES))}]',
}


def write(folder: Path, count: int = 400) -> Path:
    """Write the table, its contract and its policy, and return the contract's path."""
    rng = random.Random(7)
    named = zip(range(COLUMNS), itertools.cycle(KINDS))
    kinds = {f'{kind} "{place}": é': kind for place, kind in named}
    rows = [
        row | {name: _value(rng, kind) for name, kind in kinds.items()}
        for row in customers.make(count)
    ]
    path = customers.write(folder, rows, [*customers.HEADER[:-1], *kinds, customers.HEADER[-1]])
    columns = "".join(
        f"[[column]]\nname = '{name}'\nrole = \"feature\"\n{KINDS[kind]}\nmax_null_rate = 0.5\n\n"
        for name, kind in kinds.items()
    )
    before, target, after = customers.CONTRACT.partition('[[column]]\nname = "left"')
    path.write_text(before + columns + target + after, encoding="utf-8")
    return path


def _value(rng: random.Random, kind: str) -> str:
    if rng.random() < NULL_RATE:
        return ""
    if kind == "category":
        return rng.choice(PLACES)
    if kind == "integer":
        return str(rng.randrange(-1000, 1000))
    return str(rng.uniform(-1, 1) * 10 ** rng.randrange(-9, 10))
