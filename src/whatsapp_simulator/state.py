"""Everything the simulator remembers, as plain data: this tree is what a snapshot holds.

Only data lives here. The transitions stand in ``world`` and its neighbours, the JSON that Meta would show in
``wire``. Times are unix seconds on the simulator's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]

MESSAGE_FIELDS = frozenset({"messages", "history", "smb_app_state_sync", "smb_message_echoes"})
"""Fields that an override URL receives; every other field goes to the app's URL (Meta: webhook overrides)."""

ALL_FIELDS = MESSAGE_FIELDS | {
    "account_update",
    "account_alerts",
    "account_review_update",
    "business_capability_update",
    "message_template_status_update",
    "message_template_quality_update",
    "template_category_update",
    "phone_number_name_update",
    "phone_number_quality_update",
    "security",
    "user_id_update",
    "user_preferences",
}

PhoneState = Literal["app_only", "connected", "offboarded", "disconnected", "cloud_only"]
"""``app_only``: just a phone. ``connected``: coexistence. ``offboarded``: a device change, comes back.
``disconnected``: over until a new signup. ``cloud_only``: an ordinary Cloud API number without an app."""


@dataclass
class Override:
    """A webhook address of a WABA or of a number that goes before the app's."""

    uri: str
    verify_token: str


@dataclass
class App:
    """The developer's app at Meta, as set in its dashboard."""

    id: str
    secret: str
    verify_token: str
    config_id: str
    business_id: str
    name: str = "Coexistence app"
    callback_url: str | None = None
    fields: set[str] = field(default_factory=lambda: set(ALL_FIELDS))

    @property
    def token(self) -> str:
        """The app access token."""
        return f"{self.id}|{self.secret}"


@dataclass
class Waba:
    """A WhatsApp Business Account."""

    id: str
    name: str
    owner_business_id: str
    country: str = "US"
    currency: str = "USD"
    timezone_id: str = "1"
    business_verification_status: str = "verified"
    account_review_status: str = "APPROVED"
    subscribed: bool = False
    override: Override | None = None


@dataclass(frozen=True)
class HistoryPlan:
    """What was said on a phone before anybody looked, as a recipe instead of rows: ``history`` makes the
    messages from it, the same ones each time."""

    seed: int
    messages: int
    anchor: float
    customers: tuple[str, ...]
    numbers: tuple[str, ...]
    """The customers' numbers when it was made: message ids hold them and must not change with them."""
    days: int = 180
    edits: bool = False


@dataclass
class SyncOptions:
    """How the phone uploads its past. ``followups`` says when the real media of a placeholder comes:
    before its chunk, after it, at the very end, or any of these."""

    per_chunk: int = 500
    shuffle: bool = False
    followups: Literal["early", "after", "late", "mixed"] = "after"
    pace: float = 0.0
    """Real seconds between two chunks."""
    overlap: bool = False
    """Whether messages between onboarding and the sync request come again inside the history."""
    declined_bare: bool = False
    """Send the refusal as the bare value that Meta's page prints, without the envelope."""


@dataclass
class Sync:
    """One accepted ``smb_app_data`` call. ``position``: webhooks handed over so far, so that a restart goes on."""

    request_id: str
    at: float
    position: int = 0
    progress: int = 0
    state: Literal["burned", "running", "declined", "done"] = "running"


@dataclass
class BookEntry:
    """A person in the phone's address book."""

    full_name: str
    first_name: str
    changed_at: float


@dataclass
class Phone:
    """A number and the WhatsApp Business App that holds it."""

    id: str
    waba_id: str
    number: str
    name: str
    country: str
    app_version: str = "2.26.40.3"
    state: PhoneState = "app_only"
    app_open: bool = True
    onboarded_at: float | None = None
    share_history: bool = True
    share_contacts: bool = True
    contacts_synced: bool = False
    syncs: dict[str, Sync] = field(default_factory=dict)
    sync_options: SyncOptions = field(default_factory=SyncOptions)
    history: HistoryPlan | None = None
    book: dict[str, BookEntry] = field(default_factory=dict)
    chats: dict[str, list[str]] = field(default_factory=dict)
    """Customer id -> message ids, oldest first: what happened since the phone was made."""
    windows: dict[str, float] = field(default_factory=dict)
    """Customer id -> time of the last message that opened the 24 h window."""
    unread: dict[str, int] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    """Customers who stopped marketing messages."""
    quality: str = "GREEN"
    override: Override | None = None
    register_calls: int = 0
    deregister_calls: int = 0
    session_destroyed: bool = False
    pending_session: str | None = None


