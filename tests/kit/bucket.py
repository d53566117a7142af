"""As much of S3 as keeping files needs: one bucket in memory, over HTTP, so that the client itself is real."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from threading import Thread
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

WRITTEN = "2026-11-20T12:00:00.000Z"


class Bucket:
    """What was put, by key; and each request as (method, key, range)."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str | None]] = []

    async def answer(self, request: Request) -> Response:
        key = request.path_params.get("key", "")
        self.asked.append((request.method, key, request.headers.get("range")))
        if request.method == "PUT":
            self.objects[key] = _unchunked(await request.body(), request.headers)
            return Response(headers={"etag": _etag(self.objects[key])})
        if request.method == "POST" and "delete" in request.query_params:
            gone = re.findall(r"<Key>(.*?)</Key>", (await request.body()).decode())
            for name in gone:
                self.objects.pop(name, None)
            deleted = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in gone)
            return Response(f"<DeleteResult>{deleted}</DeleteResult>", media_type="application/xml")
        if "list-type" in request.query_params:
            return Response(self._listed(request.query_params.get("prefix", "")), media_type="application/xml")
        if key not in self.objects:
            return Response("<Error><Code>NoSuchKey</Code></Error>", status_code=404, media_type="application/xml")
        data = self.objects[key]
        headers = {"etag": _etag(data), "last-modified": "Fri, 20 Nov 2026 12:00:00 GMT", "accept-ranges": "bytes"}
        if asked := request.headers.get("range"):
            first, last = asked.removeprefix("bytes=").split("-")
            start, end = int(first), min(int(last or len(data) - 1), len(data) - 1)
            headers["content-range"] = f"bytes {start}-{end}/{len(data)}"
            return Response(data[start : end + 1], status_code=206, headers=headers)
        return Response(data, headers=headers)

    def _listed(self, prefix: str) -> str:
        """All below a prefix; as if nobody asked for folders."""
        found = [
            f"<Contents><Key>{key}</Key><Size>{len(data)}</Size><LastModified>{WRITTEN}</LastModified>"
            f"<ETag>{_etag(data)}</ETag><StorageClass>STANDARD</StorageClass></Contents>"
            for key, data in sorted(self.objects.items())
            if key.startswith(prefix)
        ]
        return f"<ListBucketResult><KeyCount>{len(found)}</KeyCount>{''.join(found)}</ListBucketResult>"


def _etag(data: bytes) -> str:
    return f'"{md5(data, usedforsecurity=False).hexdigest()}"'


def _unchunked(body: bytes, headers: Any) -> bytes:
    """Clients sign a body in pieces: each begins with its length in hex, and what follows the last is a checksum."""
    if "aws-chunked" not in headers.get("content-encoding", ""):
        return body
    whole = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if not length:
            return whole
        whole, body = whole + body[:length], body[length + 2 :]


@contextmanager
def served() -> Iterator[tuple[str, Bucket]]:
    """The address of an endpoint, and what it holds."""
    bucket = Bucket()
    methods = ["GET", "PUT", "HEAD", "DELETE", "POST"]
    app = Starlette(
        routes=[
            Route("/{bucket}/{key:path}", bucket.answer, methods=methods),
            Route("/{bucket}", bucket.answer, methods=methods),
        ]
    )
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    sock = config.bind_socket()
    thread = Thread(target=lambda: asyncio.run(server.serve([sock])), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}", bucket
    finally:
        server.should_exit = True
        thread.join(10)
        sock.close()
