"""Small real files made in code, different for each seed, and the shelf they stand on.

A picture is a PNG of coloured shapes, a voice note is valid Ogg Opus (silence), a document is a one-page PDF, a
sticker a lossless WebP, a video an empty MP4.
"""

from __future__ import annotations

import base64
import colorsys
import hashlib
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from random import Random

from .state import Media

UPLOAD_LIVES = 30 * 86400.0  # Meta: media uploaded by the API
WEBHOOK_LIVES = 7 * 86400.0  # Meta: media ids that came in webhooks
URL_LIVES = 300  # Meta: a download URL, seconds

LIMITS: dict[str, int] = {
    # MIME type -> greatest size in bytes (Meta: supported media types)
    **dict.fromkeys(("image/jpeg", "image/png"), 5 << 20),
    **dict.fromkeys(("video/mp4", "video/3gp", "video/3gpp"), 16 << 20),
    **dict.fromkeys(("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg", "audio/opus"), 16 << 20),
    "image/webp": 500 << 10,
    **dict.fromkeys(
        (
            "text/plain",
            "application/pdf",
            "application/msword",
            "application/vnd.ms-excel",
            "application/vnd.ms-powerpoint",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ),
        100 << 20,
    ),
}

MIMES: dict[str, str] = {
    "image": "image/png",
    "audio": "audio/ogg; codecs=opus",
    "document": "application/pdf",
    "sticker": "image/webp",
    "video": "video/mp4",
}
"""Message type -> MIME type of what ``make`` makes for it."""


def _colour(rng: Random) -> tuple[int, int, int]:
    r, g, b = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.35, 0.85), rng.uniform(0.65, 1.0))
    return int(r * 255), int(g * 255), int(b * 255)


