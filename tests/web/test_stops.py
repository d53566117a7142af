"""What a number's page says of that which stands still, and who may let it go on."""

from datetime import timedelta

import pytest

from twinline.app import App
from twinline.kit.clock import ManualClock
from twinline.mirror import turn
from twinline.numbers import service as numbers
from twinline.rules.outcomes import TOKENLESS, Way
from twinline.sending import stops

from .conftest import Browser, add_user

pytestmark = pytest.mark.anyio

LOCKED = "account:131031:"


@pytest.fixture
async def number_id(app: App) -> int:
    async with app.db.transaction() as tx:
        number_id = await numbers.add_number(app, tx, 1, "700", "800", "351210007788", "a token", verified=False)
        now = app.clock.now() + timedelta(minutes=1)
        await stops.stop(tx, number_id, 131031, now)
        await stops.stop(tx, number_id, 132016, now, template="spring_sale/pt_BR")
        await stops.stop(tx, number_id, 80007, now)
        return number_id


async def standing(app: App, number_id: int) -> set[int | None]:
    async with app.db.transaction() as tx:
        return {one.code for one in await stops.standing(tx, number_id, app.clock.now())}


async def test_the_page_says_what_stands_still_why_and_how_it_ends(browser: Browser, number_id: int) -> None:
    await browser.log_in()
    page = (await browser.get(f"/numbers/{number_id}")).text
    for said in (
        "What stands still",
        "Sending from all numbers of this account",
        "Meta has locked this account or blocked it for a policy violation.",
        "when Meta reinstates the account",
        "Meta&#39;s code 131031",
        "The template spring_sale (pt_BR)",
        "Slowed down",
        "Ends by itself",
    ):
        assert said in page or said.replace("&#39;", "'") in page, said
    assert page.count("Let it go on") == 1, "what is disabled for good, and what ends by itself, has no button"


async def test_where_a_token_has_ended_a_new_one_is_asked_for_with_the_number_filled_in(
    browser: Browser, app: App, number_id: int
) -> None:
    await browser.log_in()
    assert "Paste a new token" not in (await browser.get(f"/numbers/{number_id}")).text
    async with app.db.transaction() as tx:
        await stops.stop(tx, number_id, 190, app.clock.now())
    where = "/numbers/add?waba_id=700&amp;phone_number_id=800"
    assert f'href="{where}">Paste a new token' in (await browser.get(f"/numbers/{number_id}")).text
    form = (await browser.get(where.replace("&amp;", "&"))).text
    assert 'name="waba_id" required inputmode="numeric" pattern="[0-9]+" value="700"' in form
    assert 'name="phone_number_id" inputmode="numeric" pattern="[0-9]*" value="800"' in form


async def test_nothing_is_said_where_nothing_stands_still(browser: Browser, app: App, number_id: int) -> None:
    async with app.db.transaction() as tx:
        await tx.execute("DELETE FROM stops")
    await browser.log_in()
    assert "What stands still" not in (await browser.get(f"/numbers/{number_id}")).text


async def test_an_administrator_lets_it_go_on_and_the_record_says_who(
    browser: Browser, app: App, number_id: int, clock: ManualClock
) -> None:
    clock.advance(minutes=2)
    await browser.log_in()
    answer = await browser.submit(f"/numbers/{number_id}/resume", {"stop": LOCKED})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/numbers/{number_id}")
    assert await standing(app, number_id) == {132016}
    assert (await browser.submit(f"/numbers/{number_id}/resume", {"stop": LOCKED})).status_code == 409
    disabled = {"stop": "template:132016:spring_sale/pt_BR"}
    assert (await browser.submit(f"/numbers/{number_id}/resume", disabled)).status_code == 409
    async with app.db.transaction() as tx:
        [[detail]] = await tx.rows("SELECT detail FROM audit WHERE action = 'number.resumed'")
    assert detail == {"number": number_id, "stop": LOCKED}


@pytest.mark.parametrize("role", ["agent", "viewer"])
async def test_others_see_it_and_may_not(browser: Browser, app: App, number_id: int, role: str) -> None:
    await add_user(app, app.clock.now(), 1, "bob@example.com", role)
    await browser.log_in("bob@example.com")
    page = (await browser.get(f"/numbers/{number_id}")).text
    assert "Let it go on" not in page
    assert "An owner or administrator can let it go on." in page
    assert (await browser.submit(f"/numbers/{number_id}/resume", {"stop": LOCKED})).status_code == 403
    assert 131031 in await standing(app, number_id)


async def test_another_organisation_lets_nothing_go_on(browser: Browser, app: App, number_id: int) -> None:
    await add_user(app, app.clock.now(), None, "eve@example.com", "owner")
    await browser.log_in("eve@example.com")
    assert (await browser.submit(f"/numbers/{number_id}/resume", {"stop": LOCKED})).status_code == 404
    assert 131031 in await standing(app, number_id)


async def test_a_new_token_ends_what_the_old_one_stopped(app: App, number_id: int, clock: ManualClock) -> None:
    async with app.db.transaction() as tx:
        await turn.take(tx, [number_id])
        await stops.stop(tx, number_id, 190, clock.now())
    assert 190 in await standing(app, number_id)
    clock.advance(minutes=5)
    async with app.db.transaction() as tx:
        await numbers.add_number(app, tx, 1, "700", "800", "351210007788", "another", verified=False)
        assert await tx.value("SELECT count(*) FROM reliefs WHERE way = %s", (Way.TOKEN,)) == 1
    assert 190 not in await standing(app, number_id)


async def test_a_number_taken_without_a_token_stands_still_until_it_has_one(
    browser: Browser, app: App, clock: ManualClock
) -> None:
    async def taken(token: str | None) -> int:
        clock.advance(minutes=1)
        async with app.db.transaction() as tx:
            return await numbers.add_number(app, tx, 1, "701", "801", "351210009900", token, verified=False)

    number_id = await taken(None)
    assert await standing(app, number_id) == {TOKENLESS}
    await browser.log_in()
    assert "Paste a new token" in (await browser.get(f"/numbers/{number_id}")).text
    assert await taken("a token") == number_id
    assert await standing(app, number_id) == set()
    await taken(None)
    assert await standing(app, number_id) == set(), "it keeps the one it has"
