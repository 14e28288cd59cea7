"""A plugin of detect-secrets for the tokens of forges, registries and model hubs.

Its own plugins for GitHub and GitLab take a token's first letters for the secret, so that one token
in the baseline would let every other one into the same file (Yelp/detect-secrets#858), and do not
know the tokens that GitHub gives out today (#894, #958).
"""

import re

from detect_secrets.plugins.base import RegexBasedDetector


class TokenDetector(RegexBasedDetector):
    """Finds tokens that say in their first letters what they are."""

    secret_type = "Access Token"

    denylist = (
        re.compile(r"gh[oprsu]_[A-Za-z0-9_.-]{36,}"),
        re.compile(r"github_pat_[A-Za-z0-9_]{36,}"),
        re.compile(r"gl(?:agent|cbt|dt|ft|imt|oas|pat|ptt|rt|soat)-[A-Za-z0-9_.-]{20,}"),
        re.compile(r"dckr_[op]at_[A-Za-z0-9_-]{20,}"),
        re.compile(r"hf_[A-Za-z0-9]{30,}"),
    )
