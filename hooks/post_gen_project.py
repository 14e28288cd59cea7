"""Removes what was not chosen, and lets CI use a Python that was. Uses no network, Docker or git.

Cookiecutter renders this file and runs it inside the finished folder; see pre_gen_project.py for
how the answers come in.
"""

import json
import re
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

# CI files are copied as they stand: their own Python is this one.
CI_PYTHON = "3.13"
CI_FILES = (".github/workflows/*.yml", ".gitlab-ci.yml")
# A Python in a CI file: of setup-python, and of an image.
PYTHON = re.compile(rf'(python-version: "|image: python:){re.escape(CI_PYTHON)}\b')


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


def let_ci_use(lowest: str) -> None:
    """Let CI use the lowest Python that was asked for, where its own is older."""
    if [int(part) for part in lowest.split(".")] <= [int(part) for part in CI_PYTHON.split(".")]:
        return
    for pattern in CI_FILES:
        for path in Path().glob(pattern):
            content = path.read_text(encoding="utf-8")
            path.write_text(PYTHON.sub(rf"\g<1>{lowest}", content), encoding="utf-8", newline="\n")


def main(answers: Mapping[str, str]) -> int:
    """Leave in the current folder what was chosen, and say what comes next."""
    for name in not_chosen(answers):
        remove(Path(name))
    let_ci_use(answers["python"])
    print(f"{answers['project']} is ready: its README.md begins with the two commands to type.")
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(r"""{{ cookiecutter | tojson }}""")))
