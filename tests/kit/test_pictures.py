"""Thumbnails and stickers, made of what strangers send."""

import io
from pathlib import Path

import pytest
from PIL import Image

from twinline.kit import pictures, sniff, thumbnails
from twinline.kit.files import Files


def picture(width: int, height: int, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    gradient = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    gradient.save(out, kind, **options)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_thumbnail_is_small_and_keeps_the_proportions(kind: str) -> None:
    small = opened(pictures.thumbnail(picture(2000, 1000, kind)))
    assert (small.format, small.size) == ("WEBP", (480, 240))


def test_a_picture_that_is_small_already_isnt_blown_up() -> None:
    assert opened(pictures.thumbnail(picture(60, 40))).size == (60, 40)


def test_a_picture_taken_with_the_camera_on_its_side_stands_upright() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    assert opened(pictures.thumbnail(picture(1000, 500, "JPEG", exif=turned.tobytes()))).size == (240, 480)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_sticker_is_square_clear_around_and_light_enough(kind: str) -> None:
    made = pictures.sticker(picture(1500, 700, kind))
    assert sniff.mime_type(made, "") == "image/webp"
    assert pictures.facts(made) == pictures.Facts(512, 512, animated=False)
    assert len(made) <= pictures.STICKER_BYTES
    assert opened(made).convert("RGBA").getpixel((256, 2)) == (0, 0, 0, 0)


def test_even_noise_becomes_a_sticker_that_whatsapp_takes() -> None:
    out = io.BytesIO()
    Image.effect_noise((900, 900), 120).convert("RGB").save(out, "PNG")
    assert len(pictures.sticker(out.getvalue())) <= pictures.STICKER_BYTES


def test_one_that_moves_is_known_to() -> None:
    frames = [Image.new("RGB", (512, 512), colour) for colour in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], duration=200)
    assert pictures.facts(out.getvalue()).animated


@pytest.mark.parametrize(
    "data",
    [b"", b"not a picture", picture(400, 300)[:300], picture(400, 300, "JPEG")[:200], b"\x89PNG\r\n\x1a\n" + b"x" * 99],
)
def test_what_isnt_a_whole_picture_is_said_not_to_be_one(data: bytes) -> None:
    with pytest.raises(pictures.NotAPicture):
        pictures.thumbnail(data)


def test_a_small_file_that_unfolds_to_a_huge_picture_is_left_folded() -> None:
    out = io.BytesIO()
    Image.new("1", (9000, 9000)).save(out, "PNG")
    with pytest.raises(pictures.NotAPicture, match="too many"):
        pictures.thumbnail(out.getvalue())


def test_a_thumbnail_is_made_once_and_kept_beside(tmp_path: Path) -> None:
    files = Files(f"file://{tmp_path}")
    files.write("1/ab/cake", picture(900, 900))
    name, mime = thumbnails.small(files, "1/ab/cake", "image/png")
    assert (name, mime) == ("1/ab/cake.small.webp", "image/webp")
    files.write(name, b"as it was made")
    assert thumbnails.small(files, "1/ab/cake", "image/png") == (name, mime)
    assert files.read(name) == b"as it was made"


def test_where_no_thumbnail_can_be_made_the_file_itself_is_shown(tmp_path: Path) -> None:
    files = Files(f"file://{tmp_path}")
    files.write("1/ab/broken", b"\xff\xd8\xff broken")
    assert thumbnails.small(files, "1/ab/broken", "image/jpeg") == ("1/ab/broken", "image/jpeg")
