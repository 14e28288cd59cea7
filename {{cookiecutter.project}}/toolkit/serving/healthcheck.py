"""Asks a server whether it is well: `python -m <package>.healthcheck URL`.

The container's health check: an image of ours has no curl. The standard library only.
"""

import sys
import urllib.request

TIMEOUT_S = 2


def main(arguments: list[str]) -> int:
    """Return 0 when the URL answers with success, and 1 otherwise."""
    [url] = arguments
    # A proxy of the environment has no business between a server and its own health check.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT_S):
            return 0
    except OSError as error:  # urllib's errors are of this kind.
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
