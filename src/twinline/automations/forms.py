"""What the editor offers, as data: every trigger, condition and step with its name, its fields and where it stands in
the menu.

The page draws its forms from these tables (static/automations/fields.js has one widget for each ``kind`` of field), so
that a new step is a new entry here. What a definition may hold is ``automations.schema``'s to say; a table that offers
something else is caught by a test.

A field's ``name`` is its key in the object; "" means the value itself (``wait: 10m``). ``show`` names another field and
the values with which this one is shown. ``more`` puts it behind "More".
``makes`` is what is made elsewhere where there is none to choose (``builder.MADE_AT``).
"""

from typing import Any, Final

Json = dict[str, Any]


def _field(name: str, label: str, kind: str, **more: Any) -> Json:
    return {"name": name, "label": label, "kind": kind, **more}


def _offer(label: str, icon: str, group: str, hint: str, *fields: Json, initial: Any = None, **more: Any) -> Json:
    return {"label": label, "icon": icon, "group": group, "hint": hint, "fields": fields, "initial": initial, **more}


def _options(*pairs: tuple[str, str]) -> list[list[str]]:
    return [list(pair) for pair in pairs]


DAYS: Final = _options(
    ("mon", "Mon"), ("tue", "Tue"), ("wed", "Wed"), ("thu", "Thu"), ("fri", "Fri"), ("sat", "Sat"), ("sun", "Sun")
)

MATCHES: Final = _options(
    ("word", "as a word of its own"),
    ("contains", "anywhere"),
    ("exact", "and nothing else"),
    ("starts", "at the beginning"),
    ("pattern", "like a pattern: pric* or order #"),
)

TRIGGERS: Final[dict[str, Json]] = {
    "message": _offer("Any message", "chats", "The customer", "Whatever a customer writes", initial={}),
    "keyword": _offer(
        "Certain words", "search", "The customer", "When a message has a word like “price”",
        _field("words", "Words", "words", hint="Any of them is enough. Capitals and accents don't matter."),
        _field("match", "They stand", "choice", options=MATCHES),
        initial={"words": [], "match": "word"},
    ),
    "first_contact": _offer(
        "Their first message", "hand", "The customer", "The very first message of somebody who wrote first", initial={}
    ),
    "button": _offer(
        "A button or a list row", "button", "The customer", "When a button of a message or template is pressed",
        _field("titles", "Titles", "words", hint="As it reads on the button. Empty: any button.", optional=True),
        _field("ids", "Ids", "words", hint="For developers: the button's id.", optional=True, more=True),
        initial={"titles": []},
    ),
    "referral": _offer(
        "They came by an ad", "megaphone", "The customer", "From an ad that opens WhatsApp",
        _field("ad_ids", "Ads", "words", hint="The ids of the ads. Empty: any ad.", optional=True),
        initial={},
    ),
    "campaign_reply": _offer(
        "A reply to a campaign", "megaphone", "The customer", "When somebody answers what a campaign sent",
        _field("campaigns", "Campaigns", "many", of="campaigns", hint="None chosen: any campaign.", optional=True),
        _field("buttons", "Buttons", "words", hint="Only if one of these was pressed. Empty: any answer.",
               optional=True),
        initial={},
    ),
    "no_answer": _offer(
        "Nobody has answered", "clock", "Time", "A customer waits for longer than they should",
        _field("after", "For", "duration"),
        initial={"after": "15m"},
    ),
    "outside_hours": _offer(
        "A message outside hours", "moon", "Time", "When the shop is closed", initial={}
    ),
    "schedule": _offer(
        "A day and time", "history", "Time", "Every day, on some days, or once",
        _field("at", "At", "time"),
        _field("days", "On", "days", optional=True, hint="None chosen: every day."),
        _field("date", "Only on this date", "date", optional=True),
        initial={"at": "09:00", "days": ["mon", "tue", "wed", "thu", "fri"]},
    ),
    "tag_added": _offer(
        "A tag was given", "tag", "The contact", "By a person, a campaign or another automation",
        _field("tag", "Tag", "from", of="tags"),
        initial={"tag": ""},
    ),
    "opted_in": _offer(
        "They opted in", "check", "The contact", "Somebody wants marketing messages",
        _field("topic", "Topic", "text", optional=True, hint="Empty: any topic."),
        initial={},
    ),
    "opted_out": _offer("They opted out", "ban", "The contact", "Somebody doesn't want them any more", initial={}),
    "api": _offer(
        "By hand or by a program", "link", "The contact", "From the inbox, or through the API", initial={}
    ),
}  # fmt: skip

