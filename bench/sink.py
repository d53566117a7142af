"""A Graph that only says yes, and notes when it was asked. Run as a module, it prints its address.

``POST …/messages`` is answered as Meta answers it; ``GET /seen`` gives what has come: ``[[seconds, text], ...]``,
with the instant at which the request's head had been read; of a template its name and to whom ("spring-351910000001").
So does ``GET /ticked`` for ``POST /tick``, where the bench itself beats time to know what the way costs. Anything else
is answered with an empty object.
"""

import asyncio
import json
import os
import socket
import time
from collections import defaultdict
from typing import Any

import uvicorn

from bench import common

TICK = 0.1  # seconds
CONNECTIONS = 16
STEPS = ("sent", "delivered", "read")
DELAY = float(os.environ.get("SINK_DELAY", "0"))

_seen: list[tuple[float, str]] = []
_ticked: list[tuple[float, str]] = []
_due: list[list[dict[str, Any]]] = [[] for _ in STEPS]  # what is to be told in how many ticks
_reported: dict[str, Any] = {"ms": [], "unposted": 0}
_reporting: set[asyncio.Task[None]] = set()


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
    elif scope["path"] == "/reported":
        answer = _reported
    elif scope["path"] == "/report":
        _reporting.add(asyncio.create_task(_report(int(scope["query_string"].partition(b"=")[2]))))
    elif scope["path"] == "/tick":
        _ticked.append((at, body.decode()))
    elif scope["method"] == "POST" and scope["path"].endswith("/messages"):
        said = json.loads(body)
        if "type" in said:
            to, wamid = said.get("to") or said.get("recipient"), f"wamid.SINK{len(_seen):08}"
            text = f"{said['template']['name']}-{to}" if "template" in said else said.get("text", {}).get("body", "")
            _seen.append((at, text))
            answer = {
                "messaging_product": "whatsapp",
                "contacts": [{"input": to, "wa_id": to}],
                "messages": [{"id": wamid}],
            }
            await asyncio.sleep(DELAY)
            if _reporting:
                number = scope["path"].split("/")[-2]
                opaque = said.get("biz_opaque_callback_data")
                _due[0].append({"number": number, "id": wamid, "to": to, "opaque": opaque})
        else:
            answer = {"success": True}
    data = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data})


async def _report(port: int) -> None:
    """Every tick: each message takes a step, and each number's steps are one webhook."""
    free: asyncio.Queue[common.Client] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await common.Client.connect(port))
    posting: set[asyncio.Task[None]] = set()
    due = time.perf_counter()
    while True:
        due += TICK
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        told: dict[str, list[dict[str, str]]] = defaultdict(list)
        for word, messages in zip(STEPS, _due, strict=True):
            for message in messages:
                told[message["number"]].append(_status(word, message))
        _due.insert(0, [])
        _due.pop()
        for number, statuses in told.items():
            _reported["unposted"] += len(statuses)
            posting.add(task := asyncio.create_task(_post(free, number, statuses)))
            task.add_done_callback(posting.discard)


async def _post(free: asyncio.Queue[common.Client], number: str, statuses: list[dict[str, str]]) -> None:
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": number, "phone_number_id": number},
        "statuses": statuses,
    }
    begun = time.perf_counter()
    client = await free.get()
    try:
        assert await client.send(common.request(common.envelope(value))) == 200
    except (asyncio.IncompleteReadError, ConnectionError):
        return  # the platform was stopped: these stay unposted
    free.put_nowait(client)
    _reported["unposted"] -= len(statuses)
    _reported["ms"].append((time.perf_counter() - begun) * 1000)


def _status(word: str, message: dict[str, Any]) -> dict[str, str]:
    return {
        "id": message["id"],
        "status": word,
        "timestamp": str(int(time.time())),
        "recipient_id": message["to"],
        "biz_opaque_callback_data": message["opaque"],
    }


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"sink listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])
