"""The pages of contacts, as somebody who may, and as somebody who may not."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.contacts.conftest import ANA, BEA, Shop
from tests.web.conftest import PASSWORD, Browser, add_user

from twinline.contacts import queries, service
from twinline.rules.consent import Why
from twinline.web.app import build

pytestmark = pytest.mark.anyio


class Desk(Browser):
    """Somebody in front of the contacts of the bakery."""

    shop: Shop

    @property
    def base(self) -> str:
        return f"/contacts/{self.shop.number_id}"

    async def sees(self, path: str = "") -> str:
        shown = await self.get(self.base + path)
        assert shown.status_code == 200, shown.text
        return shown.text

    async def does(self, path: str, **form: str) -> str:
        """Submits a form; answers where that leads, or the page that says why it doesn't."""
        shown = await self.submit(self.base + path, form)
        assert shown.status_code in (200, 303, 403, 422), shown.text
        return shown.headers.get("location", "") if shown.status_code == 303 else f"{shown.status_code} {shown.text}"


async def desk(shop: Shop, http: httpx.AsyncClient, role: str = "owner") -> Desk:
    http.cookies.clear()
    email = f"{role}@example.com"
    await add_user(shop.app, shop.clock.now(), await shop.organisation, email, role)
    browser = Desk(http, shop.app)
    browser.shop = shop
    await browser.log_in(email, PASSWORD)
    return browser


@pytest.fixture
async def http(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(build(shop.app)), base_url="http://twinline.test"
    ) as http:
        yield http


@pytest.fixture
async def owner(shop: Shop, http: httpx.AsyncClient) -> Desk:
    return await desk(shop, http)


def people(page: str) -> list[str]:
    return re.findall(r'<span class="who"><strong>(.*?)</strong>', page)


async def test_somebody_is_added_found_filtered_and_kept_as_a_segment(shop: Shop, owner: Desk) -> None:
    assert "Nobody here yet" in await owner.sees()
    ana = await owner.does("/new", phone="910 000 001", name="Ana Sá")
    assert re.fullmatch(rf"{owner.base}/\d+", ana)
    await owner.does("/new", phone=f"+{BEA}", name="Bea")
    assert "no phone number that exists" in await owner.does("/new", phone="12")
    assert people(await owner.sees()) == ["Bea", "Ana Sá"]
    assert people(await owner.sees("?q=ana")) == ["Ana Sá"]
    assert people(await owner.sees("?q=351 910 000 002")) == ["Bea"]
    await owner.submit(f"{ana}/tags", {"add": "vip, café"})
    to = (await owner.get(f"{owner.base}?is=tag&tag=vip")).headers["location"]
    shown = await owner.get(to)
    assert people(shown.text) == ["Ana Sá"]
    assert "has the tag vip" in shown.text
    to = await owner.does("/segments", name="Best", f='[{"is": "tag", "tag": "vip"}]')
    assert people((await owner.get(to)).text) == ["Ana Sá"]
    assert "422" in str(await owner.get(f"{owner.base}?is=wrote&days=never"))
    assert (await owner.get(f"{owner.base}?f=nonsense")).status_code == 422
    assert (await owner.get(f"{owner.base}?before=x&segment=99&f=[]")).status_code == 200


async def test_many_are_tagged_at_once(shop: Shop, owner: Desk) -> None:
    for n in range(60):
        await shop.do(service.contact_for, shop.number_id, f"+3519100010{n:02}")
    page = await owner.sees()
    assert len(people(page)) == queries.PAGE
    more = re.search(r'href="([^"]+)">Further people', page)
    assert more
    assert len(people((await owner.get(more[1].replace("&amp;", "&"))).text)) == 10
    to = await owner.does("/tag", tag="fair", do="add", all="1", f="[]", q="")
    assert "60 contacts got the tag" in (await owner.get(to)).text
    first = await shop.value("SELECT min(id) FROM contacts")
    to = await owner.does("/tag", tag="fair", do="remove", contact=str(first), f="[]", q="")
    assert "1 contact lost the tag" in (await owner.get(to)).text
    assert await shop.value("SELECT count(*) FROM contacts WHERE tags @> '{fair}'") == 59
    assert await owner.does("/tag", tag="a,b" * 30, do="add", all="1", f="[]", q="")


async def test_what_is_known_of_somebody_is_changed_and_what_they_said_recorded(shop: Shop, owner: Desk) -> None:
    ana = await shop.customer(ANA)
    await owner.does("/fields", label="City", kind="text")
    await owner.does("/fields", label="Born", kind="date")
    assert "already" in await owner.does("/fields", label="city", kind="text")
    about = {"name": "Ana", "language": "pt-br", "field.city": "Porto", "field.born": "1990-02-28"}
    assert await owner.does(f"/{ana}", **about) == f"{owner.base}/{ana}"
    assert "isn&#39;t" in await owner.does(f"/{ana}", **{**about, "field.born": "yesterday"})
    page = await owner.sees(f"/{ana}")
    assert 'value="Porto"' in page
    assert 'value="pt_BR"' in page
    await owner.does("/consent/topics", title="Weekly news", needs_opt_in="on")
    told = await owner.does(
        f"/{ana}/consent", granted="yes", topic="weekly_news", since="2026-11-02", detail="the form in the shop"
    )
    assert told == f"{owner.base}/{ana}"
    await owner.does(f"/{ana}/consent", granted="no", topic="", since="", detail="told us at the till")
    page = await owner.sees(f"/{ana}")
    assert "the form in the shop" in page
    assert "told us at the till" in page
    assert page.index("told us at the till") < page.index("the form in the shop")
    assert (await shop.may(ana)).why is Why.OPTED_OUT
    assert "can&#39;t be read" in await owner.does(f"/{ana}/consent", granted="no", since="soon")
    await owner.does("/fields/forget", key="city")
    await owner.does("/consent/topics/forget", key="weekly_news")
    assert "Porto" not in await owner.sees(f"/{ana}")
    assert (await owner.get(f"{owner.base}/{ana + 99}")).status_code == 404


