"""What is measured, and against what: a session of noxfile.py for each module with a `main`.

The toolkit is imported where it stands. Its bytecode goes elsewhere: every repository that is
generated would get a copy of what lies in its folder.
"""

import sys
from pathlib import Path

_TEMPLATE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_TEMPLATE / "{{cookiecutter.project}}"))
sys.pycache_prefix = str(_TEMPLATE / ".nox" / "bytecode")
