"""Lists are complete, in order, and the organisation's own."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinline.inbox import live, queries
from twinline.inbox.queries import Thread
from twinline.kit.markup import rich

pytestmark = pytest.mark.anyio


async def test_paging_through_the_list_shows_each_chat_once_also_when_times_are_equal(shop: Any) -> None:
    contacts = [await shop.contact(f"346{n:08d}", profile_name=f"N {n}") for n in range(95)]
    # Ten chats share each second, so only the tie-break keeps pages apart.
    await shop.write(*[shop.row(contact, "hola", ago=n // 10) for n, contact in enumerate(contacts)])
    seen: list[int] = []
    before = None
    async with shop.app.db.transaction() as tx:
        while page := await queries.chats(tx, shop.number_id, shop.viewer.user_id, shop.now, before=before):
            seen += [chat.contact_id for chat in page]
            before = (page[-1].last_at, page[-1].contact_id)
    assert len(seen) == 95
    assert set(seen) == set(contacts)


async def test_paging_upwards_shows_each_message_once_and_in_order(shop: Any) -> None:
    ana = await shop.contact("34600111222")
    written = await shop.write(*[shop.row(ana, f"m {n}", ago=n // 7) for n in range(230)])
    got: list[str] = []
    async with shop.app.db.transaction() as tx:
        thread = Thread(tx, shop.number_id, ana, shop.viewer.organisation_id, "Ana")
        page = await thread.older()
        while page:
            got = [bubble.wamid or "" for bubble in page] + got
            page = await thread.older(queries.parse_cursor(page[0].cursor))
        middle = queries.parse_cursor((await thread.these([got[100]]))[0].cursor)
        after = await thread.newer(middle)
    assert sorted(got) == sorted(written)
    assert len(got) == len(set(got))
    assert [bubble.wamid for bubble in after] == got[101 : 101 + queries.THREAD_PAGE]


async def test_stubs_are_invisible(shop: Any) -> None:
    ana = await shop.contact("34600111222")
    await shop.say(ana, "hola")
    await shop.execute(
        "INSERT INTO messages (number_id, wamid, contact_id, outgoing, delivery)"
        " VALUES (%s, 'wamid.stub', %s, true, 5)",
        (shop.number_id, ana),
    )
    async with shop.app.db.transaction() as tx:
        thread = Thread(tx, shop.number_id, ana, shop.viewer.organisation_id, "Ana")
        assert [bubble.text for bubble in await thread.older()] == ["hola"]
        assert await thread.these(["wamid.stub"]) == []


async def test_of_several_reactions_the_latest_of_each_side_is_shown_and_a_removed_one_is_not(shop: Any) -> None:
    ana = await shop.contact("34600111222")
    target = await shop.say(ana, "hola", ago=100)
    for ago, emoji in ((90, "👍"), (80, "❤️")):
        await shop.say(ana, emoji, ago=ago, type="reaction", quoted=target)
    ours = {"type": "reaction", "quoted": target, "outgoing": True}
    await shop.say(ana, "😂", ago=70, **ours)

    async def shown() -> tuple[tuple[str, str], ...]:
        async with shop.app.db.transaction() as tx:
            thread = Thread(tx, shop.number_id, ana, shop.viewer.organisation_id, "Ana")
            [bubble] = await thread.older()
            return bubble.reactions

    assert sorted(await shown()) == [("❤️", "Ana"), ("😂", "you")]
    gone = await shop.say(ana, None, ago=60, **ours)
    assert await shown() == (("❤️", "Ana"),)
    async with shop.app.db.transaction() as tx:
        thread = Thread(tx, shop.number_id, ana, shop.viewer.organisation_id, "Ana")
        assert [bubble.wamid for bubble in await thread.these([gone])] == [target]


async def test_an_edited_message_shows_what_it_says_now_and_keeps_what_it_said(shop: Any) -> None:
    ana = await shop.contact("34600111222")
    wamid = await shop.say(ana, "a las 20:00", ago=100, edit_v=7, edit_text="a las 21:00")
    for version, text in ((6, "a las 20:30"), (7, "a las 21:00")):
        await shop.execute(
            "INSERT INTO edits (number_id, wamid, original, kind, outgoing, version, at, type, text)"
            " VALUES (%s, %s, %s, 'edit', false, %s, %s, 'text', %s)",
            (shop.number_id, f"wamid.e{version}", wamid, version, shop.now, text),
        )
    async with shop.app.db.transaction() as tx:
        thread = Thread(tx, shop.number_id, ana, shop.viewer.organisation_id, "Ana")
        [bubble] = await thread.older()
    assert bubble.text == "a las 21:00"
    assert [text for _, text in bubble.earlier] == ["a las 20:00", "a las 20:30"]


async def test_search_finds_words_and_beginnings_of_words_over_all_history(shop: Any) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    await shop.write(
        shop.row(ana, "dos tartas de manzana por 3.50", ago=400 * 86_400, live=False),
        shop.row(ana, "una TARTA", ago=10),
        shop.row(ana, "tarta secreta", ago=5, revoked_at=shop.now.isoformat()),
    )

    async def found(text: str) -> list[str]:
        async with shop.app.db.transaction() as tx:
            return [hit.text for hit in (await queries.hits(tx, shop.number_id, text))[0]]

    assert await found("tarta") == ["una TARTA", "dos tartas de manzana por 3.50"]
    assert await found("manz tar") == ["dos tartas de manzana por 3.50"]
    assert await found("3.50") == ["dos tartas de manzana por 3.50"]
    for hostile in ("'", "!", "&|", "\\", "':*", "<->", "a' b:*", "%", "(("):
        await found(hostile)


@pytest.mark.parametrize(
    "text",
    ["una TARTA ÉTÉ", "a_b.txt al 50%", "Ana@Example.com", "https://x.example/a%20b_c?d=%5C", "3.50 -12 1e3",
     "İSTANBUL", "to-do, c++ \\o/", "it's <b>bold</b> &amp; &lt;", "今日は 🌸 مرحبا", "ΣΊΣΥΦΟΣ straße"],
)  # fmt: skip
async def test_words_are_found_whether_they_are_common_or_rare(
    shop: Any, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    await shop.write(shop.row(ana, text, ago=10), shop.row(ana, "something else", ago=5))

    async def found(words: str) -> list[str]:
        async with shop.app.db.transaction() as tx:
            return [hit.text for hit in (await queries.hits(tx, shop.number_id, words))[0]]

    asked = [*text.split(), text, text.lower(), text[:5]]
    as_rare = [await found(words) for words in asked]
    monkeypatch.setattr(queries, "COMMON", 0)  # now every word is
    assert [await found(words) for words in asked] == as_rare
    assert [text] in as_rare


@pytest.mark.parametrize("common", [queries.COMMON, 0])
async def test_an_edited_message_is_found_by_what_it_says_now(
    shop: Any, monkeypatch: pytest.MonkeyPatch, common: int
) -> None:
    monkeypatch.setattr(queries, "COMMON", common)
    ana = await shop.contact("34600111222", profile_name="Ana")
    await shop.write(
        shop.row(ana, "open until seven", ago=10, edit_v=1, edit_text="open until eight"),
        shop.row(ana, "only the picture was changed", ago=20, edit_v=1),
    )

    async def found(words: str) -> list[str]:
        async with shop.app.db.transaction() as tx:
            return [hit.text for hit in (await queries.hits(tx, shop.number_id, words))[0]]

    assert await found("until eigh") == ["open until eight"]
    assert await found("seven") == []
    assert await found("picture") == ["only the picture was changed"]


async def test_a_word_is_found_over_all_history_also_where_postgresql_takes_it_for_common(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts words now and then, and guesses in between."""
    monkeypatch.setattr(queries, "COMMON", 10)
    ana = await shop.contact("34600111222", profile_name="Ana")
    await shop.write(*(shop.row(ana, f"tarta {n}", ago=n) for n in range(200)))
    await shop.execute("ANALYZE messages")
    await shop.execute("UPDATE messages SET text = 'pan' WHERE text <> 'tarta 199'")
    async with shop.app.db.transaction() as tx:
        found, more = await queries.hits(tx, shop.number_id, "tarta")
    assert ([hit.text for hit in found], more) == (["tarta 199"], False)


