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
    "message_template_components_update",
    "message_template_quality_update",
    "message_template_status_update",
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
    webhook_version: str = "v26.0"
    """The Graph version of webhooks. Below v24.0 every priced status has a ``conversation``."""

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
    """A number of Meta's list, or an IANA name: its midnight begins the month of free service messages."""
    payment_method: bool = True
    """Whether what is billed can be paid for."""
    business_verification_status: str = "verified"
    account_review_status: str = "APPROVED"
    subscribed: bool = False
    override: Override | None = None
    template_creations: list[float] = field(default_factory=list)
    """When templates were created, of the last hour."""
    blocked_names: dict[str, float] = field(default_factory=dict)
    """Names of approved templates that were deleted -> when the name is free again."""
    capped: dict[str, list[float]] = field(default_factory=dict)
    """Customer id -> when marketing wasn't delivered to them because of the cap (131049)."""
    shielded: dict[str, float] = field(default_factory=dict)
    """Customer id -> until when no marketing of this WABA reaches them, since capped sends were repeated."""


@dataclass
class Template:
    """A message template in one language. ``components`` are as Meta would show them, types in upper case."""

    id: str
    waba_id: str
    name: str
    language: str
    category: str
    components: list[Json]
    created_at: float
    parameter_format: Literal["POSITIONAL", "NAMED"] = "POSITIONAL"
    status: str = "PENDING"
    rejected_reason: str = "NONE"
    review_at: float | None = None
    """When its review ends by itself."""
    ttl: int | None = None
    updated_at: float = 0.0
    edits: list[float] = field(default_factory=list)
    """When it was edited while approved."""
    quality: str = "UNKNOWN"
    quality_at: float = 0.0
    pauses: int = 0
    paused_for: Literal["quality", "pacing"] | None = None
    paused_until: float | None = None
    last_pause: float | None = None
    correct_category: str | None = None
    previous_category: str | None = None
    category_at: float | None = None
    """When ``correct_category`` comes into force."""
    sent: int = 0
    """Messages let through since pacing began."""
    paced: bool = True
    """Whether Meta still wants feedback on it before it lets a large number of messages through."""
    held: list[str] = field(default_factory=list)
    verdict_at: float | None = None
    """When held messages are judged by themselves."""
    gone_at: float | None = None
    """When a deleted template goes whose last messages still wait for delivery."""


@dataclass
class Upload:
    """A session of the Resumable Upload API. The bytes stand on the shelf under ``media_id``."""

    id: str
    mime: str
    length: int
    name: str | None
    media_id: str
    received: int = 0
    handle: str | None = None


@dataclass
class Portfolio:
    """A business portfolio's messaging limit, shared by all its numbers."""

    tier: str = "TIER_250"
    reached: dict[str, float] = field(default_factory=dict)
    """Customer id -> when a message outside a service window last went to them, oldest first."""


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
class EntryPoint:
    """A free entry point: opened when the business answers within a day of the click, for three days."""

    clicked_at: float
    until: float | None = None


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
    entries: dict[str, EntryPoint] = field(default_factory=dict)
    """Customer id -> the ad or button the customer came by last."""
    service_month: str = ""
    """The month, as 2026-10, that ``service_count`` counts service messages of."""
    service_count: int = 0
    quality: str = "GREEN"
    throughput: Literal["STANDARD", "HIGH"] = "STANDARD"
    maintenance_until: float = 0.0
    """Until then every send is answered with 131057."""
    override: Override | None = None
    register_calls: int = 0
    deregister_calls: int = 0
    registrations: list[float] = field(default_factory=list)
    """When the last of these calls came."""
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
    experiment: bool = False
    """In the group to which Meta delivers no marketing templates (130472)."""
    marketed: list[float] = field(default_factory=list)
    """When marketing templates of anybody went to them, of the last day."""


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
    price: Json | None = None
    """The ``pricing`` of its statuses, decided when it was accepted."""
    entry_until: float | None = None
    """The end of the free entry point it was sent in."""
    template: str | None = None
    """Id of the template it is made of."""
    shown: Json | None = None
    """A sent template as the customer reads it: ``{header?, body, footer?, buttons}``."""
    expires: float | None = None
    """Until when it is tried to be delivered."""
    held: bool = False
    """Accepted, and waiting for the verdict on its template (pacing)."""


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
    """Something that goes wrong on purpose, for the calls it is meant for.

    ``error``: the call is answered with ``code``. ``fail``: accepted, then a ``failed`` status with ``code``.
    ``http``: a bare HTTP ``status`` without a body, ``done`` or not. ``slow``: done, answered after ``seconds``.
    ``late``: done and answered after ``seconds``. ``no_answer``: done, and the connection is cut after ``seconds``.
    ``half_answer``: done, the answer breaks off. ``lost``: not done, and the connection is cut after ``seconds``.
    """

    id: str
    effect: Literal["error", "fail", "http", "slow", "late", "no_answer", "half_answer", "lost"]
    code: int = 131000
    details: str = ""
    """``error_data.details`` in place of the code's own."""
    status: int = 503
    """Of ``http``."""
    done: bool = False
    seconds: float = 30.0
    to: str | None = None
    """Digits, business-scoped user id or the simulator's id of a customer."""
    phone: str | None = None
    template: str | None = None
    edge: str = "messages"
    """The edge, else the kind of node (phone, waba, media …), or ``any``."""
    path: str | None = None
    """A part of the path."""
    since: float | None = None
    until: float | None = None
    """On the simulator's clock."""
    skip: int = 0
    """How many calls pass before it begins."""
    times: int | None = 1
    """How often still; None: until removed."""
    probability: float = 1.0
    seed: int = 0
    """The same seed strikes the same calls: the first, second … call to each recipient has its own lot."""
    struck: int = 0


