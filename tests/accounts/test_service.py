"""Users and sessions, against the real database."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from twinline.accounts import queries, service
from twinline.accounts.service import AccountError
from twinline.db import Database, Tx
from twinline.kit.clock import ManualClock

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse"


@pytest.fixture
async def tx(empty_database: str) -> AsyncIterator[Tx]:
    database = Database(empty_database, size=1)
    await database.open()
    async with database.transaction() as tx:
        yield tx
    await database.close()


async def _ada(tx: Tx, clock: ManualClock) -> int:
    return await service.create_user(tx, None, " Ada@Example.com ", "Ada", "owner", PASSWORD, clock.now())


async def test_the_first_user_founds_an_organisation_and_colleagues_join_it(tx: Tx, clock: ManualClock) -> None:
    ada = await queries.user(tx, await _ada(tx, clock))
    assert ada is not None
    assert ada.email == "ada@example.com"
    await service.create_user(tx, ada.organisation_id, "bob@example.com", "Bob", "agent", PASSWORD, clock.now())
    assert [user.name for user in await queries.users(tx, ada.organisation_id)] == ["Ada", "Bob"]


@pytest.mark.parametrize(
    ("email", "role", "password", "says"),
    [
        ("ada@example.com", "agent", PASSWORD, "already a user"),
        ("nobody", "agent", PASSWORD, "isn't an e-mail address"),
        ("bob@example.com", "king", PASSWORD, "no role"),
        ("bob@example.com", "agent", "short", "at least 8"),
    ],
)
async def test_a_user_that_cannot_be_is_refused_in_plain_words(
    tx: Tx, clock: ManualClock, email: str, role: str, password: str, says: str
) -> None:
    await _ada(tx, clock)
    with pytest.raises(AccountError, match=says):
        await service.create_user(tx, None, email, "", role, password, clock.now())


async def test_only_the_right_password_opens_whatever_the_case_of_the_address(tx: Tx, clock: ManualClock) -> None:
    ada = await _ada(tx, clock)
    user = await service.authenticate(tx, "ADA@example.com", PASSWORD)
    assert user is not None
    assert user.id == ada
    assert await service.authenticate(tx, "ada@example.com", "wrong horse") is None
    assert await service.authenticate(tx, "stranger@example.com", PASSWORD) is None


async def test_a_session_lasts_thirty_days_and_its_cookie_is_nowhere_in_the_database(
    tx: Tx, clock: ManualClock
) -> None:
    ada = await queries.user(tx, await _ada(tx, clock))
    assert ada is not None
    session = await service.open_session(tx, ada, clock.now(), {})
    viewer = await service.viewer_of(tx, session.token, clock.now())
    assert viewer is not None
    assert (viewer.user_id, viewer.organisation) == (ada.id, "Ada")
    stored = await tx.value("SELECT token_digest FROM sessions")
    assert session.token.encode() not in bytes(stored)
    clock.advance(days=30)
    assert await service.viewer_of(tx, session.token, clock.now()) is None


async def test_a_new_password_ends_the_sessions_elsewhere_but_not_this_one(tx: Tx, clock: ManualClock) -> None:
    ada = await queries.user(tx, await _ada(tx, clock))
    assert ada is not None
    here = await service.open_session(tx, ada, clock.now(), {})
    there = await service.open_session(tx, ada, clock.now(), {})
    viewer = await service.viewer_of(tx, here.token, clock.now())
    assert viewer is not None
    with pytest.raises(AccountError, match="current password"):
        await service.change_password(tx, viewer, "wrong horse", "battery staple", clock.now())
    await service.change_password(tx, viewer, PASSWORD, "battery staple", clock.now())
    assert await service.viewer_of(tx, here.token, clock.now()) is not None
    assert await service.viewer_of(tx, there.token, clock.now()) is None
    assert await service.authenticate(tx, "ada@example.com", "battery staple") is not None


async def test_the_log_says_who_came_in_and_who_was_refused(tx: Tx, clock: ManualClock) -> None:
    ada = await queries.user(tx, await _ada(tx, clock))
    assert ada is not None
    await service.record_refusal(tx, ada.email, clock.now(), {"address": "192.0.2.1"})
    await service.record_refusal(tx, "stranger@example.com", clock.now(), {})
    await service.open_session(tx, ada, clock.now() + timedelta(seconds=1), {"address": "192.0.2.1"})
    entries = await queries.audit(tx, ada.organisation_id, 10)
    assert [entry.action for entry in entries] == ["login", "login.refused", "user.created"]
    assert entries[0].user_name == "Ada"
