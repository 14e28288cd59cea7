"""A forge in memory, GitHub or GitLab, as far as this repository uses one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "planted-token"
GITHUB, GITLAB = "/repos/team/churn", "/projects/7"
ENTRY = re.compile(r"/(\w+)/([^/]+)(/\w+)?")


def job(forge: str, address: str) -> dict[str, str]:
    """Return the variables of a job in a forge's CI, with its token."""
    if forge == "GitHub":
        known = {"GITHUB_REPOSITORY": "team/churn", "GITHUB_TOKEN": TOKEN}
        return known | {"GITHUB_ACTIONS": "true", "GITHUB_API_URL": address}
    known = {"CI_PROJECT_ID": "7", "FORGE_TOKEN": TOKEN}
    return known | {"GITLAB_CI": "true", "CI_API_V4_URL": address}


@dataclass
class StandInForge:
    """Keeps what it is sent, and returns it as the real one does: by pages, with more fields.

    Parameters
    ----------
    lists : dict of str to list
        Issues, rulesets, protected branches and tags, deploy keys.
    comments : list of (str, str)
        The number of an issue, and what was written below it.
    project : dict
        The project's settings.
    refused : str
        The beginning of a "METHOD path" that is answered with 403.
    takes_keys : bool
        Whether a protection may name a deploy key; an older GitLab passes over it without a word.
    calls : list of str
        "METHOD path" of each request.
    """

    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    comments: list[tuple[str, str]] = field(default_factory=list)
    project: dict[str, Any] = field(default_factory=dict)
    refused: str = "nothing"
    takes_keys: bool = True
    calls: list[str] = field(default_factory=list)

    def written(self) -> list[str]:
        """Return the requests that have changed something."""
        return [call for call in self.calls if not call.startswith("GET ")]

    def __call__(self, method: str, path: str, sent: bytes) -> tuple[int, bytes]:
        """Answer a request."""
        at = urlsplit(path)
        inside = at.path.removeprefix(GITHUB).removeprefix(GITLAB)
        self.calls.append(f"{method} {inside}")
        if self.calls[-1].startswith(self.refused):
            return 403, json.dumps({"message": f"not with {TOKEN}"}).encode()
        page = re.search(r"\bpage=(\d+)", at.query)
        body = json.loads(sent) if sent else {}
        answer = self._answer(method, inside, int(page[1]) if page else 1, body)
        return (404, b"{}") if answer is None else (200, json.dumps(answer).encode())

    def _answer(self, method: str, path: str, page: int, body: Any) -> Any:
        if not path:
            self.project |= body
            return self.project
        if named := ENTRY.fullmatch(path):
            return self._entry(method, named, body)
        entries = self.lists.setdefault(path.strip("/"), [])
        if method == "POST":
            number = len(entries) + 1
            links = dict.fromkeys(("html_url", "web_url"), f"https://forge.example/{number}")
            kept = {"body": "", "description": ""} | _as_described(body, self.takes_keys)
            entries.append(kept | links | dict.fromkeys(("id", "number", "iid"), number))
            return entries[-1]
        return entries[(page - 1) * 100 : page * 100]

    def _entry(self, method: str, named: re.Match[str], body: Any) -> Any:
        entries = self.lists.setdefault(named[1], [])
        if named[3]:
            self.comments.append((named[2], body["body"]))
            return {}
        wanted = unquote(named[2])
        for entry in entries:
            if wanted in (str(entry["id"]), entry.get("name")):
                if method == "DELETE":
                    entries.remove(entry)
                entry |= body
                return entry
        return None


def _as_described(asked: dict[str, Any], takes_keys: bool) -> dict[str, Any]:
    """Return an entry as GitLab describes it: with a list of levels, where one was requested."""
    entry = dict(asked)
    for name in asked:
        if name.endswith("_access_level"):
            entry[f"{name}s"] = [{"id": 1, "access_level": entry.pop(name)}]
        if name.startswith("allowed_to_"):
            keys, maintainers = entry.pop(name), {"id": 1, "access_level": 40}
            levels = [maintainers | key for key in keys] if takes_keys else [maintainers]
            entry[f"{name.removeprefix('allowed_to_')}_access_levels"] = levels
    return entry
