"""A login in the remote's address: hidden in output, and given to git in variables alone."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit, urlunsplit


def without_credentials(text: str) -> str:
    """Remove user, password and query from every URL: git prints the remote's address in errors."""
    without_user = re.sub(r"://[^/@\s]+@", "://***@", text)
    return re.sub(r"(://[^\s?#'\"]+)[?#][^\s'\"]+", r"\1?***", without_user)


def login_in(addresses: Mapping[str, str]) -> dict[str, str]:
    """Return variables for git by which it logs in at a remote without naming the login.

    Git gives the whole address as an argument to a program of its own, and arguments are readable
    by every user of the machine; variables are not. Empty where no address has a password.

    Parameters
    ----------
    addresses : mapping of str to str
        As git uses each, by how it is written in the repository's settings: those of a user or a
        CI machine may rewrite it.

    Raises
    ------
    ValueError
        One has a query or a fragment. Git appends the paths of its requests to it, so it reaches no
        forge, and git can be given it in no other way.
    """
    settings: dict[str, str] = {}
    logins: dict[str, str] = {}
    for written, address in addresses.items():
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https"):
            continue
        if parts.query or parts.fragment:
            raise ValueError(
                f"{without_credentials(address)} has a query or a fragment, which git would show "
                "to every user of this machine, and with which it reaches no forge. A token stands "
                "before the host, as the user's password: git remote set-url origin ADDRESS"
            )
        if parts.password:
            place = parts.netloc.rpartition("@")[2]
            clean = urlunsplit(parts._replace(netloc=place))
            user, password = (f"RELEASE_{name}_{len(logins)}" for name in ("LOGIN", "PASSWORD"))
            helper = f"""!printf 'username=%s\\npassword=%s\\n' "${user}" "${password}";:"""
            settings[f"url.{clean}.insteadOf"] = written
            settings[f"credential.{parts.scheme}://{place}.helper"] = helper
            logins |= {user: unquote(parts.username or ""), password: unquote(parts.password)}
    given = int(os.environ.get("GIT_CONFIG_COUNT", 0))
    variables = {"GIT_CONFIG_COUNT": str(given + len(settings))} if settings else {}
    for at, (key, value) in enumerate(settings.items(), given):
        variables |= {f"GIT_CONFIG_KEY_{at}": key, f"GIT_CONFIG_VALUE_{at}": value}
    return variables | logins
