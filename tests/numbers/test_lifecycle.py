"""From what Meta says to the state of a number's row."""

from datetime import timedelta
from typing import Any

import pytest
from tests.fixtures import wire

from twinline import wiring
from twinline.meta.graph import GraphError
from twinline.mirror import hook, ingest
from twinline.numbers import queries, watch, words
from twinline.numbers.models import Number
from twinline.sending import stops

from .conftest import PHONE_ID, WABA, Meta, Office, refusal, unreachable

pytestmark = pytest.mark.anyio

BUSINESS = wire.Business(WABA, PHONE_ID, "351210007788")


async def _tell(office: Office, event: str, **more: Any) -> None:
    """Meta's account_update, through the ingest as in production."""
    office.clock.advance(minutes=5)
    at = int(office.clock.now().timestamp())
    body = wire.body(wire.hook("account_update", {"event": event, **more}, business=BUSINESS, time=at))
    await hook.commit(office.app, [ingest.read(body, 1 << 20)], wiring.followers(office.app))


async def _second_number(office: Office, meta: Meta) -> Number:
    """Another number of the same account, also on the app."""
    meta.phones["999"] = {"display_phone_number": "+351 21 000 9999", "verified_name": "Bar", "is_on_biz_app": True}
    meta.codes.add("code-1")
    meta.synced.clear()
    onboarding_id = await office.begin()
    await office.finish(onboarding_id)
    async with office.app.db.transaction() as tx:
        await queries.update_onboarding(tx, office.organisation_id, onboarding_id, answers={"chosen": "999"})
    await office.advance(onboarding_id)
    return await office.number((await office.onboarding(onboarding_id)).number_id)


async def _checks_waiting(office: Office) -> list[int]:
    async with office.app.db.transaction() as tx:
        return [
            row[0]
            for row in await tx.rows(
                "SELECT (args->>'number_id')::bigint FROM procrastinate_jobs "
                "WHERE task_name = 'numbers.check' ORDER BY 1"
            )
        ]


async def test_a_removal_disconnects_with_its_reason_in_the_owners_words(office: Office) -> None:
    number = await office.connect()
    info = {"reason": "PRIMARY_INACTIVITY", "initiated_by": "SYSTEM"}
    await _tell(office, "PARTNER_REMOVED", waba_info={"waba_id": WABA}, disconnection_info=info)
    number = await office.number(number.id)
    assert (number.state, number.state_reason) == ("disconnected", "PRIMARY_INACTIVITY")
    [banner] = words.banners(number, office.clock.now())
    assert "14 days" in banner.title
    async with office.app.db.transaction() as tx:
        latest = await tx.value("SELECT body FROM events WHERE number_id = %s ORDER BY seq DESC LIMIT 1", (number.id,))
    assert latest["number"] is True


async def test_a_changed_phone_interrupts_and_whatsapp_brings_the_number_back(office: Office) -> None:
    number = await office.connect()
    await _tell(office, "ACCOUNT_OFFBOARDED")
    assert (await office.number(number.id)).state == "offboarded"
    await _tell(office, "ACCOUNT_RECONNECTED")
    assert (await office.number(number.id)).state == "connected"
    assert await _checks_waiting(office) == []


async def test_what_has_nothing_to_do_with_the_connection_is_only_noted(office: Office) -> None:
    number = await office.connect()
    await _tell(office, "AUTH_INTL_PRICE_ELIGIBILITY_UPDATE")
    assert (await office.number(number.id)).state == "connected"
    async with office.app.db.transaction() as tx:
        notices = await queries.latest_notices(tx, number.id, 5)
    assert words.event(notices[0]) == "Auth intl price eligibility update"


