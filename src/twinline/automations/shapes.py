"""What a definition may hold: values, messages, triggers, conditions and steps, as pydantic has them.

What a validator refuses is a sentence that stands behind the place (`problems.problem`). `schema` reads and writes.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeAlias, Union

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from twinline.automations import messages
from twinline.automations.problems import a, meant
from twinline.contacts import conditions as contacts
from twinline.rules import messages as limits
from twinline.rules.automations import asking, filling, matching, words
from twinline.rules.automations.program import DEFAULTS, duration
from twinline.rules.keywords import normalise

Json = Mapping[str, Any]

LONGEST_NAME: Final = 80

# --- values ---------------------------------------------------------------------------------------------------------


def _refuse(says: str) -> PydanticCustomError:
    """``says`` becomes a sentence behind the place: “Step 3: …”."""
    return PydanticCustomError("says", "{says}", {"says": says})


def _some(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("missing", "empty")
    return text


def _templated(text: str) -> str:
    for said in re.findall(r"\{\{.*?(?:\}\}|$)", text, re.DOTALL):
        found = filling.PLACEHOLDER.fullmatch(said)
        if found is None:
            raise _refuse(f"“{words.short(said)}” isn't a placeholder; one is written like {{{{contact.name|there}}}}")
        if found[1].split(".")[0] not in filling.ROOTS:
            raise _refuse(f"there is no placeholder “{found[1]}”; they begin with {', '.join(filling.ROOTS)}")
    return text


def _length(text: str) -> str:
    try:
        duration(text)
    except ValueError as error:
        raise _refuse(str(error)) from error
    return text.replace(" ", "").lower()


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise _refuse("a date is written like 2026-12-24") from error


def _language(text: str) -> str:
    try:
        return contacts.language(text)
    except ValueError as error:
        raise _refuse(str(error)) from error


Text = Annotated[str, AfterValidator(_some), Field(max_length=4096)]
Word = Annotated[str, AfterValidator(_some), Field(max_length=200)]
Templated = Annotated[Text, AfterValidator(_templated)]
Filled = Annotated[str, AfterValidator(_templated), Field(max_length=4096)]
"""A text that may be empty."""
Length = Annotated[
    str,
    AfterValidator(_length),
    Field(description="A length of time: 45s, 10m, 2h or 1d.", examples=["30m"]),
]
Clock = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["09:00"])]
Date = Annotated[str, AfterValidator(_date), Field(examples=["2026-12-24"])]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Language = Annotated[str, AfterValidator(_language), Field(examples=["pt_BR"])]
Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", description="Small letters, digits and _.")]
Id = Annotated[str, AfterValidator(_some), Field(max_length=200)]
Tags = Annotated[list[Word], Field(max_length=20)]


class Part(BaseModel):
    """An object of a definition: what isn't known is refused, for a misspelt key would be silently ignored."""

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True, populate_by_name=False, serialize_by_alias=True
    )


class Nothing(Part):
    """Has nothing to say."""


def canonical(part: Part) -> dict[str, Any]:
    """As JSON, without what is as by default."""
    return part.model_dump(mode="json", exclude_defaults=True)


def _default(kind: str, name: str) -> Any:
    return DEFAULTS[kind][name]


def _model(name: str, key: str, shape: Any) -> type[Part]:
    fields: Any = {key: (shape, ...)}
    made: type[Part] = create_model(name, __base__=Part, **fields)
    return made


