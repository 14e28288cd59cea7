"""A script inside a container, which holds the environment's listening sockets: one a slot.

Servers run in containers that share its network, and take a slot's socket from it. The socket never
closes, so no connection in its queue is lost when one server replaces another. The script is passed
on as text, so it imports the standard library alone.

    python3 -c <this> PORT SLOTS
"""

import signal
import socket
import sys

# An abstract address: it belongs to the network namespace that the containers share, and needs no
# writable file.
ADDRESS = "\0sockets"
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
    """Pass on the sockets until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    listeners = [listen(port) for _ in range(slots)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as local:
        local.bind(ADDRESS)
        local.listen()
        while True:
            client, _ = local.accept()
            with client:
                slot = client.recv(16)
                if slot.isdigit() and int(slot) < slots:
                    socket.send_fds(client, [b"."], [listeners[int(slot)].fileno()])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
