"""Refuses answers that could not become a working repository, before a file is written.

Cookiecutter renders this file and runs it inside the new, still empty folder. The answers come in
as JSON: quotes and backslashes inside a raw string pair up as they do in JSON, so that no answer
can end the string and become code.
"""

import json
import keyword
import re
import sys
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath

LONGEST_NAME = 50
LONGEST_TEXT = 200

# Folders and files of the repository, and what it imports: a package of that name would hide one
# of them, or be hidden.
TAKEN = frozenset(
    "build data deploy dist docs noxfile reports requirements src tasks test tests toolkit "
    "detect_secrets fastapi invoke nox numpy onnx onnxruntime pandas pandera prometheus_client "
    "pydantic pytest skl2onnx sklearn starlette uvicorn".split()
)
# Where the package names a Kubernetes object, YAML would read something else than a text.
YAML_WORDS = frozenset("false n no null off on true y yes".split())

PROJECT = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE | re.ASCII)
RESERVED_ON_WINDOWS = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
# The package also names images and Kubernetes objects, where upper case and a last "_" are not
# allowed.
PACKAGE = re.compile(r"[a-z]([a-z0-9_]*[a-z0-9])?")
HOST = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
EMAIL = re.compile(rf"[a-z0-9_%+-]+(\.[a-z0-9_%+-]+)*@{HOST}", re.IGNORECASE | re.ASCII)
REGISTRY = re.compile(rf"{HOST}(:[0-9]+)?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)+")


def refuse_project(name: str) -> str | None:
    """Return why `name` cannot name a folder and a distribution, or None."""
    if len(name) > LONGEST_NAME:
        return f"has {len(name)} characters: at most {LONGEST_NAME} are allowed"
    if not PROJECT.fullmatch(name):
        return "must be letters, digits, '-', '_' and '.', with a letter or digit first and last"
    if RESERVED_ON_WINDOWS.fullmatch(name):
        return "cannot be a folder on Windows: choose another name"
    return None


def refuse_package(name: str) -> str | None:
    """Return why `name` cannot be imported beside the rest of the repository, or None."""
    if len(name) > LONGEST_NAME:
        return f"has {len(name)} characters: at most {LONGEST_NAME} are allowed"
    if not PACKAGE.fullmatch(name):
        return (
            "must be lower-case letters, digits and '_', "
            "with a letter first and a letter or digit last"
        )
    if keyword.iskeyword(name):
        return "is a word of the Python language: choose another name"
    if name in sys.stdlib_module_names:
        return "is a module of Python's standard library: choose another name"
    if name in TAKEN:
        return "is the name of something that the repository uses itself: choose another name"
    if name in YAML_WORDS:
        return "is a word of YAML, in which the manifests are written: choose another name"
    return None


def refuse_text(text: str) -> str | None:
    """Return why `text` is not one line that can be written into a file, or None."""
    if not text.strip():
        return "must not be empty"
    if len(text) > LONGEST_TEXT:
        return f"has {len(text)} characters: at most {LONGEST_TEXT} are allowed"
    # Control characters, halves of a character (bytes that were not UTF-8), line separators.
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text):
        return "must be one line of text without control characters"
    return None


def refuse_email(address: str) -> str | None:
    """Return why `address` is not a plain e-mail address, or None."""
    if len(address) > LONGEST_TEXT or not EMAIL.fullmatch(address):
        return "must be an e-mail address such as model-team@example.com"
    return None


def refuse_registry(place: str) -> str | None:
    """Return why `place` cannot be the first part of an image's name, or None."""
    if len(place) > LONGEST_TEXT or not REGISTRY.fullmatch(place):
        return (
            "must be a host, perhaps a port, and a path, in lower case, "
            "such as registry.example.com:5000/models"
        )
    return None


RULES: Mapping[str, Callable[[str], str | None]] = {
    "project": refuse_project,
    "package": refuse_package,
    "description": refuse_text,
    "author": refuse_text,
    "email": refuse_email,
    "registry": refuse_registry,
}


def refusals(answers: Mapping[str, str]) -> list[str]:
    """Return one sentence for each answer that is refused, in the order of the questions.

    Parameters
    ----------
    answers
        Cookiecutter's questions and their answers.
    """
    reasons = ((question, rule(answers[question])) for question, rule in RULES.items())
    # ascii() shows what a terminal would hide or choke on, and keeps the sentence on one line.
    return [
        f"{question}: {ascii(answers[question])} {reason}."
        for question, reason in reasons
        if reason
    ]


def remove_empty_folders(project: str) -> None:
    """Remove the folders that Cookiecutter made for a project that is named like a path.

    Cookiecutter makes `a/b/c` before this hook can speak, and afterwards removes only `c`.
    """
    folder = Path.cwd()
    for _ in PurePath(project).parts:
        try:
            folder.rmdir()
        except OSError:  # Not empty: it was there before.
            return
        folder = folder.parent


def main(answers: Mapping[str, str]) -> int:
    """Print every refusal and return the exit code: 0 if there is none, else 1."""
    refused = refusals(answers)
    for sentence in refused:
        print(sentence, file=sys.stderr)
    if refused:
        print("Nothing was generated: answer again.", file=sys.stderr)
        if len(PurePath(answers["project"]).parts) > 1:
            remove_empty_folders(answers["project"])
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(json.loads(r"""{{ cookiecutter | tojson }}""")))
