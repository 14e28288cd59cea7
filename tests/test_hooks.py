"""The hooks refuse what cannot work, and no answer can do harm."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import post_gen_project
import pre_gen_project
import pytest
from conftest import Bake
from cookiecutter.exceptions import FailedHookException
from cookiecutter.utils import create_env_with_context

from demo.repository import TEMPLATE

GOOD = {
    "project": "churn-model",
    "package": "churn_model",
    "description": "Predicts which customers are about to leave",
    "author": "Model Team",
    "email": "model-team@example.com",
    "registry": "registry.example.com/models",
    "ci": "both",
    "platform": "kubernetes",
}

NASTY = [
    'a "quoted" word',
    "O'Brien's team",
    '"""; raise SystemExit(66) #',
    "'''; raise SystemExit(66) #",
    "ends in a backslash \\",
    'backslash and quote \\"',
    "\\u0022 \\n \\x41 \\N{BULLET}",
    "{% raw %} {{ 6 * 7 }} {## x ##}",
    "${{ github.token }} $(touch harm) `touch harm` ${HOME}",
    "<script>alert(1)</script> & more",
    "Zoë 株式会社 \N{GRINNING FACE}",
]


def refusals(**answers: str) -> list[str]:
    return pre_gen_project.refusals(GOOD | answers)


def test_good_answers_are_not_refused() -> None:
    assert refusals() == []


@pytest.mark.parametrize("name", ["churn", "Churn.Model_2", "a", "a" * 50, "2nd-model"])
def test_a_project_can_be_called(name: str) -> None:
    assert refusals(project=name) == []


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "-churn", ".churn", "churn-", "churn.", "my churn", "a/b", "../a", "/a", "a\\b"]
    + ["a\nb", "churn\n", "a\0b", "a:b", "a'b", 'a"b', "zoë", "CON", "nul.txt", "a" * 51]
    + ["{{ a }}", "K\N{KELVIN SIGN}"],
)
def test_a_project_cannot_be_called(name: str) -> None:
    (sentence,) = refusals(project=name)
    assert sentence.startswith(f"project: {name!a} ")
    assert "\n" not in sentence


@pytest.mark.parametrize("name", ["churn", "churn_2", "c", "match", "a" * 50])
def test_a_package_can_be_called(name: str) -> None:
    assert refusals(package=name) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "lower-case"),
        ("churn-model", "lower-case"),
        ("Churn", "lower-case"),
        ("_churn", "lower-case"),
        ("churn_", "lower-case"),
        ("2churn", "lower-case"),
        ("churn\n", "lower-case"),
        ("churn.model", "lower-case"),
        ("zoë", "lower-case"),
        ("class", "word of the Python language"),
        ("json", "standard library"),
        ("email", "standard library"),
        ("toolkit", "the repository uses"),
        ("test", "the repository uses"),
        ("pandas", "the repository uses"),
        ("null", "word of YAML"),
        ("on", "word of YAML"),
        ("a" * 51, "at most 50"),
    ],
)
def test_a_package_cannot_be_called(name: str, reason: str) -> None:
    (sentence,) = refusals(package=name)
    assert reason in sentence


@pytest.mark.parametrize("address", ["a@b", "first.last+churn@mail.example.co.uk", "A@EXAMPLE.com"])
def test_an_email_can_be(address: str) -> None:
    assert refusals(email=address) == []


@pytest.mark.parametrize(
    "address",
    ["", "a", "a@", "@b", "a b@c", "a@b@c", "a@-b", "a@b.", ".a@b", "a..b@c", '"a"@b', "a@b\n"]
    + ["a@b>", "a'@b", "a" * 250 + "@b"],
)
def test_an_email_cannot_be(address: str) -> None:
    (sentence,) = refusals(email=address)
    assert "must be an e-mail address" in sentence


@pytest.mark.parametrize(
    "place", ["localhost:5000/models", "docker.io/acme", "a.b.example.com/team/sub-team_x/y.z"]
)
def test_a_registry_can_be(place: str) -> None:
    assert refusals(registry=place) == []


