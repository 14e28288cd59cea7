"""Searches for passwords, keys and tokens: `python -m toolkit.security.secrets [--all | --update]`.

A secret that was committed and removed again is as public as one that is still there: so every
version of every file that the branch adds is searched, and not only the last one. What looks like a
secret and is none stands in .secrets.baseline, by its hash. No secret is ever printed.

A file of toolkit/ is left out where its bytes are those that toolkit/CHECKSUMS lists at the commit
where the branch starts: the template has searched it, and to search it again takes ten seconds.
The price is that this session finds no secret that the template has overlooked, and none that came
to the default branch together with an edited line of CHECKSUMS: the session of that branch has
found it, and `nox -s template` still names the file. Where there is no branch to compare with,
CHECKSUMS counts as it is now. `--all` and `--update` leave out no file.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from detect_secrets.core import baseline
from detect_secrets.core.plugins import initialize
from detect_secrets.core.potential_secret import PotentialSecret
from detect_secrets.core.scan import scan_file
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import default_settings, get_filters, get_settings

from ..checks import checksums
from . import CannotTell
from .versions import USUALLY, Branch, Version, shown, working_tree

BASELINE = Path(".secrets.baseline")
TOOLKIT = "toolkit"
UPDATE = "nox -s secrets -- --update"

OWN_PLUGIN = {"name": "TokenDetector", "path": "file://toolkit/security/tokens.py"}
NOT_PLUGINS = (
    # An address is no secret, and release.toml holds that of a machine.
    "IPPublicDetector",
    # tokens.py replaces both.
    "GitHubTokenDetector",
    "GitLabTokenDetector",
)
# Lines that the plugins do not see.
NOT_LINES = (
    # The locks' hashes are public, and a tenth of all lines.
    r"^    --hash=sha256:[0-9a-f]{64}( \\)?$",
    # So are those of the toolkit's files, none of which has a digit in its name: tokens have.
    r"^[0-9a-f]{64}  [A-Za-z_./-]+$",
    # A digest in a document is public, and changes with its subject.
    r'^\s*"(\w+_)?sha256": "[0-9a-f]{64}",?$',
    # The template's commit, in .cruft.json, is public.
    r'^\s*"_?commit": "[0-9a-f]{40}",?$',
)
NOT_LINE = re.compile("|".join(NOT_LINES))
NOT_FILES = (
    # Hashes of findings that are no secrets.
    r"^\.secrets\.baseline$",
    # Tables of customers: nobody types them, ids look like keys, a million rows take minutes.
    r"^data/[^/]+\.(csv|tsv|txt)$",
)


@dataclass(frozen=True)
class Finding:
    """A string that looks like a secret.

    Parameters
    ----------
    secret : PotentialSecret
        Its kind, path, line and hash.
    blob : str
        The version that holds it; empty for the file as it is now.
    """

    secret: PotentialSecret
    blob: str


@contextmanager
def all_plugins() -> Iterator[None]:
    """Use all plugins, whatever the baseline lists; no service is asked about a secret."""
    with default_settings() as settings:
        settings.disable_plugins(*NOT_PLUGINS)
        initialize.from_file(str(Path(__file__).with_name("tokens.py")))
        settings.configure_plugins([OWN_PLUGIN])
        settings.filters |= {
            "detect_secrets.filters.regex.should_exclude_line": {"pattern": list(NOT_LINES)},
            "detect_secrets.filters.regex.should_exclude_file": {"pattern": list(NOT_FILES)},
        }
        # The content decides what is text, not the name.
        settings.disable_filters("detect_secrets.filters.heuristic.is_non_text_file")
        get_filters.cache_clear()
        yield


def search(version: Version) -> list[Finding]:
    """Return what looks like a secret in one version of a file."""
    if version.text is None:
        return []
    every = enumerate(io.StringIO(version.text, newline=None), start=1)
    # The plugins would take seconds to leave these lines out: most of a lock.
    lines = [(number, line) for number, line in every if not NOT_LINE.search(line.rstrip())]
    # The plugins read files, and go by their names.
    with TemporaryDirectory() as desk, chdir(desk):
        copy = Path(version.path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("".join(line for _, line in lines), encoding="utf-8")
        found = list(scan_file(version.path))
    for secret in found:
        secret.line_number = lines[secret.line_number - 1][0]
    return [Finding(secret, version.blob) for secret in found]


def searched_by_the_template(branch: Branch | None) -> dict[str, str]:
    """Return the files that need no search, by path, with the SHA-256 that they must have."""
    if branch is None:
        listed = checksums.read(Path(TOOLKIT))
    else:
        # As it was where the branch begins: nobody hides a secret by a new line in it.
        listed = checksums.parse(branch.at_base(f"{TOOLKIT}/{checksums.FILE}").text or "")
    return {f"{TOOLKIT}/{name}": checksum for name, checksum in listed.items()}


def is_searched(version: Version, known: Mapping[str, str]) -> bool:
    """Tell whether the template has searched just this version of a file."""
    return known.get(version.path) == hashlib.sha256(version.content).hexdigest()


def added_and_gone(
    branch: Branch, now: Iterable[Finding], known: Mapping[str, str]
) -> list[Finding]:
    """Return what some commit of the branch holds, but neither its base nor the files of now."""
    there = {finding.secret for finding in now}
    versions = (version for version in branch.versions() if not is_searched(version, known))
    # Of several versions with the same secret the oldest counts.
    found = {each.secret: each for version in versions for each in search(version)}

    def is_new(secret: PotentialSecret) -> bool:
        before = search(branch.at_base(secret.filename))
        return secret not in {finding.secret for finding in before}

    return [each for each in found.values() if each.secret not in there and is_new(each.secret)]


def search_everywhere(branch: Branch | None, known: Mapping[str, str]) -> list[Finding]:
    """Return what the files hold and what the branch has added; print how much was searched."""
    every = list(working_tree())
    versions = [version for version in every if not is_searched(version, known)]
    now = [finding for version in versions for finding in search(version)]
    binary = sum(version.text is None for version in versions)
    print(f"searched {len(versions)} files, of which {binary} hold no text,", end=" ")
    if left_out := len(every) - len(versions):
        print(f"but not the {left_out} of {TOOLKIT}/ that the template has searched,", end=" ")
    if branch is None:
        names = ", ".join(map(shown, USUALLY))
        print(f"and no history: there is no branch to compare with ({names})")
        return now
    gone = added_and_gone(branch, now, known)
    print(f"and what was added to {branch.target} since {branch.base[:12]}")
    return now + gone


def read_baseline() -> tuple[SecretsCollection, dict[str, Any]]:
    """Return the findings of the baseline, and the settings that it was made with."""
    try:
        document = json.loads(BASELINE.read_bytes())
        known = SecretsCollection.load_from_baseline(document)
        settings = {name: document[name] for name in ("plugins_used", "filters_used")}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CannotTell(
            f"{BASELINE} is missing or broken ({type(error).__name__}): "
            f"restore it with git, or delete it and {UPDATE}"
        ) from None
    return known, settings


def accepted() -> set[PotentialSecret]:
    """Return the baseline's findings, without those that are marked as secrets there."""
    known, settings = read_baseline()
    if settings != get_settings().json():
        raise CannotTell(f"{BASELINE} was made with other plugins or filters: {UPDATE}")
    return {secret for _, secret in known if secret.is_secret is not True}