def _either(kinds: Mapping[str, Any], noun: str) -> Any:
    """An object with one key, which is its kind: a type for pydantic, and its JSON Schema.

    A union's name for its members stands in the paths of errors; `problems` knows ours by their first character.
    """

    def checked(value: Any) -> Any:
        if isinstance(value, BaseModel):
            return value
        if not isinstance(value, Mapping) or len(value) != 1:
            have = f"; this one has {', '.join(map(str, value)) or 'none'}" if isinstance(value, Mapping) else ""
            raise _refuse(f"{a(noun)} has one key, its kind{have}")
        [(kind, given)] = value.items()
        if kind not in kinds:
            raise _refuse(f"there is no {noun} “{words.short(str(kind))}”{meant(str(kind), kinds)}")
        return {kind: {} if given is None else given}

    members = [
        Annotated[
            _model(f"{kind.title().replace('_', '')}{noun.title()}", kind, shape),
            Tag(f"<{kind}"),
        ]
        for kind, shape in kinds.items()
    ]
    by_kind = Discriminator(
        lambda value: f"<{next(iter(value if isinstance(value, Mapping) else value.model_fields_set))}"
    )
    return Annotated[Union[tuple(members)], by_kind, BeforeValidator(checked)]  # noqa: UP007


# --- messages -------------------------------------------------------------------------------------------------------


def _or_text(schema: dict[str, Any]) -> None:
    written = {**schema, "required": ["title"]}
    schema.clear()
    schema["anyOf"] = [{"type": "string", "description": "Its title."}, written]


class Choice(Part):
    """A button or a row. Written as a plain text it is its title, and its id is made of that."""

    model_config = ConfigDict(json_schema_extra=_or_text)

    id: Id
    title: Templated
    description: Filled | None = None

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            value = {"title": str(value)}
        if isinstance(value, Mapping) and not value.get("id") and isinstance(value.get("title"), str):
            value = {**value, "id": normalise(value["title"]).replace(" ", "_")[:200] or value["title"]}
        return value


class Header(Part):
    """What stands above the words."""

    type: Literal["image", "video", "document"]
    link: Templated


class Message(Part):
    type: str
    quote: bool = Field(default=False, description="Whether it quotes what the customer wrote last.")


class TextMessage(Message):
    type: Literal["text"] = "text"
    text: Templated
    preview: bool = Field(default=False, description="Whether the first link gets a preview.")


