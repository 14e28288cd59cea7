"""Secrets, what would run unseen, known vulnerabilities, and updates of the template.

Each module is run by the nox session of its name, and prints its findings as linters do, one a
line: ``path:line: code: message``. `toolkit.checks.findings` makes the session's report of them.
"""


class CannotTell(Exception):
    """Why a check could not be completed: then it fails with this, and prints no findings."""
