"""What a file is by its content; a name or a browser's word for it proves nothing.

WhatsApp's own formats are told apart exactly, since it judges them by what is inside: Ogg is sound for it only with
Opus, MP4 is a picture on an iPhone and sound in a recorder. Others have a name too, so that a refusal can call them
by it.
"""

# (offset, magic bytes, type); the first that fits.
MAGIC = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF8", "image/gif"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/x-msvideo"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"OggS", "application/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\xff\xf2", "audio/mpeg"),
    (0, b"\xff\xfa", "audio/mpeg"),
    (0, b"\xff\xf1", "audio/aac"),
    (0, b"\xff\xf9", "audio/aac"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"Rar!", "application/vnd.rar"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"\x1f\x8b", "application/gzip"),
)

# ISO media files: the brand says which of them it is; any other is an MP4.
BRANDS = (
    (b"3g", "video/3gpp"),
    (b"M4A", "audio/mp4"),
    (b"M4B", "audio/mp4"),
    (b"qt", "video/quicktime"),
    (b"heic", "image/heic"),
    (b"heix", "image/heic"),
    (b"mif1", "image/heic"),
    (b"avif", "image/avif"),
)

# Office files are containers that look alike from outside: there the name decides which one it is.
CONTAINERS = {
    b"PK\x03\x04": (
        "application/zip",
        {
            "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        },
    ),
    b"\xd0\xcf\x11\xe0": (
        "application/x-ole-storage",
        {
            "doc": "application/msword",
            "xls": "application/vnd.ms-excel",
            "ppt": "application/vnd.ms-powerpoint",
        },
    ),
}

UNKNOWN = "application/octet-stream"
SAMPLE = 4096  # bytes


def mime_type(data: bytes, name: str) -> str:
    """The MIME type without parameters; ``application/octet-stream`` when nothing fits."""
    if data[4:8] == b"ftyp":
        return _iso(data)
    for offset, magic, found in MAGIC:
        if data[offset : offset + len(magic)] == magic:
            return _ogg(data) if found == "application/ogg" else found
    ending = name.rsplit(".", 1)[-1].lower()
    for magic, (container, endings) in CONTAINERS.items():
        if data.startswith(magic):
            return endings.get(ending, container)
    return _text(data)


def _iso(data: bytes) -> str:
    brand = data[8:12]
    found = next((kind for prefix, kind in BRANDS if brand.startswith(prefix)), None)
    # Recorders in browsers write sound under a brand for films: it is one if it has a track of pictures.
    return found or ("audio/mp4" if b"soun" in data and b"vide" not in data else "video/mp4")


def _ogg(data: bytes) -> str:
    """Opus is the one sound in Ogg that WhatsApp plays."""
    head = data[:SAMPLE]
    if b"OpusHead" in head:
        return "audio/ogg"
    if b"\x80theora" in head:
        return "video/ogg"
    return "audio/vorbis" if b"\x01vorbis" in head else "application/ogg"


def _text(data: bytes) -> str:
    sample = data[:SAMPLE]
    try:
        text = sample.decode()
    except UnicodeDecodeError as error:
        # A character cut in half at the end of the sample is no proof of binary.
        if len(data) <= SAMPLE or error.start < SAMPLE - 3:
            return UNKNOWN
        text = sample[: error.start].decode()
    return UNKNOWN if "\0" in text else "text/plain"
