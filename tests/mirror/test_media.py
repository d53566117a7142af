"""Files are fetched while Meta still has them, checked, kept, and told of."""

import base64
import dataclasses
import hashlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from tests.fixtures import wire
from tests.fixtures.mirror import add_number, ask, change, tell
from tests.fixtures.wire import RUA, T0

from twinline.app import App
from twinline.kit.files import Files
from twinline.meta.graph import GraphError, MediaInfo
from twinline.mirror import media

pytestmark = pytest.mark.anyio

PICTURE = b"\x89PNG not really"
DIGEST = hashlib.sha256(PICTURE)


class Shelf:
    """As much of Graph as a download needs."""

    def __init__(self, sha256: str | None = None, error: GraphError | None = None) -> None:
        self.sha256, self.error = sha256, error
        self.asked = 0

    async def media(self, media_id: str, *, token: str) -> MediaInfo:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return MediaInfo(media_id, f"https://shelf/{media_id}", "image/png", self.sha256, len(PICTURE))

    async def download(self, url: str, *, token: str) -> AsyncIterator[bytes]:
        assert token == "the token"
        yield PICTURE[:5]
        yield PICTURE[5:]


async def with_picture(app: App, shelf: Shelf, *, token: bool = True) -> App:
    number = await add_number(app)
    if token:
        await change(app, "UPDATE numbers SET token = %s WHERE id = %s", app.vault.seal("the token"), number)
    await tell(app, wire.inbound(RUA, wire.said("wamid.1", T0, "image", {"id": "m1", "mime_type": "image/jpeg"})))
    return dataclasses.replace(app, graph=cast(Any, shelf))


async def row(app: App) -> Any:
    [found] = await ask(app, "SELECT state, mime_type, size, file, reason FROM media")
    return found


async def news(app: App) -> list[Any]:
    return [body["media"] for (body,) in await ask(app, "SELECT body FROM events ORDER BY seq") if "media" in body]


@pytest.mark.parametrize("written", [None, DIGEST.hexdigest(), base64.b64encode(DIGEST.digest()).decode()])
async def test_a_file_is_fetched_once_kept_by_its_content_and_told_of(app: App, written: str | None) -> None:
    shelf = Shelf(written)
    app = await with_picture(app, shelf)
    for _ in range(2):
        await media.download(app, 1, "m1", last_try=False)
    state, mime, size, file, _ = await row(app)
    assert (state, mime, size) == ("kept", "image/png", len(PICTURE))
    with app.files.open(file) as stored:
        assert stored.read() == PICTURE
    assert shelf.asked == 1
    assert await news(app) == [[[1, "wamid.1"]]]


async def test_a_mangled_file_is_fetched_again_and_given_up_at_the_last_try(app: App) -> None:
    app = await with_picture(app, Shelf("00" * 32))
    with pytest.raises(media.Mangled):
        await media.download(app, 1, "m1", last_try=False)
    assert (await row(app))[0] == "wanted"
    await media.download(app, 1, "m1", last_try=True)
    state, _, _, file, reason = await row(app)
    assert (state, file) == ("lost", None)
    assert "damaged" in reason
    assert await news(app) == [[[1, "wamid.1"]]]


@pytest.mark.parametrize(("code", "word"), [(100, "seven days"), (131052, "100 MB")])
async def test_what_meta_will_never_hand_out_is_believed_the_second_time(app: App, code: int, word: str) -> None:
    app = await with_picture(app, Shelf(error=GraphError("No", code=code)))
    with pytest.raises(GraphError):
        await media.download(app, 1, "m1", tries=0)
    assert (await row(app))[0] == "wanted"
    await media.download(app, 1, "m1", tries=1)
    state, _, _, _, reason = await row(app)
    assert state == "lost"
    assert word in reason


async def test_what_cannot_be_had_now_is_tried_until_the_id_is_too_old(app: App) -> None:
    app = await with_picture(app, Shelf(error=GraphError("Try later", code=131000)))
    for tries in range(7):
        with pytest.raises(GraphError):
            await media.download(app, 1, "m1", tries=tries)
    await media.download(app, 1, "m1", tries=7, last_try=True)
    state, _, _, _, reason = await row(app)
    assert (state, reason) == ("lost", media.GIVEN_UP)


async def test_a_file_that_cannot_be_kept_is_tried_again_and_then_said_not_to_be(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Files, name: str, data: bytes) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Files, "write", full)
    app = await with_picture(app, Shelf())
    with pytest.raises(OSError, match="no space"):
        await media.download(app, 1, "m1")
    await media.download(app, 1, "m1", last_try=True)
    state, _, _, _, reason = await row(app)
    assert (state, reason) == ("lost", media.NOT_KEPT)


async def test_a_number_without_a_token_says_so(app: App) -> None:
    app = await with_picture(app, Shelf(), token=False)
    await media.download(app, 1, "m1", last_try=False)
    state, _, _, _, reason = await row(app)
    assert state == "lost"
    assert "no token" in reason


async def test_a_file_of_a_message_whose_chat_isnt_known_yet_is_kept_without_news(app: App) -> None:
    app = await with_picture(app, Shelf())
    await tell(app, wire.follow_up_out(None, wire.said("wamid.2", T0, "image", {"id": "m2"})))
    await media.download(app, 1, "m2", last_try=False)
    assert await ask(app, "SELECT state FROM media WHERE media_id = 'm2'") == [("kept",)]
    assert await news(app) == []
