"""The Resumable Upload API: a session, its bytes in one or several pieces, and a handle for template headers (Meta:
Graph API, Resumable Upload API).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from .media import UPLOAD_LIVES
from .state import Json, Upload
from .template_rules import invalid
from .world import World

if TYPE_CHECKING:
    from .graph import Call

TYPES = ("application/pdf", "image/jpeg", "image/jpg", "image/png", "video/mp4")
SCHEME = "upload:"
MOST = 100 << 20
"""GUESS: greatest length of a file in bytes; a template header takes no more than a message does."""


def found(world: World, node: str) -> Upload | None:
    return world.state.uploads.get(node.removeprefix(SCHEME)) if node.startswith(SCHEME) else None


def sample(world: World, handle: str) -> tuple[str, str] | None:
    """MIME type and address of an uploaded file by its handle; an address that Meta itself gave is a handle too."""
    for upload in world.state.uploads.values():
        if handle in (upload.handle, _address(world, upload)):
            return upload.mime, _address(world, upload)
    return None


def _address(world: World, upload: Upload) -> str:
    return f"{world.base_url}/control/media/{upload.media_id}"


async def begin(call: Call) -> Json:
    """``POST /<APP_ID>/uploads``. The id has a signature behind a question mark, as Meta's has: it belongs into the
    address as it is."""
    world, args = call.world, call.args
    mime, length = str(args.get("file_type") or ""), str(args.get("file_length") or "")
    if mime not in TYPES:
        raise invalid(f"Param file_type must be one of {{{', '.join(TYPES)}}}")
    if not length.isdigit() or not 0 < int(length) <= MOST:
        raise invalid(f"Param file_length must be the file's size in bytes, at most {MOST}.")
    key = base64.urlsafe_b64encode(f"attachment:{world.ids.text(32)}".encode()).decode()
    upload = Upload(
        key, mime.replace("image/jpg", "image/jpeg"), int(length), args.get("file_name"), world.ids.number()
    )
    world.state.uploads[key] = upload
    world.dirty = True
    return {"id": f"{SCHEME}{key}?sig={world.ids.text(24)}"}


async def go_on(call: Call) -> Json:
    """``POST /upload:…`` with the bytes from ``file_offset`` on. Answers the handle when all are there."""
    world, upload = call.world, call.world.state.uploads[call.node.removeprefix(SCHEME)]
    offset, data = call.request.headers.get("file_offset", "0"), await call.request.body()
    if offset != str(upload.received):
        raise invalid(f"file_offset is {offset}, but {upload.received} bytes are there. Ask for the offset and go on.")
    if upload.received + len(data) > upload.length:
        raise invalid(f"More bytes than the {upload.length} of file_length.")
    known = world.state.media.get(upload.media_id)
    data = (world.shelf.read(known) if known else b"") + data
    world.shelf.add(upload.media_id, data, upload.mime, world.now(), UPLOAD_LIVES, upload.name)
    upload.received = len(data)
    world.dirty = True
    if upload.received < upload.length:
        return _where(upload)
    upload.handle = f"4::{base64.b64encode(upload.mime.encode()).decode()}:{world.ids.text(60)}:e:{int(world.now())}"
    return {"h": upload.handle}


async def offset(call: Call) -> Json:
    """``GET /upload:…``: how much of it is there, after an interruption."""
    return _where(call.world.state.uploads[call.node.removeprefix(SCHEME)])


def _where(upload: Upload) -> Json:
    return {"id": SCHEME + upload.id, "file_offset": upload.received}


TABLE = {
    ("POST", "app", "uploads"): begin,
    ("POST", "upload", ""): go_on,
    ("GET", "upload", ""): offset,
}
