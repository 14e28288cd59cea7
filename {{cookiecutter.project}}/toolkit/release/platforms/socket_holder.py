"""Runs inside a container, and holds the environment's listening sockets: one a slot.

Servers come and go in containers that share its network, and take a slot's socket from it. The
socket never closes, so a connection that waits in its queue is not lost when one server follows
another. It is handed over as a text, so it imports the standard library alone.

    python3 -c <this> PORT SLOTS
"""

import signal
import socket
import sys

# An abstract address: it belongs to the network namespace that the containers share, and no file
# has to be writable for it.
DOOR = "\0sockets"
BACKLOG = 1024


def listen(port: int) -> socket.socket:
    """Open a listening socket that shares its port with its siblings."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("0.0.0.0", port))
    listener.listen(BACKLOG)
    return listener


def main(port: int, slots: int) -> None:
    """Hand out the sockets until told to stop."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    listeners = [listen(port) for _ in range(slots)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(DOOR)
        door.listen()
        while True:
            client, _ = door.accept()
            with client:
                asked = client.recv(16)
                if asked.isdigit() and int(asked) < slots:
                    socket.send_fds(client, [b"."], [listeners[int(asked)].fileno()])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
