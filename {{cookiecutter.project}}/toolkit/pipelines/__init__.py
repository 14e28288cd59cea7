"""Checks that the CI files call sessions, tasks and flags that exist; `nox -s pipelines` runs it.

Without it, a pipeline that uses a session's or a task's old name would fail when it is needed: at
night.
"""


class CannotTell(Exception):
    """Why the calls could not be checked: then the check fails."""