TESTS: Final = _options(
    ("is", "is"), ("is_not", "isn't"), ("contains", "contains"), ("empty", "is empty"), ("above", "is above"),
    ("below", "is below"),
)  # fmt: skip
DATED: Final = [*TESTS, ["before", "is before"], ["after", "is after"]]
TEXTS: Final = _options(
    ("word", "has the word"), ("contains", "contains"), ("exact", "is exactly"), ("starts", "begins with"),
    ("pattern", "is like"),
)  # fmt: skip

CONDITIONS: Final[dict[str, Json]] = {
    "choice": _offer(
        "They chose", "button", "What they said", "The button or row they pressed last",
        _field("", "Choice", "from", of="choices"),
        initial="",
    ),
    "text": _offer(
        "Their message", "chats", "What they said", "What they wrote last",
        _field("", "", "test", options=TEXTS, many=True),
        initial={"word": ""},
    ),
    "var": _offer(
        "An answer", "list", "What they said", "Something that was asked and kept",
        _field("name", "Answer", "from", of="vars"),
        _field("", "", "test", options=TESTS),
        initial={"name": "", "is": ""},
    ),
    "tag": _offer("The tag", "tag", "The contact", "", _field("", "Tag", "from", of="tags"), initial=""),
    "field": _offer(
        "The field", "person", "The contact", "",
        _field("key", "Field", "from", of="fields"),
        _field("", "", "test", options=DATED),
        initial={"key": "", "is": ""},
    ),
    "language": _offer(
        "Their language", "chats", "The contact", "", _field("", "Language", "text", placeholder="pt"), initial=""
    ),
    "hours": _offer(
        "The shop is", "clock", "Time", "",
        _field("", "", "choice", options=_options(("open", "open"), ("closed", "closed"))),
        initial="open",
    ),
    "time": _offer(
        "The time is", "clock", "Time", "",
        _field("from", "from", "time", optional=True),
        _field("to", "to", "time", optional=True),
        _field("days", "on", "days", optional=True),
        initial={"from": "09:00", "to": "12:00"},
    ),
    "window": _offer(
        "The 24-hour window is", "clock", "Time", "",
        _field("", "", "choice", options=_options(("open", "open"), ("closed", "closed"))),
        initial="open",
    ),
    "assigned": _offer(
        "The chat", "person", "The contact", "",
        _field("", "", "yes", options=[["yes", "is assigned to somebody"], ["no", "is nobody's"]]),
        initial=True,
    ),
    "any": _offer("One of these", "list", "Together", "At least one must hold", _field("", "", "conditions"),
                  initial=[{"tag": ""}]),
    "all": _offer("All of these", "check", "Together", "Every one must hold", _field("", "", "conditions"),
                  initial=[{"tag": ""}]),
}  # fmt: skip

MESSAGES: Final = _options(
    ("text", "Text"), ("buttons", "Buttons"), ("list", "List"), ("image", "Picture"), ("video", "Video"),
    ("document", "Document"), ("audio", "Audio"), ("sticker", "Sticker"), ("location", "Place"),
    ("contacts", "Contact"), ("cta_url", "Link"), ("flow", "Form"), ("reaction", "Reaction"), ("template", "Template"),
)  # fmt: skip
INTERACTIVE: Final = ["buttons", "list", "cta_url", "flow"]
WORDED: Final = ["text", *INTERACTIVE]
CAPTIONED: Final = ["image", "video", "document"]
FILES: Final = [*CAPTIONED, "audio", "sticker"]
QUOTING: Final = [kind for kind, _ in MESSAGES if kind not in ("template", "reaction")]
CARD: Final = [
    _field("name", "Name", "text"),
    _field("phone", "Phone", "text", placeholder="+351 910 000 000"),
    _field("email", "E-mail", "text", optional=True),
    _field("company", "Company", "text", optional=True),
]


