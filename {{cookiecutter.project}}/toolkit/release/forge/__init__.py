"""The forge that hosts this repository, GitHub or GitLab.

- `client` finds it and calls its API;
- `review` reads who has approved or started a job of its CI;
- `issues` opens issues, one for each subject;
- `protection` applies the rules in this repository's files.

A release waits for none of them: git is the ledger, and the forge one of its readers.
"""
