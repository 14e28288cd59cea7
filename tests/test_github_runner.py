"""The driver of GitHub's workflows does with small ones what GitHub would do."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ci_machine import Machine, run
from github_expressions import ExpressionError
from github_job import NotModelled, Outcome, Run
from github_runner import GitHub

Drive = Callable[..., Run]


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    """Return a function that commits workflows, and runs the first one of them."""

    def drive(jobs: str, on: str = "push:", called: str = "", **options: Any) -> Run:
        work, remote = tmp_path / "work", tmp_path / "remote.git"
        workflows = work / ".github" / "workflows"
        workflows.mkdir(parents=True)
        (work / "greeting.txt").write_text("hello\n")
        (workflows / "first.yml").write_text(f"on: {{{on}}}\njobs:\n{indented(jobs)}")
        (workflows / "called.yml").write_text(textwrap.dedent(called))
        run("git", "init", "--quiet", "--initial-branch=main", cwd=work)
        run("git", "add", "--all", cwd=work)
        name = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        run("git", *name, "commit", "--quiet", "--message", "Begin", cwd=work)
        run("git", "clone", "--quiet", "--bare", str(work), str(remote))
        forge = GitHub(Machine(tmp_path / "machine", {"TOLD": "by the machine"}), remote)
        return forge.run("first.yml", on.partition(":")[0], **options)

    return drive


def indented(jobs: str) -> str:
    return textwrap.indent(textwrap.dedent(jobs), "  ")


def test_a_job_sees_its_checkout_its_variables_and_its_context(drive: Drive) -> None:
    done = drive(
        """
        look:
          env: {WHO: "${{ github.actor }}"}
          steps:
            - uses: actions/checkout@1
            - run: echo "$(cat greeting.txt) $WHO $TOLD $GITHUB_REF $(git branch --show-current)"
        """
    )
    assert done.jobs["look"].log.endswith("hello ada by the machine refs/heads/main main\n")
    assert done.result == "success"


def test_outputs_go_from_step_to_job_to_job(drive: Drive) -> None:
    done = drive(
        """
        plan:
          outputs: {sessions: "${{ steps.ask.outputs.sessions }}", text: "${{ steps.ask.outputs.text }}"}
          steps:
            - id: ask
              run: |
                echo 'sessions=[{"session": "lint"}, {"session": "types"}]' >> "$GITHUB_OUTPUT"
                printf 'text<<END\\na\\nb\\nEND\\n' >> "$GITHUB_OUTPUT"
        check:
          needs: plan
          name: check ${{ matrix.session }}
          strategy:
            fail-fast: false
            matrix:
              include: ${{ fromJSON(needs.plan.outputs.sessions) }}
          steps:
            - env: {SESSION: "${{ matrix.session }}", TEXT: "${{ needs.plan.outputs.text }}"}
              run: echo "$SESSION $TEXT" | tee -a "$GITHUB_STEP_SUMMARY"
        """
    )
    assert list(done.jobs)[0] == "plan"
    assert done.jobs["check lint"].summary == "lint a\nb\n"
    assert done.jobs["check types"].summary == "types a\nb\n"


def test_a_failed_step_skips_the_rest_but_what_wants_to_run(drive: Drive) -> None:
    done = drive(
        """
        work:
          steps:
            - {id: bad, run: "false | true; echo on; false; echo never"}
            - run: echo never
            - {if: "${{ !cancelled() && steps.bad.outcome != 'skipped' }}", run: echo after}
            - {if: failure(), run: echo sorry}
            - {if: "steps.bad.outcome == 'failure'", run: echo never}
        """
    )
    printed = [line for line in done.jobs["work"].log.splitlines() if not line.startswith("##")]
    assert printed == ["on", "after", "sorry"]
    assert done.result == "failure"


def test_the_shell_called_bash_has_pipefail_and_a_step_may_be_forgiven(drive: Drive) -> None:
    done = drive(
        """
        work:
          defaults: {run: {shell: bash}}
          steps:
            - {id: bad, run: "false | true; echo never", continue-on-error: true}
            - run: echo "${{ steps.bad.outcome }}, ${{ steps.bad.conclusion }}"
        """
    )
    assert done.jobs["work"].log.endswith("failure, success\n")
    assert done.result == "success"


CHAIN = """
    a: {steps: [{run: "true"}]}
    b: {needs: [a], steps: [{run: "true"}]}
    c: {needs: [b], steps: [{run: "true"}]}
    gate:
      needs: [b]
      if: ${{ always() }}
      steps: [{env: {RESULT: "${{ needs.b.result }}"}, run: test "$RESULT" = success}]
    after: {needs: [gate], steps: [{run: "true"}]}
    sorry: {needs: [c], if: failure(), steps: [{run: "true"}]}
