"""Removes what was not chosen. Uses no network, no Docker and no git.

Cookiecutter renders this file and runs it inside the finished folder; see pre_gen_project.py for
how the answers come in.
"""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

# Every file and folder that only some answers keep: which question, and which answers.
CHOSEN_BY = {
    ".github": ("ci", {"github", "both"}),
    ".gitlab": ("ci", {"gitlab", "both"}),
    ".gitlab-ci.yml": ("ci", {"gitlab", "both"}),
    "renovate.json": ("ci", {"gitlab", "both"}),
    "Dockerfile": ("platform", {"docker", "kubernetes"}),
    ".dockerignore": ("platform", {"docker", "kubernetes"}),
    ".github/workflows/cluster.yml": ("platform", {"kubernetes"}),
    "deploy": ("platform", {"kubernetes"}),
    "docs/kubernetes.md": ("platform", {"kubernetes"}),
}


def not_chosen(answers: Mapping[str, str]) -> Iterator[str]:
    """Yield the files and folders that these answers do without."""
    for name, (question, keeping) in CHOSEN_BY.items():
        if answers[question] not in keeping:
            yield name


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; it may have gone with its own folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def main(answers: Mapping[str, str]) -> int:
    """Remove what was not chosen from the current folder, and say what comes next."""
    for name in not_chosen(answers):
        remove(Path(name))
    print(f"{answers['project']} is ready: its README.md begins with the two commands to type.")
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(r"""{{ cookiecutter | tojson }}""")))
