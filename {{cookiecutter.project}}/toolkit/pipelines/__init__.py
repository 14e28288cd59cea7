"""What the CI files call, held against what can be called; the session ``pipelines`` runs it.

A pipeline that names a session or a task by its old name fails when it is needed: at night.
"""


class CannotTell(Exception):
    """Why the calls could not be compared: the check fails then."""
