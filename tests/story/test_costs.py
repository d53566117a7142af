"""What messages cost, against a simulator that has its own reading of Meta's price list."""

import httpx
from tests.fixtures.patience import eventually
from tests.story.conftest import Operator, Phone, browser


def test_replies_are_counted_and_priced_and_who_comes_by_an_ad_is_free(operator: Operator) -> None:
    with operator.up() as up:
        phone = Phone.connected(up.meta)
        ana, dora = phone.customer("Ana", "351910009001"), phone.customer("Dora", "351910009002")
        operator.does("number", "add", *phone.options, TWINLINE_TOKEN=phone.token)
        phone.receives(ana, "Is it ready?")
        referral = {"source_type": "ad", "source_id": "1", "source_url": "https://fb.me/1", "headline": "Bread"}
        said = {"phone": phone.id, "text": "I saw the ad", "referral": referral}
        httpx.post(f"{up.meta}/control/customers/{dora}/send", json=said).raise_for_status()
        with browser(up.address, up.email, up.password) as owner:
            eventually(lambda: owner.get("/inbox/1").text, lambda text: "I saw the ad" in text)
            # Meta's answer comes with the worker's next round, or a person says it.
            saved = owner.post("/numbers/1/costs", data={"currency": "USD", "zone": "", "hours": "72"})
            assert saved.status_code in (200, 303)
            assert operator.does("send", "+351 910 009 001", "Yes, come by") == "sent\n"
            assert operator.does("send", "+351 910 009 002", "Welcome") == "sent\n"
            # Of the two, the one inside the free entry point uses up none of the free thousand.
            month = eventually(lambda: owner.get("/numbers/1/costs").text, lambda text: ">2</td>" in text)
            assert "999" in month
        told = dict(line.split("\t")[:2] for line in operator.does("rates", "show", "+351 910 009 001").splitlines())
        assert told["service"] == "free"
        assert told["marketing"] == "about USD 0.0592"
        free = dict(line.split("\t")[:2] for line in operator.does("rates", "show", "+351 910 009 002").splitlines())
        assert set(free.values()) == {"free"}


def test_a_rate_card_is_brought_with_its_bad_lines_named_and_forgotten(operator: Operator) -> None:
    with operator.up() as up:
        phone = Phone.connected(up.meta)
        operator.does("number", "add", *phone.options, TWINLINE_TOKEN=phone.token)
        card = operator.data / "card.csv"
        card.write_text("market,currency,category,rate,valid from\nPT,USD,marketing,0.01,\nNarnia,USD,utility,1,\n")
        read = operator.tries("rates", "import", str(card), "--since", "2026-01-01")
        assert read.code == 0
        assert "line 3" in read.err
        assert read.out == "Rates taken over: 1.\n"
        assert "like 2027-01-31" in operator.is_refused("rates", "import", str(card), "--since", "soon", code=2)
        card.write_text("nothing")
        assert "no line of headings" in operator.is_refused("rates", "import", str(card))
        assert "neither a phone number" in operator.is_refused("rates", "show", "the baker")
        assert operator.does("rates", "forget") == "Rates forgotten: 1.\n"