class _File(Message):
    media: Id | None = Field(default=None, description="A file that was uploaded here.")
    link: Templated | None = Field(default=None, description="An https address.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.media is None) is (self.link is None):
            raise _refuse("a message with a file needs the file, or a link to one")
        return self


class ImageMessage(_File):
    type: Literal["image"]
    caption: Filled | None = None


class VideoMessage(_File):
    type: Literal["video"]
    caption: Filled | None = None


class DocumentMessage(_File):
    type: Literal["document"]
    caption: Filled | None = None
    filename: Filled | None = None


class AudioMessage(_File):
    type: Literal["audio"]
    voice: bool = False


class StickerMessage(_File):
    type: Literal["sticker"]


class LocationMessage(Message):
    type: Literal["location"]
    latitude: float
    longitude: float
    name: Filled | None = None
    address: Filled | None = None


class Card(Part):
    name: Templated
    phone: Templated
    email: Templated | None = None
    company: Templated | None = None


class ContactsMessage(Message):
    type: Literal["contacts"]
    contacts: Annotated[list[Card], Field(min_length=1)]


class ReactionMessage(Message):
    """To what the customer wrote last."""

    type: Literal["reaction"]
    emoji: Word


class _Interactive(Message):
    text: Templated
    header: Header | Templated | None = None
    footer: Filled | None = None


class ButtonsMessage(_Interactive):
    type: Literal["buttons"]
    buttons: list[Choice]


class Section(Part):
    title: Filled | None = None
    rows: list[Choice]


class ListMessage(_Interactive):
    type: Literal["list"]
    button: Templated = Field(default=_default("ask", "button"), description="What opens the list.")
    sections: list[Section]

    @model_validator(mode="before")
    @classmethod
    def _sectioned(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "rows" in value and "sections" not in value:
            return {name: part for name, part in value.items() if name != "rows"} | {
                "sections": [{"rows": value["rows"]}]
            }
        return value


class LinkMessage(_Interactive):
    type: Literal["cta_url"]
    button: Templated
    url: Templated


class FlowMessage(_Interactive):
    type: Literal["flow"]
    button: Templated
    flow: Id = Field(description="The flow's id at Meta.")
    screen: Id | None = None
    data: dict[str, Any] | None = None


class Template(Part):
    """``values`` by slot key, such as ``body.1``."""

    name: Id
    language: Id = Field(examples=["en_US"])
    values: dict[str, Filled | dict[str, Any]] = Field(default_factory=dict)


class TemplateMessage(Message):
    type: Literal["template"]
    template: Template


MESSAGES: Final = {
    str(shape.model_fields["type"].annotation.__args__[0]): shape  # type: ignore[union-attr]
    for shape in (
        TextMessage, ImageMessage, VideoMessage, AudioMessage, DocumentMessage, StickerMessage, LocationMessage,
        ContactsMessage, ReactionMessage, ButtonsMessage, ListMessage, LinkMessage, FlowMessage, TemplateMessage,
    )
}  # fmt: skip


def _typed(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value if isinstance(value, BaseModel) else _unlike_a_message()
    kind = value.get("type") or "text"
    if kind not in MESSAGES:
        raise _refuse(f"there is no type of message “{words.short(str(kind))}”{meant(str(kind), MESSAGES)}")
    return value


def _unlike_a_message() -> None:
    raise _refuse("a message is an object with a text, or with a type and what belongs to it")


def _sendable(message: Any) -> Any:
    """What WhatsApp takes, `rules.messages` knows; placeholders stand for a letter, and a file for itself."""
    _complain(canonical(message))
    return message


def _complain(message: Json) -> None:
    said = filling.PLACEHOLDER.sub
    refusal = messages.problem(_mapped(message, lambda text: said("x", text)))
    if refusal is not None:
        raise _refuse(refusal.says)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: _mapped(part, change) for name, part in value.items()}
    return [_mapped(part, change) for part in value] if isinstance(value, list) else value


if TYPE_CHECKING:
    AnyMessage: TypeAlias = Message
else:
    AnyMessage = TypeAliasType(
        "Message",
        Annotated[
            Union[tuple(Annotated[shape, Tag(f"<{kind}")] for kind, shape in MESSAGES.items())],  # noqa: UP007
            Discriminator(
                lambda value: "<" + ((value.get("type") if isinstance(value, Mapping) else value.type) or "text")
            ),
            BeforeValidator(_typed),
            AfterValidator(_sendable),
        ],
    )


# --- triggers -------------------------------------------------------------------------------------------------------


class Keyword(Part):
    words: Annotated[list[Word], Field(min_length=1, max_length=50)]
    match: Literal["word", "exact", "starts", "contains", "pattern"] = Field(
        default="word", description="A pattern: `*` is any words, `#` a number, `pric*` a word that begins so."
    )


class Button(Part):
    ids: list[Id] = []
    titles: list[Word] = []


class Referral(Part):
    ad_ids: list[Id] = []


class CampaignReply(Part):
    campaigns: list[int] = []
    buttons: list[Word] = []


class OptedIn(Part):
    topic: str = Field(default="", max_length=40, description="Empty: any.")


class NoAnswer(Part):
    after: Length


class TagAdded(Part):
    tag: Word


class Schedule(Part):
    """For chats that meet `when`, on the clock of the number's zone."""

    at: Clock
    days: list[Day] = []
    date: Date | None = None


TRIGGERS: Final[Mapping[str, Any]] = {
    "message": Nothing,
    "keyword": Keyword,
    "first_contact": Nothing,
    "button": Button,
    "referral": Referral,
    "campaign_reply": CampaignReply,
    "opted_in": OptedIn,
    "opted_out": Nothing,
    "outside_hours": Nothing,
    "no_answer": NoAnswer,
    "tag_added": TagAdded,
    "schedule": Schedule,
    "api": Nothing,
}


# --- conditions -----------------------------------------------------------------------------------------------------

OpenOrClosed = Literal["open", "closed"]
Words = Templated | Annotated[list[Templated], Field(min_length=1, max_length=50)]


def _any_of(part: Part, names: Iterable[str], says: str) -> None:
    if all(getattr(part, name) is None for name in names):
        raise _refuse(says)


class TextTest(Part):
    word: Words | None = None
    contains: Words | None = None
    exact: Words | None = None
    starts: Words | None = None
    pattern: Words | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        _any_of(self, TextTest.model_fields, f"a text is compared with one of {', '.join(matching.WAYS)}")
        return self


class _Test(Part):
    is_: Filled | None = Field(default=None, alias="is")
    is_not: Filled | None = None
    contains: Templated | None = None
    empty: bool | None = None
    above: Templated | None = None
    below: Templated | None = None
    before: Templated | None = None
    after: Templated | None = None

    @field_validator("is_", "is_not", mode="before")
    @classmethod
    def _said(cls, value: Any) -> Any:
        """``is: true`` compares with the word, as an answer's JSON is kept."""
        return str(value).lower() if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _some(self) -> Self:
        _any_of(self, _Test.model_fields, f"it is compared by one of {', '.join(matching.COMPARED)}")
        return self


class _OfVar(Part):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[^\s.{}]+)*$", max_length=200)]


class _OfField(Part):
    key: Key


class VarTest(_Test, _OfVar):
    """What the conversation keeps: an answer, or a part of one such as order.status."""


class FieldTest(_Test, _OfField):
    """A field of the contact."""


class TimeTest(Part):
    from_: Clock | None = Field(default=None, alias="from")
    to: Clock | None = None
    days: list[Day] = []


if TYPE_CHECKING:
    Condition: TypeAlias = Part
else:
    Condition = TypeAliasType(
        "Condition",
        _either(
            {
                "hours": OpenOrClosed,
                "window": OpenOrClosed,
                "text": TextTest,
                "choice": Word,
                "var": VarTest,
                "field": FieldTest,
                "tag": Word,
                "language": Language,
                "time": TimeTest,
                "assigned": bool,
                "not": "Condition",
                "any": "Conditions",
                "all": "Conditions",
            },
            "condition",
        ),
    )

Conditions = Annotated[list[Condition], Field(min_length=1, max_length=50)]


# --- steps ----------------------------------------------------------------------------------------------------------


class Ask(Part):
    text: Templated
    choices: Annotated[list[Choice], Field(max_length=limits.ROWS)] = []
    button: Templated = Field(
        default=_default("ask", "button"), description="What opens the list of more than three choices."
    )
    kind: Literal["any", "text", "number", "email", "phone", "date", "choice"] | None = Field(
        default=None, description="What counts as an answer; a choice where there are choices, else anything."
    )
    save: Key | None = Field(default=None, description="The variable that keeps the answer: {{vars.…}}.")
    tries: int = Field(default=_default("ask", "tries"), ge=1, le=10, description="How often it asks at most.")
    again: Templated | None = Field(default=None, description="What it says when an answer doesn't fit.")
    timeout: Length | None = None
    on_timeout: "Steps | None" = None
    on_invalid: "Steps | None" = None

    @model_validator(mode="after")
    def _askable(self) -> Self:
        asked = canonical(self)
        if asking.kind_of(asked) == "choice" and not self.choices:
            raise _refuse("an ask for a choice needs choices")
        for text in filter(None, (self.text, self.again)):
            _complain(asking.message(asked, text, self.button))
        return self


class Case(Part):
    when: Conditions | None = None
    otherwise: bool = False
    steps: "Steps" = []

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.when is None) is not self.otherwise:
            raise _refuse("a case of a branch needs conditions, or is the one for otherwise")
        return self


