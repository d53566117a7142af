"""Messages over HTTP: send one, see what became of it, take it back; files to send; where a chat stands."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Body, Header, Path, Query, Request
from pydantic import BeforeValidator, ConfigDict, Field
from starlette.datastructures import UploadFile

from twinline.accounts.api import Here, key, number
from twinline.accounts.models import Caller
from twinline.contacts import service as contacts
from twinline.costs import service as costs
from twinline.db import Tx
from twinline.kit.api import BIGGEST_ID, ApiError, Id, In, Out, Text, errors
from twinline.rules import floor, messages, outcomes
from twinline.rules import window as windows
from twinline.rules.delivery import Delivery
from twinline.rules.pricing import Category
from twinline.rules.refusal import Refusal, Refused
from twinline.sending import choices, handles, outbox, service, speech
from twinline.sending.handles import Kept
from twinline.sending.models import SPEAKS_AS, Cause, Draft, Lane
from twinline.sending.outbox import Known
from twinline.templates import service as templates

router = APIRouter(prefix="/numbers/{number_id}")

Writer = Annotated[Caller, key("messages:write")]
Written = Annotated[int, number("messages:write")]
Read = Annotated[int, number("messages:read")]
To = Annotated[
    str,
    Field(
        max_length=200,
        description="Who gets it: a phone number with its country code in any spelling, a business-scoped user id "
        "(`PT.1349…`), or `contact:12`, a contact's id here.",
        examples=["+351 910 000 001", "PT.13491208655302741918", "contact:12"],
    ),
]
PAGE: Final = 50
PRICED: Final = (Category.SERVICE, Category.UTILITY, Category.MARKETING, Category.AUTHENTICATION)


# --- what can be said -----------------------------------------------------------------------------------------------

Said = tuple[str | None, dict[str, Any] | None]
Files = Mapping[str, Kept]


class Message(In, ABC):
    """What every message has. Whatever speaks against one is a 422 with the rule's name."""

    to: To
    purpose: Literal["person", "automation", "utility", "marketing"] = Field(
        default="person",
        description="`person`: somebody answers; automations in this chat fall silent. The others are a program's and "
        "yield to people; `marketing` also obeys opt-outs. It decides who goes first when the budget is short.",
    )
    reply_to: str | None = Field(default=None, max_length=512, description="The wamid of the message that this quotes.")
    view_once: bool = Field(default=False, description="Never possible; refused with the reason.")
    disappearing: bool = Field(default=False, description="Never possible; refused with the reason.")

    @abstractmethod
    def said(self, kept: Files) -> Said:
        """The text and the content of its draft."""


class TextBody(In):
    body: str = Field(description="At most 4,096 characters.")
    preview_url: bool = Field(default=False, description="Whether the first link gets a preview.")


class TextMessage(Message):
    type: Literal["text"]
    text: TextBody

    def said(self, kept: Files) -> Said:
        return self.text.body, {"preview_url": True} if self.text.preview_url else None


class File(In):
    """A file: uploaded here before, or fetched by Meta from the web."""

    media: str | None = Field(default=None, max_length=100, description="What `POST …/media` answered.")
    link: str | None = Field(default=None, max_length=2000, description="An https address.")

    def facts(self, kept: Files) -> dict[str, Any]:
        if self.media is None:
            return {"link": self.link}
        return dict(kept[self.media].content)


class Captioned(File):
    caption: str | None = Field(default=None, description="At most 1,024 characters.")


class Document(Captioned):
    filename: str | None = Field(default=None, max_length=240)


class Audio(File):
    voice: bool = Field(default=False, description="Shown as a voice message; Ogg with Opus only.")


class ImageMessage(Message):
    type: Literal["image"]
    image: Captioned

    def said(self, kept: Files) -> Said:
        return self.image.caption, self.image.facts(kept)


class VideoMessage(Message):
    type: Literal["video"]
    video: Captioned

    def said(self, kept: Files) -> Said:
        return self.video.caption, self.video.facts(kept)


