"""The model wing's command line: `python -m <package> RUN`."""

import argparse
import sys
from pathlib import Path

from .data import commands as data_runs
from .data.adoption import Request
from .errors import ToolkitError
from .model import commands as runs
from .places import Places

RUNS = {
    "data": data_runs.check_data,
    "reference": data_runs.accept_reference,
    "features": runs.check_features,
    "gate": runs.gate,
    "train": runs.train,
    "nightly": runs.nightly,
}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return what the command line asks for; a mistake ends the program with 2."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}", description=__doc__)
    commands = parser.add_subparsers(dest="run", required=True, metavar="RUN")
    for name, run in {**RUNS, "adopt": data_runs.adopt}.items():
        command = commands.add_parser(name, help=run.__doc__)
        command.add_argument("--contract", type=Path, default=Path("data/contract.toml"))
        command.add_argument("--quality", type=Path, default=Path("quality.toml"))
        command.add_argument("--reports", type=Path, default=Path("reports"))
    # The last of them is adopt's.
    command.add_argument("file", type=Path, metavar="FILE", help="CSV, also .gz, or Parquet")
    command.add_argument("--target", required=True, metavar="COLUMN", help="says who left")
    command.add_argument("--id", required=True, metavar="COLUMN", help="names the customer")
    command.add_argument("--positive", metavar="VALUE", help="the target of one who left")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run and return the exit code: 0 passed, 1 failed, 2 wrong arguments or configuration."""
    asked = parse(arguments)
    places = Places(Path.cwd(), asked.contract, asked.quality, asked.reports)
    try:
        if asked.run == "adopt":
            request = Request(asked.file, asked.target, asked.id, asked.positive)
            return 0 if data_runs.adopt(places, request) else 1
        return 0 if RUNS[asked.run](places) else 1
    except ToolkitError as error:
        print(f"{error}\nNext: {error.next_step}.", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
