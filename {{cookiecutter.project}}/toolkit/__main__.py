"""Checks the data, trains the model, and checks both against quality.toml."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from .data import commands as data_commands
from .data.adoption import Request
from .errors import ToolkitError
from .model import commands as model_commands
from .places import Places

COMMANDS: dict[str, Callable[[Places], bool]] = {
    "data": data_commands.check_data,
    "reference": data_commands.accept_reference,
    "features": model_commands.check_features,
    "gate": model_commands.gate,
    "train": model_commands.train,
    "nightly": model_commands.nightly,
    "verify": model_commands.verify,
}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the parsed command line; a usage error exits with 2."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, function in {**COMMANDS, "adopt": data_commands.adopt}.items():
        command = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        command.add_argument("--contract", type=Path, default=Path("data/contract.toml"))
        command.add_argument("--quality", type=Path, default=Path("quality.toml"))
        command.add_argument("--reports", type=Path, default=Path("reports"))
    # The last of them is adopt's.
    command.add_argument("file", type=Path, metavar="FILE", help="CSV, also .gz, or Parquet")
    command.add_argument("--target", required=True, metavar="COLUMN", help="the churn label")
    command.add_argument("--id", required=True, metavar="COLUMN", help="the customer's id")
    command.add_argument("--positive", metavar="VALUE", help="the label of a churned customer")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 passed, 1 failed, 2 wrong arguments or configuration."""
    options = parse(arguments)
    places = Places(Path.cwd(), options.contract, options.quality, options.reports)
    try:
        if options.command == "adopt":
            request = Request(options.file, options.target, options.id, options.positive)
            data_commands.adopt(places, request)
            return 0
        return 0 if COMMANDS[options.command](places) else 1
    except ToolkitError as error:
        print(f"{error}\nNext: {error.next_step}.", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
