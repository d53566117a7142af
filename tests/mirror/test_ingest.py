"""Stories of the ingest: what a batch leaves in the rows."""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from tests.fixtures import wire
from tests.fixtures.mirror import (
    Listener,
    add_number,
    ask,
    became,
    change,
    exported,
    fold_behind,
    tell,
    value,
    waiting,
)
from tests.fixtures.wire import BAKERY, DANI, DAY, FLORIST, RUA, T0, Human, Json

from twinline import wiring
from twinline.app import App
from twinline.inbox import service as inbox
from twinline.kit.clock import ManualClock
from twinline.kit.courtesy import Courtesy
from twinline.mirror import events, ingest, past, service
from twinline.mirror.models import OnlyWhere
from twinline.rules import budget
from twinline.rules.window import WindowReason, window

pytestmark = pytest.mark.anyio

HELLO = wire.inbound(RUA, wire.text("wamid.1", T0, "hello"))


async def unread(app: App) -> list[int]:
    return [count for (count,) in await ask(app, "SELECT unread FROM chats ORDER BY number_id, contact_id")]


async def taken_back(app: App, arrival: ingest.Arrival) -> None:
    """An ingest whose process dies before the commit."""
    with contextlib.suppress(ZeroDivisionError):
        async with app.db.transaction() as tx:
            await ingest.ingest(app, tx, [arrival], (), app.clock.now())
            raise ZeroDivisionError


# --- repetition ---------------------------------------------------------------------------------------------------


async def test_an_exact_repeat_stops_at_the_archive(app: App) -> None:
    await add_number(app)
    listener = Listener()
    for _ in range(3):
        await tell(app, HELLO, HELLO, followers=[listener])
    assert await value(app, "SELECT count(*) FROM webhooks") == 1
    assert await value(app, "SELECT count(*) FROM events") == 1
    assert listener.received == ["wamid.1"]


async def test_the_same_message_in_another_body_is_neither_doubled_nor_unread_twice_nor_news(app: App) -> None:
    number = await add_number(app)
    listener = Listener()
    await tell(app, HELLO, followers=[listener])
    before = await exported(app, number)
    again = wire.inbound(RUA, wire.text("wamid.1", T0, "hello"), wire.text("wamid.1", T0, "hello"))
    await tell(app, again, followers=[listener])
    assert await exported(app, number) == before
    assert await unread(app) == [1]
    assert listener.received == ["wamid.1"]


async def test_a_follower_that_only_some_numbers_concern_is_called_for_these_alone(app: App) -> None:
    await add_number(app)
    asked, spared, between = Listener(), Listener(), Listener()
    followers = [OnlyWhere("n.display_phone = 'another'", spared), between, OnlyWhere("n.state <> ''", asked)]
    await tell(app, HELLO, followers=followers)
    assert (asked.received, between.received, spared.received) == (["wamid.1"], ["wamid.1"], [])


async def test_a_repeat_on_another_day_folds_again_to_no_effect(app: App, clock: ManualClock) -> None:
    number = await add_number(app)
    await tell(app, HELLO)
    before = await exported(app, number)
    clock.advance(days=1)
    await tell(app, HELLO)
    assert await value(app, "SELECT count(*) FROM webhooks") == 2
    assert await exported(app, number) == before


async def test_the_budget_is_charged_once_for_each_message_that_comes_in(app: App, clock: ManualClock) -> None:
    await add_number(app)
    texts = [wire.text(f"wamid.{n}", T0, "x") for n in range(4)]
    await tell(app, wire.inbound(RUA, *texts))
    now = round(clock.now().timestamp() * 1_000_000)
    paid = now + 4 * budget.THROUGHPUT.interval_us
    assert await value(app, "SELECT budget_tat FROM numbers") == paid
    await tell(app, wire.inbound(RUA, *texts[::-1]), wire.echoes(RUA, wire.text("wamid.9", T0, "echo")))
    await tell(app, wire.chunk(0, 1, 5, wire.thread(RUA, wire.theirs(RUA, wire.text("wamid.8", T0 - DAY, "old")))))
    assert await value(app, "SELECT budget_tat FROM numbers") == paid


# --- history ------------------------------------------------------------------------------------------------------


async def test_imported_history_opens_no_window_is_never_unread_and_wakes_nobody(app: App) -> None:
    await add_number(app)
    listener = Listener()
    past = wire.thread(
        RUA, wire.theirs(RUA, wire.text("wamid.1", T0, "old")), wire.ours(wire.text("wamid.2", T0 + 1, "older"))
    )
    follow_up = wire.follow_up_in(RUA, wire.said("wamid.3", T0, "image", wire.TYPES["image"]))
    await tell(app, wire.chunk(0, 1, 50, past), follow_up, followers=[listener])
    [row] = await ask(app, "SELECT last_wamid, last_inbound_at, answered_at, unread FROM chats")
    assert row == ("wamid.2", None, None, 0)
    assert listener.received == listener.echoed == []
    [(body,)] = await ask(app, "SELECT body FROM events")
    assert body == {"chats": [1], "sync": True}