def _message() -> list[Json]:
    return [
        _field("type", "What", "segments", options=MESSAGES, default="text"),
        _field("text", "Text", "long", show={"type": WORDED}, placeholders=True),
        _field("buttons", "Buttons", "choices", show={"type": ["buttons"]}, most=3,
               hint="Up to three. What is pressed can be looked at in a branch."),
        _field("button", "What opens the list", "text", show={"type": ["list"]}, placeholder="Choose", optional=True),
        _field("sections", "Rows", "sections", show={"type": ["list"]}),
        _field("media", "File", "media", show={"type": FILES}, optional=True, without="link"),
        _field("link", "or its address on the web", "text", show={"type": FILES}, optional=True, without="media",
               placeholder="https://", placeholders=True),
        _field("caption", "Words under it", "long", show={"type": CAPTIONED}, optional=True, placeholders=True),
        _field("filename", "What it is called", "text", show={"type": ["document"]}, optional=True, more=True,
               placeholder="Price list.pdf"),
        _field("voice", "As a voice message", "check", show={"type": ["audio"]}, optional=True, more=True),
        _field("button", "On the button", "text", show={"type": ["cta_url", "flow"]}, placeholder="Open"),
        _field("url", "Address", "text", show={"type": ["cta_url"]}, placeholder="https://", placeholders=True),
        _field("flow", "The form's id", "text", show={"type": ["flow"]},
               hint="It is made at Meta, in WhatsApp Manager under Flows."),
        _field("screen", "Its first screen", "text", show={"type": ["flow"]}, optional=True, more=True),
        _field("data", "What it begins with", "json", show={"type": ["flow"]}, optional=True, more=True),
        _field("name", "Name", "text", show={"type": ["location"]}, optional=True),
        _field("address", "Address", "text", show={"type": ["location"]}, optional=True),
        _field("latitude", "Latitude", "number", show={"type": ["location"]}),
        _field("longitude", "Longitude", "number", show={"type": ["location"]}),
        _field("contacts", "Contacts", "items", show={"type": ["contacts"]}, fields=CARD, add="Add a contact"),
        _field("emoji", "Emoji", "text", show={"type": ["reaction"]}, placeholder="👍",
               hint="It is put on what they wrote last."),
        _field("template", "Template", "template", show={"type": ["template"]}),
        _field("header", "Heading", "heading", show={"type": INTERACTIVE}, optional=True, more=True),
        _field("footer", "Small print", "text", show={"type": INTERACTIVE}, optional=True, more=True),
        _field("preview", "Show a preview of the first link", "check", show={"type": ["text"]}, optional=True,
               more=True),
        _field("quote", "Quote what they wrote last", "check", show={"type": QUOTING}, optional=True, more=True),
    ]  # fmt: skip


KINDS: Final = _options(
    ("", "anything, or one of the choices"), ("text", "words"), ("number", "a number"), ("email", "an e-mail address"),
    ("phone", "a phone number"), ("date", "a date"),
)  # fmt: skip

