"""The release commands: `invoke --list` lists them, `invoke --help TASK` explains one.

To release: pin, champion, build, promote, approve, propose, diff. To go back: rollback, hold,
unhold. To use what serves: score. To look: status, history, audit. To repair and practise:
recover, deploy, drill, decay, stop, prune. To set up: protect. docs/releases.md is the runbook.
"""

import sys
from pathlib import Path

from invoke.collection import Collection

# Invoke looks for modules in this folder first; last, none of them takes the place of another.
HERE = Path(__file__).parent
sys.path[:] = [path for path in sys.path if Path(path).resolve() != HERE.resolve()]
sys.path.append(str(HERE))
from toolkit.release import tasks  # noqa: E402

namespace = Collection.from_module(tasks)

# A task of your own is a function with `@task()` (from invoke.tasks), and a line here:
# namespace.add_task(my_task)