async def test_people_are_found_by_name_phone_and_username(shop: Any) -> None:
    await shop.say(await shop.contact("34600111222", profile_name="Ana 100%"), "hola")
    await shop.say(await shop.contact("5511912345678", book_name="Bruno"), "oi")
    await shop.say(await shop.contact(None, bsuid="ES.1", username="night.owl"), "hi")

    async def found(text: str) -> list[str]:
        async with shop.app.db.transaction() as tx:
            return [chat.name for chat in await queries.chats_by_name(tx, shop.number_id, shop.now, text)]

    assert await found("brun") == ["Bruno"]
    assert await found("+55 11 91234") == ["Bruno"]
    assert await found("owl") == ["@night.owl"]
    assert await found("100%") == ["Ana 100%"]
    assert await found("%") == ["Ana 100%"]
    for pattern in ("_", "(?i)ana", "***=Ana", "[", "\\w", "an*a", "^Ana", "a" * 200, "ß" * 200):
        assert await found(pattern) == []


async def test_people_are_found_with_or_without_accents_however_their_name_is_stored(shop: Any) -> None:
    names = ["Martín Núñez", "MARTIN NUNEZ", unicodedata.normalize("NFD", "Martín Núñez")]
    for last, name in enumerate(names):
        await shop.say(await shop.contact(f"3460011122{last}", profile_name=name), "hola", ago=last)
    await shop.say(await shop.contact("34600111229", profile_name="Nunca"), "hola")

    for text in ("nunez", "Núñez", "NÚÑEZ", "martin nuñ", unicodedata.normalize("NFD", "núñez")):
        async with shop.app.db.transaction() as tx:
            assert [chat.name for chat in await queries.chats_by_name(tx, shop.number_id, shop.now, text)] == names
            assert [one.name for one in await queries.people(tx, shop.number_id, text)] == names


