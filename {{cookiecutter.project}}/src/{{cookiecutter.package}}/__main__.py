"""The model wing's command line: `python -m <package> data`, `gate` or `train`."""

import argparse
import sys
from pathlib import Path

from . import runs
from .errors import ModelWingError

RUNS = {"data": runs.check_data, "gate": runs.gate, "train": runs.train}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return what the command line asks for; a mistake ends the program with 2."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}", description=__doc__)
    commands = parser.add_subparsers(dest="run", required=True, metavar="RUN")
    for name, run in RUNS.items():
        command = commands.add_parser(name, help=run.__doc__)
        command.add_argument("--contract", type=Path, default=Path("data/contract.toml"))
        command.add_argument("--quality", type=Path, default=Path("quality.toml"))
        command.add_argument("--reports", type=Path, default=Path("reports"))
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run and return the exit code: 0 passed, 1 failed, 2 wrong arguments or configuration."""
    asked = parse(arguments)
    places = runs.Places(Path.cwd(), asked.contract, asked.quality, asked.reports)
    try:
        return 0 if RUNS[asked.run](places) else 1
    except ModelWingError as error:
        print(f"{error}\nNext: {error.next_step}.", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
