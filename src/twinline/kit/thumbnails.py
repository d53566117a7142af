"""Small pictures of kept ones: made when somebody first looks, and kept beside."""

from twinline.kit import pictures
from twinline.kit.files import Files

ENDING = ".small.webp"


def small(files: Files, name: str, mime_type: str) -> tuple[str, str]:
    """Name and type of the picture's thumbnail; the picture itself where none can be made of it.

    Raises FileNotFoundError.
    """
    thumbnail = name + ENDING
    if files.has(thumbnail):
        return thumbnail, "image/webp"
    try:
        files.write(thumbnail, pictures.thumbnail(files.read(name)))
    except pictures.NotAPicture:
        return name, mime_type
    return thumbnail, "image/webp"
