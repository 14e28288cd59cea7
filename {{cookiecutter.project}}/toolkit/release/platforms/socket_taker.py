"""Runs inside a container: takes a slot's socket from its holder, and becomes the server on it.

It is handed over as a text, so it imports the standard library alone.

    python3 -c <this> SLOT OWN_PORT ARGUMENT...

The server's arguments are followed by ``--fd`` for the slot's socket and for one of its own, which
reaches this server and no other.
"""

import os
import socket
import sys

DOOR = "\0sockets"


def main(slot: str, own_port: int, arguments: list[str]) -> None:
    """Replace this process by the server."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.connect(DOOR)
        door.sendall(slot.encode())
        _, descriptors, _, _ = socket.recv_fds(door, 1, 1)
    own = socket.create_server(("127.0.0.1", own_port))
    descriptors.append(own.detach())
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
        arguments = [*arguments, "--fd", str(descriptor)]
    os.execv(sys.executable, [sys.executable, *arguments])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
