"""A password in the remote's address stands in no argument, no output and no error."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from toolkit.release.git import GitFailed, login_in, without_credentials
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
    assert login_in(address) == {}


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


def test_git_logs_in_and_no_argument_names_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of git itself and of every program that it starts."""
    shop = Workshop.open(tmp_path / "clone", None)
    trace = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(trace))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    with asking_for_a_login() as (host, logins):
        git(shop.folder, "remote", "add", "origin", f"http://bot:{ENCODED}@{host}/a.git")
        with pytest.raises(GitFailed) as refused:
            shop.machine.repository.remote_references("refs/heads/env/*")
    assert f"Basic {base64.b64encode(f'bot:{PASSWORD}'.encode()).decode()}" in logins
    events = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    arguments = [event["argv"] for event in events if "argv" in event]
    helper = [one for one in arguments if "remote-http" in " ".join(one)]
    assert helper and f"http://{host}/a.git" in helper[0]
    for written in (json.dumps(arguments[1:]), str(refused.value)):
        assert WORD not in written
