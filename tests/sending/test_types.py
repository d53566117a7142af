"""Every type of message on its way: what Meta gets, and what the chat shows then."""

from copy import deepcopy
from typing import Any

import pytest
from tests.rules.test_messages import BUTTONS, CARDS, FLOW, LINK, LIST, PLACE
from tests.sending.conftest import Shop, error

from twinline.rules.refusal import Refused
from twinline.sending.models import Draft

pytestmark = pytest.mark.anyio

ANA = "351910000001"


@pytest.mark.parametrize(
    ("draft", "body"),
    [
        (Draft("text", "Hello"), {"text": {"body": "Hello", "preview_url": False}}),
        (
            Draft("text", "https://example.com", {"preview_url": True}),
            {"text": {"body": "https://example.com", "preview_url": True}},
        ),
        (Draft("location", None, PLACE), {"location": PLACE}),
        (Draft("contacts", None, CARDS), {"contacts": CARDS["contacts"]}),
        (Draft("interactive", None, BUTTONS), {"interactive": BUTTONS}),
        (Draft("interactive", None, LIST), {"interactive": LIST}),
        (Draft("interactive", None, LINK), {"interactive": LINK}),
        (Draft("interactive", None, FLOW), {"interactive": FLOW}),
        (
            Draft("image", "Tart", {"link": "https://example.com/tart.png"}),
            {"image": {"link": "https://example.com/tart.png", "caption": "Tart"}},
        ),
        (Draft("sticker", None, {"id": "77"}), {"sticker": {"id": "77"}}),
        (Draft("audio", None, {"id": "78", "voice": True}), {"audio": {"id": "78", "voice": True}}),
        (
            Draft("document", "The bill", {"id": "79", "filename": "bill.pdf"}),
            {"document": {"id": "79", "caption": "The bill", "filename": "bill.pdf"}},
        ),
    ],
)
@pytest.mark.parametrize("quoted", [None, "wamid.IN1"])
async def test_meta_gets_exactly_what_was_said(
    shop: Shop, draft: Draft, body: dict[str, Any], quoted: str | None
) -> None:
    ana = await shop.customer(ANA)
    await shop.says(ana, Draft(draft.type, draft.text, deepcopy(draft.content), quoted))
    await shop.drain()
    [message] = shop.meta.messages
    assert message.pop("biz_opaque_callback_data")
    assert message == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": ANA,
        "type": draft.type,
        **body,
        **({"context": {"message_id": quoted}} if quoted else {}),
    }


@pytest.mark.parametrize("emoji", ["👍", ""])
async def test_a_reaction_names_its_message_and_is_no_quote(shop: Shop, emoji: str) -> None:
    ana = await shop.customer(ANA)
    await shop.says(ana, Draft("reaction", emoji, None, "wamid.IN1"))
    await shop.drain()
    [message] = shop.meta.messages
    assert message["reaction"] == {"message_id": "wamid.IN1", "emoji": emoji}
    assert "context" not in message


@pytest.mark.parametrize(
    ("draft", "text"),
    [
        (Draft("location", None, PLACE), "The bakery"),
        (Draft("contacts", None, CARDS), "Ana"),
        (Draft("interactive", None, LIST), "What would you like?"),
    ],
)
async def test_what_was_sent_stands_in_the_chat_and_can_be_searched(shop: Shop, draft: Draft, text: str) -> None:
    ana = await shop.customer(ANA)
    await shop.says(ana, draft)
    await shop.drain()
    [shown] = await shop.dicts("SELECT type, text, content FROM messages WHERE outgoing")
    assert shown == {"type": draft.type, "text": text, "content": draft.content}


async def test_what_is_wrong_is_refused_before_it_is_kept_and_named(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    many = deepcopy(BUTTONS)
    many["action"]["buttons"].append({"type": "reply", "reply": {"id": "x", "title": "One more"}})
    with pytest.raises(Refused) as caught:
        await shop.says(ana, Draft("interactive", None, many))
    assert "Too many: “One more”" in caught.value.refusal.text
    assert await shop.dicts("SELECT * FROM outbox") == []


async def test_a_refusal_of_metas_that_isnt_about_a_file_isnt_mended_by_uploading(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.meta.will("location", error(100))
    outbox = await shop.says(ana, Draft("location", None, PLACE))
    await shop.drain()
    assert await shop.state(outbox) == "failed"
    assert len(shop.meta.messages) == 1
