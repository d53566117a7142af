"""A recording of Chromium's, WebM with Opus inside, as the Ogg with Opus inside that WhatsApp plays as a voice message.

The sound itself is the same in both, so nothing is decoded: packets are taken out of one wrapping and put into the
other. (WebM: the Matroska specification, RFC 9559. Ogg: RFC 3533. Opus in Ogg: RFC 7845.)
"""

import struct
import zlib
from collections.abc import Iterator

# Elements that only hold others: they are walked into, whatever their size says (a live recording knows none).
_MASTERS = frozenset({0x18538067, 0x1654AE6B, 0xAE, 0x1F43B675, 0xA0})  # segment, tracks, track, cluster, block group
_CODEC, _HEAD, _BLOCKS = 0x86, 0x63A2, (0xA3, 0xA1)
_LACED = 0x06

_RATE = 48_000  # samples a second, in which Ogg counts Opus whatever was recorded
_PACKETS = 50  # on a page: a second of sound
_LACING = 255  # bytes that a page has for the lengths of its packets
_TAGS = b"OpusTags" + struct.pack("<I8sI", 8, b"Twinline", 0)
_FIRST, _LAST = 2, 4  # kinds of page

_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class NotOpus(ValueError):
    """This isn't WebM with Opus, or not whole."""


def ogg(webm: bytes) -> bytes:
    """The same sound in Ogg. Raises NotOpus."""
    codec, head, packets = b"", b"", []
    try:
        for kind, inside in _elements(webm):
            if kind == _CODEC:
                codec = inside
            elif kind == _HEAD:
                head = inside
            elif kind in _BLOCKS:
                packets.append(_packet(inside))
    except (IndexError, struct.error) as error:
        raise NotOpus("the recording is cut off") from error
    if codec != b"A_OPUS" or not head.startswith(b"OpusHead") or not packets:
        raise NotOpus("there is no Opus in it")
    pages = [_page([head], _FIRST, 0, 0), _page([_TAGS], 0, 0, 1)]
    at = struct.unpack_from("<H", head, 10)[0]
    runs = list(_runs(packets))
    for run in runs:
        at += sum(map(_samples, run))
        pages.append(_page(run, _LAST if run is runs[-1] else 0, at, len(pages)))
    return b"".join(pages)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        kind, position = _number(data, position, keep_mark=True)
        size, position = _number(data, position)
        if kind not in _MASTERS:
            if position + size > len(data):
                return  # the recorder was stopped in the middle of it
            yield kind, data[position : position + size]
            position += size


def _number(data: bytes, position: int, *, keep_mark: bool = False) -> tuple[int, int]:
    """A number of variable length, and where it ends: as many zeros lead as bytes follow."""
    width = 9 - data[position].bit_length()
    if width > 8:
        raise NotOpus("not WebM")
    value = int.from_bytes(data[position : position + width], "big")
    return value if keep_mark else value & ((1 << 7 * width) - 1), position + width


def _packet(block: bytes) -> bytes:
    _, position = _number(block, 0)  # of the track; a recording of a microphone has one
    if block[position + 2] & _LACED:
        raise NotOpus("several packets are laced into one block")
    return block[position + 3 :]


def _samples(packet: bytes) -> int:
    """How long a packet plays, by its first bytes (RFC 6716, 3.1)."""
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        tenths = (100, 200, 400, 600)[config & 3]
    elif config < 16:
        tenths = (100, 200)[config & 1]
    else:
        tenths = (25, 50, 100, 200)[config & 3]
    frames = packet[1] & 0x3F if code == 3 else 1 if code == 0 else 2
    return frames * tenths * _RATE // 10_000


def _runs(packets: list[bytes]) -> Iterator[list[bytes]]:
    """The packets of each page."""
    run: list[bytes] = []
    laced = 0
    for packet in packets:
        needs = len(packet) // 255 + 1
        if run and (len(run) == _PACKETS or laced + needs > _LACING):
            yield run
            run, laced = [], 0
        run.append(packet)
        laced += needs
    yield run


def _page(packets: list[bytes], kind: int, at: int, sequence: int) -> bytes:
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, kind, at, 1, sequence, 0, len(lacing))
    page = head + lacing + b"".join(packets)
    return page[:22] + struct.pack("<I", _checksum(page)) + page[26:]


def _checksum(page: bytes) -> int:
    """Ogg's CRC-32 is zlib's read in a mirror, and begun with zero."""
    found = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{found:032b}"[::-1], 2)
