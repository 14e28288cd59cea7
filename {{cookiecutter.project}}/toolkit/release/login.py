"""A login in the remote's address: hidden in output, and given to git in variables alone."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote, urlsplit, urlunsplit

# The variables that hold a password begin so.
HIDDEN_LOGIN = "RELEASE_PASSWORD_"


def without_credentials(text: str) -> str:
    """Remove user, password and query from every URL: git prints the remote's address in errors."""
    without_user = re.sub(r"://[^/@\s]+@", "://***@", text)
    return re.sub(r"(://[^\s?#'\"]+)[?#][^\s'\"]+", r"\1?***", without_user)


def by_rule(rule: str, written: Sequence[str], used: Sequence[str]) -> dict[tuple[str, str], str]:
    """Return addresses as `login_in` takes them, each as it is written and as git uses it.

    `ValueError` where git uses other ones than are written, as a rule for some of several, and one
    has a login.
    """
    if len(written) == len(used):
        return {(rule, one): address for one, address in zip(written, used, strict=True)}
    if login_in({(rule, one): one for one in used}):
        raise ValueError(
            "origin has several addresses, and a rule rewrites some of them, with a login that git "
            "would show to every user of this machine: git remote set-url --push origin ADDRESS"
        )
    return {}


def login_in(addresses: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """Return variables for git by which it logs in at a remote without naming the login.

    Git gives the whole address as an argument to a program of its own, and arguments are readable
    by every user of the machine; variables are not. Empty where no address has a login. A user
    without a password is hidden too: it may be a token.

    Parameters
    ----------
    addresses : mapping of (str, str) to str
        As git uses each, by the kind of rule that can replace it, ``insteadOf`` or
        ``pushInsteadOf``, and by how it is written in the repository's settings: those of a user
        or a CI machine may rewrite it.

    Raises
    ------
    ValueError
        One has a query or a fragment. Git appends the paths of its requests to it, so it reaches no
        forge, and git can be given it in no other way.
    """
    settings: dict[str, str] = {}
    logins: dict[str, str] = {}
    for (rule, written), address in addresses.items():
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https"):
            continue
        if parts.query or parts.fragment:
            raise ValueError(
                f"{without_credentials(address)} has a query or a fragment, which git would show "
                "to every user of this machine, and with which it reaches no forge. A token stands "
                "before the host, as the user's password: git remote set-url origin ADDRESS"
            )
        if parts.username is None:
            continue
        place = parts.netloc.rpartition("@")[2]
        settings[f"url.{urlunsplit(parts._replace(netloc=place))}.{rule}"] = written
        where = f"credential.{parts.scheme}://{place}"
        if parts.password:
            user, password = f"RELEASE_LOGIN_{len(logins)}", f"{HIDDEN_LOGIN}{len(logins)}"
            helper = f"""!printf 'username=%s\\npassword=%s\\n' "${user}" "${password}";:"""
            settings[f"{where}.helper"] = helper
            logins |= {user: unquote(parts.username), password: unquote(parts.password)}
        else:
            settings[f"{where}.username"] = unquote(parts.username)
    given = int(os.environ.get("GIT_CONFIG_COUNT", 0))
    variables = {"GIT_CONFIG_COUNT": str(given + len(settings))} if settings else {}
    for at, (key, value) in enumerate(settings.items(), given):
        variables |= {f"GIT_CONFIG_KEY_{at}": key, f"GIT_CONFIG_VALUE_{at}": value}
    return variables | logins