def check(branch: Branch | None, known: Mapping[str, str]) -> int:
    """Print file, line and kind of every secret not in the baseline; return the exit code."""
    no_secrets = accepted()
    found = [each for each in search_everywhere(branch, known) if each.secret not in no_secrets]
    for each in found:
        place = "in the file as it is now"
        if branch and each.blob:
            place = f"added in commit {branch.first_commit(each.blob)}, and removed since"
        print(f"{each.secret.filename}:{each.secret.line_number}: {each.secret.type}: {place}")
    if found:
        print(
            "Next: revoke it at its issuer and create a new one: everybody with the branch has it.",
            "Then remove it from the file and the branch's commits (git rebase --interactive).",
            f"If it is no secret, {UPDATE} adds its hash to {BASELINE}: commit that for review.",
            sep="\n",
        )
    return 1 if found else 0


def update(branch: Branch | None) -> int:
    """Write every finding to the baseline as no secret; return the exit code.

    The marks of `detect-secrets audit` stay.
    """
    secrets = SecretsCollection()
    for finding in search_everywhere(branch, {}):
        secrets[finding.secret.filename].add(finding.secret)
    if BASELINE.exists():
        secrets.merge(read_baseline()[0])
    document = baseline.format_for_output(secrets)
    # The same findings give the same bytes.
    del document["generated_at"]
    BASELINE.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"{BASELINE} lists {len(list(secrets))} findings as no secrets: commit it for review")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run and return the exit code: 1 for a secret, and where the search was not complete."""
    parser = argparse.ArgumentParser(prog="nox -s secrets --", description=__doc__)
    parser.add_argument("--all", action="store_true", help="also search the unchanged toolkit/")
    parser.add_argument("--update", action="store_true", help="accept what is found as no secret")
    asked = parser.parse_args(arguments)
    try:
        with all_plugins():
            branch = Branch.here()
            if asked.update:
                return update(branch)
            return check(branch, {} if asked.all else searched_by_the_template(branch))
    except (CannotTell, OSError) as problem:
        print(f"could not tell: {problem}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