async def test_a_live_message_stays_live_when_history_tells_of_it_too(app: App) -> None:
    await add_number(app)
    later = wire.chunk(0, 1, 5, wire.thread(RUA, wire.theirs(RUA, wire.text("wamid.1", T0 + 40, "hello"))))
    for order in ((HELLO, later), (later, HELLO)):
        for webhook in order:
            await tell(app, webhook)
        [(live, at)] = await ask(app, "SELECT live, extract(epoch FROM at)::bigint FROM messages")
        assert (live, at) == (True, T0)
        assert await unread(app) == [1]
        await change(app, "TRUNCATE webhooks, messages, chats")


async def test_a_late_message_from_before_connecting_is_shown_but_opens_no_window(app: App, clock: ManualClock) -> None:
    await add_number(app)
    [(connected,)] = await ask(app, "SELECT connected_at FROM numbers")
    before = int((connected - timedelta(hours=1)).timestamp())
    await tell(app, wire.inbound(RUA, wire.text("wamid.1", before, "are you there?")))
    [(inbound,)] = await ask(app, "SELECT last_inbound_at FROM chats")
    found = window(clock.now(), connected, inbound, inbound, None)
    assert (found.open, found.reason) == (False, WindowReason.WROTE_BEFORE_CONNECT)


@pytest.mark.parametrize("to", [RUA, None])
async def test_a_media_follow_up_that_comes_before_its_placeholder_wins(app: App, to: Human | None) -> None:
    number = await add_number(app)
    picture = wire.said("wamid.1", T0, "image", wire.TYPES["image"])
    placeholder = wire.chunk(0, 1, 5, wire.thread(RUA, wire.ours(wire.placeholder("wamid.1", T0))))
    await tell(app, wire.follow_up_out(to, picture))
    await tell(app, placeholder)
    early = await exported(app, number)
    [(kind, media, who)] = await ask(app, "SELECT type, media_id, contact_id IS NOT NULL FROM messages")
    assert (kind, media, who) == ("image", "41001", True)
    assert await value(app, "SELECT last_wamid FROM chats") == "wamid.1"
    await change(app, "TRUNCATE webhooks, messages, chats, contacts, identities, sync_chunks")
    await tell(app, placeholder)
    await tell(app, wire.follow_up_out(to, picture))
    assert [line for line in await exported(app, number) if '"kind":"message"' in line] == [
        line for line in early if '"kind":"message"' in line
    ]


async def test_a_file_is_asked_for_once(app: App) -> None:
    await add_number(app)
    picture = wire.said("wamid.1", T0, "image", wire.TYPES["image"])
    await tell(app, wire.inbound(RUA, picture))
    await tell(app, wire.follow_up_in(RUA, picture), wire.inbound(RUA, {**picture, "id": "wamid.2"}))
    assert await ask(app, "SELECT media_id, state, mime_type, sha256 FROM media") == [
        ("41001", "wanted", "image/jpeg", "aW1n")
    ]
    assert await ask(app, "SELECT args FROM procrastinate_jobs WHERE task_name = 'mirror.download'") == [
        ({"media_id": "41001", "number_id": 1},)
    ]


# --- edits, revokes, statuses -------------------------------------------------------------------------------------


async def test_a_revoke_that_comes_before_its_original_marks_it(app: App) -> None:
    await add_number(app)
    await tell(app, wire.inbound(RUA, wire.revoke_of("wamid.r", T0 + 5, "wamid.1")))
    assert await value(app, "SELECT count(*) FROM chats") == 0
    await tell(app, HELLO)
    [row] = await ask(app, "SELECT type, text, extract(epoch FROM revoked_at)::bigint FROM messages")
    assert row == ("text", "hello", T0 + 5)


async def test_the_last_edit_is_what_shows_and_all_of_them_are_kept(app: App) -> None:
    await add_number(app)
    second = wire.inbound(RUA, wire.edit_of("wamid.e2", T0 + 9, "wamid.1", "text", {"body": "hello!!"}))
    first = wire.inbound(RUA, wire.edit_of("wamid.e1", T0 + 5, "wamid.1", "text", {"body": "hello!"}))
    for webhook in (second, HELLO, first):
        await tell(app, webhook)
    assert await ask(app, "SELECT text, edit_text FROM messages") == [("hello", "hello!!")]
    assert await ask(app, "SELECT text FROM edits ORDER BY at") == [("hello!",), ("hello!!",)]