class DocumentMessage(Message):
    type: Literal["document"]
    document: Document

    def said(self, kept: Files) -> Said:
        named = {"filename": self.document.filename} if self.document.filename else {}
        return self.document.caption, self.document.facts(kept) | named


class AudioMessage(Message):
    type: Literal["audio"]
    audio: Audio

    def said(self, kept: Files) -> Said:
        return None, self.audio.facts(kept) | ({"voice": True} if self.audio.voice else {})


class StickerMessage(Message):
    type: Literal["sticker"]
    sticker: File

    def said(self, kept: Files) -> Said:
        return None, self.sticker.facts(kept)


class Location(In):
    latitude: float
    longitude: float
    name: str | None = None
    address: str | None = None


class LocationMessage(Message):
    type: Literal["location"]
    location: Location

    def said(self, kept: Files) -> Said:
        return None, self.location.model_dump(exclude_none=True)


class CardName(In):
    formatted_name: str
    first_name: str | None = None
    last_name: str | None = None
    middle_name: str | None = None
    prefix: str | None = None
    suffix: str | None = None


class CardPhone(In):
    phone: str
    type: str | None = None
    wa_id: str | None = Field(default=None, description="Digits only; with it the card has a button to write.")


class CardEmail(In):
    email: str
    type: str | None = None


class CardUrl(In):
    url: str
    type: str | None = None


class CardAddress(In):
    street: str | None = None
    city: str | None = None
    state: str | None = None
    zip: str | None = None
    country: str | None = None
    country_code: str | None = None
    type: str | None = None


class CardOrg(In):
    company: str | None = None
    department: str | None = None
    title: str | None = None


class Card(In):
    name: CardName
    phones: list[CardPhone] | None = None
    emails: list[CardEmail] | None = None
    urls: list[CardUrl] | None = None
    addresses: list[CardAddress] | None = None
    org: CardOrg | None = None
    birthday: str | None = Field(default=None, description="YYYY-MM-DD")


class ContactsMessage(Message):
    type: Literal["contacts"]
    contacts: list[Card]

    def said(self, kept: Files) -> Said:
        return None, {"contacts": [card.model_dump(exclude_none=True) for card in self.contacts]}


class Reaction(In):
    message_id: str = Field(max_length=512, description="The wamid of the message that it is about.")
    emoji: str = Field(description="One emoji; empty takes the reaction away.")


class ReactionMessage(Message):
    type: Literal["reaction"]
    reaction: Reaction

    def said(self, kept: Files) -> Said:
        return self.reaction.emoji, None


class Words(In):
    text: str


class HeaderMedia(In):
    link: str = Field(max_length=2000)


class MessageHeader(In):
    type: str = Field(description="`text`, `image`, `video` or `document`; above a list only `text`.")
    text: str | None = None
    image: HeaderMedia | None = None
    video: HeaderMedia | None = None
    document: HeaderMedia | None = None


class Reply(In):
    id: str
    title: str


class Button(In):
    type: Literal["reply"] = "reply"
    reply: Reply


class Buttons(In):
    buttons: list[Button] = Field(description="One to three.")


class Row(In):
    id: str
    title: str
    description: str | None = None


class Section(In):
    title: str | None = Field(default=None, description="Needed if there are several.")
    rows: list[Row]


class Choice(In):
    button: str = Field(description="What opens the list.")
    sections: list[Section] = Field(description="At most ten rows over all of them.")


class LinkParameters(In):
    display_text: str
    url: str


class LinkAction(In):
    name: Literal["cta_url"] = "cta_url"
    parameters: LinkParameters


class FlowStart(In):
    screen: str
    data: dict[str, Any] | None = None


class FlowParameters(In):
    flow_message_version: str = "3"
    flow_id: str | None = None
    flow_name: str | None = None
    flow_cta: str
    flow_token: str | None = None
    flow_action: str | None = Field(default=None, description="`navigate` or `data_exchange`.")
    flow_action_payload: FlowStart | None = None
    mode: str | None = Field(default=None, description="`draft` or `published`.")


class FlowAction(In):
    name: Literal["flow"] = "flow"
    parameters: FlowParameters


