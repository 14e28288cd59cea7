"""What is searched for besides faults: secrets, and known holes in locks and in what is released.

The quality door runs these from a small lock of their own. They speak as linters do, one finding a
line, ``path:line: code: message``, and noxfile.py makes the reports of it.
"""


class CannotTell(Exception):
    """Why a check has not seen everything: it fails then, and says so instead of what it found."""