@pytest.mark.parametrize("backwards", [False, True])
async def test_where_the_owner_keeps_no_edited_texts_none_is_left(app: App, backwards: bool) -> None:
    await add_number(app, keep_edited=False)
    webhooks = [
        HELLO,
        wire.inbound(RUA, wire.edit_of("wamid.e1", T0 + 5, "wamid.1", "text", {"body": "secret"})),
        wire.inbound(RUA, wire.edit_of("wamid.e2", T0 + 6, "wamid.1", "text", {"body": "public"})),
        wire.inbound(RUA, wire.text("wamid.2", T0, "regretted")),
        wire.inbound(RUA, wire.revoke_of("wamid.r", T0 + 5, "wamid.2")),
        wire.inbound(RUA, wire.edit_of("wamid.e3", T0 + 5, "wamid.3", "text", {"body": "of one that never came"})),
        wire.inbound(RUA, wire.revoke_of("wamid.r3", T0 + 6, "wamid.3")),
    ]
    for webhook in webhooks[::-1] if backwards else webhooks:
        await tell(app, webhook)
    assert await ask(app, "SELECT wamid, text, edit_text FROM messages ORDER BY wamid") == [
        ("wamid.1", "public", "public"), ("wamid.2", None, None), ("wamid.3", None, None)
    ]  # fmt: skip
    assert await ask(app, "SELECT DISTINCT text FROM edits") == [(None,)]


async def test_a_status_that_comes_before_its_message_counts_when_it_comes(app: App) -> None:
    await add_number(app)
    await tell(app, wire.statuses(wire.status(RUA, "wamid.1", "read", T0 + 2), human=RUA))
    await tell(app, wire.statuses(wire.status(RUA, "wamid.1", "sent", T0), human=RUA))
    await tell(app, wire.echoes(RUA, wire.text("wamid.1", T0, "ready")))
    assert await ask(app, "SELECT type, delivery FROM messages") == [("text", 6)]
    assert await ask(app, "SELECT status FROM statuses ORDER BY 1") == [(3,), (6,)]


async def test_an_unsupported_message_is_shown_and_healed(app: App) -> None:
    await add_number(app)
    await tell(app, wire.inbound(RUA, wire.said("wamid.1", T0, "unsupported", errors=[wire.NOT_HERE_YET])))
    assert await ask(app, "SELECT type, extra -> 'errors' -> 0 ->> 'code' FROM messages") == [("unsupported", "131060")]
    await tell(app, HELLO)
    assert await ask(app, "SELECT type, text, extra FROM messages") == [("text", "hello", None)]
    assert await unread(app) == [1]


async def test_a_reaction_is_no_line_in_the_list_yet_opens_the_window(app: App) -> None:
    await add_number(app)
    await tell(app, wire.inbound(RUA, wire.said("wamid.1", T0, "reaction", wire.TYPES["reaction"])))
    [row] = await ask(app, "SELECT last_wamid, extract(epoch FROM last_inbound_at)::bigint, unread FROM chats")
    assert row == (None, T0, 0)


@pytest.mark.parametrize("kind", ["system", "request_welcome"])
async def test_what_nobody_wrote_opens_no_window(app: App, kind: str) -> None:
    await add_number(app)
    await tell(app, wire.inbound(RUA, wire.said("wamid.1", T0, kind, {"body": "…"})))
    assert await ask(app, "SELECT last_inbound_at, unread FROM chats") == [(None, 0)]


async def test_a_reply_from_the_phone_answers_what_came_before_it(app: App) -> None:
    await add_number(app)
    await tell(app, HELLO, wire.inbound(RUA, wire.text("wamid.3", T0 + 20, "and rolls?")))
    assert await unread(app) == [2]
    await tell(app, wire.echoes(RUA, wire.text("wamid.2", T0 + 10, "yes")))
    assert await unread(app) == [1]
    assert await value(app, "SELECT extract(epoch FROM phone_seen_at)::bigint FROM numbers") == T0 + 10


async def test_what_comes_after_the_team_has_looked_is_unread_whenever_it_was_written(
    app: App, clock: ManualClock
) -> None:
    """Meta repeats for days what it couldn't deliver."""
    number = await add_number(app)
    await tell(app, HELLO)
    clock.advance(minutes=10)
    async with app.db.transaction() as tx:
        await inbox.mark_read(tx, number, 1, clock.now())
    assert await unread(app) == [0]
    clock.advance(minutes=1)
    await tell(app, wire.inbound(RUA, wire.text("wamid.3", T0 + 20, "and rolls?")))
    assert await unread(app) == [1]
    await tell(app, wire.echoes(RUA, wire.text("wamid.2", T0 + 10, "yes")))  # counted anew
    assert await unread(app) == [1]


async def test_what_is_large_without_being_history_is_folded_before_the_history_that_waits(app: App) -> None:
    await add_number(app)
    chunk = wire.chunk(0, 1, 50, wire.thread(RUA, wire.theirs(RUA, wire.text("wamid.8", T0 - DAY, "old"))))
    await tell(app, chunk, HELLO, heavy_from=1)
    waiting = await ask(app, "SELECT args ->> 'digest' FROM procrastinate_jobs ORDER BY priority DESC, id")
    assert [digest for (digest,) in waiting] == [
        ingest.read(wire.body(body), 1).digest.hex() for body in (HELLO, chunk)
    ]