"""


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("success", "b success, c success, gate success, after success, sorry skipped"),
        ("failure", "b skipped, c skipped, gate failure, after skipped, sorry success"),
        ("skipped", "b skipped, c skipped, gate failure, after skipped, sorry skipped"),
        ("cancelled", "b skipped, c skipped, gate failure, after skipped, sorry skipped"),
    ],
)
def test_what_a_job_comes_to_decides_on_all_that_follow(
    drive: Drive, result: str, expected: str
) -> None:
    done = drive(CHAIN, given={"a": Outcome(result)})
    ended = {key: outcome.result for key, outcome in done.outcomes.items()}
    assert ended.pop("a") == result
    assert {f"{key} {each}" for key, each in ended.items()} == set(expected.split(", "))


def test_a_matrix_without_values_is_skipped(drive: Drive) -> None:
    matrix = "a: {strategy: {matrix: {include: \"${{ fromJSON('[]') }}\"}}, steps: [{run: 'true'}]}"
    assert drive(matrix).outcomes == {"a": Outcome("skipped")}


CALLED = """
    on:
      workflow_call:
        inputs: {session: {type: string, default: lint}}
    jobs:
      inner:
        steps:
          - {env: {TOKEN: "${{ secrets.REGISTRY_TOKEN }}"}, run: 'echo "${{ inputs.session }} $TOKEN"'}
          - run: test "${{ inputs.session }}" = lint
"""


@pytest.mark.parametrize(
    ("more", "secret", "result"),
    [
        ("", False, "success"),
        ("secrets: inherit", True, "success"),
        ("with: {session: types}", False, "failure"),
    ],
)
def test_a_workflow_that_is_called_has_its_inputs_and_only_the_secrets_it_is_handed(
    drive: Drive, more: str, secret: bool, result: str
) -> None:
    done = drive(f"a:\n  uses: ./.github/workflows/called.yml\n  {more}\n", called=CALLED)
    assert done.outcomes["a"].result == result
    token = done.machine.mark
    assert (token in done.jobs["a / inner"].log) == secret
    assert bool(done.machine.leaks(done.remote)) == secret


def test_a_button_takes_only_what_it_offers(drive: Drive) -> None:
    button = (
        "workflow_dispatch: {inputs: {environment: {options: [staging, prod], required: true}}}"
    )
    work = "a: {steps: [{env: {E: '${{ inputs.environment }}'}, run: echo to $E}]}"
    done = drive(work, on=button, inputs={"environment": "prod"})
    assert done.jobs["a"].log.endswith("to prod\n")
    forge = GitHub(replace(done.machine, folder=done.folder), done.remote)
    for wrong in ({}, {"environment": "moon"}, {"env": "prod"}):
        with pytest.raises(NotModelled):
            forge.run("first.yml", "workflow_dispatch", inputs=wrong)


def test_an_artifact_is_kept_once_and_a_checkout_without_credentials_cannot_push(
    drive: Drive,
) -> None:
    done = drive(
        """
        a:
          steps:
            - {uses: actions/checkout@1, with: {persist-credentials: "false"}}
            - {uses: actions/upload-artifact@1, with: {name: greeting, path: greeting.txt}}
            - {if: failure(), run: echo never}
            - run: "! git push --quiet origin main:other"
            - {uses: actions/upload-artifact@1, with: {name: greeting, path: greeting.txt}}
        """
    )
    assert (done.folder / "artifacts" / "greeting" / "greeting.txt").read_text() == "hello\n"
    assert "never" not in done.jobs["a"].log
    assert done.jobs["a"].log.endswith("an artifact with the name greeting is there already\n")
    assert run("git", "branch", "--list", "other", cwd=done.remote) == ""


def test_a_caches_key_is_the_hash_of_files(drive: Drive) -> None:
    done = drive(
        """
        a:
          steps:
            - {id: before, run: 'echo "hash=${{ hashFiles(''greeting.txt'') }}" >> "$GITHUB_OUTPUT"'}
            - uses: actions/checkout@1
            - {id: after, run: 'echo "hash=${{ hashFiles(''*.txt'') }}" >> "$GITHUB_OUTPUT"'}
            - run: echo "[${{ steps.before.outputs.hash }}] [${{ steps.after.outputs.hash }}]"
        """
    )
    assert done.jobs["a"].log.splitlines()[-1].startswith("[] [")
    assert len(done.jobs["a"].log.splitlines()[-1]) == len("[] []") + 64


@pytest.mark.parametrize(
    ("job", "error"),
    [
        ("{steps: [{uses: somebody/something@1}]}", NotModelled),
        ("{steps: [{run: 'true', shell: pwsh}]}", NotModelled),
        ("{container: x, steps: [{run: 'true'}]}", NotModelled),
        ("{strategy: {matrix: {x: [1, 2]}}, steps: [{run: 'true'}]}", NotModelled),
        ("{uses: somebody/something/.github/workflows/x.yml@1}", NotModelled),
        ("{if: github.evnt_name, steps: [{run: 'true'}]}", ExpressionError),
        ("{steps: [{if: sucess(), run: 'true'}]}", ExpressionError),
    ],
)
def test_what_is_not_modelled_raises(drive: Drive, job: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        drive(f"a: {job}")