STEPS: Final[dict[str, Json]] = {
    "send": _offer(
        "Send a message", "send", "Say", "Text, buttons, a picture, a place, a template",
        *_message(),
        initial={"text": ""},
        preview=True,
    ),
    "ask": _offer(
        "Ask and wait", "question", "Say", "A question; goes on when they answer",
        _field("text", "Question", "long", placeholders=True),
        _field("choices", "Choices", "choices", optional=True, most=10,
               hint="None: they answer in their own words. Up to three become buttons, more a list."),
        _field("kind", "The answer must be", "choice", options=KINDS, default="", optional=True),
        _field("save", "Keep it as", "name", hint="To use it later, like {{vars.email}}.", optional=True),
        _field("timeout", "Wait at most", "duration", optional=True, empty="for ever"),
        _field("tries", "Ask at most", "number", optional=True, unit="times", more=True, placeholder="2"),
        _field("again", "Say when it doesn't fit", "long", optional=True, more=True, placeholders=True),
        initial={"text": ""},
        preview=True,
        lanes=[["on_timeout", "If nobody answers in time"], ["on_invalid", "If the answer never fits"]],
    ),
    "branch": _offer(
        "Branch", "branch", "Decide", "Different ways for different answers, times or people", initial=[], cases=True
    ),
    "wait": _offer(
        "Wait", "clock", "Decide", "Ten minutes, a day …", _field("", "For", "duration"), initial="10m"
    ),
    "start": _offer(
        "Go on with another", "forward", "Decide", "Ends here and begins another automation",
        _field("automation", "Automation", "from", of="automations"),
        initial={"automation": ""},
    ),
    "end": _offer("End", "flag", "Decide", "Nothing more comes", initial={}),
    "release": _offer(
        "Hand to a person", "person", "People", "Falls silent; somebody of the team goes on",
        _field("note", "Note for the team", "long", optional=True, placeholders=True),
        initial={},
    ),
    "assign": _offer(
        "Assign the chat", "people", "People", "To somebody of the team",
        _field("to", "To", "from", of="users"),
        initial={"to": "nobody"},
    ),
    "note": _offer(
        "Leave a note", "edit", "People", "Only your team sees it, in the chat's log",
        _field("", "Note", "long", placeholders=True),
        initial="",
    ),
    "tag": _offer(
        "Tags", "tag", "Contact", "Give or take tags",
        _field("add", "Give", "words", of="tags", optional=True),
        _field("remove", "Take away", "words", of="tags", optional=True),
        initial={"add": []},
    ),
    "set": _offer(
        "Write a field", "person", "Contact", "Keep something about this contact",
        _field("field", "Field", "from", of="fields", optional=True, without="var"),
        _field("var", "or only during this run, as", "name", optional=True, without="field", more=True),
        _field("to", "Write", "text", placeholders=True),
        initial={"field": "", "to": ""},
    ),
    "call": _offer(
        "Ask another system", "link", "Outside", "Call a web address and use what it answers",
        _field("method", "Method", "choice", default="POST",
               options=_options(*((m, m) for m in ("GET", "POST", "PUT", "PATCH", "DELETE")))),
        _field("url", "Address", "text", placeholders=True, placeholder="https://"),
        _field("save", "Keep the answer as", "name", optional=True,
               hint="To use it later, like {{vars.order.status}}."),
        _field("connection", "Connection", "from", of="connections", optional=True,
               hint="Adds its secret headers."),
        _field("body", "Body", "json", optional=True, more=True, placeholders=True),
        _field("headers", "Headers", "pairs", optional=True, more=True),
        _field("timeout", "Wait at most", "duration", optional=True, more=True),
        _field("retries", "Try again", "number", optional=True, unit="times", more=True),
        initial={"method": "GET", "url": ""},
        lanes=[["ok", "If it answers"], ["failed", "If it fails"]],
    ),
    "bot": _offer(
        "Hand to a bot", "robot", "Outside", "Another system writes the answers until it says it's done",
        _field("connection", "Connection", "from", of="connections", makes="connection"),
        _field("for", "At most for", "duration", optional=True),
        _field("timeout", "Wait for each answer", "duration", optional=True, more=True),
        initial={"connection": ""},
        lanes=[["failed", "If it fails"]],
    ),
    "agent": _offer(
        "AI agent", "spark", "Outside", "A language model answers, within the limits you set",
        _field("connection", "Connection", "from", of="connections", makes="connection"),
        _field("instructions", "Instructions", "long", placeholders=True),
        _field("knowledge", "Knowledge", "many", of="knowledge", optional=True, makes="knowledge"),
        _field("tools", "It may", "many", of="tools", optional=True),
        _field("approve", "Show me each answer before it goes out", "check", optional=True),
        _field("for", "At most for", "duration", optional=True),
        _field("budget", "Budget", "budget", optional=True, more=True),
        initial={"connection": "", "instructions": "", "approve": True},
        lanes=[["failed", "If it fails"]],
    ),
}  # fmt: skip

SETTINGS: Final = [
    _field("numbers", "On which numbers", "numbers"),
    _field("once_per", "Not again for the same chat within", "duration", optional=True, empty="no limit"),
    _field("pause_on_phone", "After a reply from the phone, silent for", "duration", optional=True,
           empty="as the number says"),
    _field("answer_left_open", "When a person hands the chat back, answer what was asked meanwhile", "check",
           default=True),
    _field("answer_within", "But only if it was asked within the last", "duration", optional=True, empty="12 hours"),
    _field("quiet_for", "Wait for more words before answering", "duration", optional=True, empty="3 seconds",
           hint="Several quick messages are one."),
]  # fmt: skip

LIMITS: Final = [
    _field("messages_per_hour", "Messages in one chat and hour", "number", optional=True, placeholder="20"),
    _field("steps", "Steps in one run", "number", optional=True, placeholder="200"),
    _field("total", "A run lasts at most", "duration", optional=True, empty="24 hours"),
]

CATALOGUE: Final = {
    "triggers": TRIGGERS,
    "conditions": CONDITIONS,
    "steps": STEPS,
    "settings": SETTINGS,
    "limits": LIMITS,
    "days": DAYS,
}
