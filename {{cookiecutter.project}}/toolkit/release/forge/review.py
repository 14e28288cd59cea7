"""Who has let a job of the forge go on: recorded beside the repository's own approvals."""

from __future__ import annotations

import os
from collections.abc import Mapping

from .client import GITHUB, Forge, ForgeFailed


def reviewer(variables: Mapping[str, str] = os.environ) -> str:
    """Return who has approved or started this CI job, or empty where there is none.

    GitLab names whoever started a manual job in ``GITLAB_USER_LOGIN``. GitHub tells the reviewers
    of a run's environment to ``GITHUB_TOKEN``, if it may read Actions.
    """
    if variables.get("GITLAB_CI") and variables.get("CI_JOB_MANUAL"):
        return f"{variables['GITLAB_USER_LOGIN']} at GitLab"
    if variables.get("GITHUB_ACTIONS") and variables.get("GITHUB_TOKEN"):
        names = _github_reviewers(variables)
        return f"{', '.join(names)} at GitHub" if names else ""
    return ""


def _github_reviewers(variables: Mapping[str, str]) -> list[str]:
    address = f"{variables['GITHUB_API_URL']}/repos/{variables['GITHUB_REPOSITORY']}"
    forge = Forge(GITHUB, address, variables["GITHUB_TOKEN"])
    try:
        reviews = forge.ask("GET", f"/actions/runs/{variables['GITHUB_RUN_ID']}/approvals")
        return sorted({one["user"]["login"] for one in reviews if one["state"] == "approved"})
    except (ForgeFailed, TypeError, KeyError):
        # The release goes on by its own approvals; that the forge could not be asked is recorded.
        return ["somebody, who could not be read"]