@dataclass
class Customer:
    """A person with WhatsApp. ``open_with``: the phone ids whose chat is open on the person's screen."""

    id: str
    name: str
    number: str
    bsuid: str
    country: str
    language: str = "en"
    username: str | None = None
    phone_visible: bool = True
    online: bool = True
    open_with: set[str] = field(default_factory=set)


@dataclass
class Message:
    """One message as both ends know it. ``content`` is the object under the ``type`` key."""

    id: str
    phone: str
    customer: str
    direction: Literal["in", "out"]
    origin: Literal["customer", "app", "api", "history"]
    type: str
    content: Any
    at: float
    status: str = "sent"
    context: Json | None = None
    opaque: str | None = None
    category: str = "service"
    sent_to: Literal["phone", "bsuid"] = "phone"
    error: int | None = None
    revoked: bool = False
    edits: list[Any] = field(default_factory=list)
    reactions: dict[str, str] = field(default_factory=dict)
    """``customer`` or ``business`` -> emoji."""
    priced: bool = False


@dataclass
class Media:
    """A stored file. ``generated`` ones are made again from their id instead of being kept."""

    id: str
    mime: str
    sha256: str
    size: int
    created_at: float
    lives: float
    generated: str | None = None
    filename: str | None = None


@dataclass
class Token:
    """A business token, good for the WABAs it was given for."""

    token: str
    waba_ids: set[str]
    issued_at: float
    expires_at: float = 0.0
    """0: never."""
    revoked: bool = False


@dataclass
class Code:
    """What the signup hands to the browser: single use, short life."""

    code: str
    waba_id: str
    issued_at: float
    used: bool = False


@dataclass
class Session:
    """One run of Embedded Signup."""

    id: str
    extras: Json
    state: Literal["number_needed", "code_shown", "finished", "cancelled"]
    created_at: float
    phone_id: str | None = None
    verification_code: str | None = None
    code: str | None = None
    event: str | None = None
    data: Json = field(default_factory=dict)


@dataclass
class Fault:
    """Something that goes wrong on purpose. ``times``: how often still, None: until removed.

    ``error``: the call is answered with ``code``. ``fail``: accepted, then a ``failed`` status with ``code``.
    ``slow``: done, answered after ``seconds``. ``no_answer``: done, and the connection closes after ``seconds``.
    ``half_answer``: done, the answer breaks off. ``lost``: not done, no answer.
    """

    id: str
    effect: Literal["error", "fail", "slow", "no_answer", "half_answer", "lost"]
    code: int = 131000
    times: int | None = 1
    to: str | None = None
    edge: str = "messages"
    probability: float = 1.0
    seconds: float = 30.0


@dataclass
class Options:
    """Behaviour of the simulated Meta that can be switched while it runs. Delays are real seconds."""

    sent_delay: float = 0.05
    delivered_delay: float = 0.15
    read_delay: float = 0.1
    auto_deliver: bool = True
    auto_read: bool = False
    window_error: Literal["async", "sync"] = "async"
    unknown_recipients: Literal["undeliverable", "create"] = "undeliverable"
    pair_limit: bool = True
    media_urls: bool = True
    app_statuses: bool = False
    """Whether messages typed on the phone get status webhooks (not documented; off)."""
    product_ticked: bool = False
    """Whether the signup configuration has the coexistence product ticked (Embedded Signup v4)."""
    token_lifetime: float = 0.0
    """Seconds a business token lives; 0: never expires."""


@dataclass
class DeliveryOptions:
    """How webhooks leave. Times are real seconds."""

    workers: int = 8
    batch_max: int = 10
    batch_wait: float = 0.0
    timeout: float = 10.0
    retry: list[float] = field(default_factory=lambda: [0.1, 0.3, 1.0, 3.0, 10.0, 30.0])
    attempts: int = 20
    duplicate: float = 0.0
    shuffle: bool = False
    paused: bool = False


@dataclass
class Hook:
    """A change on its way out: ``change`` is its JSON text as Meta would escape it."""

    field: str
    waba_id: str
    entry_id: str
    change: str
    phone_id: str | None = None
    time: int | None = None
    bare: bool = False
    attempts: int = 0


@dataclass
class State:
    """The whole simulator."""

    app: App
    seed: int
    generation: int = 0
    options: Options = field(default_factory=Options)
    delivery: DeliveryOptions = field(default_factory=DeliveryOptions)
    wabas: dict[str, Waba] = field(default_factory=dict)
    phones: dict[str, Phone] = field(default_factory=dict)
    customers: dict[str, Customer] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    media: dict[str, Media] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    pending: list[Hook] = field(default_factory=list)
    """Webhooks not yet acknowledged; filled when a snapshot is taken."""