async def test_where_an_account_has_two_numbers_meta_is_asked_which_one_was_meant(office: Office, meta: Meta) -> None:
    moved = await office.connect()
    untouched = await _second_number(office, meta)
    await _tell(office, "ACCOUNT_OFFBOARDED")
    assert await _checks_waiting(office) == [moved.id, untouched.id]

    meta.phones[PHONE_ID]["is_on_biz_app"] = False
    office.clock.advance(seconds=10)
    for number in (moved, untouched):
        await watch.check(office.app, number.id)
    assert (await office.number(moved.id)).state == "offboarded"
    assert (await office.number(untouched.id)).state == "connected"


async def test_the_watchdog_notices_an_end_that_nobody_told_of(office: Office, meta: Meta) -> None:
    number = await office.connect()
    meta.phones[PHONE_ID]["is_on_biz_app"] = False
    office.clock.advance(hours=1)
    await watch.check(office.app, number.id)
    number = await office.number(number.id)
    assert (number.state, number.state_reason) == ("offboarded", "observed_off_app")


async def test_the_watchdog_notes_nothing_that_is_no_news(office: Office) -> None:
    number = await office.connect()
    office.clock.advance(hours=1)
    await watch.check(office.app, number.id)
    assert (await office.number(number.id)).verified_at == office.clock.now()
    async with office.app.db.transaction() as tx:
        assert len(await queries.notices(tx, number.id, ["twinline"])) == 1


async def test_a_dead_token_says_nothing_about_the_phone_and_a_sick_meta_is_asked_later(
    office: Office, meta: Meta
) -> None:
    number = await office.connect()
    meta.fail[PHONE_ID] = lambda _: refusal(190, "Session has expired", 401)
    await watch.check(office.app, number.id)
    assert (await office.number(number.id)).state == "connected"
    async with office.app.db.transaction() as tx:
        [stopped] = await stops.standing(tx, number.id, office.clock.now())
    assert (stopped.code, stopped.says) == (190, "The access token is missing, has expired or was withdrawn.")
    meta.fail[PHONE_ID] = unreachable
    with pytest.raises(GraphError):
        await watch.check(office.app, number.id)


async def test_every_living_number_is_asked_about_once(office: Office, meta: Meta) -> None:
    number = await office.connect()
    await watch.check_all(office.app)
    await watch.check_all(office.app)
    assert await _checks_waiting(office) == [number.id]
    await _tell(office, "PARTNER_REMOVED", waba_info={"waba_id": WABA})
    async with office.app.db.transaction() as tx:
        await tx.execute("DELETE FROM procrastinate_jobs")
    await watch.check_all(office.app)
    assert await _checks_waiting(office) == []


async def test_webhooks_that_came_before_the_number_are_folded_once_it_is_here(office: Office) -> None:
    body = wire.body(wire.inbound(wire.RUA, wire.text("wamid.early", wire.T0, "Open today?"), business=BUSINESS))
    await hook.commit(office.app, [ingest.read(body, 1 << 20)], wiring.followers(office.app))
    await office.connect()
    async with office.app.db.transaction() as tx:
        assert await tx.value("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'mirror.fold_behind'") == 1


async def test_a_quiet_phone_and_an_ending_token_are_told_in_time(office: Office) -> None:
    number = await office.connect()
    now = office.clock.now()
    async with office.app.db.transaction() as tx:
        await tx.execute(
            "UPDATE numbers SET phone_seen_at = %s, connected_at = %s, token_expires_at = %s WHERE id = %s",
            (now - timedelta(days=12), now - timedelta(days=30), now + timedelta(days=3), number.id),
        )
    titles = [banner.title for banner in words.banners(await office.number(number.id), now)]
    assert titles == ["The phone hasn't been seen for 12 days", "The token expires within a week"]


async def test_a_phone_that_has_just_confirmed_the_connection_anew_isnt_called_quiet(office: Office) -> None:
    number = await office.connect()
    now = office.clock.now()
    async with office.app.db.transaction() as tx:
        await tx.execute("UPDATE numbers SET phone_seen_at = %s WHERE id = %s", (now - timedelta(days=30), number.id))
    assert words.banners(await office.number(number.id), now) == []