class _Interactive(In):
    header: MessageHeader | None = None
    body: Words
    footer: Words | None = None


class ReplyButtons(_Interactive):
    type: Literal["button"]
    action: Buttons


class ReplyList(_Interactive):
    type: Literal["list"]
    action: Choice


class LinkButton(_Interactive):
    type: Literal["cta_url"]
    action: LinkAction


class Flow(_Interactive):
    type: Literal["flow"]
    action: FlowAction


class InteractiveMessage(Message):
    type: Literal["interactive"]
    interactive: Annotated[ReplyButtons | ReplyList | LinkButton | Flow, Field(discriminator="type")]

    def said(self, kept: Files) -> Said:
        return self.interactive.body.text, self.interactive.model_dump(exclude_none=True)


def _language_code(said: Any) -> Any:
    """Meta writes it as an object; who brings Meta's body may leave it so."""
    return said["code"] if isinstance(said, dict) and said.keys() == {"code"} else said


class Template(In):
    """With `values` by slot key (`GET …/templates` lists the slots), or with Meta's own `components`."""

    name: str
    language: Annotated[str, BeforeValidator(_language_code)] = Field(
        description='Its code, or `{"code": …}` as Meta has it.', examples=["en_US"]
    )
    values: dict[str, Any] | None = Field(default=None, examples=[{"body.1": "Ann", "header.image": {"link": "…"}}])
    components: list[dict[str, Any]] | None = None


class TemplateMessage(Message):
    type: Literal["template"]
    template: Template

    def said(self, kept: Files) -> Said:
        said = self.template.model_dump(exclude_none=True)
        return None, {**said, "language": {"code": self.template.language}}


class Impossible(Message):
    """What people ask for and the API of WhatsApp hasn't got. The answer names the place where it can be done."""

    model_config = ConfigDict(extra="ignore")
    type: Literal[
        "groups", "group", "broadcast_lists", "broadcast", "status", "story", "channels", "channel", "calls", "call",
        "video_calls", "video_call", "live_location", "view_once", "disappearing_messages", "disappearing",
        "message_edit", "catalog",
    ]  # fmt: skip

    def said(self, kept: Files) -> Said:
        return None, None


AnyMessage = Annotated[
    TextMessage
    | ImageMessage
    | VideoMessage
    | AudioMessage
    | DocumentMessage
    | StickerMessage
    | LocationMessage
    | ContactsMessage
    | ReactionMessage
    | InteractiveMessage
    | TemplateMessage
    | Impossible,
    Field(discriminator="type"),
]


def drafted(message: Message, kept: Files) -> Draft:
    """What is asked for that can't be had becomes the draft's type, so that the guard says where it can."""
    asked = str(getattr(message, "type"))  # noqa: B009 — each variant declares its own literal
    kind = "view_once" if message.view_once else "disappearing_messages" if message.disappearing else asked
    quoted = message.reaction.message_id if isinstance(message, ReactionMessage) else message.reply_to
    return Draft(kind, *message.said(kept), quoted)


# --- what is answered -----------------------------------------------------------------------------------------------

State = Literal["queued", "sending", "sent", "in_doubt", "unknown", "failed", "held", "cancelled"]


class Person(Out):
    contact: int
    phone: str | None = Field(description="Digits only; null: WhatsApp hasn't shown it.")
    user_id: str | None = Field(description="The business-scoped user id.")


class Why(Out):
    code: int | None = Field(description="Meta's error code, if it was Meta who refused.")
    says: str
    what_to_do: str | None

    @classmethod
    def of(cls, row: Known) -> "Why | None":
        if row.error_text is None:
            return None
        meaning = outcomes.outcome(row.error_code) if row.error_code is not None else None
        return cls(code=row.error_code, says=row.error_text, what_to_do=meaning.do if meaning else None)