# --- people -------------------------------------------------------------------------------------------------------


async def test_two_chats_become_one_when_a_webhook_names_both(app: App) -> None:
    await add_number(app)
    await tell(app, wire.inbound(Human("351910000001"), wire.text("wamid.1", T0, "by phone")))
    await tell(app, wire.inbound(Human(None, "PT.1000000001"), wire.text("wamid.2", T0 + 1, "by user id")))
    await change(app, "UPDATE contacts SET custom_name = 'Rua (bakery)' WHERE phone IS NULL")
    await change(app, "UPDATE chats SET floor_epoch = 7")
    await tell(app, wire.inbound(RUA, wire.text("wamid.3", T0 + 2, "by both")))
    assert await ask(app, "SELECT id, phone, bsuid, custom_name FROM contacts") == [
        (1, "351910000001", "PT.1000000001", "Rua (bakery)")
    ]
    assert await ask(app, "SELECT contact_id, last_wamid, unread, floor_epoch FROM chats") == [(1, "wamid.3", 3, 8)]
    assert await value(app, "SELECT count(*) FROM messages WHERE contact_id = 1") == 3
    [(loser,)] = await ask(app, "SELECT loser FROM merges")
    assert loser["keys"] == ["u:PT.1000000001"]
    [(body,)] = await ask(app, "SELECT body FROM events ORDER BY seq DESC LIMIT 1")
    assert body["merged"] == [[1, 2]]


async def test_both_spellings_of_a_brazilian_phone_are_one_person(app: App) -> None:
    await add_number(app)
    await tell(app, wire.inbound(Human("553188887777", None, "Ana"), wire.text("wamid.1", T0, "oi")))
    await tell(app, wire.echoes(Human("5531988887777"), wire.text("wamid.2", T0 + 1, "oi!")))
    assert await ask(app, "SELECT phone, profile_name FROM contacts") == [("5531988887777", "Ana")]


async def test_a_name_goes_with_the_address_book_but_the_chat_stays(app: App) -> None:
    await add_number(app)
    await tell(app, HELLO)
    await tell(app, wire.state_sync(wire.contact(RUA, "remove", T0 + 9)))
    await tell(app, wire.state_sync(wire.contact(RUA, "add", T0 + 5, "Rua (old)")))
    assert await ask(app, "SELECT book_name, profile_name FROM contacts") == [(None, "Rua Nova")]
    assert await value(app, "SELECT count(*) FROM chats") == 1


async def test_a_person_is_followed_to_a_new_number(app: App) -> None:
    await add_number(app)
    after = Human("351910000099", "PT.1000000099")
    await tell(app, HELLO)
    await tell(app, wire.new_number(RUA, after, "wamid.s", T0 + 5))
    await tell(app, wire.inbound(after, wire.text("wamid.2", T0 + 9, "me again")))
    assert await ask(app, "SELECT phone, bsuid FROM contacts") == [("351910000099", "PT.1000000099")]
    assert await value(app, "SELECT count(*) FROM messages WHERE contact_id = 1") == 3


async def test_opting_out_and_in_again_keeps_the_newer(app: App) -> None:
    await add_number(app)
    await tell(app, wire.preference(RUA, "resume", T0 + 5))
    await tell(app, wire.preference(RUA, "stop", T0))
    assert await value(app, "SELECT opted_out FROM contacts") is False
    await tell(app, wire.preference(RUA, "stop", T0 + 9))
    assert await value(app, "SELECT opted_out FROM contacts") is True


# --- several numbers ----------------------------------------------------------------------------------------------


async def test_two_numbers_in_one_body_share_nothing_but_the_body(app: App) -> None:
    one, other = await add_number(app), await add_number(app, FLORIST)
    body = wire.envelope(
        *wire.inbound(RUA, wire.text("wamid.1", T0, "bread?"))["entry"],
        *wire.inbound(RUA, wire.text("wamid.1", T0, "roses?"), business=FLORIST)["entry"],
        *wire.state_sync(wire.contact(RUA, "add", T0, "Rose buyer"), business=FLORIST)["entry"],
    )
    await tell(app, body)
    assert await ask(app, "SELECT number_id, text FROM messages ORDER BY 1") == [(one, "bread?"), (other, "roses?")]
    assert await ask(app, "SELECT number_id, book_name FROM contacts ORDER BY 1") == [
        (one, None),
        (other, "Rose buyer"),
    ]
    assert await ask(app, "SELECT number_id, seq FROM events ORDER BY 1") == [(one, 1), (other, 1)]


