"""Issues at the forge: one a matter, however often it comes up."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import NoForge
from ..git import Repository
from ..progress import Progress
from .client import GITHUB, GITLAB, Forge, ForgeFailed, find


@dataclass(frozen=True)
class Words:
    """What a forge's API calls the parts of an issue."""

    is_open: str
    number: str
    text: str
    comments: str
    link: str


WORDS = {
    GITHUB: Words("state=open", "number", "body", "comments", "html_url"),
    GITLAB: Words("state=opened", "iid", "description", "notes", "web_url"),
}


def tell(repository: Repository, title: str, body: str, progress: Progress) -> str:
    """Open an issue, and return its address; where that cannot be, say so and return nothing."""
    try:
        address = open_issue(find(repository), title, body)
    except NoForge as error:
        progress.say(f"no issue: there is no forge to open one at: {error.why}")
    except ForgeFailed as error:
        progress.say(f"no issue: {error}")
    else:
        progress.say(f"issue: {address}")
        return address
    return ""


def open_issue(forge: Forge, title: str, body: str) -> str:
    """Open an issue and return its address; one that is open already gets a comment instead.

    What is open already and says just the same is left alone.
    """
    words = WORDS[forge.name]
    try:
        for issue in forge.entries(f"/issues?{words.is_open}"):
            # GitHub lists pull requests among the issues.
            if issue["title"] == title and "pull_request" not in issue:
                if (issue[words.text] or "").split() != body.split():
                    comments = f"/issues/{issue[words.number]}/{words.comments}"
                    forge.ask("POST", comments, {"body": body})
                return str(issue[words.link])
        opened = forge.ask("POST", "/issues", {"title": title, words.text: body})
        return str(opened[words.link])
    except (KeyError, TypeError, AttributeError):
        raise ForgeFailed(f"{forge.name} answered with something else than an issue") from None