class Sent(Out):
    id: int = Field(description="Its id in the outbox.")
    to: Person
    type: str
    text: str | None
    purpose: str
    state: State = Field(
        description="`sent`: Meta has it. `in_doubt`, `unknown`: Meta may have it, so it is never sent again by itself."
    )
    delivery: str | None = Field(description="accepted, sent, delivered, read, played or failed; null before `sent`.")
    wamid: str | None
    error: Why | None
    created_at: datetime
    not_before: datetime | None = Field(description="When it is tried again.")
    sent_at: datetime | None
    settled_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None

    @classmethod
    def of(cls, row: Known) -> "Sent":
        return cls(
            **{name: getattr(row, name) for name in SAME},
            to=Person(contact=row.contact_id, phone=row.phone, user_id=row.bsuid),
            purpose=Lane(row.lane).name.lower(),
            delivery=Delivery(row.delivery).name.lower() if row.delivery else None,
            error=Why.of(row),
            sent_at=row.sending_at if row.wamid else None,
        )


SAME: Final = (
    "id",
    "type",
    "text",
    "state",
    "wamid",
    "created_at",
    "not_before",
    "settled_at",
    "delivered_at",
    "read_at",
)


class Page(Out):
    messages: list[Sent]
    next: str | None = Field(description="Give it as `cursor` to read on; null at the end.")


class Estimate(Out):
    """What one message costs if it is delivered now. An estimate, whatever it says; Meta's bill decides."""

    category: str
    free: bool
    why: str
    amount: Decimal | None = Field(description="Null: unknown; `lacks` says what is missing.")
    currency: str | None
    market: str
    card_date: date | None = Field(description="The day from which the rate holds.")
    lacks: str | None


class Window(Out):
    open: bool
    reason: str
    says: str
    until: datetime | None


class ServiceMessages(Out):
    """The number's free-form messages this month. Counting stops just above the free ones."""

    sent_this_month: int
    free_left: int
    resets_at: datetime
    zone: str | None = Field(description="Null: not known yet; months are UTC's.")


class FreeEntryPoint(Out):
    until: datetime | None = Field(description="Everything to them is free until then.")
    answer_by: datetime | None = Field(description="They came by an ad; an answer from here before then makes it so.")


class Chat(Out):
    to: Person | None = Field(description="Null: nobody here has written with them yet.")
    window: Window = Field(description="Whether free-form messages may go out. Approved templates may at any time.")
    opted_out: bool = Field(description="They may not be sent marketing.")
    floor: str = Field(description="Who is speaking in this chat: nobody, phone, person, automation or campaign.")
    estimates: list[Estimate] = Field(description="A free-form message, and a template of each category.")
    service_messages: ServiceMessages
    free_entry_point: FreeEntryPoint
    phone_link: str | None = Field(description="Opens the chat on the phone, where writing is free at any time.")


class Handle(Out):
    media: str = Field(description="What messages name.")
    type: str = Field(description="As what it can be sent: by its content, not by its name.")
    mime_type: str
    filename: str
    size: int
    sha256: str


# --- messages -------------------------------------------------------------------------------------------------------

ONCE = Annotated[
    str | None,
    Header(
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="Any text of your own, new for each message. Repeating the request with it sends nothing twice and "
        "answers the same message, however often and however late.",
    ),
]
EXAMPLES: Final = {
    name: {"summary": summary, "value": {"to": "+351 910 000 001", "type": kind, kind: value}}
    for name, kind, summary, value in (
        ("text", "text", "Text", {"body": "Your bread is ready."}),
        ("image", "image", "Image", {"media": "m_5XkP…", "caption": "This one?"}),
        ("location", "location", "Place", {"latitude": 38.7223, "longitude": -9.1393, "name": "Padaria"}),
        (
            "buttons",
            "interactive",
            "Reply buttons",
            {
                "type": "button",
                "body": {"text": "Shall we keep it for you?"},
                "action": {
                    "buttons": [{"reply": {"id": "yes", "title": "Yes"}}, {"reply": {"id": "no", "title": "No"}}]
                },
            },
        ),
        (
            "template",
            "template",
            "Template",
            {"name": "order_ready", "language": "en_US", "values": {"body.1": "Ann", "body.2": "A-17"}},
        ),
        ("template", "template", "Template", {"name": "order_ready", "language": "en_US", "values": {"body.1": "Ana"}}),
        ("reaction", "reaction", "Reaction", {"message_id": "wamid.HBgM…", "emoji": "🧡"}),
    )
}


