"""What is looked for besides faults: secrets, known holes, and whether the template has moved on.

The quality door runs these from small locks of their own. They speak as linters do, one finding a
line, ``path:line: code: message``, and noxfile.py makes the reports of it.
"""


class CannotTell(Exception):
    """Why a check has not seen everything: it fails then, and says so instead of what it found."""
