"""The simulated world: the state, what changes it in the simplest ways, and how others hear of it.

Bigger transitions stand beside it, as functions that take the world: ``phone`` (the business app), ``people``
(customers), ``sending`` (messages by the API), ``sync`` (contacts and history), ``signup``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from . import numbers, phrases, templates, wire
from .clock import Clock
from .delivery import Courier
from .events import Hub
from .faults import Faults
from .history import Past, folded
from .ids import Ids
from .limits import COEXISTENCE_PER_SECOND, ORDINARY_PER_SECOND, HourlyCalls, PairLimit, SlidingSecond
from .media import URL_LIVES, WEBHOOK_LIVES, Shelf, webhook_hash
from .pacing import Timeline
from .state import BookEntry, Customer, HistoryPlan, Hook, Json, Message, Phone, State, Token, Waba


class Refused(Exception):
    """Something the phone, a customer or the control API can't do; the text is for a person."""

    def __init__(self, text: str, status: int = 409) -> None:
        super().__init__(text)
        self.status = status


class Timers:
    """Things due after a real pause; counted, so that one can wait until nothing is due."""

    def __init__(self) -> None:
        self._handles: set[asyncio.TimerHandle] = set()

    def __len__(self) -> int:
        return len(self._handles)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        if seconds <= 0:
            act()
            return

        def due() -> None:
            self._handles.discard(handle)
            act()

        handle = asyncio.get_running_loop().call_later(seconds, due)
        self._handles.add(handle)

    def clear(self) -> None:
        for handle in self._handles:
            handle.cancel()
        self._handles.clear()