def _ordered(cases: list[Case]) -> list[Case]:
    if any(case.otherwise for case in cases[:-1]):
        raise _refuse("the case for otherwise has to be the last of its branch")
    return cases


class Set(Part):
    field: Key | None = None
    var: Key | None = None
    to: Filled

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.field is None) is (self.var is None):
            raise _refuse("a set needs a field of the contact, or a var of the conversation")
        return self


class SetTags(Part):
    add: Tags = []
    remove: Tags = []

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.add and not self.remove:
            raise _refuse("a tag needs tags to add or to remove")
        return self


class Assign(Part):
    to: Word = Field(description="A user's e-mail address, or nobody.")


class Call(Part):
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = _default("call", "method")
    url: Templated
    headers: dict[str, Filled] = {}
    body: Any = None
    connection: Word | None = None
    save: Key | None = None
    timeout: Length = _default("call", "timeout")
    retries: int = Field(default=_default("call", "retries"), ge=0, le=5)
    ok: "Steps | None" = None
    failed: "Steps | None" = None

    @model_validator(mode="after")
    def _addressed(self) -> Self:
        begins = re.match(r"https?://[^/?#{}\s]+(?=[/?#]|$)", self.url)
        if not begins and not (self.connection and self.url[0] in "/?"):
            raise _refuse("a call needs an address that begins with https:// and its host")
        return self


