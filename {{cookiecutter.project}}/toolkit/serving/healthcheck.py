"""The container's health check: `python -m toolkit.serving.healthcheck URL`.

The image has no curl. The standard library only.
"""

import sys
import urllib.request

TIMEOUT_S = 2


def main(arguments: list[str]) -> int:
    """Return 0 when the URL responds with success, else 1."""
    [url] = arguments
    # A proxy from the environment must not get between a server and its own health check.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT_S):
            return 0
    except OSError as error:  # urllib's errors are subclasses.
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