class World:
    """Everything at hand. ``base_url`` is how the simulator is reached, for links inside payloads."""

    def __init__(self, state: State, clock: Clock, courier: Courier, folder: Path | None, base_url: str) -> None:
        self.state = state
        self.clock = clock
        self.courier = courier
        self.ids = Ids(state.seed, state.generation)
        self.shelf = Shelf(state.media, folder)
        self.hub = Hub()
        self.timers = Timers()
        self.tasks: set[asyncio.Task[None]] = set()
        self.base_url = base_url
        self.dirty = True
        self.faults = Faults(state)
        self._seconds: dict[str, SlidingSecond] = {}
        self._timelines: dict[str, Timeline] = {}
        self._calls: dict[str, HourlyCalls] = {}
        self._pairs: dict[str, PairLimit] = {}
        self._by_number: dict[str, str] = {}
        self._by_bsuid: dict[str, str] = {}
        for customer in state.customers.values():
            self._index(customer)

    # -- time, news, work ----------------------------------------------------------------------------------

    def now(self) -> float:
        return self.clock.now()

    def changed(self, kind: str, **about: Any) -> None:
        """Say that something changed: pages redraw, the snapshot is due."""
        self.dirty = True
        self.hub.tell(kind, **about)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def emit(self, phone: Phone, field: str, value: Json) -> None:
        """A message-type change, with the WABA as entry."""
        self.courier.send(Hook(field, phone.waba_id, phone.waba_id, wire.change(field, value), phone_id=phone.id))

    def emit_account(self, waba: Waba, event: str, *, partner: bool = False, **parts: Any) -> None:
        """An ``account_update``. ``PARTNER_*`` ones come with the partner's portfolio as entry (Meta: reference)."""
        entry = self.state.app.business_id if partner else waba.id
        change = wire.change("account_update", {"event": event, **parts})
        self.courier.send(Hook("account_update", waba.id, entry, change, time=int(self.now())))

    def emit_waba(self, waba: Waba, field: str, value: Json) -> None:
        """A change that speaks of the whole WABA: templates, capabilities."""
        self.courier.send(Hook(field, waba.id, waba.id, wire.change(field, value), time=int(self.now())))

    async def stop(self) -> None:
        """Drop what is due and what runs; webhooks not acknowledged stay in the state."""
        self.timers.clear()
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.courier.stop()

    # -- who is who ----------------------------------------------------------------------------------------

    def _index(self, customer: Customer) -> None:
        self._by_number[customer.number] = customer.id
        self._by_bsuid[customer.bsuid] = customer.id

    def reindex(self, customer: Customer, number: str, bsuid: str) -> None:
        """Give a customer a new number and a new user id."""
        self._by_number.pop(customer.number, None)
        self._by_bsuid.pop(customer.bsuid, None)
        customer.number, customer.bsuid = number, bsuid
        self._index(customer)

    def phone(self, phone_id: str) -> Phone:
        found = self.state.phones.get(phone_id)
        if found is None:
            raise Refused(f"No phone {phone_id!r}.", 404)
        return found

    def phone_by_number(self, number: str) -> Phone | None:
        wanted = set(numbers.variants(numbers.digits(number)))
        return next((p for p in self.state.phones.values() if p.number in wanted), None)

    def customer(self, customer_id: str) -> Customer:
        found = self.state.customers.get(customer_id)
        if found is None:
            raise Refused(f"No customer {customer_id!r}.", 404)
        return found

    def customer_by_number(self, number: str) -> Customer | None:
        for variant in numbers.variants(numbers.digits(number)):
            if variant in self._by_number:
                return self.state.customers[self._by_number[variant]]
        return None

    def customer_by_bsuid(self, bsuid: str) -> Customer | None:
        found = self._by_bsuid.get(bsuid)
        return self.state.customers[found] if found else None

    def waba(self, phone: Phone) -> Waba:
        return self.state.wabas[phone.waba_id]

    # -- messages ------------------------------------------------------------------------------------------

    def past(self, phone: Phone) -> Past | None:
        return Past(phone.history, phone.id, self.state.customers) if phone.history else None

    def keep(self, message: Message) -> None:
        """Put a message in its chat."""
        phone = self.state.phones[message.phone]
        self.state.messages[message.id] = message
        phone.chats.setdefault(message.customer, []).append(message.id)

    def live(self, phone: Phone, customer_id: str) -> list[Message]:
        return [self.state.messages[i] for i in phone.chats.get(customer_id, ())]

    def chat(self, phone: Phone, customer_id: str) -> list[Message]:
        """The whole thread as the phone shows it, oldest first."""
        past = self.past(phone)
        live = self.live(phone, customer_id)
        touched = {m.id: m for m in live if m.origin == "history"}
        before = folded(past.thread(customer_id)) if past else []
        return [touched.get(m.id, m) for m in before] + [m for m in live if m.origin != "history"]

    def message(self, phone: Phone, customer_id: str, message_id: str) -> Message:
        """A message of a chat. One of the generated past becomes a row of its own when it is looked at this way."""
        found = self.state.messages.get(message_id)
        if found is not None and found.phone == phone.id and found.customer == customer_id:
            return found
        past = self.past(phone)
        for message in folded(past.thread(customer_id)) if past else ():
            if message.id == message_id:
                self.keep(message)
                return message
        raise Refused(f"No message {message_id!r} in this chat.", 404)

    def context(self, phone: Phone, customer: Customer, message_id: str | None) -> Json | None:
        """The ``context`` of a reply to this message."""
        if message_id is None:
            return None
        quoted = self.message(phone, customer.id, message_id)
        if quoted.direction == "out":
            return {"from": phone.number, "id": quoted.id}
        sender: Json = {"from": customer.number} if customer.phone_visible else {}
        return {**sender, "id": quoted.id}

    def media_content(self, kind: str, given: Json) -> Json:
        """The object of a media message. ``given``: ``media_id`` of an uploaded file (else one is made),
        ``caption``, ``filename``, ``voice``, ``animated``."""
        now = self.now()
        media_id = given.get("media_id")
        if media_id is None:
            media = self.shelf.generate(self.ids.number(), kind, now, given.get("filename"))
        else:
            uploaded = self.shelf.get(str(media_id), now)
            if uploaded is None:
                raise Refused(f"No media {media_id!r}.", 404)
            data = self.shelf.read(uploaded)
            media = self.shelf.add(
                self.ids.number(), data, uploaded.mime, now, WEBHOOK_LIVES, given.get("filename") or uploaded.filename
            )
        content: Json = {"mime_type": media.mime, "sha256": webhook_hash(media), "id": media.id}
        if self.state.options.media_urls:
            content["url"] = self.media_url(media.id)
        if given.get("caption") and kind in ("image", "video", "document"):
            content["caption"] = given["caption"]
        if kind == "document":
            content["filename"] = given.get("filename") or media.filename or "document.pdf"
        if kind == "audio":
            content["voice"] = bool(given.get("voice", False))
        if kind == "sticker":
            content["animated"] = bool(given.get("animated", False))
        return content

    def media_url(self, media_id: str) -> str:
        """A download address that lives five minutes (Meta: media)."""
        expires = int(self.now()) + URL_LIVES
        check = wire.signature(self.state.app.secret, f"{media_id}:{expires}".encode())[7:39]
        return f"{self.base_url}/media-download/?mid={media_id}&ext={expires}&hash={check}"

    # -- limits --------------------------------------------------------------------------------------------

    def throughput(self, phone: Phone) -> int:
        """Messages a second that Meta lets through."""
        if self.state.options.throughput is not None:
            return self.state.options.throughput
        return ORDINARY_PER_SECOND[phone.throughput] if phone.state == "cloud_only" else COEXISTENCE_PER_SECOND

    def second(self, phone: Phone) -> SlidingSecond:
        found = self._seconds.get(phone.id)
        if found is None:
            found = self._seconds[phone.id] = SlidingSecond()
        found.limit = self.throughput(phone)
        return found

    def pair(self, phone: Phone) -> PairLimit:
        found = self._pairs.get(phone.id)
        if found is None:
            found = self._pairs[phone.id] = PairLimit()
        return found

    def calls(self, waba_id: str) -> HourlyCalls:
        return self._calls.setdefault(waba_id, HourlyCalls())

    def timeline(self, phone: Phone) -> Timeline:
        found = self._timelines.get(phone.id)
        if found is None:
            found = self._timelines[phone.id] = Timeline()
        return found

    # -- making things -------------------------------------------------------------------------------------

    def make_customer(
        self,
        name: str | None = None,
        number: str | None = None,
        *,
        country: str | None = None,
        username: str | None = None,
        phone_visible: bool = True,
        bsuid: str | None = None,
    ) -> Customer:
        """A new person; what isn't given is drawn."""
        rng = self.ids.random
        places = [p for p in phrases.COUNTRIES if country in (None, p[0])] or [phrases.COUNTRIES[1]]
        place, language, prefix, length = rng.choice(places)
        if number is None:
            number = prefix + "".join(rng.choices("0123456789", k=length))
            while self.customer_by_number(number) or self.phone_by_number(number):
                number = prefix + "".join(rng.choices("0123456789", k=length))
                length += 1 if rng.random() < 0.001 else 0  # a small number block may be full
        else:
            number = numbers.digits(number)
            if not number:
                raise Refused("A number needs digits.", 400)
            if self.customer_by_number(number) or self.phone_by_number(number):
                raise Refused(f"{number} is taken.")
            place = country or numbers.country(number)
            language = next((p[1] for p in phrases.COUNTRIES if p[0] == place), "en")
        if name is None:
            name = f"{rng.choice(phrases.FIRST_NAMES[language])} {rng.choice(phrases.LAST_NAMES[language])}"
        customer = Customer(
            id=f"c{len(self.state.customers) + 1}",
            name=name,
            number=number,
            bsuid=bsuid or self.ids.bsuid(place),
            country=place,
            language=language,
            username=username,
            phone_visible=phone_visible,
        )
        self.state.customers[customer.id] = customer
        self._index(customer)
        self.changed("customer", customer=customer.id)
        return customer

    def make_phone(
        self,
        number: str | None = None,
        name: str = "Café Aurora",
        *,
        country: str = "US",
        app_version: str = "2.26.40.3",
        waba_id: str | None = None,
        contacts: int = 0,
        messages: int = 0,
        days: int = 180,
        edits: bool = False,
        seed: int | None = None,
        customers: tuple[str, ...] = (),
        sync: Json | None = None,
    ) -> Phone:
        """A phone with the app on it, its address book and its past. ``customers`` are put before the drawn ones."""
        if number is None:
            number = f"1415555{len(self.state.phones) + 142:04}"
            while self.phone_by_number(number) or self.customer_by_number(number):
                number = f"1415555{self.ids.random.randrange(10000):04}"
        number = numbers.digits(number)
        if self.phone_by_number(number) or self.customer_by_number(number):
            raise Refused(f"{number} is taken.")
        if waba_id is None:
            waba_id = self.ids.number()
            self.state.wabas[waba_id] = Waba(waba_id, name, self.ids.number(), country=country)
            samples = templates.furnish(self.ids, waba_id, self.base_url, self.now())
            self.state.templates |= {one.id: one for one in samples}
        elif waba_id not in self.state.wabas:
            raise Refused(f"No WABA {waba_id!r}.", 404)
        phone = Phone(self.ids.number(), waba_id, number, name, country, app_version)
        for key, option in (sync or {}).items():
            if not hasattr(phone.sync_options, key):
                raise Refused(f"No sync option {key!r}.", 400)
            setattr(phone.sync_options, key, option)
        people = [self.customer(i) for i in customers]
        people += [self.make_customer() for _ in range(contacts - len(people))]
        now = self.now()
        for index, person in enumerate(people):
            if index % 7 != 6:  # some people write without ever being saved
                first = person.name.split()[0]
                phone.book[person.id] = BookEntry(person.name, first, now - 86400.0 * (1 + index))
        if messages and people:
            phone.history = HistoryPlan(
                seed=self.state.seed * 1000 + len(self.state.phones) if seed is None else seed,
                messages=messages,
                anchor=float(int(now)),
                customers=tuple(p.id for p in people),
                numbers=tuple(p.number for p in people),
                days=days,
                edits=edits,
            )
        self.state.phones[phone.id] = phone
        self.changed("phone", phone=phone.id)
        return phone

    def grant(self, waba_id: str) -> Token:
        """A business token for one WABA."""
        now, life = self.now(), self.state.options.token_lifetime
        token = Token(self.ids.token(), {waba_id}, now, now + life if life else 0.0)
        self.state.tokens[token.token] = token
        self.dirty = True
        return token