async def test_what_is_said_of_an_account_reaches_each_of_its_numbers_and_what_names_one_only_that(app: App) -> None:
    twin = wire.Business(BAKERY.waba_id, "800100000000009", "351210009999")
    one, other = await add_number(app), await add_number(app, twin)
    await add_number(app, FLORIST)
    await tell(app, wire.account("offboarded"), wire.account("quality"))
    assert await ask(app, "SELECT number_id, field FROM notices ORDER BY 1, 2") == [
        (one, "account_update"), (one, "phone_number_quality_update"), (other, "account_update")
    ]  # fmt: skip


async def test_what_names_a_number_that_isnt_here_touches_no_other_of_its_account(app: App) -> None:
    await add_number(app)
    gone = wire.hook("account_update", {"event": "PARTNER_REMOVED", "phone_number": "351210009999"}, time=T0)
    await tell(app, gone)
    assert await value(app, "SELECT count(*) FROM notices") == 0
    assert (await became(app, gone))[0] == "unclaimed"
    other = await add_number(app, wire.Business(BAKERY.waba_id, "800100000000009", "351210009999"))
    async with app.db.transaction() as tx:
        await service.claim(tx, "800100000000009", BAKERY.waba_id, app.clock.now())
    assert await fold_behind(app) == 1
    assert await ask(app, "SELECT number_id FROM notices") == [(other,)]


# --- what can't be done now ---------------------------------------------------------------------------------------


async def test_bodies_of_an_unknown_number_wait_until_it_is_added(app: App) -> None:
    await tell(app, HELLO, wire.account("partner_added"))
    assert (await became(app, HELLO))[0] == "unclaimed"
    number = await add_number(app)
    async with app.db.transaction() as tx:
        assert await service.claim(tx, BAKERY.phone_number_id, BAKERY.waba_id, app.clock.now()) == 2
    assert await fold_behind(app) == 2
    assert await ask(app, "SELECT number_id, text FROM messages") == [(number, "hello")]
    assert await became(app, HELLO) == ("folded", None)
    assert await value(app, "SELECT count(*) FROM unclaimed") == 0


async def test_a_body_for_a_known_and_an_unknown_number_is_folded_for_the_one_and_waits_for_the_other(app: App) -> None:
    one = await add_number(app)
    body = wire.envelope(
        *HELLO["entry"], *wire.inbound(RUA, wire.text("wamid.2", T0, "roses?"), business=FLORIST)["entry"]
    )
    await tell(app, body)
    assert await ask(app, "SELECT number_id, text FROM messages") == [(one, "hello")]
    before = await exported(app, one)
    other = await add_number(app, FLORIST)
    async with app.db.transaction() as tx:
        await service.claim(tx, FLORIST.phone_number_id, FLORIST.waba_id, app.clock.now())
    await fold_behind(app)
    assert await ask(app, "SELECT number_id, text FROM messages ORDER BY 1") == [(one, "hello"), (other, "roses?")]
    assert await exported(app, one) == before
    assert await unread(app) == [1, 1]


async def add_and_claim(app: App) -> None:
    async with app.db.transaction() as tx:
        await add_number(app, tx=tx)
        await service.claim(tx, BAKERY.phone_number_id, BAKERY.waba_id, app.clock.now())


async def test_a_number_that_is_added_while_its_first_webhook_comes_in_gets_it(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = ingest._claims

    async def just_now(*args: Any) -> Any:
        # The batch has looked for the number and found none; now it is added, claims, and commits.
        found = await claims(*args)
        await add_and_claim(app)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "_claims", just_now)
        await tell(app, HELLO)
    assert await fold_behind(app) == 1
    assert await value(app, "SELECT text FROM messages") == "hello"
    assert await became(app, HELLO) == ("folded", None)


