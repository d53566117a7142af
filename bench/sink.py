"""A Graph that only says yes, and notes when it was asked. Run as a module, it prints its address.

``POST …/messages`` is answered as Meta answers it; ``GET /seen`` gives what has come: ``[[seconds, text], ...]``,
with the instant at which the request's head had been read. So does ``GET /ticked`` for ``POST /tick``, where the bench
itself beats time to know what the way costs. Anything else is answered with an empty object.
"""

import json
import socket
import time
from typing import Any

import uvicorn

_seen: list[tuple[float, str]] = []
_ticked: list[tuple[float, str]] = []


async def app(scope: Any, receive: Any, send: Any) -> None:
    at = time.time()
    if scope["type"] != "http":
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer: object = {}
    if scope["path"] == "/seen":
        answer = _seen
    elif scope["path"] == "/ticked":
        answer = _ticked
    elif scope["path"] == "/tick":
        _ticked.append((at, body.decode()))
    elif scope["method"] == "POST" and scope["path"].endswith("/messages"):
        said = json.loads(body)
        if "type" in said:
            _seen.append((at, said.get("text", {}).get("body", "")))
            to = said.get("to") or said.get("recipient")
            answer = {
                "messaging_product": "whatsapp",
                "contacts": [{"input": to, "wa_id": to}],
                "messages": [{"id": f"wamid.SINK{len(_seen):08}"}],
            }
        else:
            answer = {"success": True}
    data = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data})


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"sink listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])
