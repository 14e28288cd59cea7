"""Tells a chat, or whatever listens at a URL, how a change of an environment has ended."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from dataclasses import asdict

from .event import Event
from .progress import Progress

# The address is a secret: whoever knows it may post. It is neither logged nor shown in an error.
VARIABLE = "RELEASE_WEBHOOK_URL"
TIMEOUT_S = 5


def tell(environment: str, event: Event, progress: Progress) -> None:
    """Tell whoever wants to know, and say so if it did not arrive."""
    if os.environ.get(VARIABLE):
        with progress.step("notify"):
            lost = send(environment, event)
            if lost:
                progress.say(f"the notice did not arrive: {lost}")


def send(environment: str, event: Event) -> str:
    """Post an event as JSON: a ``text`` for people, as Slack shows it, and its fields.

    Returns
    -------
    str
        Why it did not arrive, or empty. A release never fails because of that.
    """
    fields = {name: value for name, value in asdict(event).items() if value}
    text = f"{environment}: {event.kind} of {event.release or 'nothing'}: {event.outcome}"
    if event.reason:
        text += f" ({event.reason})"
    body = {"text": text, "environment": environment, **fields}
    address = os.environ[VARIABLE]
    if not address.startswith(("https://", "http://")):
        return f"{VARIABLE} is not an http(s) address"
    try:
        request = urllib.request.Request(
            address, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            response.read()
    except urllib.error.HTTPError as error:
        return f"it was answered with {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        # The text of such an error may quote the address.
        reason = getattr(error, "reason", None)
        return type(reason if isinstance(reason, OSError) else error).__name__
    return ""