@pytest.mark.parametrize(
    "place",
    ["", "registry.example.com", "/models", "host/", "host//a", "Host/a", "host/A", "host:/a"]
    + [
        "host:port/a",
        "https://host/a",
        "host/a:tag",
        "host/a b",
        "host/a\n",
        "-host/a",
        "host/a--",
    ],
)
def test_a_registry_cannot_be(place: str) -> None:
    (sentence,) = refusals(registry=place)
    assert "must be a host, perhaps a port, and a path" in sentence


@pytest.mark.parametrize("question", ["author", "description"])
@pytest.mark.parametrize(
    "text",
    ["", " ", "two\nlines", "a\rb", "a\tb", "a\0b", "\x1b[31mred", "a\x7f", "a\u2028b", "\udcff"]
    + ["a" * 201],
)
def test_a_text_cannot_be(question: str, text: str) -> None:
    (sentence,) = refusals(**{question: text})
    assert sentence.startswith(f"{question}: ")
    assert sentence.isascii() and sentence.isprintable()


@pytest.mark.parametrize("text", NASTY)
def test_any_line_of_text_is_accepted(text: str) -> None:
    assert refusals(author=text, description=text) == []


def test_each_wrong_answer_gets_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert pre_gen_project.main(GOOD | {"package": "class", "email": "nobody"}) == 1
    package, email, closing = capsys.readouterr().err.splitlines()
    assert package.startswith("package: 'class' is a word")
    assert email.startswith("email: 'nobody' must be")
    assert closing == "Nothing was generated: answer again."


