"""Checks the data, trains the model, and checks both against quality.toml."""

import argparse
import sys
from dataclasses import fields
from datetime import date
from importlib import import_module
from pathlib import Path

from .errors import ToolkitError
from .places import Places

# Each command's module, which is imported when it is asked for: a data check needs no training.
DATA, MODEL = "toolkit.data.commands", "toolkit.model.commands"
FEATURES = "toolkit.model.features_command"
SCORE = "toolkit.model.score.commands"
SNAPSHOT = "toolkit.data.snapshot.commands"
COMMANDS = {
    "data": (DATA, "check_data", "check the data against its contract and the reference"),
    "reference": (DATA, "accept_reference", "make the current data the reference for drift"),
    "features": (FEATURES, "check_features", "compare training, serving and contract"),
    "gate": (MODEL, "gate", "train quickly on a sample, and check the metrics"),
    "train": (MODEL, "train", "train on all data, export the model, and check it"),
    "nightly": (MODEL, "nightly", "train, and tell whether the model beats an earlier one"),
    "verify": (MODEL, "verify", "measure and decide again what a release's evidence says"),
    "snapshot": (SNAPSHOT, "snapshot", "take a snapshot of the table from its source"),
    "score": (SCORE, "score", "what `invoke score` runs: score a table with a release"),
    "adopt": (DATA, "adopt", "replace the sample data with your own table"),
}
# What a table does not say about itself; each may be given more than once.
ANSWERS = (
    (
        "--csv",
        "KEY=VALUE",
        "how the file is written, with a key of [csv] in the contract: decimal=,",
    ),
    ("--null", "[COLUMN=]TEXT", "a text that means null, in all columns or in one"),
    ("--category", "COLUMN", "a column of categories, whatever its values look like"),
    ("--ignore", "COLUMN", "a column to leave out"),
)

SNAPSHOT_OPTIONS = (
    ("--twice", "pull two times, and refuse a source that does not repeat itself"),
    ("--push", "put the bytes of the snapshot at the remote"),
    ("--verify", "pull the day of the snapshot again, and compare; brings back lost bytes"),
    ("--prune", "list old bytes that no branch and no release needs; with --yes remove them"),
    ("--yes", "with --prune: remove them"),
)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the parsed command line; a usage error exits with 2."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, _, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--contract", type=Path, default=Path("data/contract.toml"))
        command.add_argument("--quality", type=Path, default=Path("quality.toml"))
        command.add_argument("--reports", type=Path, default=Path("reports"))
        if name == "snapshot":
            _add_snapshot_options(command)
        if name == "score":
            command.add_argument("--request", type=Path, required=True, help="what to score")
    # The last of them is adopt's.
    command.add_argument("file", type=Path, metavar="FILE", help="CSV, also compressed, or Parquet")
    command.add_argument("--target", required=True, metavar="COLUMN", help="the churn label")
    command.add_argument("--id", required=True, metavar="COLUMN", help="the customer's id")
    command.add_argument("--positive", metavar="VALUE", help="the label of a churned customer")
    for option, name, text in ANSWERS:
        command.add_argument(option, action="append", default=[], metavar=name, help=text)
    return parser.parse_args(arguments)


def _add_snapshot_options(command: argparse.ArgumentParser) -> None:
    text = "the cut-off, as 2026-11-30; default: today, in UTC"
    command.add_argument("--as-of", type=date.fromisoformat, metavar="DAY", help=text)
    for option, text in SNAPSHOT_OPTIONS:
        command.add_argument(option, action="store_true", help=text)
    command.add_argument("--forget", metavar="CONTENT", help="erase a snapshot everywhere")
    command.add_argument("--reason", default="", metavar="TEXT", help="why it is erased")


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 passed, 1 failed, 2 wrong arguments or configuration."""
    options = parse(arguments)
    places = Places(Path.cwd(), options.contract, options.quality, options.reports)
    module, function, _ = COMMANDS[options.command]
    try:
        run = getattr(import_module(module), function)
        if options.command == "adopt":
            from .data.adoption import Request
            from .data.source import Answers

            lists = (options.csv, options.null, options.category, options.ignore)
            answers = Answers(*map(tuple, lists))
            who = (options.target, options.id, options.positive)
            run(places, Request(options.file, *who, answers))
            return 0
        if options.command == "snapshot":
            from .data.snapshot.commands import Options

            names = [field.name for field in fields(Options)]
            chosen = Options(**{name: getattr(options, name) for name in names})
            return 0 if run(places, chosen) else 1
        if options.command == "score":
            return 0 if run(places, options.request) else 1
        return 0 if run(places) else 1
    except ToolkitError as error:
        print(f"{error}\nNext: {error.next_step}.", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
