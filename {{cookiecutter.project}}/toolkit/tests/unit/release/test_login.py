"""A password in the remote's address stands in no argument, no output and no error."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.release.errors import PushFailed
from toolkit.release.git import GitFailed, Repository
from toolkit.release.login import login_in, without_credentials
from toolkit.tests.workshop import Workshop, git

WORD = "s3cret"
PASSWORD, ENCODED = f"{WORD}/and@more", f"{WORD}%2Fand%40more"
LOGIN = f"bot:{WORD}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"'https://{LOGIN}@example.com/a.git/'", "'https://***@example.com/a.git/'"),
        ("https://example.com/a.git?private_token=s3cret", "https://example.com/a.git?***"),
        (f"'https://{LOGIN}@h/a.git?token={WORD}': no", "'https://***@h/a.git?***': no"),
        ("https://example.com/a.git#s3cret", "https://example.com/a.git?***"),
        ("ssh://git@example.com/a.git", "ssh://***@example.com/a.git"),
        ("nothing to hide: a?b", "nothing to hide: a?b"),
    ],
)
def test_what_a_remote_s_address_hides_is_not_shown(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


@pytest.mark.parametrize("address", ["https://example.com/a.git", "/srv/a.git", "git@host:a.git"])
def test_an_address_without_a_password_needs_no_login(address: str) -> None:
    assert login_in({("insteadOf", address): address}) == {}


@contextmanager
def asking_for_a_login() -> Iterator[tuple[str, list[str]]]:
    """Serve nothing but the question for a login; yield the address, and the logins given."""
    logins: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            login = self.headers.get("Authorization", "")
            logins.append(login)
            self.send_response(http.HTTPStatus.FORBIDDEN if login else http.HTTPStatus.UNAUTHORIZED)
            self.send_header("WWW-Authenticate", 'Basic realm="forge"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", logins
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def configure(shop: Workshop, where: str, host: str) -> None:
    """Name the remote, with a password in one place of git's settings."""
    with_password, without = f"http://bot:{ENCODED}@{host}/", f"http://{host}/"
    if where == "the address":
        git(shop.folder, "remote", "add", "origin", f"{with_password}a.git")
    elif where == "the address for pushes":
        git(shop.folder, "remote", "add", "origin", str(shop.folder))
        git(shop.folder, "remote", "set-url", "--push", "origin", f"{with_password}a.git")
    elif where == "a second address for pushes":
        git(shop.folder, "remote", "add", "origin", str(shop.folder))
        for address in (str(shop.folder), f"{with_password}a.git"):
            git(shop.folder, "remote", "set-url", "--add", "--push", "origin", address)
    else:
        rule = "pushInsteadOf" if where == "a rewriting rule for pushes" else "insteadOf"
        git(shop.folder, "remote", "add", "origin", f"{without}a.git")
        git(shop.folder, "config", f"url.{with_password}.{rule}", without)


def arguments_in(trace: Path) -> list[list[str]]:
    """Return the arguments of each git in a trace, and of every program that it started."""
    events = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    return [event["argv"] for event in events if "argv" in event]


@pytest.mark.parametrize(
    "where",
    [
        *("the address", "the address for pushes", "a second address for pushes"),
        *("a rewriting rule", "a rewriting rule for pushes"),
    ],
)
def test_git_logs_in_and_no_argument_names_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Of git itself and of every program that it starts."""
    shop = Workshop.open(tmp_path / "clone", None)
    trace = tmp_path / "trace"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with asking_for_a_login() as (host, logins):
        configure(shop, where, host)
        monkeypatch.setenv("GIT_TRACE2_EVENT", str(trace))
        with pytest.raises(GitFailed) as refused:
            if where in ("the address", "a rewriting rule"):
                shop.machine.repository.remote_references("refs/heads/env/*")
            shop.machine.repository.push({"refs/heads/env/prod": shop.machine.repository.head()})
    assert f"Basic {base64.b64encode(f'bot:{PASSWORD}'.encode()).decode()}" in logins
    arguments = arguments_in(trace)
    helper = [one for one in arguments if "remote-http" in " ".join(one)]
    assert helper and f"http://{host}/a.git" in helper[0]
    for written in (json.dumps(arguments), str(refused.value)):
        assert WORD not in written


def test_where_a_rule_rewrites_one_of_several_addresses_nothing_is_pushed_in_the_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Workshop.open(tmp_path / "clone", None)
    trace = tmp_path / "trace"
    for command in (("add", "origin"), ("set-url", "--add", "origin")):
        git(shop.folder, "remote", *command, f"http://127.0.0.1:9/{command[0]}.git")
    rule = f"url.http://{LOGIN}@127.0.0.1:9/add.pushInsteadOf"
    git(shop.folder, "config", rule, "http://127.0.0.1:9/add")
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(trace))
    repository = shop.machine.repository
    with pytest.raises(GitFailed, match="a rule rewrites some of them") as refused:
        repository.push({"refs/heads/env/prod": repository.head()})
    for written in (json.dumps(arguments_in(trace)), str(refused.value)):
        assert WORD not in written


def test_a_user_without_a_password_is_hidden_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forges take a token as the user, and say nothing of what stands where its password would."""
    shop = Workshop.open(tmp_path / "clone", None)
    trace = tmp_path / "trace"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with asking_for_a_login() as (host, logins):
        git(shop.folder, "remote", "add", "origin", f"http://{ENCODED}@{host}/a.git")
        git(shop.folder, "config", "credential.helper", "!printf 'password=none\\n';:")
        monkeypatch.setenv("GIT_TRACE2_EVENT", str(trace))
        monkeypatch.setenv("GIT_CURL_VERBOSE", "1")
        with pytest.raises(GitFailed) as refused:
            shop.machine.repository.remote_references("refs/heads/env/*")
    assert f"Basic {base64.b64encode(f'{PASSWORD}:none'.encode()).decode()}" in logins
    arguments = arguments_in(trace)
    assert any("remote-http" in " ".join(one) for one in arguments)
    for written in (json.dumps(arguments), str(refused.value)):
        assert WORD not in written


@pytest.mark.parametrize("token", [f"?private_token={WORD}", f"#{WORD}"])
@pytest.mark.parametrize("kind", [(), ("--push",)])
def test_a_query_is_not_given_to_git_at_all_and_a_rollback_goes_on(
    shared_workshop: Workshop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: tuple[str, ...],
    token: str,
) -> None:
    """Git has no way to be told it but an argument, and reaches no forge with it."""
    shop = shared_workshop
    first, second = (shop.release(model) for model in (b"one", b"two"))
    for release in (first, second):
        shop.promote(release, shop.staging)
    git(shop.folder, "remote", "set-url", *kind, "origin", f"http://127.0.0.1:9/a.git{token}")
    shop = replace(shop, machine=replace(shop.machine, repository=Repository(shop.folder)))
    trace = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(trace))
    with pytest.raises(PushFailed) as refused:
        shop.promote(first, shop.staging)
    assert "http://127.0.0.1:9/a.git?*** has a query or a fragment" in refused.value.why
    assert "as the user's password: git remote set-url origin ADDRESS" in refused.value.why
    assert shop.rollback(shop.staging).release == first.version
    said = capsys.readouterr().err
    assert "the push is owed" in said
    for written in (json.dumps(arguments_in(trace)), str(refused.value), said):
        assert WORD not in written
