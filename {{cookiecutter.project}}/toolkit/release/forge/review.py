"""The reviewer of a job in the forge's CI, recorded beside the repository's own approvals."""

from __future__ import annotations

import os
from collections.abc import Mapping

from .client import GITHUB, Forge, ForgeFailed


def reviewer(variables: Mapping[str, str] = os.environ) -> str:
    """Return who has approved or started this CI job, or an empty text outside of one.

    GitLab names the starter of a manual job in ``GITLAB_USER_LOGIN``. GitHub returns the reviewers
    of a run's environments to a ``GITHUB_TOKEN`` that may read Actions; those of the environment
    of this job count, which its workflow names in ``REVIEWED_ENVIRONMENT``.
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
        # Names of environments have no case at GitHub.
        reviewed = variables.get("REVIEWED_ENVIRONMENT", "").lower()
        return sorted(
            {
                one["user"]["login"]
                for one in reviews
                if one["state"] == "approved"
                and reviewed in [each["name"].lower() for each in one["environments"]]
            }
        )
    except (ForgeFailed, TypeError, KeyError):
        # The release relies on its own approvals; that the forge did not answer is recorded.
        return ["an unknown reviewer"]
