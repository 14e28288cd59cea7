"""The forge that keeps this repository, GitHub or GitLab: what it is asked, and what it is told.

- `client` finds it and speaks with it;
- `review` reads who has let a job of its CI go on;
- `issues` opens issues, one a matter;
- `protection` brings its rules to what the files of this repository say.

A release waits for none of them: git is the ledger, and the forge one of its readers.
"""
