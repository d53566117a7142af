"""Meta refuses, at once or later: what stands still is shown, waits, and goes on when somebody lets it."""

import httpx
from tests.fixtures.patience import eventually
from tests.story.conftest import Operator, Phone, Up, browser


def fault(up: Up, **more: object) -> None:
    httpx.post(f"{up.meta}/control/faults", json={"times": 1, **more}).raise_for_status()


def test_a_number_that_meta_stops_waits_for_a_person_and_loses_nothing(operator: Operator) -> None:
    with operator.up() as up:
        phone = Phone.connected(up.meta)
        ana = phone.customer("Ana", "351910009001")
        operator.does("number", "add", *phone.options, TWINLINE_TOKEN=phone.token)
        phone.receives(ana, "Is it ready?")
        with browser(up.address, up.email, up.password) as person:

            def page() -> str:
                return person.get("/numbers/1").text

            eventually(lambda: person.get("/inbox/1").text, lambda text: "Is it ready?" in text)
            assert "What stands still" not in page()

            # Refused at once: the message itself waits as well, and goes out when a person lets it.
            fault(up, effect="error", code=131031)
            told = operator.tries("send", "+351 910 009 001", "Yes, come by")
            assert (told.code, told.out.startswith("held: Meta has locked this account")) == (1, True)
            eventually(page, lambda text: "Meta has locked this account" in text and "1 message waiting" in text)
            assert phone.screen(ana) == []
            refused = operator.tries("send", "+351 910 009 001", "And bring a bag")
            assert (refused.code != 0, "locked this account" in " ".join(refused.all.split())) == (True, True)
            assert person.post("/numbers/1/resume", data={"stop": "account:131031:"}).status_code == 303
            eventually(lambda: phone.screen(ana), lambda shown: shown == ["Yes, come by"])
            assert "What stands still" not in page()

            # Taken, and failed later: the message has failed, and what comes after it is stopped.
            fault(up, effect="fail", code=131042)
            assert operator.tries("send", "+351 910 009 001", "We close at seven").out.startswith("sent")
            eventually(page, lambda text: "payment method" in text)
            chat = eventually(lambda: person.get("/inbox/1/1").text, lambda text: "We close at seven" in text)
            assert "Send again" in chat
            assert person.post("/numbers/1/resume", data={"stop": "account:131042:"}).status_code == 303
            operator.does("send", "+351 910 009 001", "And open at eight")
            eventually(lambda: phone.screen(ana), lambda shown: "And open at eight" in shown)


def test_a_paused_template_waits_for_its_approval(operator: Operator) -> None:
    with operator.up() as up:
        phone = Phone.connected(up.meta)
        operator.does("number", "add", *phone.options, TWINLINE_TOKEN=phone.token)
        operator.does("template", "sync")
        key = operator.does("key", "create", "Till").strip()
        api = f"{up.address}/v1/numbers/1/messages"
        with httpx.Client(headers={"Authorization": f"Bearer {key}"}) as till:

            def sends(template: str) -> int:
                content = {"name": template, "language": "en_US", "components": []}
                if template == "order_ready":
                    told = [{"type": "text", "text": "Ana"}, {"type": "text", "text": "#81"}]
                    content["components"] = [{"type": "body", "parameters": told}]
                message = {"to": "+351 910 009 001", "purpose": "utility", "type": "template", "template": content}
                answer = till.post(api, json=message)
                assert answer.status_code == 202, answer.text
                return int(answer.json()["id"])

            def state(message: int) -> str:
                return str(till.get(f"{api}/{message}").json()["state"])

            fault(up, effect="error", code=132015, template="order_ready")
            paused = sends("order_ready")
            eventually(lambda: state(paused), lambda found: found == "held")
            also = sends("order_ready")
            other = sends("hello_world")
            eventually(lambda: state(other), lambda found: found == "sent")
            assert (state(paused), state(also)) == ("held", "held")

            found = httpx.get(f"{up.meta}/control/templates", params={"waba": phone.waba_id}).json()["templates"]
            [template] = [one["id"] for one in found if (one["name"], one["language"]) == ("order_ready", "en_US")]
            for step in ("pause", "unpause"):
                httpx.post(f"{up.meta}/control/templates/{template}/{step}", json={}).raise_for_status()
            eventually(lambda: (state(paused), state(also)), lambda found: found == ("sent", "sent"))
