"""Who has written what a release brings: they may not approve it, unless the policy says so.

Read from the commits themselves: no setting of git, and no button of a forge, changes who counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .git import GitFailed, Repository
from .objects import Commit, Objects

MAILMAP = ".mailmap"
# It may be empty: git takes anything.
ADDRESS = re.compile(r"<([^<>\n]*)>")
CO_AUTHOR = re.compile(r"^co-authored-by:.*<([^<>\n]*)>\s*$", re.IGNORECASE | re.MULTILINE)
# So many commits in a line are read faster than a git command starts.
FEW = 50
# The address that a forge writes for a person who keeps their own private.
PRIVATE = re.compile(r".+@(users\.)?noreply\..+")
# Who wrote such a commit has no other address: a bot, or the forge itself after a button.
NOBODY = re.compile(r".*\[bot\]@.*|noreply@.*")


@dataclass(frozen=True)
class Authors:
    """The addresses of authors, committers and co-authors.

    Parameters
    ----------
    addresses : frozenset of str
        In lower case, those of ``.mailmap`` in place of others.
    mailmap : mapping of str to str
        An address to the one that stands for the same person.
    """

    addresses: frozenset[str]
    mailmap: Mapping[str, str]

    def person(self, address: str) -> str:
        """Return the address that stands for a person."""
        return self.mailmap.get(address.lower(), address.lower())

    def complaint(self, address: str) -> str:
        """Return why a person may not approve, or an empty text."""
        person = self.person(address)
        if person in self.addresses:
            return "the author of the released commit, or of one with it, may not approve"
        domain = person.rpartition("@")[2]
        unknown = [
            one
            for one in sorted(self.addresses)
            if not one.strip() or (PRIVATE.fullmatch(one) and one.rpartition("@")[2] != domain)
        ]
        if unknown:
            return (
                f"{unknown[0] or '<>'} has written some of it, and may be anybody: "
                f"give that address its person in {MAILMAP}"
            )
        return ""


def read(repository: Repository, objects: Objects, base: str | None, commit: str) -> Authors:
    """Read who has written the commits after ``base`` up to ``commit``.

    Merges count for nobody: what they bring has its own authors. Where there is no base, as before
    the first release, or nothing new, the change that made ``commit`` counts alone.
    """
    mailmap = _mailmap(objects, commit)
    names = _commits(repository, objects, base, commit)
    found = {one for name in names for one in _addresses(objects.commit(name))}
    people = {mailmap.get(one, one) for one in found if not NOBODY.fullmatch(one)}
    return Authors(frozenset(people), mailmap)


def of_one(objects: Objects, commit: str) -> Authors:
    """Read who is the author of a commit, as releases were approved by until release.toml 2."""
    found = ADDRESS.findall(objects.commit(commit).signed("author").who)
    return Authors(frozenset(one.lower() for one in found if one), {})


def _commits(repository: Repository, objects: Objects, base: str | None, commit: str) -> list[str]:
    span = ("rev-list", "--no-merges", commit)
    new = _in_a_line(objects, base, commit) if base else []
    if new is None:
        new = repository.run(*span, f"^{base}").split()
    if new:
        return new
    parents = objects.commit(commit).named("parent")
    if len(parents) < 2:
        return [commit]
    return repository.run(*span, f"^{parents[0]}").split()


def _in_a_line(objects: Objects, base: str | None, commit: str) -> list[str] | None:
    """Return the commits after ``base`` where none of them is a merge; None where git must say."""
    found: list[str] = []
    while commit != base:
        parents = objects.commit(commit).named("parent")
        if len(parents) != 1 or len(found) == FEW:
            return None
        found.append(commit)
        commit = parents[0]
    return found


def _addresses(commit: Commit) -> set[str]:
    people = [commit.signed(role).who for role in ("author", "committer")]
    found = [one for person in people for one in ADDRESS.findall(person)]
    return {one.lower() for one in (*found, *CO_AUTHOR.findall(commit.message))}


def _mailmap(objects: Objects, commit: str) -> dict[str, str]:
    """Read ``.mailmap``: on each line the address that counts comes first, another one last."""
    try:
        text = objects.read(f"{commit}:{MAILMAP}")[1].decode("utf-8", "replace")
    except GitFailed:
        return {}
    lines = [ADDRESS.findall(line.partition("#")[0].lower()) for line in text.splitlines()]
    return {found[-1]: found[0] for found in lines if len(found) > 1}
