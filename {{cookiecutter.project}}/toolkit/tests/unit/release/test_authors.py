"""Who has written what a release brings (failure case 11): read from real commits."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.release import authors
from toolkit.release.authors import Authors
from toolkit.release.objects import Objects
from toolkit.tests.workshop import Workshop, git


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A repository without a remote, whose user is Ada."""
    return Workshop.open(tmp_path / "clone", None)


def commit(shop: Workshop, author: str, committer: str = "", message: str = "work") -> str:
    """Commit by somebody, or for somebody by another."""
    who = committer or author
    person = ("-c", f"user.name={who}", "-c", f"user.email={address(who)}")
    by = f"{author} <{address(author)}>"
    git(shop.folder, *person, "commit", "-q", "--allow-empty", f"--author={by}", "-m", message)
    return shop.machine.repository.head()


def address(name: str) -> str:
    return name if "@" in name else f"{name.lower()}@example.com"


def read(shop: Workshop, base: str | None) -> Authors:
    with Objects(shop.machine.repository) as objects:
        return authors.read(shop.machine.repository, objects, base, shop.machine.repository.head())


def names(shop: Workshop, base: str | None) -> set[str]:
    return {one.partition("@")[0] for one in read(shop, base).addresses}


def test_everybody_who_wrote_since_the_release_that_serves_is_an_author(shop: Workshop) -> None:
    base = commit(shop, "Grace")
    commit(shop, "Linus", committer="Eve")
    commit(shop, "Ada", message="work\n\nCo-authored-by: Joan <Joan@Example.com>")
    assert names(shop, base) == {"linus", "eve", "ada", "joan"}


def test_a_merge_counts_for_nobody_and_what_it_brings_for_its_authors(shop: Workshop) -> None:
    base = commit(shop, "Ada")
    git(shop.folder, "switch", "--quiet", "--create", "branch")
    commit(shop, "Linus")
    git(shop.folder, "switch", "--quiet", "main")
    button = ("-c", "user.name=Grace", "-c", "user.email=grace@example.com")
    git(shop.folder, *button, "merge", "--quiet", "--no-ff", "branch", "-m", "merged")
    assert names(shop, base) == names(shop, None) == {"linus"}


def test_before_the_first_release_the_last_change_counts_alone(shop: Workshop) -> None:
    commit(shop, "Grace")
    commit(shop, "Linus")
    assert names(shop, None) == {"linus"}


def test_an_older_release_counts_for_its_own_author(shop: Workshop) -> None:
    commit(shop, "Linus")
    older = shop.machine.repository.head()
    newer = commit(shop, "Grace")
    git(shop.folder, "reset", "--quiet", "--hard", older)
    assert names(shop, newer) == {"linus"}


def test_the_mailmap_of_the_released_commit_says_who_is_one_person(shop: Workshop) -> None:
    base = shop.machine.repository.head()
    private = "1+ada@users.noreply.forge.example"
    text = f"Ada <ada@example.com> <{private}>\nGrace <grace@example.com> Grace <g@old.example>\n"
    (shop.folder / ".mailmap").write_text(text + "# Eve <eve@example.com> <ada@example.com>\n")
    git(shop.folder, "add", ".mailmap")
    commit(shop, private)
    commit(shop, "g@old.example")
    wrote = read(shop, base)
    assert wrote.addresses == {"ada@example.com", "grace@example.com"}
    assert "may not approve" in wrote.complaint("ada@example.com")
    assert "may not approve" in wrote.complaint("g@old.example")
    assert wrote.complaint("eve@example.com") == ""


def test_who_hides_behind_a_forge_s_address_may_be_anybody(shop: Workshop) -> None:
    base = shop.machine.repository.head()
    commit(shop, "1+ada@users.noreply.forge.example", committer="noreply@forge.example")
    commit(shop, "2+robot[bot]@users.noreply.forge.example")
    wrote = read(shop, base)
    assert "1+ada@users.noreply.forge.example has written" in wrote.complaint("grace@example.com")
    assert wrote.complaint("3+grace@users.noreply.forge.example") == ""
    assert "may not approve" in wrote.complaint("1+ada@users.noreply.forge.example")


@pytest.mark.parametrize("address", ["", "eve@noreply.forge.example"])
def test_who_leaves_out_an_address_may_be_anybody(shop: Workshop, address: str) -> None:
    """Git takes an empty one; and a forge writes one of its own."""
    base = shop.machine.repository.head()
    person = ("-c", "user.name=Eve", "-c", f"user.email={address}")
    git(shop.folder, *person, "commit", "-q", "--allow-empty", "-m", "work")
    wrote = read(shop, base)
    assert "may be anybody" in wrote.complaint("grace@example.com")
    assert "may be anybody" in wrote.complaint("eve@example.com")
    text = f"Eve <eve@example.com> <{address}>\n"
    (shop.folder / ".mailmap").write_text(text, encoding="utf-8")
    git(shop.folder, "add", ".mailmap")
    commit(shop, "Eve")
    assert read(shop, base).complaint("grace@example.com") == ""
    assert "may not approve" in read(shop, base).complaint("eve@example.com")


def test_a_co_author_without_an_address_may_be_anybody(shop: Workshop) -> None:
    base = shop.machine.repository.head()
    commit(shop, "Linus", message="work\n\nCo-authored-by: Eve <>")
    assert "may be anybody" in read(shop, base).complaint("grace@example.com")


@pytest.mark.parametrize(
    "setting", ["log.showSignature=true", "trailer.separators=%", "i18n.logOutputEncoding=UTF-16"]
)
def test_no_setting_of_git_changes_who_wrote(shop: Workshop, setting: str) -> None:
    base = shop.machine.repository.head()
    git(shop.folder, "config", *setting.split("="))
    commit(shop, "Linus", message="work\n\nCo-authored-by: J\u00f3n <jon@example.com>")
    assert names(shop, base) == {"linus", "jon"}
