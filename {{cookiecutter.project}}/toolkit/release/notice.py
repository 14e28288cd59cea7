"""Sends the outcome of a change to a webhook, such as that of a chat."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from dataclasses import asdict

from .event import Event
from .progress import Progress

# The address is a secret: everybody who knows it may post. It is neither logged nor shown.
VARIABLE = "RELEASE_WEBHOOK_URL"
TIMEOUT_S = 5


def notify(environment: str, event: Event, progress: Progress) -> None:
    """Send an event to the webhook, if there is one, and report a failure."""
    if os.environ.get(VARIABLE):
        with progress.step("notify"):
            failure = send(environment, event)
            if failure:
                progress.say(f"the notification failed: {failure}")


def send(environment: str, event: Event) -> str:
    """Post an event as JSON: a ``text`` for people, as Slack shows it, and its fields.

    Returns
    -------
    str
        Why it failed, or empty. A release never fails because of that.
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
        return f"the webhook answered {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        # The text of such an error may quote the address.
        reason = getattr(error, "reason", None)
        return type(reason if isinstance(reason, OSError) else error).__name__
    return ""
