"""Finds the forge that hosts this repository, and calls its REST API."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import NoForge
from ..git import REMOTE, GitFailed, Repository

GITHUB, GITLAB = "GitHub", "GitLab"
TIMEOUT_S = 10
PAGE = 100
LONGEST_REASON = 300

# https://host/team/churn.git, ssh://git@host:22/team/churn.git, git@host:team/churn.git
ORIGIN = re.compile(
    r"(?:(?:https?|ssh)://(?:[^@/]+@)?|[^@/:]+@)"
    r"(?P<host>[^:/]+)(?::\d+(?=/))?[:/]/?(?P<path>.+?)(?:\.git)?/?"
)
# The variable of the token for a job of each forge.
JOBS = {"GITLAB_CI": "FORGE_TOKEN", "GITHUB_ACTIONS": "GITHUB_TOKEN"}


class ForgeFailed(Exception):
    """The forge refused or did not answer; the text says why, without the token."""


@dataclass(frozen=True)
class Forge:
    """One repository at a forge.

    Parameters
    ----------
    name : str
        GitHub or GitLab.
    address : str
        Of the repository, in the forge's API.
    token : str
        Sent in a header, and used nowhere else.
    """

    name: str
    address: str
    token: str = field(repr=False)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request about the repository, and return the JSON that answers it."""
        try:
            request = urllib.request.Request(
                self.address + path,
                data=None if body is None else json.dumps(body).encode(),
                headers={"Accept": "application/json", "Content-Type": "application/json"},
                method=method,
            )
            # A redirect may lead to another host, which must not get the token.
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                content = response.read()
            return json.loads(content) if content else None
        except urllib.error.HTTPError as error:
            raise ForgeFailed(f"{self.name} answered {error.code}: {self._reason(error)}") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            # The text of such an error may quote the header.
            cause = getattr(error, "reason", None)
            kind = type(cause if isinstance(cause, OSError) else error).__name__
            raise ForgeFailed(f"{self.name} gave no readable answer: {kind}") from None

    def _reason(self, error: urllib.error.HTTPError) -> str:
        try:
            answer = json.loads(error.read())
            text = f"{answer['message']} {answer.get('errors', '')}"
        except (OSError, ValueError, TypeError, KeyError, http.client.HTTPException):
            text = str(error.reason)
        return " ".join(text.replace(self.token, "***").split())[:LONGEST_REASON]

    def entries(self, path: str) -> Iterator[Mapping[str, Any]]:
        """Yield every entry of a list, from all of its pages."""
        query = "&" if "?" in path else "?"
        for page in itertools.count(1):
            found = self.ask("GET", f"{path}{query}per_page={PAGE}&page={page}")
            if not isinstance(found, list):
                raise ForgeFailed(f"{self.name} did not answer {path} with a list")
            yield from found
            if len(found) < PAGE:
                return


def find(repository: Repository, variables: Mapping[str, str] = os.environ) -> Forge:
    """Find the forge by the variables of its CI, or by ``origin``; `NoForge` where there is none.

    A job of GitLab needs a token of its own, ``FORGE_TOKEN``: ``CI_JOB_TOKEN`` may neither read
    nor write issues.
    """
    host, path = _origin(repository)
    forge = None
    if not variables.get("GITLAB_CI"):
        forge = _github(variables, host, path)
    if not variables.get("GITHUB_ACTIONS"):
        forge = forge or _gitlab(variables, host, path)
    if forge:
        return forge
    needed = next((token for job, token in JOBS.items() if variables.get(job)), "")
    raise NoForge(
        "no forge was found",
        why=f"{needed} is not set for this job"
        if needed
        else f"{REMOTE} is at no known forge, or neither GITHUB_TOKEN nor GITLAB_TOKEN is set",
        state="nothing was changed",
        next_step="set the token in the environment; docs/secrets.md says what it must permit",
    )


def _github(variables: Mapping[str, str], host: str, path: str) -> Forge | None:
    named = variables.get("GITHUB_REPOSITORY", "")
    usual = "https://api.github.com" if named or host == "github.com" else ""
    api = variables.get("GITHUB_API_URL") or usual
    project, token = named or path, variables.get("GITHUB_TOKEN", "").strip()
    return Forge(GITHUB, f"{api}/repos/{project}", token) if api and project and token else None


def _gitlab(variables: Mapping[str, str], host: str, path: str) -> Forge | None:
    # The token is sent to no host only because it is the origin.
    usual = f"https://{host}/api/v4" if "gitlab" in host else ""
    api = variables.get("CI_API_V4_URL") or usual
    project = variables.get("CI_PROJECT_ID") or urllib.parse.quote(path, safe="")
    token = (variables.get("FORGE_TOKEN") or variables.get("GITLAB_TOKEN") or "").strip()
    return Forge(GITLAB, f"{api}/projects/{project}", token) if api and project and token else None


def _origin(repository: Repository) -> tuple[str, str]:
    """Return host and path of the remote, both empty where its address is not a forge's."""
    try:
        found = ORIGIN.fullmatch(repository.run("remote", "get-url", REMOTE))
    except GitFailed:
        found = None
    return (found["host"], found["path"]) if found else ("", "")