async def test_adding_a_number_waits_for_a_webhook_of_it_that_is_just_being_kept(app: App) -> None:
    async with app.db.transaction() as tx:
        await ingest.ingest(app, tx, [ingest.read(wire.body(HELLO), 1 << 20)], (), app.clock.now())
        adding = asyncio.create_task(add_and_claim(app))
        while not await value(app, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
            assert not adding.done()
    await adding
    assert await fold_behind(app) == 1
    assert await value(app, "SELECT text FROM messages") == "hello"


async def test_what_cant_be_understood_is_kept_with_the_reason_and_read_again_after_a_fix(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_number(app)
    puzzle = wire.inbound(RUA, {**wire.text("wamid.2", T0, "?"), "id": None})
    await tell(app, puzzle, HELLO, b"not json")
    state, why = await became(app, puzzle)
    assert (state, why) == ("unreadable", "a message's id is missing")
    assert (await became(app, b"not json"))[0] == "unreadable"
    assert await value(app, "SELECT count(*) FROM messages") == 1

    from twinline.meta import webhooks

    monkeypatch.setattr(webhooks, "_id", lambda found, what: found or "wamid.2")
    async with app.db.transaction() as tx:
        assert await service.retry_unreadable(tx, app.clock.now()) == 2
    assert await fold_behind(app) == 2
    assert await became(app, puzzle) == ("folded", None)
    assert (await became(app, b"not json"))[0] == "unreadable"
    assert await value(app, "SELECT text FROM messages WHERE wamid = 'wamid.2'") == "?"


# A body that PostgreSQL refuses: what stands between the parser and the tables can't foresee everything.
POISON = "ALTER TABLE messages ADD CONSTRAINT no_poison CHECK (text <> 'poison')"
TOO_MUCH = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.text = 'poison' THEN RAISE EXCEPTION 'row is too big' USING ERRCODE = 'program_limit_exceeded'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@pytest.mark.parametrize("refusal", [POISON, TOO_MUCH])
async def test_a_body_that_the_database_refuses_is_marked_while_its_neighbours_land(app: App, refusal: str) -> None:
    await add_number(app)
    await change(app, refusal)
    poison = wire.inbound(RUA, wire.text("wamid.p", T0, "poison"))
    others = [wire.inbound(RUA, wire.text(f"wamid.{n}", T0, "bread")) for n in range(3)]
    await tell(app, others[0], poison, *others[1:])
    assert await value(app, "SELECT count(*) FROM messages") == 3
    state, why = await became(app, poison)
    assert state == "unreadable"
    assert why
    assert "the database refused it" in why
    assert [(await became(app, other))[0] for other in others] == ["folded"] * 3
    await change(app, "ALTER TABLE messages DROP CONSTRAINT IF EXISTS no_poison")
    await change(app, "DROP TRIGGER IF EXISTS refuse ON messages")
    async with app.db.transaction() as tx:
        await service.retry_unreadable(tx, app.clock.now())
    await fold_behind(app)
    assert await became(app, poison) == ("folded", None)


async def test_a_body_that_breaks_the_fold_itself_is_marked_while_its_neighbours_land(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_number(app)

    async def choke(app: App, tx: object, folded: object, now: object) -> None:
        if any(said.wamid == "wamid.bug" for said in folded.received):  # type: ignore[attr-defined]
            raise ZeroDivisionError("a bug of ours")

    bug = wire.inbound(RUA, wire.text("wamid.bug", T0, "x"))
    await tell(app, bug, HELLO, followers=[choke])
    assert await became(app, bug) == ("unreadable", "folding it failed: ZeroDivisionError: a bug of ours")
    assert await became(app, HELLO) == ("folded", None)


async def test_a_hostile_body_never_holds_up_a_good_one(app: App) -> None:
    await add_number(app)
    deep = wire.body(wire.hook("account_update", {"event": "MARK"}))
    for depth in (300, 900, 990):
        nested = deep.replace(b'"MARK"', b"[" * depth + b"]" * depth)
        await tell(app, nested)
    for n, webhook in enumerate(wire.hostile()):
        await tell(app, webhook, wire.inbound(RUA, wire.text(f"wamid.{n}", T0, "fine")))
        assert await value(app, "SELECT text FROM messages WHERE wamid = %s", f"wamid.{n}") == "fine"


# --- heavy bodies -------------------------------------------------------------------------------------------------


def long_history(messages: int = 1200) -> Json:
    return wire.chunk(
        0, 1, 60,
        *(
            wire.thread(
                Human(f"35191000{person:04d}", f"PT.{person}"),
                *(
                    wire.theirs(Human(), wire.text(f"wamid.{person}.{n}", T0 - DAY + n, f"line {n}"))
                    | {"from": f"35191000{person:04d}"}
                    for n in range(messages // 20)
                ),
            )
            for person in range(20)
        ),
    )  # fmt: skip


async def test_a_heavy_body_is_archived_with_its_job_and_folded_right_behind(app: App) -> None:
    number = await add_number(app)
    heavy = long_history()
    assert len(wire.body(heavy)) > app.settings.hook_heavy_body
    await tell(app, heavy, HELLO)
    assert (await became(app, heavy))[0] == "waiting"
    assert await value(app, "SELECT count(*) FROM messages") == 1
    assert len(await waiting(app)) == 1
    await fold_behind(app)
    assert (await became(app, heavy))[0] == "folded"
    behind = await exported(app, number)
    assert await value(app, "SELECT count(*) FROM messages") == 1201
    await change(app, "TRUNCATE webhooks, messages, contacts, identities, chats, sync_chunks, events")
    await tell(app, heavy, HELLO, heavy_from=1 << 30)
    assert await exported(app, number) == behind


def in_the_middle(patch: pytest.MonkeyPatch, happens: Callable[[], Awaitable[None]]) -> None:
    """Before the second slice of the past is written, that happens."""
    write, calls = past._write, itertools.count(1)

    async def write_(*args: Any) -> bool:
        if next(calls) == 2:
            await happens()
        return await write(*args)

    patch.setattr(past, "_write", write_)


def fails(error: Exception) -> Callable[[], Awaitable[None]]:
    async def fail() -> None:
        raise error

    return fail


async def test_neither_a_heavy_body_nor_its_job_is_there_without_the_other(app: App) -> None:
    await add_number(app)
    arrival = ingest.read(wire.body(long_history()), app.settings.hook_heavy_body)
    await taken_back(app, arrival)
    assert await waiting(app) == []
    assert await value(app, "SELECT count(*) FROM webhooks") == 0


async def test_a_crash_in_the_middle_of_a_heavy_body_is_mended_by_folding_it_again(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await add_number(app)
    heavy = long_history()
    await tell(app, heavy)
    [(day, digest)] = await waiting(app)
    with monkeypatch.context() as patch:
        in_the_middle(patch, fails(psycopg.OperationalError("the server went away")))
        with pytest.raises(psycopg.OperationalError):
            await service.fold_archived(app, day, digest, ())
    assert await value(app, "SELECT count(*) FROM messages") == past.LARGE * ingest.SLICE
    assert (await became(app, heavy))[0] == "waiting"
    await service.fold_archived(app, day, digest, ())
    await service.fold_archived(app, day, digest, ())
    assert (await became(app, heavy))[0] == "folded"
    assert await value(app, "SELECT count(*) FROM messages") == 1200
    assert len([line for line in await exported(app, number) if '"kind":"contact"' in line]) == 20


async def test_what_is_refused_in_a_slice_of_the_past_is_folded_the_ordinary_way(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_number(app)
    heavy = long_history()
    await tell(app, heavy)
    [(day, digest)] = await waiting(app)
    in_the_middle(monkeypatch, fails(psycopg.DataError("one of these can't be stored")))
    await service.fold_archived(app, day, digest, ())
    assert await value(app, "SELECT count(*) FROM messages") == 1200
    assert (await became(app, heavy))[0] == "folded"


async def test_somebody_merged_away_in_the_middle_of_the_past_is_found_again(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_number(app)
    # An older contact, known by a user id alone; in the middle of the import it turns out who that is.
    await tell(app, wire.inbound(Human(None, "PT.77"), wire.text("wamid.older", T0, "it is me")))
    heavy = long_history()
    await tell(app, heavy)
    [(day, digest)] = await waiting(app)

    async def merged() -> None:
        await tell(app, wire.inbound(Human("351910000008", "PT.77"), wire.text("wamid.both", T0, "my new phone")))

    in_the_middle(monkeypatch, merged)
    await service.fold_archived(app, day, digest, ())
    assert await value(app, "SELECT count(*) FROM merges") == 1
    assert (await became(app, heavy))[0] == "folded"
    assert await value(app, "SELECT count(*) FROM messages") == 1202
    astray = "SELECT count(*) FROM messages m WHERE NOT EXISTS (SELECT FROM contacts c WHERE c.id = m.contact_id)"
    assert await value(app, astray) == 0
    assert await value(app, "SELECT count(*) FROM contacts") == 20


async def test_older_messages_move_no_line_but_their_chats_are_told_of(app: App) -> None:
    await add_number(app)

    def line(wamid: str, at: int) -> Json:
        return wire.chunk(0, 1, 60, wire.thread(RUA, wire.theirs(Human(), wire.text(wamid, at, "a line"))))

    for wamid, at in (("wamid.newer", T0 - DAY), ("wamid.older", T0 - 2 * DAY)):
        await tell(app, line(wamid, at), heavy_from=0)
        await fold_behind(app)
        [(contact, newest)] = await ask(app, "SELECT contact_id, last_wamid FROM chats")
        assert newest == "wamid.newer"
        told = [body["chats"] for (body,) in await ask(app, "SELECT body FROM events ORDER BY seq") if "chats" in body]
        assert told[-1] == [contact]
    assert len(told) == 2


@pytest.mark.parametrize(("crowded", "seen"), [(False, [0, 1001]), (True, [0, 501, 1002])])
async def test_a_live_message_doesnt_wait_between_the_slices_of_the_past(
    app: App, monkeypatch: pytest.MonkeyPatch, crowded: bool, seen: list[int]
) -> None:
    async def at_once(_: float) -> None: ...

    monkeypatch.setattr(past, "courtesy", Courtesy(now=lambda: 0.0, sleep=at_once))
    past.courtesy.crowded = crowded
    await add_number(app)
    await tell(app, long_history())
    [(day, digest)] = await waiting(app)
    write = past._write
    between: list[int] = []

    async def interrupted(*args: Any) -> Any:
        between.append(await value(app, "SELECT count(*) FROM messages"))
        await tell(app, wire.inbound(RUA, wire.text(f"wamid.live.{len(between)}", T0, "now")))
        return await write(*args)

    monkeypatch.setattr(past, "_write", interrupted)
    await service.fold_archived(app, day, digest, ())
    assert between == seen


async def test_what_meta_gave_no_time_keeps_the_time_it_came_however_often_it_is_folded(
    app: App, clock: ManualClock
) -> None:
    await add_number(app)
    webhook = wire.account("offboarded", None)
    await tell(app, webhook, heavy_from=0)
    came = clock.now()
    [(day, digest)] = await waiting(app)
    clock.advance(hours=1)
    await service.fold_archived(app, day, digest, ())
    clock.advance(hours=1)
    await service.fold_archived(app, day, digest, ())
    assert await ask(app, "SELECT at FROM notices") == [(came,)]


async def test_a_body_that_the_archive_no_longer_holds_is_let_go(app: App) -> None:
    await service.fold_archived(app, "2020-01-01", b"gone", ())
    assert await value(app, "SELECT count(*) FROM webhooks") == 0


# --- events -------------------------------------------------------------------------------------------------------


async def test_events_are_numbered_without_gaps_even_when_a_batch_is_taken_back(app: App) -> None:
    await add_number(app)
    for n in range(3):
        await tell(app, wire.inbound(RUA, wire.text(f"wamid.{n}", T0, "x")))
        await taken_back(app, ingest.read(wire.body(wire.inbound(RUA, wire.text(f"lost.{n}", T0, "x"))), 1 << 20))
    assert await ask(app, "SELECT seq, body FROM events ORDER BY seq") == [
        (n + 1, {"messages": [[1, f"wamid.{n}", "received"]]}) for n in range(3)
    ]


async def test_an_event_says_what_became_of_each_message_and_never_its_text(app: App) -> None:
    await add_number(app)
    await tell(app, HELLO)
    await tell(app, wire.echoes(RUA, wire.text("wamid.2", T0 + 1, "yes")))
    await tell(app, wire.statuses(wire.status(RUA, "wamid.2", "read", T0 + 2), human=RUA))
    await tell(app, wire.inbound(RUA, wire.edit_of("wamid.e", T0 + 3, "wamid.1", "text", {"body": "hello!"})))
    await tell(app, wire.inbound(RUA, wire.revoke_of("wamid.r", T0 + 4, "wamid.1")))
    await tell(app, wire.state_sync(wire.contact(RUA, "add", T0, "Rua")))
    await tell(app, wire.account("offboarded"))
    await tell(app, wire.declined("bare"))
    assert [body for (body,) in await ask(app, "SELECT body FROM events ORDER BY seq")] == [
        {"messages": [[1, "wamid.1", "received"]]},
        {"messages": [[1, "wamid.2", "echoed"]]},
        {"messages": [[1, "wamid.2", "status"]]},
        {"messages": [[1, "wamid.1", "edited"]]},
        {"messages": [[1, "wamid.1", "revoked"]]},
        {"contacts": True, "about": [1]},
        {"number": True},
        {"sync": True},
    ]


async def test_news_of_very_many_numbers_still_fits_into_notices(app: App) -> None:
    await change(
        app,
        "WITH o AS (INSERT INTO organisations (name, created_at) VALUES ('big', now()) RETURNING id) "
        "INSERT INTO numbers (organisation_id, waba_id, phone_number_id, display_phone, created_at) "
        "SELECT o.id, %s, 'n' || k, '35121' || k, now() FROM o, generate_series(1, 2000) k",
        BAKERY.waba_id,
    )
    listener = await app.db.listener()
    try:
        await listener.execute(f"LISTEN {events.CHANNEL}")
        await tell(app, wire.account("offboarded"))
        heard: set[str] = set()
        async for notice in listener.notifies(timeout=10):
            heard |= set(notice.payload.split(","))
            if len(heard) == 2000:
                break
    finally:
        await listener.close()
    assert len(heard) == 2000
    assert await became(app, wire.account("offboarded")) == ("folded", None)


async def test_one_notice_a_batch_wakes_the_readers_and_says_where_to_read(app: App) -> None:
    one, other = await add_number(app), await add_number(app, FLORIST)
    listener = await app.db.listener()
    try:
        await listener.execute(f"LISTEN {events.CHANNEL}")
        await tell(
            app, HELLO, wire.inbound(DANI, wire.text("wamid.2", T0, "x")),
            wire.inbound(RUA, wire.text("wamid.3", T0, "y"), business=FLORIST),
        )  # fmt: skip
        await tell(app, wire.inbound(RUA, wire.text("wamid.4", T0, "z")))
        heard = [notice.payload async for notice in listener.notifies(stop_after=2, timeout=10)]
    finally:
        await listener.close()
    assert [sorted(payload.split(",")) for payload in heard] == [[f"{one}:1", f"{other}:1"], [f"{one}:2"]]


async def test_the_worker_folds_what_the_hook_put_off(app: App) -> None:
    await add_number(app)
    await tell(app, HELLO, heavy_from=0)
    engine = wiring.engine(app)
    async with engine.open_async():
        await engine.run_worker_async(
            queues=["history"], wait=False, install_signal_handlers=False, additional_context=wiring.context(app)
        )
    assert await became(app, HELLO) == ("folded", None)
    assert await ask(app, "SELECT status::text FROM procrastinate_jobs WHERE queue_name = 'history'") == [
        ("succeeded",)
    ]