async def test_tags_and_marketing_stand_beside_the_chat(shop: Shop, owner: Desk) -> None:
    ana = await shop.customer(ANA)
    beside = f"/inbox/{shop.number_id}/{ana}"
    panel = await owner.submit(f"{beside}/tags", {"add": "vip, old friend"})
    assert re.findall(r'class="tag" data-hue="\d">([^<]+)', panel.text) == ["old friend", "vip"]
    panel = await owner.submit(f"{beside}/tags", {"remove": "vip"})
    assert re.findall(r'class="tag" data-hue="\d">([^<]+)', panel.text) == ["old friend"]
    assert (await owner.submit(f"{beside}/tags", {"add": "x" * 60})).status_code == 422
    assert "Nothing said" in panel.text
    await shop.writes(ANA, "STOP")
    assert "Stopped" in (await owner.get(f"{beside}/panel")).text


async def test_the_words_of_a_number_and_the_list_are_kept(shop: Shop, owner: Desk) -> None:
    ana = await shop.customer(ANA)
    await owner.does(
        "/consent/keywords",
        language="en",
        enabled="on",
        stop="Enough, stop",
        start="start",
        stopped="Done.",
        started="",
    )
    assert "Enough, stop" in await owner.sees("/consent")
    assert "can&#39;t be a keyword" in await owner.does("/consent/keywords", language="en", stop="!!!")
    assert "no keywords for" in await owner.does("/consent/keywords", language="xx")
    await shop.writes(ANA, "enough")
    assert (await shop.may(ana)).why is Why.OPTED_OUT
    assert "of them new" in await owner.does("/consent/suppress", phone="+34 600 111 222", why="by letter")
    page = await owner.sees("/consent?q=600 111")
    assert "by letter" in page
    assert "no phone number that exists" in await owner.does("/consent/suppress", phone="12", why="")
    file = (await owner.get(f"{owner.base}/consent/suppressed.csv")).text
    assert "+34600111222,,by letter," in file
    await owner.does("/consent/release", key="p:34600111222")
    assert "by letter" not in await owner.sees("/consent")


async def test_files_come_and_go(shop: Shop, owner: Desk) -> None:
    csrf = await owner.csrf()
    rows = f"phone,name,tags\n+{ANA},Ana,vip\nnonsense,Bea,\n"
    shown = await owner.http.post(
        f"{owner.base}/import",
        data={"csrf": csrf, "tags": "fair"},
        files={"file": ("people.csv", rows.encode(), "text/csv")},
        headers={"sec-fetch-site": "same-origin"},
    )
    assert "1 contact taken over" in shown.text
    assert '<td class="num">3</td>' in shown.text
    file = await owner.get(f"{owner.base}/export.csv")
    assert file.headers["content-type"].startswith("text/csv")
    assert f'+{ANA},,Ana,,"fair, vip"' in file.text
    nothing = await owner.http.post(f"{owner.base}/import", data={"csrf": csrf})
    assert nothing.status_code == 422


async def test_who_may_only_read_or_answer_changes_no_rules(shop: Shop, http: httpx.AsyncClient) -> None:
    ana = await shop.customer(ANA)
    for role, allowed in (("viewer", set[str]()), ("agent", {"/new", "/tag", f"/{ana}", f"/{ana}/tags"})):
        someone = await desk(shop, http, role)
        for path in ("", f"/{ana}", "/consent", "/fields", "/import"):
            await someone.sees(path)
        for path in ("/new", "/tag", f"/{ana}", f"/{ana}/tags", "/fields", "/consent/keywords", "/consent/release"):
            told = await someone.does(path, phone=f"+{BEA}", tag="x", f="[]", add="x")
            assert told.startswith("403") is (path not in allowed), (role, path)
        assert (await someone.get(f"{someone.base}/consent/suppressed.csv")).status_code == 403


async def test_nobody_sees_another_organisations_people(shop: Shop, http: httpx.AsyncClient) -> None:
    ana = await shop.customer(ANA)
    await add_user(shop.app, shop.clock.now(), None, "eve@example.com", "owner")
    eve = Browser(http, shop.app)
    await eve.log_in("eve@example.com", PASSWORD)
    for path in ("", f"/{ana}", "/consent", "/fields", "/import", "/export.csv"):
        assert (await eve.get(f"/contacts/{shop.number_id}{path}")).status_code == 404
    assert (await eve.submit(f"/contacts/{shop.number_id}/{ana}/tags", {"add": "x"})).status_code == 404
    assert "Your chats will be here" in (await eve.get("/contacts")).text