class Start(Part):
    automation: Word


class Bot(Part):
    connection: Word
    timeout: Length = _default("bot", "timeout")
    for_: Length = Field(default=_default("bot", "for"), alias="for")
    failed: "Steps | None" = None


class Budget(Part):
    replies: int | None = Field(default=None, ge=1, le=1000)
    tokens: int | None = Field(default=None, ge=1)


class Agent(Part):
    connection: Word
    instructions: Annotated[str, AfterValidator(_some), AfterValidator(_templated), Field(max_length=20_000)]
    knowledge: Annotated[list[Word], Field(max_length=100)] = []
    tools: list[Annotated[str, Field(pattern=r"^(tag|assign|set|note|release|end|call:.{1,100})$")]] = []
    approve: bool = Field(default=False, description="Whether a person sees each answer before it goes out.")
    budget: Budget | None = None
    timeout: Length = _default("agent", "timeout")
    for_: Length = Field(default=_default("agent", "for"), alias="for")
    failed: "Steps | None" = None


class Release(Part):
    to: Literal["person"] = "person"
    note: Filled | None = None


STEPS: Final[Mapping[str, Any]] = {
    "send": AnyMessage,
    "ask": Ask,
    "branch": Annotated[list[Case], Field(min_length=1, max_length=20), AfterValidator(_ordered)],
    "wait": Length,
    "set": Set,
    "tag": SetTags,
    "assign": Assign,
    "note": Templated,
    "call": Call,
    "start": Start,
    "bot": Bot,
    "agent": Agent,
    "release": Release,
    "end": Nothing,
}

if TYPE_CHECKING:
    AnyTrigger: TypeAlias = Part
    AnyStep: TypeAlias = Part
else:
    AnyTrigger = TypeAliasType("Trigger", _either(TRIGGERS, "trigger"))
    AnyStep = TypeAliasType("Step", _either(STEPS, "step"))

Steps = list[AnyStep]


# --- the definition -------------------------------------------------------------------------------------------------


class Limits(Part):
    messages_per_hour: int = Field(default=_default("limits", "messages_per_hour"), ge=1, le=1000)
    steps: int = Field(default=_default("limits", "steps"), ge=1, le=1000)
    total: Length = _default("limits", "total")


class Settings(Part):
    numbers: Literal["all"] | Annotated[list[int], Field(min_length=1)] = "all"
    pause_on_phone: Length | None = Field(
        default=None, description="How long it is silent after a reply from the phone."
    )
    quiet_for: Length = Field(default=_default("settings", "quiet_for"), description="Quick messages are one turn.")
    once_per: Length | None = Field(default=None, description="Not again for the same chat within.")
    limits: Limits = Limits()
    answer_left_open: bool = _default("settings", "answer_left_open")
    answer_within: Length = _default("settings", "answer_within")


class Definition(Part):
    """An automation."""

    name: Annotated[str, AfterValidator(_some), Field(max_length=LONGEST_NAME)]
    description: str = Field(default="", max_length=2000)
    triggers: Annotated[list[AnyTrigger], Field(min_length=1, max_length=30)]
    when: Annotated[list[Condition], Field(max_length=50)] = []
    settings: Settings = Settings()
    steps: Annotated[list[AnyStep], Field(min_length=1)]


for _shape in (Ask, Case, Call, Bot, Agent, Definition):
    _shape.model_rebuild()
