"""A browser's recording, put from WebM into the Ogg that WhatsApp plays."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinline.kit import opus, sniff

HEAD = struct.pack("<8sBBHIhB", b"OpusHead", 1, 1, 312, 48_000, 0, 0)
UNKNOWN = b"\x01\xff\xff\xff\xff\xff\xff\xff"


def element(kind: bytes, inside: bytes) -> bytes:
    return kind + (0x1000_0000 | len(inside)).to_bytes(4, "big") + inside


def webm(packets: list[bytes], codec: bytes = b"A_OPUS", flags: int = 0x80) -> bytes:
    """As Chromium's recorder writes it: sizes of segment and clusters are unknown."""
    track = element(b"\xae", element(b"\x86", codec) + element(b"\x63\xa2", HEAD))
    blocks = b"".join(element(b"\xa3", b"\x81\0\0" + bytes([flags]) + packet) for packet in packets)
    return (
        element(b"\x1a\x45\xdf\xa3", b"\x42\x82\x84webm")
        + b"\x18\x53\x80\x67" + UNKNOWN + element(b"\x16\x54\xae\x6b", track)
        + b"\x1f\x43\xb6\x75" + UNKNOWN + element(b"\xe7", b"\0") + blocks
    )  # fmt: skip


def crc(data: bytes) -> int:
    """Ogg's checksum, bit by bit as RFC 3533 has it."""
    found = 0
    for byte in data:
        found ^= byte << 24
        for _ in range(8):
            found = (found << 1 ^ 0x04C11DB7 if found & 0x80000000 else found << 1) & 0xFFFFFFFF
    return found


def pages(ogg: bytes) -> list[tuple[int, int, list[bytes]]]:
    """(kind, position in samples, packets) of each page, their checksums and numbers looked at on the way."""
    found, at = [], 0
    while at < len(ogg):
        mark, _, kind, granule, _, sequence, checksum, segments = struct.unpack_from("<4sBBqIIIB", ogg, at)
        assert mark == b"OggS"
        assert sequence == len(found)
        lacing = ogg[at + 27 : at + 27 + segments]
        body = at + 27 + segments
        end = body + sum(lacing)
        assert crc(ogg[at : at + 22] + b"\0" * 4 + ogg[at + 26 : end]) == checksum
        packets, size = [], 0
        for length in lacing:
            size += length
            if length < 255:
                packets.append(ogg[body : body + size])
                body, size = body + size, 0
        found.append((kind, granule, packets))
        at = end
    return found


# Of 20 ms (silk, celt), two frames of 20 ms, and three of 10 ms.
PACKET = st.sampled_from([b"\x08", b"\xf8", b"\xf9", b"\xf3\x03"]).flatmap(
    lambda head: st.binary(max_size=1300).map(lambda rest: head + rest)
)
SAMPLES = {0x08: 960, 0xF8: 960, 0xF9: 1920, 0xF3: 1440}


@given(st.lists(PACKET, min_size=1, max_size=130))
def test_every_packet_comes_through_in_order_and_in_time(packets: list[bytes]) -> None:
    ogg = opus.ogg(webm(packets))
    assert sniff.mime_type(ogg, "voice.webm") == "audio/ogg"
    first, tags, *sound = pages(ogg)
    assert first == (2, 0, [HEAD])
    assert tags[2][0].startswith(b"OpusTags")
    assert [packet for _, _, some in sound for packet in some] == packets
    assert [kind for kind, _, _ in sound] == [0] * (len(sound) - 1) + [4]
    assert sound[-1][1] == 312 + sum(SAMPLES[packet[0]] for packet in packets)


def test_a_recording_that_was_cut_off_keeps_what_is_whole() -> None:
    whole = webm([b"\xf8" * 40] * 3)
    _, _, (_, _, packets) = pages(opus.ogg(whole[:-7]))
    assert packets == [b"\xf8" * 40] * 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"OggS",
        b"\x00" * 50,
        webm([]),
        webm([b"\xf8"], codec=b"A_VORBIS"),
        webm([b"\xf8"], flags=0x82),
        b"\x1aE\xdf",
    ],
)
def test_what_isnt_webm_with_opus_is_said_not_to_be(data: bytes) -> None:
    with pytest.raises(opus.NotOpus):
        opus.ogg(data)


@given(st.binary(max_size=300))
def test_nothing_breaks_it(data: bytes) -> None:
    for webm_like in (data, webm([b"\xf8"])[:40] + data):
        try:
            opus.ogg(webm_like)
        except opus.NotOpus:
            continue
