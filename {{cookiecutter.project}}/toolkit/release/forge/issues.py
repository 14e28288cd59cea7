"""Issues at the forge: one for each subject, however often it occurs."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import NoForge
from ..git import Repository
from ..progress import Progress
from .client import GITHUB, GITLAB, Forge, ForgeFailed, find


@dataclass(frozen=True)
class Names:
    """A forge's names of the parts of an issue."""

    is_open: str
    number: str
    text: str
    comments: str
    link: str


NAMES = {
    GITHUB: Names("state=open", "number", "body", "comments", "html_url"),
    GITLAB: Names("state=opened", "iid", "description", "notes", "web_url"),
}


def publish(repository: Repository, title: str, body: str, progress: Progress) -> str:
    """Open an issue and return its address; report a failure, and return an empty text."""
    try:
        address = open_issue(find(repository), title, body)
    except NoForge as error:
        progress.say(f"no issue was opened: no forge was found: {error.why}")
    except ForgeFailed as error:
        progress.say(f"no issue was opened: {error}")
    else:
        progress.say(f"issue: {address}")
        return address
    return ""


def open_issue(forge: Forge, title: str, body: str) -> str:
    """Open an issue and return its address; one that is open already gets a comment instead.

    An open issue with the same text is left as it is.
    """
    names = NAMES[forge.name]
    try:
        for issue in forge.entries(f"/issues?{names.is_open}"):
            # GitHub lists pull requests among the issues.
            if issue["title"] == title and "pull_request" not in issue:
                if (issue[names.text] or "").split() != body.split():
                    comments = f"/issues/{issue[names.number]}/{names.comments}"
                    forge.ask("POST", comments, {"body": body})
                return str(issue[names.link])
        opened = forge.ask("POST", "/issues", {"title": title, names.text: body})
        return str(opened[names.link])
    except (KeyError, TypeError, AttributeError):
        raise ForgeFailed(f"{forge.name} did not answer with an issue") from None