@router.post("/messages", status_code=202, summary="Send a message", tags=["Messages"], responses=errors(409, 422))
async def send_message(
    app: Here,
    who: Writer,
    number_id: Written,
    message: Annotated[AnyMessage, Body(openapi_examples=EXAMPLES)],
    idempotency_key: ONCE = None,
) -> Sent:
    """It is taken into the outbox and sent within the number's budget; the answer comes before that.

    Ask for it again to see what became of it. A message that may not go out is refused with the rule's name.
    """
    request = hashlib.sha256(orjson.dumps(message.model_dump(), option=orjson.OPT_SORT_KEYS)).digest()
    lane = Lane[message.purpose.upper()]
    if isinstance(message, TemplateMessage):
        await templates.acquaint(app, number_id, message.template.name)
    async with app.db.transaction() as tx:
        draft = drafted(message, await _kept(tx, number_id, message))
        try:
            outbox_id = await service.submit_to(
                app,
                tx,
                number_id,
                message.to,
                draft,
                lane=lane,
                author=SPEAKS_AS[lane],
                idempotency_key=f"api:{idempotency_key}" if idempotency_key else None,
                cause=Cause(who.key_id, request),
            )
        except Refused as refused:
            raise _refused(refused.refusal) from refused
        except service.NoSuchContact as error:
            raise ApiError(
                422,
                "recipient.unknown",
                f"{message.to} is nobody here.",
                "Give a phone number with its country code, a user id, or contact: and an id of this number's.",
            ) from error
        except service.OtherMessage as error:
            raise ApiError(
                409,
                "idempotency.reused",
                f"This Idempotency-Key belongs to another message, {error.outbox_id}.",
                "Make a new key for each message; keep it only to repeat the same request.",
            ) from error
        return await _message(tx, number_id, outbox_id)


@router.get("/messages", summary="List messages", tags=["Messages"])
async def list_messages(
    app: Here,
    number_id: Read,
    state: Annotated[State | None, Query(description="Only those in this state.")] = None,
    contact: Annotated[int | None, Query(ge=1, le=BIGGEST_ID, description="Only those to this contact.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = PAGE,
    cursor: Annotated[str | None, Query(pattern="^[0-9]{1,18}$", description="`next` of the page before.")] = None,
) -> Page:
    """What was sent from this platform, newest first. What was typed on the phone isn't among it."""
    before = int(cursor) if cursor else BIGGEST_ID
    async with app.db.transaction() as tx:
        rows = await outbox.messages(tx, number_id, before=before, state=state, contact_id=contact, limit=limit + 1)
    more = len(rows) > limit
    return Page(messages=[Sent.of(row) for row in rows[:limit]], next=str(rows[limit - 1].id) if more else None)


@router.get("/messages/{message_id}", summary="See what became of a message", tags=["Messages"])
async def get_message(app: Here, number_id: Read, message_id: Id) -> Sent:
    async with app.db.transaction() as tx:
        return await _message(tx, number_id, message_id)


@router.post("/messages/{message_id}/cancel", summary="Take a message back", tags=["Messages"], responses=errors(409))
async def cancel_message(app: Here, number_id: Written, message_id: Id) -> Sent:
    """As long as it waits. What Meta has can't be taken back; doing it twice is no mistake."""
    async with app.db.transaction() as tx:
        known = await _message(tx, number_id, message_id)
        if known.state == "cancelled":
            return known
        try:
            await choices.cancel(tx, number_id, known.to.contact, message_id, app.clock.now())
        except Refused as refused:
            raise ApiError(
                409,
                "message.too_late",
                f"Message {message_id} doesn't wait any more: it is {known.state.replace('_', ' ')}.",
                "Messages that were sent can be deleted on the phone only.",
            ) from refused
        return await _message(tx, number_id, message_id)


async def _message(tx: Tx, number_id: int, message_id: int) -> Sent:
    row = await outbox.message(tx, number_id, message_id)
    if row is None:
        raise _no_message(message_id)
    return Sent.of(row)


def _no_message(message_id: int) -> ApiError:
    return ApiError(
        404,
        "message.unknown",
        f"This number's outbox has no message {message_id}.",
        "Take the id that sending answered; it isn't the wamid.",
    )


def _refused(refusal: Refusal) -> ApiError:
    return ApiError(422, refusal.rule, refusal.text, refusal.what_to_do)


# --- files ----------------------------------------------------------------------------------------------------------

UPLOAD: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "One file, at most 100 MB."}
                    },
                }
            }
        },
    }
}


