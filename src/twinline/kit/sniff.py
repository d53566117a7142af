"""What a file is by its first bytes; a name or a browser's word for it proves nothing."""

# (offset, magic bytes, type)
MAGIC = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftyp3g", "video/3gpp"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftyp", "video/mp4"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\xff\xf1", "audio/aac"),
    (0, b"\xff\xf9", "audio/aac"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"%PDF-", "application/pdf"),
)

# Office files are containers that look alike from outside: there the name decides which one it is.
CONTAINERS = {
    b"PK\x03\x04": {
        "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    },
    b"\xd0\xcf\x11\xe0": {
        "doc": "application/msword",
        "xls": "application/vnd.ms-excel",
        "ppt": "application/vnd.ms-powerpoint",
    },
}

UNKNOWN = "application/octet-stream"


def mime_type(data: bytes, name: str) -> str:
    """The MIME type without parameters; ``application/octet-stream`` when nothing fits."""
    for offset, magic, found in MAGIC:
        if data[offset : offset + len(magic)] == magic:
            return found
    ending = name.rsplit(".", 1)[-1].lower()
    for magic, endings in CONTAINERS.items():
        if data.startswith(magic):
            return endings.get(ending, UNKNOWN)
    try:
        text = data[:4096].decode()
    except UnicodeDecodeError as error:
        # A character cut in half at the end of the sample is no proof of binary.
        if error.start < len(data[:4096]) - 3:
            return UNKNOWN
        text = ""
    return UNKNOWN if "\0" in text else "text/plain"
