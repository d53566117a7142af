"""Every type of message from the inbox to a customer's screen and back, through the simulator's Meta."""

import io
import json
from typing import Any

import httpx
from PIL import Image
from tests.fixtures.patience import eventually
from tests.rules.test_messages import BUTTONS, CARDS, FLOW, LINK, LIST, PLACE
from tests.story.conftest import Operator, Phone, browser


def photo() -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(out, "PNG")
    return out.getvalue()


SAID: list[tuple[str, dict[str, Any] | None, bytes | None]] = [
    ("text", {"preview_url": True}, None),
    ("location", PLACE, None),
    ("contacts", CARDS, None),
    ("interactive", BUTTONS, None),
    ("interactive", LIST, None),
    ("interactive", LINK, None),
    ("interactive", FLOW, None),
    ("photo.png", None, photo()),
    ("sticker", None, photo()),
    ("bill.pdf", None, b"%PDF-1.7 the bill"),
    ("photo.png", None, photo()),
]
SHOWN = ["text", "location", "contacts", *["interactive"] * 4, "image", "sticker", "document", "image"]


def test_every_type_reaches_the_customer_and_what_they_answer_comes_back(operator: Operator) -> None:
    with operator.up() as up:
        phone = Phone.connected(up.meta)
        ana = phone.customer("Ana", "351910009001")
        operator.does("number", "add", *phone.options, TWINLINE_TOKEN=phone.token)
        phone.receives(ana, "What do you have today?")
        with browser(up.address, up.email, up.password) as owner:
            chat = eventually(lambda: _chat(owner), bool)
            assert chat is not None
            owner.post(f"{chat}/typing").raise_for_status()
            owner.post(f"{chat}/read").raise_for_status()
            for at, (kind, content, data) in enumerate(SAID):
                form = {"key": f"key-{at:05}", "text": "https://example.com/cakes" if kind == "text" else ""}
                if content is not None:
                    form |= {"type": kind, "content": json.dumps(content)}
                elif kind == "sticker":
                    form["type"] = kind
                files = {"file": (kind, data)} if data else None
                sent = owner.post(f"{chat}/messages", data=form, files=files)
                assert sent.status_code == 200, sent.text
            screen = eventually(lambda: _screen(phone, ana), lambda found: len(found) == len(SAID))
            assert [message["type"] for message in screen] == SHOWN
            by_kind = {
                message["content"].get("type"): message for message in screen if message["type"] == "interactive"
            }
            assert set(by_kind) == {"button", "list", "cta_url", "flow"}
            assert by_kind["list"]["content"] == LIST

            # The same photo went up to Meta once; a receipt was given once, beside the typing.
            log = httpx.get(f"{up.meta}/control/log?limit=500&method=POST").json()["requests"]
            bodies = [request["body"] for request in log if request["path"].endswith("/messages")]
            images = [body["image"]["id"] for body in bodies if body.get("type") == "image"]
            assert len(images) == 2
            assert len(set(images)) == 1
            receipts = [body for body in bodies if body.get("status") == "read"]
            assert [("typing_indicator" in body) for body in receipts] == [True]

            # A tap comes back as what was tapped.
            tapped = {"message": by_kind["button"]["id"], "choice": "b1"}
            httpx.post(f"{up.meta}/control/customers/{ana}/tap", json={"phone": phone.id, **tapped}).raise_for_status()
            page = eventually(lambda: owner.get(chat).text, lambda text: "Chose" in text)
            assert "Choice 1" in page


def _chat(owner: httpx.Client) -> str | None:
    """Where Ana's chat is, once what she wrote has come in."""
    found = owner.get("/inbox/1/rows").text
    return "/inbox/1/" + found.split('id="c-')[1].split('"')[0] if "What do you have" in found else None


def _screen(phone: Phone, customer: str) -> list[dict[str, Any]]:
    shown = httpx.get(f"{phone.meta}/control/phones/{phone.id}/chats/{customer}").raise_for_status().json()
    return [message for message in shown["messages"] if message["origin"] == "api"]