@pytest.mark.parametrize("hook", ["pre_gen_project.py", "post_gen_project.py"])
@pytest.mark.parametrize(
    "text", [*NASTY, "new\nline", '"""', '\\"""', '"' * 7, "\\" * 7, "\0", "\u2028", "\udcff", ""]
)
def test_a_hook_reads_an_answer_as_it_was_given(hook: str, text: str) -> None:
    """The hook's source is rendered as Cookiecutter does it, and run with its doing replaced."""
    context = {"cookiecutter": {"description": text, "quote": text + '"', "slash": text + "\\"}}
    settings = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
    context["cookiecutter"]["_jinja2_env_vars"] = settings["_jinja2_env_vars"]
    source = (TEMPLATE / "hooks" / hook).read_text(encoding="utf-8")
    rendered = create_env_with_context(context).from_string(source).render(context)
    assert rendered.isascii()
    answers = "main(json.loads("
    assert rendered.count(f"sys.exit({answers}") == 1
    echoed = rendered.replace(f"sys.exit({answers}", "sys.stdout.write(json.dumps(json.loads(")
    run = subprocess.run([sys.executable, "-c", echoed], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == context["cookiecutter"]


@pytest.mark.parametrize("text", [text for text in NASTY if "{{" not in text])
def test_no_text_does_harm_where_it_lands(bake: Bake, text: str) -> None:
    repository = bake(author=text, description=text)
    assert_unharmed(repository, text)


@pytest.mark.parametrize("license", ["Apache-2.0", "MIT", "BSD-3-Clause", "Proprietary"])
def test_the_license_names_its_owner_and_no_year(bake: Bake, license: str) -> None:
    repository = bake(license=license, author="O'Brien & Sons")
    lines = (repository / "LICENSE").read_text(encoding="utf-8").splitlines()
    (owner,) = [line.strip() for line in lines if "O'Brien & Sons" in line]
    assert owner.startswith("Copyright") and "20" not in owner


def type_answers(folder: Path, *answers: str) -> subprocess.CompletedProcess[str]:
    """Answer Cookiecutter's questions on standard input as a person would."""
    settings = folder / "settings.yaml"
    settings.write_text(f"replay_dir: {folder / 'replay'}\n", encoding="utf-8")
    command = [sys.executable, "-m", "cookiecutter", "--config-file", str(settings)]
    return subprocess.run(
        [*command, "--output-dir", str(folder / "out"), str(TEMPLATE)],
        input="".join(f"{answer}\n" for answer in answers),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


def test_an_answer_that_is_typed_is_never_rendered(tmp_path: Path) -> None:
    """On the command line (`description=...`) Cookiecutter itself renders what it is given."""
    text = "{{ 6 * 7 }} {% raw %} {## x ##}"
    run = type_answers(tmp_path, "typed", "", text, text, "", "", "", "", "", "")
    assert run.returncode == 0, run.stderr
    assert_unharmed(tmp_path / "out" / "typed", text)


def test_a_typed_answer_can_be_refused(tmp_path: Path) -> None:
    run = type_answers(tmp_path, "wrong name", "", "", "", "nobody", "", "", "", "", "")
    assert run.returncode == 1
    assert run.stderr.startswith("project: 'wrong name' must be letters")
    assert "\nemail: 'nobody' must be" in run.stderr
    assert list((tmp_path / "out").iterdir()) == []


def assert_unharmed(repository: Path, text: str) -> None:
    """Every TOML file still reads, the text arrived as it was given, and none went into code."""
    for path in repository.rglob("*.toml"):
        tomllib.loads(path.read_text(encoding="utf-8"))
    for path in repository.rglob("*.py"):
        assert text not in path.read_text(encoding="utf-8"), path
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["description"] == text
    assert project["authors"][0]["name"] == text
    assert text in (repository / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "answers",
    [
        {"project": "-churn"},
        {"project": "my model"},
        {"project": "a/b"},
        {"project": "a/b/c"},
        {"package": "class"},
        {"description": "two\nlines"},
        {"author": "\udcff"},
    ],
)
def test_a_refused_answer_leaves_nothing_behind(
    bake: Bake, tmp_path: Path, answers: dict[str, str]
) -> None:
    (tmp_path / "kept").mkdir()
    # Cookiecutter's own clean-up does not find what the hook has cleaned up.
    with pytest.raises((FailedHookException, FileNotFoundError)):
        bake(into=tmp_path, **answers)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize(
    ("ci", "platform", "expected"),
    [
        ("both", "kubernetes", []),
        (
            "both",
            "docker",
            [".github/workflows/cluster.yml", "deploy", "docs/kubernetes.md"],
        ),
        (
            "both",
            "process",
            [
                "Dockerfile",
                ".dockerignore",
                ".github/workflows/cluster.yml",
                "deploy",
                "docs/kubernetes.md",
            ],
        ),
        ("github", "kubernetes", [".gitlab", ".gitlab-ci.yml", "renovate.json"]),
        ("gitlab", "kubernetes", [".github"]),
    ],
)
def test_what_was_not_chosen(ci: str, platform: str, expected: list[str]) -> None:
    answers = {"ci": ci, "platform": platform}
    assert list(post_gen_project.not_chosen(answers)) == expected


@pytest.mark.parametrize(("lowest", "used"), [("3.11", "3.13"), ("3.13", "3.13"), ("3.14", "3.14")])
def test_ci_uses_a_python_that_the_model_may_run_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lowest: str, used: str
) -> None:
    workflow, gitlab = tmp_path / ".github" / "workflows" / "main.yml", tmp_path / ".gitlab-ci.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text('python-version: "3.13"\ntimeout-minutes: 3.13\n', encoding="utf-8")
    gitlab.write_text("  image: python:3.13\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    post_gen_project.let_ci_use(lowest)
    said = f'python-version: "{used}"\ntimeout-minutes: 3.13\n'
    assert workflow.read_text(encoding="utf-8") == said
    assert gitlab.read_text(encoding="utf-8") == f"  image: python:{used}\n"


def test_what_was_not_chosen_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    (tmp_path / "deploy" / "base").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    kept = (".gitlab-ci.yml", "README.md", "docs/secrets.md")
    for name in ("Dockerfile", ".dockerignore", "docs/kubernetes.md", *kept):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    answers = {"project": "churn", "ci": "gitlab", "platform": "process", "python": "3.11"}
    assert post_gen_project.main(answers) == 0
    left = (path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert sorted(map(str, left)) == sorted(kept)
    assert capsys.readouterr().out.startswith("churn is ready")
