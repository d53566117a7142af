"""Connecting: what the popup may say, what Meta may answer, and where everything may break."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from twinline.app import App
from twinline.db import Tx
from twinline.kit.clock import ManualClock
from twinline.meta.graph import GraphError
from twinline.numbers import queries, service, sync
from twinline.numbers.models import NumberError
from twinline.rules.lifecycle import FactKind
from twinline.rules.sync import SyncState

from .conftest import BUSINESS_TOKEN, FINISHED, PHONE_ID, WABA, Meta, Office, open_office, refusal, timeout, unreachable

pytestmark = pytest.mark.anyio


# --- the way as it should be --------------------------------------------------------------------------------------


async def test_a_number_is_resolved_subscribed_and_asked_for_its_past_in_this_order(office: Office, meta: Meta) -> None:
    number = await office.connect()
    assert (number.phone_number_id, number.display_phone, number.state) == (PHONE_ID, "351210007788", "connected")
    assert number.connected_at == number.verified_at == office.clock.now()
    writes = [call for call in meta.calls if call.startswith("POST")]
    assert writes == [f"POST {WABA}/subscribed_apps", f"POST {PHONE_ID}/smb_app_data", f"POST {PHONE_ID}/smb_app_data"]
    assert meta.synced == ["smb_app_state_sync", "history"]
    assert not [call for call in meta.calls if "register" in call]


async def test_the_token_is_sealed_and_only_the_number_keeps_it(office: Office) -> None:
    number = await office.connect()
    assert number.token is not None
    assert BUSINESS_TOKEN.encode() not in number.token
    assert office.app.vault.unseal(number.token) == BUSINESS_TOKEN
    async with office.app.db.transaction() as tx:
        assert await tx.value("SELECT count(*) FROM onboardings WHERE token IS NOT NULL") == 0


async def test_what_the_owner_saw_and_agreed_to_is_kept(office: Office) -> None:
    onboarding = await office.onboarding(await office.begin())
    assert onboarding.agreed_at == office.clock.now()
    assert onboarding.agreed_to == "2026-09-11"
    assert onboarding.answers["seen"]["app_version"] == "2.26.1"


async def test_without_agreement_no_code_is_exchanged(office: Office, meta: Meta) -> None:
    problem = await office.finish(await office.begin(agree=False))
    assert problem is not None
    assert "agree" in problem
    assert meta.calls == []


async def test_the_same_code_twice_is_exchanged_once(office: Office, meta: Meta) -> None:
    onboarding_id = await office.begin()
    assert await office.finish(onboarding_id) is None
    assert await office.finish(onboarding_id) is None
    assert meta.calls == ["GET oauth/access_token"]
    async with office.app.db.transaction() as tx:
        waiting = await tx.value("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'numbers.onboard'")
    assert waiting == 1


# --- the popup goes another way -----------------------------------------------------------------------------------


async def test_a_plain_finish_fell_through_and_nothing_is_registered(office: Office, meta: Meta) -> None:
    onboarding_id = await office.begin()
    said = {"type": "WA_EMBEDDED_SIGNUP", "event": "FINISH", "data": {"waba_id": WABA, "phone_number_id": PHONE_ID}}
    problem = await office.finish(onboarding_id, message=said)
    assert problem is not None
    assert "Nothing was registered" in problem
    assert meta.calls == []
    assert (await office.onboarding(onboarding_id)).step == "stopped"


@pytest.mark.parametrize(
    ("data", "event", "says"),
    [
        ({"current_step": "PHONE_NUMBER_SETUP"}, "CANCEL", "while entering the number"),
        ({"error_message": "Your name violates guidelines.", "error_id": "524126", "session_id": "f34b"}, "CANCEL",
         "Your name violates guidelines.*524126.*f34b"),
        ({"error_message": "It broke."}, "ERROR", "It broke"),
    ],
)  # fmt: skip
async def test_leaving_the_popup_is_said_in_plain_words_and_may_be_done_again(
    office: Office, data: dict[str, str], event: str, says: str
) -> None:
    onboarding_id = await office.begin()
    problem = await office.finish(
        onboarding_id, code=None, message={"type": "WA_EMBEDDED_SIGNUP", "event": event, "data": data}
    )
    assert problem is not None
    assert re.search(says, problem)
    assert await office.finish(onboarding_id) is None


async def test_a_popup_that_closes_without_a_word_changes_nothing(office: Office, meta: Meta) -> None:
    onboarding_id = await office.begin()
    problem = await office.finish(onboarding_id, code=None, message=None)
    assert problem is not None
    assert "Nothing has changed" in problem
    assert meta.calls == []


@pytest.mark.parametrize("message", [None, {**FINISHED, "data": {}}])
async def test_a_lost_window_message_is_made_good_by_the_tokens_scopes(
    office: Office, message: dict[str, Any] | None
) -> None:
    onboarding_id = await office.begin()
    assert await office.finish(onboarding_id, message=message) is None
    await office.advance(onboarding_id)
    onboarding = await office.onboarding(onboarding_id)
    assert (onboarding.step, onboarding.waba_id) == ("done", WABA)


async def test_a_code_that_is_too_old_says_so_and_the_owner_may_try_again(office: Office, meta: Meta) -> None:
    onboarding_id = await office.begin()
    problem = await office.finish(onboarding_id, code="stale")
    assert problem is not None
    assert "30 seconds" in problem
    assert await office.finish(onboarding_id, code="code-1") is None


# --- which number -------------------------------------------------------------------------------------------------


async def test_of_several_numbers_on_the_app_the_owner_chooses(office: Office, meta: Meta) -> None:
    meta.phones["999"] = {"display_phone_number": "+351 21 000 9999", "verified_name": None, "is_on_biz_app": True}
    meta.phones["111"] = {"display_phone_number": "+351 21 000 1111", "verified_name": "API", "is_on_biz_app": False}
    onboarding_id = await office.begin()
    await office.finish(onboarding_id)
    await office.advance(onboarding_id)
    onboarding = await office.onboarding(onboarding_id)
    assert onboarding.must_choose
    assert [candidate["phone_number_id"] for candidate in onboarding.candidates] == [PHONE_ID, "999"]
    async with office.app.db.transaction() as tx:
        with pytest.raises(NumberError, match="isn't among"):
            await service.choose(tx, office.organisation_id, onboarding_id, "111")
        await service.choose(tx, office.organisation_id, onboarding_id, "999")
    await office.advance(onboarding_id)
    number = await office.number((await office.onboarding(onboarding_id)).number_id)
    assert number.phone_number_id == "999"


async def test_no_number_on_the_app_says_why_and_trying_again_goes_on(office: Office, meta: Meta) -> None:
    meta.phones[PHONE_ID]["is_on_biz_app"] = False
    onboarding_id = await office.begin()
    await office.finish(onboarding_id)
    await office.advance(onboarding_id)
    stuck = await office.onboarding(onboarding_id)
    assert stuck.step == "resolve"
    assert stuck.problem is not None
    assert "+351 21 000 7788" in stuck.problem
    meta.phones[PHONE_ID]["is_on_biz_app"] = True
    async with office.app.db.transaction() as tx:
        await service.retry(tx, office.organisation_id, onboarding_id)
    await office.advance(onboarding_id)
    assert (await office.onboarding(onboarding_id)).step == "done"


async def test_a_number_of_another_organisation_is_refused(office: Office, meta: Meta, clock: ManualClock) -> None:
    await office.connect()
    meta.codes.add("code-2")
    other = await open_office(office.app, clock, "eve@example.com")
    onboarding_id = await other.begin()
    await other.finish(onboarding_id, code="code-2")
    await other.advance(onboarding_id)
    problem = (await other.onboarding(onboarding_id)).problem
    assert problem is not None
    assert "another organisation" in problem


# --- the synchronisation ------------------------------------------------------------------------------------------


async def _account(office: Office, number_id: int) -> sync.Account:
    number = await office.number(number_id)
    async with office.app.db.transaction() as tx:
        return await sync.account(tx, number, office.clock.now())


async def test_an_unanswered_request_is_unknown_and_never_repeated_by_itself(office: Office, meta: Meta) -> None:
    meta.fail["smb_app_data"] = timeout
    number = await office.connect()
    assert (await _account(office, number.id)).history.state is SyncState.UNKNOWN
    before = len(meta.calls)
    del meta.fail["smb_app_data"]
    for kind in sync.KINDS:
        await sync.request(office.app, number.id, kind)
    assert len(meta.calls) == before


async def test_a_person_may_ask_again_for_what_got_no_answer(office: Office, meta: Meta) -> None:
    meta.fail["smb_app_data"] = timeout
    number = await office.connect()
    meta.fail["smb_app_data"] = lambda _: refusal(2593107, "Synchronization request limit exceeded")
    await sync.request(office.app, number.id, "history", by_hand=True)
    account = await _account(office, number.id)
    assert account.history.state is SyncState.REQUESTED
    with pytest.raises(NumberError, match="Requested"):
        await sync.request(office.app, number.id, "history", by_hand=True)


async def test_what_was_never_sent_may_be_sent_again(office: Office, meta: Meta) -> None:
    meta.fail["smb_app_data"] = unreachable
    onboarding_id = await office.begin()
    await office.finish(onboarding_id)
    with pytest.raises(GraphError):
        await office.advance(onboarding_id)
    del meta.fail["smb_app_data"]
    await office.advance(onboarding_id)
    assert meta.synced == ["smb_app_state_sync", "history"]
    assert (await office.onboarding(onboarding_id)).step == "done"


async def test_too_late_tells_the_way_back_and_leaves_the_number_connected(office: Office, meta: Meta) -> None:
    meta.fail["smb_app_data"] = lambda _: refusal(2593108, "outside of allowed time window")
    number = await office.connect()
    assert number.state == "connected"
    ledger = (await _account(office, number.id)).history
    assert ledger.state is SyncState.TOO_LATE
    assert "Business Platform" in ledger.advice


async def test_after_24_hours_nothing_is_asked_any_more(office: Office, meta: Meta, clock: ManualClock) -> None:
    meta.fail["smb_app_data"] = timeout
    number = await office.connect()
    before = len(meta.calls)
    clock.advance(hours=24)
    with pytest.raises(NumberError):
        await sync.request(office.app, number.id, "contacts", by_hand=True)
    assert len(meta.calls) == before


async def test_a_new_connection_earns_both_requests_anew(office: Office, meta: Meta, clock: ManualClock) -> None:
    number = await office.connect()
    clock.advance(days=1)
    async with office.app.db.transaction() as tx:
        await queries.insert_notice(tx, number.id, "account_update", clock.now(), {"event": FactKind.PARTNER_REMOVED})
        await service.observe(office.app, tx, number.id, clock.now())
    assert (await office.number(number.id)).state == "disconnected"
    clock.advance(hours=1)
    meta.codes.add("code-1")
    meta.synced.clear()
    again = await office.connect()
    assert (again.id, again.state, again.connected_at) == (number.id, "connected", clock.now())
    assert meta.synced == ["smb_app_state_sync", "history"]


# --- when things break --------------------------------------------------------------------------------------------


async def test_meta_unwell_is_tried_again_and_told_only_in_the_end(office: Office, meta: Meta) -> None:
    meta.fail["subscribed_apps"] = unreachable
    onboarding_id = await office.begin()
    await office.finish(onboarding_id)
    with pytest.raises(GraphError):
        await office.advance(onboarding_id)
    assert (await office.onboarding(onboarding_id)).problem is None
    await office.advance(onboarding_id, last_try=True)
    assert (await office.onboarding(onboarding_id)).problem is not None


class Crash(BaseException):
    """The process dies."""


class Peril:
    """Counts the moments at which a process can die, and lets it die at one of them."""

    def __init__(self, fatal: int | None) -> None:
        self.moments = 0
        self._fatal = fatal

    def moment(self) -> None:
        self.moments += 1
        if self.moments == self._fatal:
            raise Crash


class PerilousDatabase:
    """May die right before a commit, and right after it."""

    def __init__(self, app: App, peril: Peril) -> None:
        self._app = app
        self._peril = peril

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        async with self._app.db.transaction() as tx:
            yield tx
            self._peril.moment()
        self._peril.moment()


MOMENTS = 40  # held to the truth by the test below


async def _connect_in_peril(office: Office, meta: Meta, fatal: int | None) -> tuple[Peril, int]:
    """From the popup to the end, with one death on the way; what is left over is done by those who come after."""
    peril = Peril(fatal)
    meta.passing = peril.moment
    perilous = replace(office, app=replace(office.app, db=cast(Any, PerilousDatabase(office.app, peril))))
    onboarding_id = await office.begin()
    while (onboarding := await office.onboarding(onboarding_id)).step != "done":
        try:
            if onboarding.step == "exchange":
                meta.codes.add("code-1")  # the owner goes through the popup again
                assert await perilous.finish(onboarding_id) is None
            async with office.app.db.transaction() as tx:
                assert await tx.value("SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'") > 0
            await perilous.advance(onboarding_id)
        except Crash:
            continue
        assert (await office.onboarding(onboarding_id)).problem is None
    return peril, (await office.onboarding(onboarding_id)).number_id or 0


async def test_every_moment_of_the_way_is_tried(office: Office, meta: Meta) -> None:
    peril, _ = await _connect_in_peril(office, meta, None)
    assert peril.moments == MOMENTS


@pytest.mark.parametrize("fatal", range(1, MOMENTS + 1))
async def test_a_crash_at_any_moment_ends_connected_and_asks_for_the_past_at_most_once(
    office: Office, meta: Meta, fatal: int
) -> None:
    # Meta asserts by itself that nothing is requested twice, nor before the subscription.
    _, number_id = await _connect_in_peril(office, meta, fatal)
    assert (await office.number(number_id)).state == "connected"
    account = await _account(office, number_id)
    assert {account.contacts.state, account.history.state} <= {SyncState.REQUESTED, SyncState.UNKNOWN}
    async with office.app.db.transaction() as tx:
        assert await tx.value("SELECT count(*) FROM notices WHERE field = 'twinline'") == 1
