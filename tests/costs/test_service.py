"""What a message costs, month by month, told as stories."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import httpx
import pytest
from tests.costs.conftest import ANA, Bakery
from tests.fixtures import wire
from tests.fixtures.mirror import ask, change, value
from tests.fixtures.wire import Human

from twinline.costs import service
from twinline.costs.service import CostError
from twinline.meta.graph import Graph, GraphError
from twinline.rules.lifecycle import explain
from twinline.rules.pricing import Why
from twinline.rules.window import WindowReason

pytestmark = pytest.mark.anyio

REFERRAL = {"referral": {"source_type": "ad", "source_id": "1", "headline": "Bread"}}
PRICED = {"billable": True, "pricing_model": "PMP", "type": "regular"}


async def counted(bakery: Bakery) -> list[tuple[object, ...]]:
    return await ask(bakery.app, "SELECT wamid, at, category, entry, in_window, whose FROM deliveries ORDER BY wamid")


# --- what is counted ----------------------------------------------------------------------------------------------


async def test_a_message_counts_once_when_it_arrives_however_often_that_is_said(bakery: Bakery) -> None:
    ana = await bakery.writes()
    wamid = await bakery.says(ana)
    await bakery.hears(bakery.status(wamid, "sent"))
    assert (await bakery.month()).service_sent == 0
    delivered, read = bakery.status(wamid, "delivered"), bakery.status(wamid, "read")
    await bakery.hears(read, delivered)
    await bakery.hears(delivered, read, bakery.status(wamid, "sent"))
    assert (await bakery.month()).service_sent == 1


async def test_read_alone_means_that_it_arrived(bakery: Bakery) -> None:
    wamid = await bakery.says(await bakery.writes())
    await bakery.hears(bakery.status(wamid, "read"))
    assert (await bakery.month()).service_sent == 1


async def test_what_failed_what_the_phone_sent_and_what_the_customer_wrote_count_nothing(bakery: Bakery) -> None:
    ana = await bakery.writes()
    failed = await bakery.says(ana)
    await bakery.hears(bakery.status(failed, "failed", errors=[wire.TOO_LATE]))
    await bakery.hears(wire.echoes(ANA, wire.text("wamid.echo", bakery.seconds, "Bom dia")))
    await bakery.hears(bakery.status("wamid.echo", "delivered"), bakery.status("wamid.strange", "delivered"))
    assert await counted(bakery) == []


async def test_the_month_is_the_one_in_which_it_first_arrived_in_the_accounts_zone(bakery: Bakery) -> None:
    """Los Angeles: November begins at 07:00 UTC, still in daylight saving time."""
    midnight = datetime(2026, 11, 1, 7, tzinfo=UTC)
    ana = await bakery.writes()
    wamid = await bakery.says(ana)
    last_second = int(midnight.timestamp()) - 1
    await bakery.hears(bakery.status(wamid, "read", at=last_second + 60))
    assert (await bakery.month()).service_sent == 1
    await bakery.hears(bakery.status(wamid, "delivered", at=last_second))
    november = await bakery.month()
    assert (november.service_sent, november.begins) == (0, midnight)
    assert november.ends == datetime(2026, 12, 1, 8, tzinfo=UTC)
    bakery.at(2026, 11, 1, 6, 59)
    assert (await bakery.month()).service_sent == 1


async def test_a_template_goes_by_metas_word_and_without_one_it_is_unknown(bakery: Bakery) -> None:
    ana = await bakery.writes()
    offer = await bakery.delivers(ana, kind="template", pricing={**PRICED, "category": "marketing_lite"})
    await bakery.delivers(ana, kind="template", pricing={**PRICED, "category": "authentication-international"})
    silent = await bakery.delivers(ana, kind="template")
    month = await bakery.month()
    assert [(line.category, line.delivered, line.unknown) for line in month.lines] == [
        ("marketing", 1, 0),
        ("authentication_international", 1, 1),  # no such rate in Western Europe
        ("unknown", 1, 1),
    ]
    assert month.total == Decimal("0.0592")
    await bakery.hears(bakery.status(silent, "read", pricing={**PRICED, "category": "utility"}))
    await bakery.hears(bakery.status(offer, "read"))
    assert [line.category for line in (await bakery.month()).lines] == [
        "marketing", "utility", "authentication_international",
    ]  # fmt: skip


# --- the rules by date --------------------------------------------------------------------------------------------


async def test_replies_are_free_until_september_and_a_thousand_a_month_since(bakery: Bakery) -> None:
    bakery.at(2026, 9, 30, 20)
    ana = await bakery.writes()
    await bakery.delivered(2000)
    facts = await bakery.standing(ana)
    assert (facts.reply.text, facts.reply.rule) == ("free", Why.BEFORE_CHARGES)
    bakery.at(2026, 10, 1, 7)  # midnight in Los Angeles
    facts = await bakery.standing(ana)
    assert (facts.reply.rule, facts.free_left, facts.service_sent) == (Why.ALLOWANCE, 1000, 0)
    await bakery.delivered(999)
    assert (await bakery.standing(ana)).free_left == 1
    await bakery.delivers(ana)
    facts = await bakery.standing(ana)
    assert (facts.free_left, facts.reply.rule) == (0, Why.BEYOND_ALLOWANCE)
    assert (facts.reply.text, facts.reply.card_date) == ("about USD 0.0171", date(2026, 10, 1))
    assert facts.reply.market == "Rest of Western Europe"


async def test_a_utility_template_is_free_in_a_window_until_september_only(bakery: Bakery) -> None:
    bakery.at(2026, 9, 30, 20)
    ana = await bakery.writes()
    assert (await bakery.estimate(ana, "UTILITY")).free
    assert (await bakery.estimate(ana, "marketing")).text == "about USD 0.0592"
    assert not (await bakery.estimate("+49 151 2345 6789", "utility")).free  # a stranger has no window
    bakery.at(2026, 10, 1, 8)
    assert (await bakery.estimate(ana, "utility")).text == "about USD 0.0171"


async def test_a_month_beyond_the_free_thousand_costs_what_comes_after_it(bakery: Bakery) -> None:
    await bakery.delivered(1000, whose="5511")
    bakery.clock.advance(hours=1)
    await bakery.says(await bakery.writes())
    for n in range(3):
        await bakery.delivers(await bakery.contact(), kind="text" if n else "reaction")
    month = await bakery.month()
    [service_line] = month.lines
    assert (month.service_sent, month.free_left) == (1003, 0)
    assert (service_line.delivered, service_line.free) == (1003, 1000)
    assert month.total == 3 * Decimal("0.0171")


async def test_what_has_no_rate_is_counted_and_never_invented(bakery: Bakery) -> None:
    await bakery.pays("EUR")
    ana = await bakery.estimate("81312345678", "marketing")
    assert (ana.text, ana.amount, ana.market) == ("unknown", None, "Rest of Asia Pacific")
    assert "Bring your own rate card" in (ana.lacks or "")
    await bakery.pays(None, None)
    unasked = await bakery.estimate("81312345678", "marketing")
    assert unasked.text == "unknown"
    assert "currency isn't known" in (unasked.lacks or "")
    await bakery.delivered(5, "marketing")
    month = await bakery.month()
    assert (month.total, month.unknown) == (0, 5)
    with pytest.raises(CostError, match="no category"):
        await bakery.estimate("81312345678", "gossip")
    with pytest.raises(CostError, match="neither a phone number"):
        await bakery.estimate("the baker", "marketing")


# --- free entry points --------------------------------------------------------------------------------------------


async def test_who_comes_by_an_ad_is_free_for_72_hours_once_answered_within_a_day(bakery: Bakery) -> None:
    await bakery.delivered(1000)
    ana = await bakery.writes(**REFERRAL)
    came = bakery.clock.now()
    facts = await bakery.standing(ana)
    assert (facts.reply.rule, facts.free_entry_by) == (Why.FREE_ENTRY, came + timedelta(hours=24))
    bakery.clock.advance(hours=23)
    await bakery.delivers(ana)
    answered = bakery.clock.now()
    facts = await bakery.standing(ana)
    assert (facts.free_entry_until, facts.free_entry_by) == (answered + timedelta(hours=72), None)
    bakery.clock.advance(hours=71)
    facts = await bakery.standing(ana)
    assert (facts.window.open, facts.reply.free) == (False, True)  # the right to write freely ended long before
    assert (await bakery.estimate(ANA.phone or "", "marketing")).rule is Why.FREE_ENTRY
    bakery.clock.advance(hours=1)
    assert not (await bakery.estimate(ana, "marketing")).free


async def test_an_answer_from_the_phone_or_a_day_late_opens_no_free_entry_point(bakery: Bakery) -> None:
    ana = await bakery.writes(**REFERRAL)
    await bakery.hears(wire.echoes(ANA, wire.text("wamid.echo", bakery.seconds + 5, "Bom dia")))
    assert (await bakery.standing(ana)).free_entry_until is None
    bakery.clock.advance(hours=24, seconds=1)
    await bakery.delivers(ana)
    facts = await bakery.standing(ana)
    assert (facts.free_entry_until, facts.free_entry_by) == (None, None)


async def test_how_long_a_free_entry_point_lasts_is_a_setting_and_metas_own_word_counts_too(bakery: Bakery) -> None:
    ana = await bakery.writes(**REFERRAL)
    wamid = await bakery.delivers(ana)
    answered = bakery.clock.now()
    async with bakery.app.db.transaction() as tx:
        await service.set_account(
            tx, bakery.number_id, currency="", zone="", hours="168", user_id=None, now=bakery.clock.now()
        )
    assert (await bakery.standing(ana)).free_entry_until == answered + timedelta(hours=168)
    ends = bakery.seconds + 200 * 3600
    conversation = {"id": "c", "expiration_timestamp": str(ends), "origin": {"type": "referral_conversion"}}
    free = {"billable": False, "type": "free_entry_point", "category": "referral_conversion"}
    await bakery.hears(bakery.status(wamid, "sent", conversation=conversation, pricing=free))
    assert (await bakery.standing(ana)).free_entry_until == datetime.fromtimestamp(ends, UTC)
    month = await bakery.month()
    assert [(line.category, line.delivered, line.free) for line in month.lines] == [("service", 1, 1)]
    assert month.service_sent == 0  # it uses up none of the free thousand


async def test_an_end_that_is_no_number_is_no_end(bakery: Bakery) -> None:
    ana = await bakery.writes()
    conversation = {"id": "c", "expiration_timestamp": "soon", "origin": {"type": "referral_conversion"}}
    await bakery.delivers(ana, conversation=conversation)
    assert (await bakery.standing(ana)).free_entry_until is None


# --- the chat's standing ------------------------------------------------------------------------------------------


async def test_the_facts_say_why_and_until_when_to_programs_too(bakery: Bakery) -> None:
    ana = await bakery.writes()
    facts = (await bakery.standing(ana)).as_json()
    assert (facts["open"], facts["reason"], facts["opened_by"], facts["seconds_left"]) == (
        True,
        "open",
        "message",
        86400,
    )
    assert facts["until"] == (bakery.clock.now() + timedelta(days=1)).isoformat()
    assert facts["reply"]["text"] == "free"
    assert facts["reply"]["estimate"] is True
    assert facts["service_messages"] == {
        "sent_this_month": 0,
        "free_left": 1000,
        "resets_at": "2026-12-01T08:00:00+00:00",
        "zone": "America/Los_Angeles",
    }
    assert facts["reply_on_phone"] == "https://wa.me/351912345678"


async def test_a_customers_call_opens_the_window_from_when_it_began(bakery: Bakery) -> None:
    began = bakery.seconds
    rings, ends = wire.call(ANA, "wacid.1", began), wire.call(ANA, "wacid.1", began + 50, "terminate")
    await bakery.hears(ends)
    ana = await bakery.contact()
    assert (await bakery.standing(ana)).opened_by == "call"
    await bakery.hears(rings)
    await bakery.hears(ends, rings)
    facts = await bakery.standing(ana)
    assert (facts.window.open, facts.window.until) == (True, datetime.fromtimestamp(began, UTC) + timedelta(days=1))
    await bakery.hears(wire.call(ANA, "wacid.2", began + 60, direction="BUSINESS_INITIATED"))
    assert await bakery.standing(ana) == facts


async def test_only_the_phone_answered_and_written_before_connecting_are_told_apart(bakery: Bakery) -> None:
    early = wire.theirs(ANA, wire.text("wamid.h", int(datetime(2026, 8, 1, tzinfo=UTC).timestamp()), "Olá"))
    await bakery.hears(wire.chunk(0, 1, 100, wire.thread(ANA, early)))
    ana = await bakery.contact()
    assert (await bakery.standing(ana)).window.reason is WindowReason.WROTE_BEFORE_CONNECT
    await bakery.hears(wire.echoes(ANA, wire.text("wamid.echo", bakery.seconds, "Bom dia")))
    facts = await bakery.standing(ana)
    assert (facts.window.reason, facts.window.open) == (WindowReason.ONLY_PHONE_ANSWERED, False)


async def test_from_an_offboarded_number_nothing_is_open_and_the_reason_is_the_numbers(bakery: Bakery) -> None:
    ana = await bakery.writes()
    await change(bakery.app, "UPDATE numbers SET state = 'offboarded', state_reason = 'ACCOUNT_OFFBOARDED'")
    facts = await bakery.standing(ana)
    assert (facts.window.open, facts.window.reason) == (False, WindowReason.NOT_CONNECTED)
    assert facts.says.startswith(explain("ACCOUNT_OFFBOARDED").says)
    assert facts.on_phone is not None


async def test_somebody_without_a_phone_number_has_a_price_but_no_link(bakery: Bakery) -> None:
    beto = Human(None, "BR.77", "Beto")
    await bakery.delivered(1000)
    facts = await bakery.standing(await bakery.writes(beto))
    assert (facts.reply.market, facts.reply.text, facts.on_phone) == ("Brazil", "about USD 0.0068", None)


async def test_a_stranger_may_be_asked_for_and_a_known_user_id_finds_the_phone(bakery: Bakery) -> None:
    async with bakery.app.db.transaction() as tx:
        stranger = await service.standing(tx, bakery.number_id, "+351 910 000 009", bakery.clock.now())
    assert stranger is not None
    assert (stranger.contact_id, stranger.window.reason) == (None, WindowReason.NEVER_WROTE)
    assert stranger.on_phone == "https://wa.me/351910000009"
    both = Human("351912345678", "PT.77")
    contact = await bakery.writes(both)
    async with bakery.app.db.transaction() as tx:
        found = await service.standing(tx, bakery.number_id, "PT.77", bakery.clock.now())
    assert found is not None
    assert (found.contact_id, found.window.open, found.on_phone) == (contact, True, "https://wa.me/351912345678")


async def test_another_number_and_nobody_have_no_standing(bakery: Bakery) -> None:
    ana = await bakery.writes()
    async with bakery.app.db.transaction() as tx:
        assert await service.standing(tx, bakery.number_id + 1, ana, bakery.clock.now()) is None
        assert await service.standing(tx, bakery.number_id, ana + 1, bakery.clock.now()) is None


# --- the account and its card -------------------------------------------------------------------------------------


async def test_graph_tells_currency_and_zone_and_a_persons_word_goes_before_it(bakery: Bakery) -> None:
    def meta(request: httpx.Request) -> httpx.Response:
        assert "currency,timezone_id" in str(request.url).replace("%2C", ",")
        return httpx.Response(200, json={"id": "1", "currency": "EUR", "timezone_id": "47"})

    graph = Graph(httpx.AsyncClient(transport=httpx.MockTransport(meta)), "https://graph.test", "v26.0")
    app = replace(bakery.app, graph=graph)
    await change(app, "UPDATE numbers SET token = %s", app.vault.seal("EAAGtoken"))
    await change(app, "DELETE FROM billing")
    async with app.db.transaction() as tx:
        assert await service.to_ask(tx, app.clock.now()) == [bakery.number_id]
    await service.ask(app, bakery.number_id)
    async with app.db.transaction() as tx:
        assert await service.to_ask(tx, app.clock.now()) == []
        account = await service.account_of(tx, bakery.number_id)
        assert account is not None
        assert (account.currency, account.zone) == ("EUR", "Europe/Berlin")
        await service.set_account(
            tx,
            bakery.number_id,
            currency="usd",
            zone="America/Sao_Paulo",
            hours="72",
            user_id=None,
            now=app.clock.now(),
        )
        account = await service.account_of(tx, bakery.number_id)
        assert account is not None
        assert (account.currency, account.zone, account.meta_currency) == ("USD", "America/Sao_Paulo", "EUR")


async def test_an_account_that_cant_be_asked_is_tried_again_in_an_hour(bakery: Bakery) -> None:
    refusal = httpx.Response(400, json={"error": {"message": "expired", "code": 190}})
    graph = Graph(httpx.AsyncClient(transport=httpx.MockTransport(lambda _: refusal)), "https://graph.test", "v26.0")
    app = replace(bakery.app, graph=graph)
    await change(app, "UPDATE numbers SET token = %s", app.vault.seal("EAAGtoken"))
    await change(app, "DELETE FROM billing")
    with pytest.raises(GraphError):
        await service.ask(app, bakery.number_id)
    async with app.db.transaction() as tx:
        assert await service.to_ask(tx, app.clock.now()) == []
        assert await service.to_ask(tx, app.clock.now() + timedelta(hours=1, seconds=1)) == [bakery.number_id]


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"currency": "dollars"}, "three letters"),
        ({"zone": "Mars/Olympus"}, "no time zone"),
        ({"hours": "0"}, "1 to 168"),
        ({"hours": "soon"}, "1 to 168"),
    ],
)
async def test_what_cant_be_an_account_is_refused(bakery: Bakery, said: dict[str, str], complaint: str) -> None:
    given = {"currency": "", "zone": "", "hours": "72", **said}
    async with bakery.app.db.transaction() as tx:
        with pytest.raises(CostError, match=complaint):
            await service.set_account(tx, bakery.number_id, user_id=None, now=bakery.clock.now(), **given)


async def test_ones_own_rates_go_before_the_built_in_card_from_their_day_on(bakery: Bakery) -> None:
    organisation = await value(bakery.app, "SELECT organisation_id FROM numbers")
    card = "market,currency,category,rate,valid from\nPT,USD,utility,0.0100,2026-12-01\nFrance,USD,utility,0.02,\n"
    async with bakery.app.db.transaction() as tx:
        read = await service.import_card(
            tx, organisation, card + "Narnia,USD,utility,1,\n", date(2026, 11, 1), user_id=None, now=bakery.clock.now()
        )
    assert [line for line, _ in read.problems] == [4]
    assert (await bakery.estimate("351912345678", "utility")).text == "about USD 0.0171"
    french = await bakery.estimate("33612345678", "utility")
    assert (french.text, french.source) == ("about USD 0.02", "your own rate card")
    bakery.at(2026, 12, 1, 9)
    assert (await bakery.estimate("351912345678", "utility")).text == "about USD 0.01"
    async with bakery.app.db.transaction() as tx:
        assert await service.forget_card(tx, organisation, user_id=None, now=bakery.clock.now()) == 2
    assert (await bakery.estimate("351912345678", "utility")).text == "about USD 0.0171"
