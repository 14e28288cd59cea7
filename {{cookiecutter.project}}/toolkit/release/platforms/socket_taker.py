"""A script inside a container, which takes a slot's socket and becomes the server on it.

The script is passed on as text, so it imports the standard library alone.

    python3 -c <this> SLOT OWN_PORT ARGUMENT...

The server's arguments are followed by ``--fd`` for the slot's socket and for a private one, which
reaches only this server.
"""

import os
import socket
import sys

ADDRESS = "\0sockets"


def main(slot: str, own_port: int, arguments: list[str]) -> None:
    """Replace this process by the server."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as local:
        local.connect(ADDRESS)
        local.sendall(slot.encode())
        _, descriptors, _, _ = socket.recv_fds(local, 1, 1)
    own = socket.create_server(("127.0.0.1", own_port))
    descriptors.append(own.detach())
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
        arguments = [*arguments, "--fd", str(descriptor)]
    os.execv(sys.executable, [sys.executable, *arguments])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
