"""Customers write STOP, BAJA, SAIR: it is recorded, confirmed once, and nothing else is taken for it."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contacts.conftest import ANA, BEA, Shop
from tests.fixtures import wire
from tests.fixtures.wire import Human

from twinline.contacts import queries, service
from twinline.contacts.models import ContactError
from twinline.rules import keywords
from twinline.rules.consent import Why
from twinline.sending.models import Lane

pytestmark = pytest.mark.anyio

EN, ES = keywords.built_in()["en"], keywords.built_in()["es"]


async def test_stop_is_recorded_with_its_proof_and_confirmed_in_the_customers_language(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    await shop.writes(ANA, "¡Baja!")
    told = await shop.may(ana)
    assert (told.allowed, told.why) == (False, Why.OPTED_OUT)
    async with shop.app.db.transaction() as tx:
        [word] = await queries.history(tx, await shop.organisation, shop.number_id, ana)
    assert (word.granted, word.source, word.detail, word.topic) == (False, "keyword", "¡Baja!", "")
    await shop.drain()
    assert shop.meta.texts == [ES.stopped]
    shop.clock.advance(seconds=60)
    await shop.writes(ANA, "ALTA")
    assert (await shop.may(ana)).why is Why.OPTED_IN
    await shop.drain()
    assert shop.meta.texts == [ES.stopped, ES.started]


async def test_stop_answers_a_campaign_that_still_has_the_floor(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    await shop.says(ana, "Cakes!", lane=Lane.MARKETING, author="campaign")
    await shop.drain()
    await shop.writes(ANA, "stop")
    await shop.drain()
    assert shop.meta.texts == ["Cakes!", EN.stopped]


async def test_who_is_talking_with_a_person_isnt_answered_by_a_machine(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    await shop.says(ana, "How can I help?", author_id=1)
    await shop.writes(ANA, "STOP")
    await shop.drain()
    assert not (await shop.may(ana)).allowed
    assert shop.meta.texts == ["How can I help?"]


async def test_saying_it_again_is_confirmed_once(shop: Shop) -> None:
    await shop.customer(ANA)
    for _ in range(3):
        shop.clock.advance(seconds=20)
        await shop.writes(ANA, "STOP")
    await shop.drain()
    assert shop.meta.texts == [EN.stopped]


async def test_a_quick_reply_button_that_says_stop_is_one(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    pressed = wire.said("wamid.B", shop.seconds, "button", {"payload": "x", "text": "Stop promotions"})
    await shop.hears(wire.inbound(Human(ANA), pressed))
    assert not (await shop.may(ana)).allowed


async def test_neither_the_past_nor_what_the_owner_types_stops_anything(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    old = wire.theirs(Human(ANA), wire.text("wamid.P", shop.seconds - 86_400, "STOP"))
    await shop.hears(wire.chunk(0, 1, 100, wire.thread(Human(ANA), old)))
    await shop.phone_says(ANA, "STOP")
    assert (await shop.may(ana)).why is Why.NOTHING_SAID
    assert await shop.value("SELECT count(*) FROM messages WHERE text = 'STOP'") == 2
    assert await shop.value("SELECT count(*) FROM consents") == 0


async def test_a_number_has_its_own_words_and_answers(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    now = shop.clock.now()
    await shop.do(
        service.set_keywords,
        shop.number_id,
        "en",
        enabled=True,
        stop=["Enough", "stop"],
        stopped="Done.",
        user_id=None,
        now=now,
    )
    await shop.do(service.set_keywords, shop.number_id, "pt", enabled=False, user_id=None, now=now)
    await shop.writes(ANA, "enough!")
    await shop.writes(BEA, "sair")
    await shop.drain()
    assert not (await shop.may(ana)).allowed
    assert (await shop.may(bea)).allowed
    assert shop.meta.texts == ["Done."]
    # A silent opt-out is possible too.
    await shop.do(service.set_keywords, shop.number_id, "en", enabled=True, stopped="", user_id=None, now=now)
    await shop.writes(BEA, "unsubscribe")
    await shop.drain()
    assert not (await shop.may(bea)).allowed
    assert shop.meta.texts == ["Done."]


@pytest.mark.parametrize(
    "wrong",
    [{"stop": ["!!!"]}, {"stop": ["a b c d e"]}, {"stop": ["x"] * 50}, {"stop": ["go"], "start": ["GO!"]},
     {"stopped": "x" * 2000}],
)  # fmt: skip
async def test_keywords_that_cant_work_are_refused(shop: Shop, wrong: dict[str, str]) -> None:
    with pytest.raises(ContactError):
        await shop.do(
            service.set_keywords, shop.number_id, "en", enabled=True, user_id=None, now=shop.clock.now(), **wrong
        )


# --- the law ----------------------------------------------------------------------------------------------------------

PEOPLE = (Human(ANA, "PT.1000000001"), Human(None, "PT.1000000001"), Human(ANA))
said = st.tuples(
    st.sampled_from(["STOP", "start", "Baja", "alta", "hello", "meta stop", "meta resume"]),
    st.integers(0, 4),  # seconds: some in the same one
    st.integers(0, 2),  # how the person is named
)


async def test_order_and_repetition_of_words_and_webhooks_decide_nothing(shop: Shop) -> None:
    """Whatever arrives when, how often and in which batches: the same consent, and the same history."""
    begin = shop.seconds
    turn = itertools.count()

    async def ends(told: list[tuple[int, str, int, int]], batches: list[int]) -> object:
        """Tells it all anew; answers what is known then."""
        for table in ("consents", "webhooks", "messages", "contacts", "identities", "chats", "outbox", "statuses"):
            await shop.execute(f"DELETE FROM {table}")
        webhooks = []
        for number, word, second, how in told:
            person, at = PEOPLE[how], begin + second
            if word.startswith("meta"):
                webhooks.append(wire.preference(person, word.split()[1], at))
            else:
                webhooks.append(wire.inbound(person, wire.text(f"wamid.L{number}", at, word)))
            webhooks[-1]["entry"][0]["salt"] = next(turn)  # so that a repetition isn't the same body
        while webhooks:
            size = batches.pop() if batches else 1
            batch, webhooks = webhooks[:size], webhooks[size:]
            await shop.hears(*batch)
        [contact] = await shop.dicts("SELECT id FROM contacts")
        async with shop.app.db.transaction() as tx:
            history = await queries.history(tx, await shop.organisation, shop.number_id, contact["id"])
        words = {(word.at, word.granted, word.source, word.topic) for word in history}
        return await shop.may(contact["id"]), words

    joins = (99, "hello", 0, 0)  # names both phone and user id, so that all are one person in the end

    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def law(data: st.DataObject) -> None:
        told = [(n, *one) for n, one in enumerate(data.draw(st.lists(said, min_size=1, max_size=6)))] + [joins]
        again = data.draw(st.permutations(told + data.draw(st.lists(st.sampled_from(told), max_size=4))))
        drawn.append((told, list(again), data.draw(st.lists(st.integers(1, 4), max_size=6))))

    drawn: list[tuple[list[tuple[int, str, int, int]], list[tuple[int, str, int, int]], list[int]]] = []
    law()
    for told, again, batches in drawn:
        assert await ends(told, []) == await ends(again, batches), (told, again)
