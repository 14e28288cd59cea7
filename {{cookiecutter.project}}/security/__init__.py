"""What every commit is searched for besides faults: secrets in it, and known holes in its locks.

The quality door runs both from a small lock of their own. They speak as linters do, one finding a
line, ``path:line: code: message``, and noxfile.py makes the reports of it.
"""


class CannotTell(Exception):
    """Why a check has not seen everything: it fails then, and says so instead of what it found."""