@dataclass
class Options:
    """Behaviour of the simulated Meta that can be switched while it runs. Delays are real seconds."""

    sent_delay: float = 0.05
    delivered_delay: float = 0.15
    read_delay: float = 0.1
    auto_deliver: bool = True
    auto_read: bool = False
    skip_delivered: bool = False
    """Whether messages into a chat that is open on the customer's phone are read without having been delivered."""
    window_error: Literal["async", "sync"] = "async"
    unknown_recipients: Literal["undeliverable", "create"] = "undeliverable"
    throughput: int | None = None
    """Messages a second of every number; None: as Meta has it, 20 with the app, 80 or 1,000 without."""
    pair_limit: bool = True
    pair_silence: bool = False
    """Whether nothing at all may follow a burst to one person until it is paid back."""
    hourly_calls: int | None = None
    """Management calls of a WABA in an hour; None: as Meta has it, 5,000 with a registered number, else 200."""
    free_service: int = 1000
    """Service messages of a number in a month that aren't billed, since 2026-10-01."""
    entry_point_hours: float = 72.0
    """How long a free entry point lasts; Meta says that it may be 168."""
    media_urls: bool = True
    app_statuses: bool = False
    """Whether messages typed on the phone get status webhooks (not documented; off)."""
    product_ticked: bool = False
    """Whether the signup configuration has the coexistence product ticked (Embedded Signup v4)."""
    token_lifetime: float = 0.0
    """Seconds a business token lives; 0: never expires."""
    template_review: Literal["rules", "approve", "manual"] = "rules"
    """Who decides: ``template_rules.VERDICTS``, nobody (all pass), or only the control API and ``/templates``."""
    template_review_seconds: float = 5.0
    """How long a review takes on the simulator's clock (Meta: up to 24 hours)."""
    pacing_after: int = 0
    """Messages of a young marketing template that go out before the rest is held; 0: pacing is off."""
    pacing_verdict: Literal["release", "drop", "manual"] = "release"
    pacing_seconds: float = 1800.0
    """How long held messages wait for the verdict on the simulator's clock."""
    portfolio_limit: bool = True
    portfolio_code: int = 131048
    """GUESS: no code is documented for exceeding the messaging limit; 131048's text speaks of such restrictions."""
    marketing_cap: int = 0
    """Marketing templates that a person gets in 24 hours, from all businesses together (131049); 0: no cap. Meta
    doesn't tell its figures."""
    cap_repeats: int = 3
    """GUESS: capped sends to one person in 24 hours after which Meta blocks the person for the WABA."""
    us_marketing: bool = False
    """Whether marketing templates reach numbers of the United States; at Meta they don't."""
    marketing_api: bool = True
    """Whether the Cloud API takes marketing templates at all (else 131063)."""


@dataclass
class DeliveryOptions:
    """How webhooks leave. Times are real seconds."""

    workers: int = 8
    batch_max: int = 100
    """Changes in one POST at most; Meta's most is 1,000."""
    batch_wait: float = 0.005
    """From one POST to the next, unless a batch is full."""
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
    templates: dict[str, Template] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    portfolios: dict[str, Portfolio] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    pending: list[Hook] = field(default_factory=list)
    """Webhooks not yet acknowledged; filled when a snapshot is taken."""
