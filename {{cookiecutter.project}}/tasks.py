"""The release commands: `invoke --list` lists them, `invoke --help TASK` explains one.

To release: champion, build, promote, approve, propose, diff. To go back: rollback, hold, unhold.
To look: status, history, audit. To repair and practise: recover, deploy, drill, stop, prune.
To set up: protect. docs/releases.md is the runbook.
"""

from invoke.collection import Collection

from toolkit.release import tasks

namespace = Collection.from_module(tasks)

# A task of your own is a function with `@task()` (from invoke.tasks), and a line here:
# namespace.add_task(my_task)