def picture(seed: int, width: int = 240, height: int = 180) -> bytes:
    """A PNG: three bands of sky and a few discs in front."""
    rng = Random(f"picture:{seed}")
    bands = [_colour(rng) for _ in range(3)]
    discs = [(rng.randrange(width), rng.randrange(height), rng.randrange(14, 48), _colour(rng)) for _ in range(5)]
    rows = bytearray()
    for y in range(height):
        row = bytearray(bytes(bands[min(2, y * 3 // height)]) * width)
        for cx, cy, radius, colour in discs:
            half = radius * radius - (y - cy) ** 2
            if half > 0:
                reach = int(half**0.5)
                left, right = max(0, cx - reach), min(width, cx + reach)
                if right > left:
                    row[left * 3 : right * 3] = bytes(colour) * (right - left)
        rows += b"\x00" + row

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(rows, 6)) + part(b"IEND", b"")


@lru_cache(maxsize=1)
def _ogg_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = ((value << 1) ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
        table.append(value)
    return table


def _ogg_page(packets: list[bytes], kind: int, granule: int, serial: int, sequence: int) -> bytes:
    lacing = bytes(len(p) for p in packets)  # every packet here is shorter than 255 bytes
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, kind, granule, serial, sequence, 0, len(packets))
    page = bytearray(head + lacing + b"".join(packets))
    table, crc = _ogg_table(), 0
    for byte in page:
        crc = ((crc << 8) & 0xFFFFFFFF) ^ table[(crc >> 24) ^ byte]
    page[22:26] = struct.pack("<I", crc)
    return bytes(page)


def voice(seed: int) -> bytes:
    """Ogg Opus, 1 to 4 seconds of silence in packets of 20 ms."""
    count = 50 * (1 + seed % 4)
    silence = b"\xf8\xff\xfe"
    pages = [
        _ogg_page([struct.pack("<8sBBHIhB", b"OpusHead", 1, 1, 312, 48000, 0, 0)], 2, 0, seed & 0xFFFF, 0),
        _ogg_page([b"OpusTags" + struct.pack("<I9sI", 9, b"simulator", 0)], 0, 0, seed & 0xFFFF, 1),
        _ogg_page([silence] * count, 4, 312 + 960 * count, seed & 0xFFFF, 2),
    ]
    return b"".join(pages)


def document(seed: int) -> bytes:
    """A PDF of one page with a line of text."""
    stream = f"BT /F1 24 Tf 60 720 Td (Quote no. {seed % 100000}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out, places = bytearray(b"%PDF-1.4\n"), []
    for index, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj%b endobj\n" % (index, body)
    start = len(out)
    out += b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(out + b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % start)


def sticker(seed: int) -> bytes:
    """Lossless WebP, 512 x 512 of one colour: each prefix code has one symbol, so pixels cost no bits."""
    red, green, blue = _colour(Random(f"sticker:{seed}"))
    value, length = 0, 0

    def put(bits: int, width: int) -> None:
        nonlocal value, length
        value |= bits << length
        length += width

    for bits, width in ((511, 14), (511, 14), (0, 1), (0, 3), (0, 1), (0, 1), (0, 1)):
        put(bits, width)
    for symbol in (green, red, blue, 255):
        put(0b101, 3)  # simple code, one symbol, of 8 bits
        put(symbol, 8)
    put(0b001, 3)  # distance: simple code, one symbol, of 1 bit
    put(0, 1)
    data = b"\x2f" + value.to_bytes((length + 7) // 8, "little")
    padded = data + b"\x00" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", 12 + len(padded)) + b"WEBPVP8L" + struct.pack("<I", len(data)) + padded


def video(seed: int) -> bytes:
    """An MP4 of no tracks: a file type box, a movie header and some free space that differs by seed."""
    movie = struct.pack(">IIIIIIH10x", 0, 0, 0, 1000, 1000, 0x00010000, 0x0100)
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    header = movie + matrix + b"\x00" * 24 + struct.pack(">I", 1)

    def box(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data) + 8) + kind + data

    return (
        box(b"ftyp", b"isom\x00\x00\x02\x00isomiso2mp41")
        + box(b"moov", box(b"mvhd", header))
        + box(b"free", Random(f"video:{seed}").randbytes(64))
    )


MAKERS: dict[str, Callable[[int], bytes]] = {
    "image": picture,
    "audio": voice,
    "document": document,
    "sticker": sticker,
    "video": video,
}


def make(kind: str, media_id: str) -> bytes:
    """The file of a generated medium: its id is its seed."""
    return MAKERS[kind](int(media_id))


def webhook_hash(media: Media) -> str:
    """Webhooks carry the SHA-256 in base64, ``GET /<MEDIA_ID>`` in hex (Meta's samples)."""
    return base64.b64encode(bytes.fromhex(media.sha256)).decode()


class Shelf:
    """Bytes of uploaded files: in a folder when there is one, else in memory. Generated ones are made anew."""

    def __init__(self, shelf: dict[str, Media], folder: Path | None = None) -> None:
        self._media = shelf
        self._folder = folder
        self._memory: dict[str, bytes] = {}

    def add(self, media_id: str, data: bytes, mime: str, now: float, lives: float, filename: str | None) -> Media:
        if self._folder is None:
            self._memory[media_id] = data
        else:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / media_id).write_bytes(data)
        return self._put(media_id, data, mime, now, lives, None, filename)

    def generate(self, media_id: str, kind: str, now: float, filename: str | None = None) -> Media:
        """The medium of this id, made on first use."""
        known = self._media.get(media_id)
        if known is not None:
            return known
        return self._put(media_id, make(kind, media_id), MIMES[kind], now, WEBHOOK_LIVES, kind, filename)

    def get(self, media_id: str, now: float) -> Media | None:
        """None when there is no such id or its time is over."""
        media = self._media.get(media_id)
        return media if media is not None and now < media.created_at + media.lives else None

    def read(self, media: Media) -> bytes:
        if media.generated is not None:
            return make(media.generated, media.id)
        if self._folder is not None:
            return (self._folder / media.id).read_bytes()
        return self._memory[media.id]

    def remove(self, media_id: str) -> None:
        self._media.pop(media_id, None)
        self._memory.pop(media_id, None)
        if self._folder is not None:
            (self._folder / media_id).unlink(missing_ok=True)

    def _put(
        self,
        media_id: str,
        data: bytes,
        mime: str,
        now: float,
        lives: float,
        generated: str | None,
        filename: str | None,
    ) -> Media:
        digest = hashlib.sha256(data).hexdigest()
        media = Media(media_id, mime, digest, len(data), now, lives, generated, filename)
        self._media[media_id] = media
        return media
