"""What is measured, and against what: a session of noxfile.py for each module with a `main`.

The toolkit is imported where it stands. Its bytecode goes elsewhere: every repository that is
generated would get a copy of what lies in its folder.
"""

import sys

from demo.repository import TEMPLATE

sys.path.insert(0, str(TEMPLATE / "{{cookiecutter.project}}"))
sys.pycache_prefix = str(TEMPLATE / ".nox" / "bytecode")
