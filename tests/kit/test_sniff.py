"""What a file is, its content says."""

import pytest

from twinline.kit import sniff

OFFICE = b"PK\x03\x04 and so on"


@pytest.mark.parametrize(
    ("data", "name", "found"),
    [
        (b"\xff\xd8\xff\xe0", "x", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "photo.jpg", "image/png"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "x", "image/webp"),
        (b"GIF89a", "x", "image/gif"),
        (b"\0\0\0\x18ftypheic", "photo.jpg", "image/heic"),
        (b"\0\0\0\x18ftypmp42 vide soun", "x", "video/mp4"),
        (b"\0\0\0\x18ftypisom soun", "voice.mp4", "audio/mp4"),
        (b"\0\0\0\x18ftypM4A ", "x", "audio/mp4"),
        (b"\0\0\0\x14ftyp3gp5", "x", "video/3gpp"),
        (b"\0\0\0\x14ftypqt  ", "x.mp4", "video/quicktime"),
        (b"OggS" + b"\0" * 24 + b"OpusHead", "x", "audio/ogg"),
        (b"OggS" + b"\0" * 24 + b"\x01vorbis", "song.ogg", "audio/vorbis"),
        (b"OggS" + b"\0" * 24 + b"\x80theora", "x.ogg", "video/ogg"),
        (b"\x1aE\xdf\xa3", "x.ogg", "video/webm"),
        (b"RIFF\0\0\0\0WAVEfmt ", "x.mp3", "audio/wav"),
        (b"ID3\x04", "x", "audio/mpeg"),
        (b"#!AMR\n", "x", "audio/amr"),
        (b"%PDF-1.7", "x.exe", "application/pdf"),
        (OFFICE, "a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (OFFICE, "a.pdf", "application/zip"),
        (b"MZ\x90\0", "a.pdf", "application/octet-stream"),
        ("Grüße".encode(), "x.csv", "text/plain"),
        ("é".encode() * 4000, "x", "text/plain"),
        (b"", "x", "text/plain"),
        (b"BMW, Rover", "cars.txt", "text/plain"),
        (b"a\0b", "x.txt", "application/octet-stream"),
    ],
)
def test_a_file_is_known_by_what_is_in_it(data: bytes, name: str, found: str) -> None:
    assert sniff.mime_type(data, name) == found
