"""Pictures made smaller: thumbnails for a list, stickers for WhatsApp.

Pictures come from strangers, so nothing is decoded before its size is known, and only formats that WhatsApp uses.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
LARGEST = 50_000_000  # pixels; a telephone's camera makes up to 200 megapixels, but sends far fewer
THUMBNAIL = 480  # pixels on the longer side: twice what a bubble shows
STICKER = 512
STICKER_BYTES = 100 * 1024


class NotAPicture(ValueError):
    """These bytes can't be drawn."""


@dataclass(frozen=True, slots=True)
class Facts:
    width: int
    height: int
    animated: bool


def facts(data: bytes) -> Facts:
    """How large a picture is and whether it moves. Raises NotAPicture."""
    with _open(data) as image:
        return Facts(image.width, image.height, bool(getattr(image, "is_animated", False)))


def thumbnail(data: bytes) -> bytes:
    """A WebP of at most 480 pixels a side, upright as the camera was held. Raises NotAPicture."""
    with _open(data) as image:
        # A JPEG is decoded at the size that is needed, which saves most of the work.
        image.draft("RGB", (THUMBNAIL * 2, THUMBNAIL * 2))
        upright = ImageOps.exif_transpose(image)
        upright.thumbnail((THUMBNAIL, THUMBNAIL))
        return _webp(upright, quality=78)


def sticker(data: bytes) -> bytes:
    """A still WebP of 512 x 512 with the picture in its middle, as small as WhatsApp wants it. Raises NotAPicture."""
    with _open(data) as image:
        fitted = ImageOps.contain(ImageOps.exif_transpose(image).convert("RGBA"), (STICKER, STICKER))
        square = Image.new("RGBA", (STICKER, STICKER))
        square.paste(fitted, ((STICKER - fitted.width) // 2, (STICKER - fitted.height) // 2))
    for quality in (90, 75, 50, 25):
        made = _webp(square, quality)
        if len(made) <= STICKER_BYTES:
            break
    return made


@contextmanager
def _open(data: bytes) -> Iterator[Image.Image]:
    """The picture, decoded where it is used: what is cut off or damaged inside is found only there."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > LARGEST:
                raise NotAPicture(f"{image.width} × {image.height} pixels are too many")
            yield image
    except (Image.DecompressionBombError, OSError, ValueError, SyntaxError, EOFError) as error:
        raise NotAPicture(str(error)) from error


def _webp(image: Image.Image, quality: int) -> bytes:
    clear = "A" in image.getbands() or "transparency" in image.info
    out = io.BytesIO()
    image.convert("RGBA" if clear else "RGB").save(out, "WEBP", quality=quality, method=4)
    return out.getvalue()
