"""Only whole requests reach the application; a slow, endless or silent client is sent away."""

import asyncio
import json
import operator
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from toolkit.serving.connection import Connection
from toolkit.serving.drain import ACCEPTED_A_TURN, Drain, DrainingServer
from toolkit.serving.limits import Connections, Limits

PATIENCE_S = 20.0
SOON_S = 0.3
ROOT = Path(__file__).parents[4]
BODY = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n"
LARGE = 32 * 1024 * 1024


class Server:
    """A server of this process whose application answers with what it was sent.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self.connections = Connections(limits)
        # Requests that have reached the application; a /late one waits until it is let go.
        self.requests: list[str] = []
        self.late = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address = self.listener.getsockname()
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            http=Connection,
            loop="uvloop",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
        )
        self.server = DrainingServer(config, Drain(), self.connections)
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],))

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return its event loop once it runs."""
        until(lambda: self.server.started)
        return self.server.servers[0].get_loop()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests.append(scope["path"])
        message = await receive()
        assert not message["more_body"]
        if scope["path"] == "/late":
            await asyncio.to_thread(self.late.wait, PATIENCE_S)
        names = [name.decode() for name, _ in scope["headers"]]
        content = json.dumps({"bytes": len(message["body"]), "headers": names}).encode()
        if scope["path"] == "/large":
            content = b" " * LARGE
        length = (b"content-length", b"%d" % len(content))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": content})

    def connect(self) -> socket.socket:
        """Return a new connection."""
        return socket.create_connection(self.address, timeout=PATIENCE_S)

    def send(self, content: bytes) -> tuple[int, bytes]:
        """Return status and body of what a new connection gets for some bytes."""
        with self.connect() as client:
            client.sendall(content)
            return response(client)


@contextmanager
def running(limits: Limits) -> Iterator[Server]:
    """Run a server for the duration of a test."""
    server = Server(limits)
    server.thread.start()
    try:
        yield server
    finally:
        server.late.set()
        server.server.should_exit = True
        server.thread.join(PATIENCE_S)
        assert not server.thread.is_alive()


@pytest.fixture
def server() -> Iterator[Server]:
    """Return a server with short limits."""
    limits = Limits(header_bytes=2000, body_bytes=100_000, request_s=SOON_S, unread_s=SOON_S)
    with running(limits) as server:
        yield server


def response(client: socket.socket) -> tuple[int, bytes]:
    """Read one response; status 0 when the connection is closed without one."""
    # Unbuffered, so that the next response is left for the next call.
    file = client.makefile("rb", buffering=0)
    line = file.readline()
    if not line:
        return 0, b""
    length = 0
    while (header := file.readline()) not in (b"\r\n", b""):
        name, _, value = header.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    body = b""
    while len(body) < length and (part := file.read(length - len(body))):
        body += part
    return int(line.split()[1]), body


def ended(client: socket.socket) -> bool:
    """Wait until the server has closed a connection."""
    with suppress(ConnectionError):
        while client.recv(65536):
            pass
    return True


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in the server's thread."""
    done = threading.Event()
    for _ in range(int(PATIENCE_S / 0.01)):
        if condition():
            return
        done.wait(0.01)
    pytest.fail("it did not happen")


# What is refused


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 2000, 431, "longer than 2000 bytes"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 2000 + b"\r\n\r\n", 431, "longer than 2000 bytes"),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 1001 + b"\r\n", 431, "longer than 2000 bytes"),
        (b"GET /" + b"a" * 2000, 431, "longer than 2000 bytes"),
        (BODY % 100_001, 413, "longer than 100000 bytes"),
        (BODY % 100_001 + b" " * 100_001, 413, "longer than 100000 bytes"),
        (BODY % 10, 408, "send it within 0.3 s"),
        (BODY % 10 + b" " * 9, 408, "send it within 0.3 s"),
        (b"GET / HTTP/1.1\r\nX: ", 408, "send it within 0.3 s"),
        (b"G", 408, "send it within 0.3 s"),
        (b"hello\r\n\r\n", 400, "not valid HTTP"),
    ],
)
def test_a_request_beyond_a_limit_is_refused_before_it_reaches_the_application(
    server: Server, content: bytes, status: int, reason: str
) -> None:
    got, body = server.send(content)
    assert (got, reason in json.loads(body)["detail"]) == (status, True)
    assert server.requests == []
    [metric] = server.connections.refused.collect()
    assert {"status": str(status)} in [sample.labels for sample in metric.samples]


CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (b"186a1\r\n" + b" " * 100_001, 413),
        # Framing of any length, an extension and a trailer without an end.
        (b"1\r\n \r\n" * 20_000, 413),
        (b"1;" + b"a" * 110_000, 413),
        (b"1\r\n \r\n0\r\nX: " + b"a" * 110_000, 413),
        (b"1\r\n \r\n0\r\nX: " + b"a" * 3000 + b"\r\n\r\n", 431),
    ],
)
def test_a_body_in_chunks_has_the_same_limits(server: Server, rest: bytes, status: int) -> None:
    assert server.send(CHUNKED + rest)[0] == status
    assert server.requests == []


def test_a_client_that_sends_a_long_body_to_its_end_can_read_the_refusal(server: Server) -> None:
    # More than fits into the buffers of the kernel: a closed connection would be reset.
    assert server.send(BODY % LARGE + b" " * LARGE)[0] == 413


def test_a_silent_connection_is_closed_without_a_response() -> None:
    with running(Limits()) as server:
        server.server.config.timeout_keep_alive = 0
        with server.connect() as client:
            assert response(client) == (0, b"")


def test_bytes_that_begin_no_request_do_not_keep_a_connection(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert response(client)[0] == 200
        client.sendall(b"\r\n")
        assert response(client) == (0, b"")


# What is answered


def test_a_request_within_the_limits_is_answered_in_whatever_pieces_it_arrives(
    server: Server,
) -> None:
    with server.connect() as client:
        for _ in range(2):
            for piece in (b"POST / HTTP/1.1\r\nX: y\r\n", b"Content-Length: 4\r\n\r\n12", b"34"):
                client.sendall(piece)
            status, body = response(client)
            assert (status, json.loads(body)["bytes"]) == (200, 4)
        client.sendall(CHUNKED + b"186a0\r\n" + b" " * 100_000 + b"\r\n0\r\n\r\n")
        assert json.loads(response(client)[1])["bytes"] == 100_000


def test_a_trailer_becomes_no_header(server: Server) -> None:
    status, body = server.send(CHUNKED + b"1\r\n1\r\n0\r\nX-Request-ID: a\r\n\r\n")
    assert (status, json.loads(body)["headers"]) == (200, ["transfer-encoding"])


def test_a_client_that_waits_for_leave_to_send_its_body_gets_it(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        assert response(client)[0] == 100
        client.sendall(b"1")
        assert response(client)[0] == 200


def test_a_client_that_asks_for_another_protocol_is_answered_in_this_one(server: Server) -> None:
    with server.connect() as client:
        for _ in range(2):
            client.sendall(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
            assert response(client)[0] == 200


def test_requests_sent_ahead_are_answered_in_their_order(server: Server) -> None:
    with server.connect() as client:
        client.sendall((b"GET /late HTTP/1.1\r\n\r\n") + BODY % 1 + b"1" + BODY % 2 + b"1")
        until(lambda: server.requests == ["/late"])
        server.late.set()
        bodies = [json.loads(response(client)[1])["bytes"] for _ in range(2)]
        assert bodies == [0, 1]
        # The time for the third has begun, though it arrived with the first.
        assert response(client)[0] == 408


@pytest.mark.parametrize(
    "rest",
    [
        b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 1001,
        BODY % 100_001,
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n" * 100,
    ],
)
def test_a_refusal_is_not_taken_for_the_response_to_an_earlier_request(
    server: Server, rest: bytes
) -> None:
    with server.connect() as client:
        client.sendall(b"GET /late HTTP/1.1\r\n\r\n" + rest)
        until(lambda: server.requests == ["/late"])
        server.late.set()
        assert response(client)[0] == 200
        assert response(client) == (0, b"")


# Many of them


def test_of_too_many_unfinished_requests_the_oldest_ends_and_others_are_answered() -> None:
    limits = Limits(request_s=PATIENCE_S, unfinished=20)
    with running(limits) as server, ExitStack() as stack:
        held = [stack.enter_context(server.connect()) for _ in range(60)]
        for number, client in enumerate(held):
            client.sendall(BODY % 10 if number % 2 else b"GET / HTTP/1.1\r\nX: ")
        assert [response(client)[0] for client in held[:40]] == [408] * 40
        assert server.send(b"GET / HTTP/1.1\r\n\r\n")[0] == 200
        for client in held[41::2]:
            client.sendall(b"0123456789")
            assert response(client)[0] == 200


def test_unfinished_requests_share_a_bounded_memory() -> None:
    limits = Limits(request_s=PATIENCE_S, unfinished_bytes=1_000_000)
    with running(limits) as server, ExitStack() as stack:
        held = [stack.enter_context(server.connect()) for _ in range(10)]
        for client in held:
            client.sendall(BODY % 300_001 + b" " * 300_000)
        assert {response(client)[0] for client in held[:7]} == {408}
        until(lambda: len(server.connections.unfinished) == 3)
        held[-1].sendall(b" ")
        assert response(held[-1])[0] == 200
    assert server.connections.unfinished_bytes == 0


def test_of_too_many_connections_those_that_wait_longest_are_closed() -> None:
    with running(Limits(connections=20)) as server, ExitStack() as stack:
        held = [stack.enter_context(server.connect()) for _ in range(50)]
        assert all(ended(client) for client in held[:30])
        assert server.send(b"GET / HTTP/1.1\r\n\r\n")[0] == 200
        held[-1].sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert response(held[-1])[0] == 200


def test_a_client_that_does_not_read_its_response_is_disconnected(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"GET /large HTTP/1.1\r\n\r\n" + b"GET / HTTP/1.1\r\n\r\n")
        until(lambda: server.requests == ["/large", "/"])
        until(lambda: not server.connections.connections)
        until(lambda: not server.connections.tasks)


def test_of_too_many_clients_that_do_not_read_the_oldest_is_disconnected() -> None:
    with running(Limits(unread_s=PATIENCE_S, unread=5)) as server, ExitStack() as stack:
        held: list[socket.socket] = []
        for _ in range(20):
            held.append(stack.enter_context(server.connect()))
            held[-1].sendall(b"GET /large HTTP/1.1\r\n\r\n")
            until(lambda: len(server.requests) == len(held))
        until(lambda: len(server.connections.connections) == 5)
        status, body = response(held[-1])
        assert (status, len(body)) == (200, LARGE)


def test_what_is_sent_ahead_is_not_read_before_it_is_its_turn() -> None:
    limits = Limits(body_bytes=LARGE, unfinished_bytes=2 * LARGE)
    with running(limits) as server, server.connect() as client:
        client.sendall(b"GET /late HTTP/1.1\r\n\r\n")
        until(lambda: server.requests == ["/late"])
        client.settimeout(SOON_S)
        ahead, sent = BODY % LARGE + b" " * LARGE, 0
        with suppress(TimeoutError):
            while sent < len(ahead):
                sent += client.send(ahead[sent : sent + 65536])
        assert sent < len(ahead)
        server.late.set()
        client.settimeout(PATIENCE_S)
        client.sendall(ahead[sent:])
        assert [json.loads(response(client)[1])["bytes"] for _ in range(2)] == [0, LARGE]


def test_clients_that_connect_at_once_are_accepted_several_a_turn(server: Server) -> None:
    """Else the last of many waits until the server has answered all others again and again."""
    loop = server.loop()
    connections = server.connections.connections
    busy, accepted = threading.Event(), [0]

    def count() -> None:
        accepted.append(len(connections))
        loop.call_soon(count)

    loop.call_soon_threadsafe(busy.wait, PATIENCE_S)
    with ExitStack() as stack:
        for _ in range(4 * ACCEPTED_A_TURN):
            stack.enter_context(server.connect())
        loop.call_soon_threadsafe(count)
        busy.set()
        until(lambda: accepted[-1] == 4 * ACCEPTED_A_TURN)
    assert max(map(operator.sub, accepted[1:], accepted)) == ACCEPTED_A_TURN


def test_an_unfinished_request_does_not_hold_up_a_shutdown(server: Server) -> None:
    with server.connect() as client, server.connect() as quick:
        client.sendall(BODY % 10)
        quick.sendall(BODY % 1)
        until(lambda: len(server.connections.unfinished) == 2)
        server.server.should_exit = True
        quick.sendall(b"1")
        assert response(quick)[0] == 200
        server.thread.join(PATIENCE_S)
        assert not server.thread.is_alive()


# Files

REPORT = """
import resource, sys
from toolkit.serving.limits import raise_file_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
print(raise_file_limit(1000), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        (256, 8192, "1000 2000 8192"),
        (4096, 8192, "1000 4096 8192"),
        (256, 512, "256 512 512"),
    ],
)
def test_the_limit_of_open_files_follows_the_number_of_connections(
    soft: int, hard: int, expected: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REPORT, str(soft), str(hard)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 0
