"""Sends a request for predictions through the server's application, without a socket."""

from http import HTTPMethod

from starlette.types import ASGIApp, Message, Scope

from .prediction import PREDICT


async def post(app: ASGIApp, body: bytes) -> tuple[int, bytes]:
    """Return the status and the body of the application's response; 0 where it sends none.

    Parameters
    ----------
    app
    body
        JSON, as a client sends it to /predict.
    """
    sent: list[Message] = []
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": HTTPMethod.POST.value,
        "scheme": "http",
        "path": PREDICT,
        "raw_path": PREDICT.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ],
        "client": None,
        "server": None,
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    status = next((one["status"] for one in sent if one["type"] == "http.response.start"), 0)
    return status, b"".join(one.get("body", b"") for one in sent)