@router.post(
    "/media",
    status_code=201,
    summary="Upload a file",
    tags=["Media"],
    responses=errors(413, 422),
    openapi_extra=UPLOAD,
)
async def upload(app: Here, number_id: Annotated[int, number("media:write")], request: Request) -> Handle:
    """Keeps a file to send, as often as wanted. What it is, its content says; what WhatsApp doesn't take is refused.

    The form is read here and not before, so that nobody without a key can make us read one.
    """
    async with request.form(max_files=1, max_fields=5) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise ApiError(
                400, "request.invalid", "The form has no file.", "Send multipart/form-data with a part named file."
            )
        draft = await service.attach(app, await file.read(), file.filename or "file", None)
    if refusal := messages.media(draft.type, draft.content or {}):
        raise _refused(refusal)
    async with app.db.transaction() as tx:
        handle = await handles.keep(tx, number_id, draft, app.clock.now())
    content = draft.content or {}
    shown = {name: content[name] for name in ("mime_type", "filename", "size", "sha256")}
    return Handle(media=handle, type=draft.type, **shown)


async def _kept(tx: Tx, number_id: int, message: Message) -> Files:
    """The files that a message names. Raises ApiError 422 for those that aren't this number's."""
    file = getattr(message, getattr(message, "type"), None)  # noqa: B009
    if not isinstance(file, File) or file.media is None:
        return {}
    kept = await handles.kept(tx, number_id, file.media)
    if kept is None:
        raise ApiError(
            422,
            "media.unknown",
            f"This number has no uploaded file {file.media}.",
            "Upload it first: POST …/media; each number has its own.",
        )
    return {file.media: kept}


# --- chats ----------------------------------------------------------------------------------------------------------


@router.get("/chats/{recipient}", summary="See where a chat stands", tags=["Chats"], responses=errors(422))
async def get_chat(
    app: Here,
    number_id: Read,
    recipient: Annotated[Text, Path(max_length=200, examples=["+351910000001"])],
) -> Chat:
    """Whether free-form messages may go out now, why, and until when."""
    now = app.clock.now()
    async with app.db.transaction() as tx:
        try:
            sender, person = await service.standing(tx, number_id, recipient, now)
        except Refused as refused:
            raise _refused(refused.refusal) from refused
        except service.NoSuchContact as error:
            raise ApiError(404, "contact.unknown", f"There is no {recipient}.", "Ask by phone number.") from error
        asked = person.contact_id or recipient
        told = [await costs.estimate(tx, number_id, asked, category, now) for category in PRICED]
        facts = await costs.standing(tx, number_id, asked, now)
        consent = await contacts.consent(tx, number_id, person.contact_id)
    assert facts is not None
    opening = service.window_of(sender, person, now)
    return Chat(
        to=Person(contact=person.contact_id, phone=person.phone, user_id=person.bsuid) if person.contact_id else None,
        window=Window(open=opening.open, reason=opening.reason, says=windows.text(opening.reason), until=opening.until),
        opted_out=not consent.allowed,
        floor=floor.holder_now(speech.floor_of(person), now),
        estimates=[Estimate.model_validate(one) for one in told if one is not None],
        service_messages=ServiceMessages(
            sent_this_month=facts.service_sent, free_left=facts.free_left, resets_at=facts.resets_at, zone=facts.zone
        ),
        free_entry_point=FreeEntryPoint(until=facts.free_entry_until, answer_by=facts.free_entry_by),
        phone_link=costs.phone_link(person.phone),
    )