@settings(max_examples=200)
@given(st.text(alphabet=st.characters(codec="utf-8") | st.sampled_from("*_~`<>&\"' \n/:.wh"), max_size=80))
def test_no_text_ever_becomes_markup_of_its_own(text: str) -> None:
    html = str(rich(text))
    for tag in ("code", "strong", "em", "s", "a"):
        html = html.replace(f"</{tag}>", "")
    for start in ("<code class='block'>", "<code>", "<strong>", "<em>", "<s>"):
        html = html.replace(start, "")
    pieces = html.split('<a href="')
    assert "<" not in pieces[0]
    for piece in pieces[1:]:
        address, _, rest = piece.partition('" target="_blank" rel="noopener noreferrer nofollow">')
        assert address.startswith("http")
        assert "<" not in address + rest
        assert '"' not in address


def test_whatsapp_marks() -> None:
    assert str(rich("*a* _b_ ~c~ 2*3*4 snake_case_x")) == ("<strong>a</strong> <em>b</em> <s>c</s> 2*3*4 snake_case_x")
    assert "javascript" not in str(rich("javascript:alert(1)")).split("href")[-1] or "href" not in str(
        rich("javascript:alert(1)")
    )


def test_cursors_survive_the_round_trip() -> None:
    assert live.parse(live.unparse({3: 9, 1: 55})) == {1: 55, 3: 9}
    assert live.parse("1:2,x:y,:,9") == {1: 2}
    with pytest.raises(ValueError, match="unpack"):
        queries.parse_cursor("nonsense")
