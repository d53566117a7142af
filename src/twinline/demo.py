"""The whole story without hands: one number, two places, told against the simulator and checked at every step.

It plays all parts over HTTP, as people would: the owner at the phone, customers, a person at the inbox. What it
checks it reads from the platform's own database and pages, and from what the simulated customers have on their
screens.
"""

import contextlib
import functools
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import anyio
import httpx

from twinline.app import App, open_app
from twinline.db import embedded
from twinline.rules.delivery import Delivery
from twinline.rules.refusal import Refused
from twinline.sending import service as sending
from twinline.sending.models import Draft, Lane
from twinline.settings import Settings

T = TypeVar("T")

CONTACTS = 260
MESSAGES = 5_400
PATIENCE = 20.0  # seconds until something that should happen counts as not happening


@dataclass
class Check:
    what: str
    ok: bool
    seen: str = ""


@dataclass
class Step:
    title: str
    seconds: float = 0.0
    checks: list[Check] = field(default_factory=list)


class Broken(Exception):
    """The story can't go on."""


class Story:
    """Steps with their checks, printed as they happen."""

    def __init__(self, quiet: bool) -> None:
        self.steps: list[Step] = []
        self._quiet = quiet

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self.steps.append(Step(title))
        self._print(f"\n{title}")
        begun = time.monotonic()
        try:
            yield
        finally:
            self.steps[-1].seconds = round(time.monotonic() - begun, 2)

    def check(self, what: str, ok: object, seen: object = "") -> None:
        self.steps[-1].checks.append(Check(what, bool(ok), str(seen)))
        self._print(f"  {'ok  ' if ok else 'FAIL'}  {what}{f'  [{seen}]' if seen != '' else ''}")

    async def until(self, what: str, look: Callable[[], Awaitable[T]], good: Callable[[T], object] = bool) -> T:
        """Waits until ``look`` finds what is ``good``, and checks that it came."""
        begun = time.monotonic()
        found = await look()
        while not good(found) and time.monotonic() < begun + PATIENCE:
            await anyio.sleep(0.05)
            found = await look()
        seen = f"{(time.monotonic() - begun) * 1000:.0f} ms" if good(found) else found
        self.check(what, good(found), seen)
        return found

    @property
    def ok(self) -> bool:
        return all(check.ok for step in self.steps for check in step.checks)

    def _print(self, line: str) -> None:
        if not self._quiet:
            print(line, flush=True)


class Simulator:
    """The hands on phone and customers: the simulator's control API."""

    def __init__(self, http: httpx.AsyncClient, address: str) -> None:
        self._http = http
        self.address = address

    async def get(self, path: str) -> Any:
        return (await self._http.get(self.address + path)).raise_for_status().json()

    async def post(self, path: str, **body: Any) -> Any:
        answer = await self._http.post(self.address + path, json=body)
        if answer.is_error:
            raise Broken(f"the simulator refused {path}: {answer.text}")
        return answer.json()

    async def settle(self) -> None:
        await self.post("/control/delivery/flush", timeout=PATIENCE)

    async def screen(self, phone: str, customer: str) -> list[dict[str, Any]]:
        """A chat as the phone and the customer have it."""
        found: list[dict[str, Any]] = (await self.get(f"/control/phones/{phone}/chats/{customer}"))["messages"]
        return found


class Platform:
    """Twinline from outside (a browser's requests) and from inside (its database)."""

    def __init__(self, http: httpx.AsyncClient, address: str, app: App) -> None:
        self._http = http
        self.address = address
        self.app = app
        self._csrf = ""

    async def get(self, path: str) -> httpx.Response:
        return await self._http.get(self.address + path)

    async def post(self, path: str, **form: Any) -> httpx.Response:
        headers = {"X-CSRF-Token": self._csrf, "Origin": self.address}
        return await self._http.post(self.address + path, data=form, headers=headers)

    async def post_json(self, path: str, body: Any) -> httpx.Response:
        headers = {"X-CSRF-Token": self._csrf, "Origin": self.address}
        return await self._http.post(self.address + path, json=body, headers=headers)

    async def log_in(self, email: str, password: str) -> httpx.Response:
        answer = await self.post("/login", email=email, password=password, next="/numbers")
        found = re.search(r'name="csrf"[^>]*?(?:content|value)="([^"]+)"', answer.text)
        self._csrf = found[1] if found else ""
        return answer

    async def row(self, sql: str, *params: Any) -> dict[str, Any]:
        async with self.app.db.transaction() as tx:
            rows = await tx.dicts(sql, params)
        return rows[0] if rows else {}

    async def value(self, sql: str, *params: Any) -> Any:
        return next(iter((await self.row(sql, *params)).values()), None)

    async def chat(self, phone: str | None, bsuid: str | None = None) -> dict[str, Any]:
        """The chat with a person, with its newest message."""
        return await self.row(
            """
SELECT c.*, p.username, p.opted_out, m.text, m.author, m.outgoing, m.delivery
FROM contacts p
LEFT JOIN chats c ON c.number_id = p.number_id AND c.contact_id = p.id
LEFT JOIN messages m ON m.number_id = c.number_id AND m.wamid = c.last_wamid
WHERE p.phone = %s OR p.bsuid = %s
""",
            phone,
            bsuid,
        )


class Stage(NamedTuple):
    """What every scene after the connecting needs."""

    story: Story
    meta: Simulator
    here: Platform
    phone: dict[str, Any]
    number: dict[str, Any]


def run(*, as_json: bool, keep: Path | None) -> int:
    """Tells the story; 0 when everything was as it should be."""
    story = Story(quiet=as_json)
    folder = keep or Path(tempfile.mkdtemp(prefix="twinline-demo-"))
    begun = time.monotonic()
    problem = ""
    try:
        anyio.run(functools.partial(_tell, story, folder))
    except (Broken, httpx.HTTPError, TimeoutError) as error:
        problem = f"{type(error).__name__}: {error}"
    finally:
        embedded.stop(folder)
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    seconds = round(time.monotonic() - begun, 1)
    ok = story.ok and not problem
    checks = sum(len(step.checks) for step in story.steps)
    if as_json:
        steps = [asdict(step) for step in story.steps]
        print(json.dumps({"ok": ok, "seconds": seconds, "checks": checks, "problem": problem, "steps": steps}))
    else:
        if problem:
            print(f"\nThe story broke off: {problem}", file=sys.stderr)
        failed = [check.what for step in story.steps for check in step.checks if not check.ok]
        print(f"\n{checks} checks in {seconds} s: {'all as it should be' if ok else f'NOT as it should be: {failed}'}")
    return 0 if ok else 1


async def _tell(story: Story, folder: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=30, follow_redirects=True))
        with story.step("A newcomer starts Twinline with the simulator"):
            addresses = await stack.enter_async_context(_started(folder))
            settings = Settings(data=folder, clock_file=folder / "clock", graph_url=addresses["phone"])
            url = embedded.start(folder)
            app = await stack.enter_async_context(open_app(settings, url))
            meta = Simulator(http, addresses["phone"])
            here = Platform(http, addresses["twinline"], app)
            story.check("it answers", (await here.get("/health")).is_success)
            answer = await here.log_in(addresses["email"], addresses["password"])
            story.check("the printed login works", "/numbers" in str(answer.url))
        await _tell_of(story, meta, here)


async def _tell_of(story: Story, meta: Simulator, here: Platform) -> None:
    phone = (await meta.get("/control/phones"))["phones"][0]
    number = await _connect(story, meta, here, phone)
    on = Stage(story, meta, here, phone, number)
    await _synchronise(on)
    customers = (await meta.get("/control/customers"))["customers"]
    seen = [one for one in customers if one["phone_visible"] and one["username"] is None]
    ana, bea, carla = seen[0], seen[1], seen[2]
    await _mirror(on, ana)
    await _answer(on, ana)
    await _edits(on, ana)
    await _floor(on, ana)
    await _hidden(on)
    await _refusals(on, bea)
    await _time_passes(on, ana, carla)
    await _disconnect(on, ana)


async def _connect(story: Story, meta: Simulator, here: Platform, phone: dict[str, Any]) -> dict[str, Any]:
    with story.step("The owner connects the number that lives on the phone"):
        checklist = await here.get("/numbers/connect/checks")
        story.check("the requirements are checked before the popup", checklist.is_success)
        answers = {"phone": f"+{phone['number']}", "app_version": phone["app_version"], "days_in_use": "30"}
        page = await here.post("/numbers/connect", **answers)
        wizard = page.url.path
        story.check("what the phone keeps and loses is shown", "Broadcast" in page.text or "broadcast" in page.text)
        page = await here.post(f"{wizard}/agree", agreed="yes")
        found = re.search(r'<script type="application/json">(.*?)</script>', page.text, re.S)
        if found is None:
            raise Broken("the signup page carries no options")
        signup = json.loads(found[1])
        session = await meta.post(
            "/signup/sessions",
            config_id=signup["options"]["config_id"],
            extras=signup["options"]["extras"],
            phone_number=phone["number"],
        )
        # Everything that can go wrong on the way does: chunks in disorder, repeats, media before and after.
        await meta.post("/control/delivery", shuffle=True, duplicate=0.1, batch_max=5)
        sync = {"per_chunk": 400, "shuffle": True, "followups": "mixed", "overlap": True}
        await meta.post(f"/control/phones/{phone['id']}/settings", sync=sync)
        confirmed = await meta.post(
            f"/control/phones/{phone['id']}/confirm", code=session["verification_code"], share_history=True
        )
        story.check("the phone confirms with the code and shares its chats", confirmed["code"])
        said = {"code": confirmed["code"], "message": confirmed["window_message"]}
        if isinstance(said["message"], str):
            said["message"] = json.loads(said["message"])
        answer = (await here.post_json(signup["finish"], said)).json()
        story.check("the code is exchanged inside its 30 seconds", answer.get("next"), answer.get("problem", ""))
        number = await story.until(
            "resolved, subscribed and connected",
            lambda: here.row("SELECT * FROM numbers"),
            lambda row: row.get("state") == "connected",
        )
        story.check("the token is encrypted at rest", not bytes(number.get("token") or b"EAA").startswith(b"EA"))
        agreed = await here.row("SELECT agreed_at, agreed_to FROM onboardings")
        story.check("the owner's agreement is recorded", agreed.get("agreed_at"), agreed.get("agreed_to"))
        return number


async def _synchronise(on: Stage) -> None:
    story, meta, here, phone, number = on
    with story.step("Contacts and up to 180 days of history arrive, in disorder and partly twice"):
        past = (await meta.get(f"/control/phones/{phone['id']}"))["history_messages"]

        async def imported() -> dict[str, Any]:
            return await here.row(
                """
SELECT (SELECT count(*) FROM messages WHERE type IS NOT NULL) AS messages,
       (SELECT count(*) FROM contacts WHERE book_name IS NOT NULL) AS contacts,
       (SELECT max(progress) FROM sync_chunks) AS progress,
       (SELECT count(*) FROM webhooks WHERE state = 'waiting') AS waiting,
       (SELECT count(*) FROM media WHERE state = 'wanted') AS wanted
"""
            )

        await story.until(
            "the history is requested", lambda: here.value("SELECT count(*) FROM sync_requests"), (2).__le__
        )
        await story.until("progress reaches 100 %", imported, lambda row: row["progress"] == 100)
        await meta.settle()
        done = await story.until("everything is folded", imported, lambda row: not row["waiting"] and not row["wanted"])
        story.check(
            "at least 200 contacts with the phone's names",
            done["contacts"] >= 200,
            done["contacts"],
        )
        story.check("at least 5,000 messages, none missing", done["messages"] >= 5_000, f"{done['messages']} of {past}")
        story.check("imported history is never unread", not await here.value("SELECT sum(unread) FROM chats"))
        opened = await here.value("SELECT count(*) FROM chats WHERE last_inbound_at IS NOT NULL")
        story.check("imported history opens no window", opened == 0, opened)
        kept = await here.value("SELECT count(*) FROM media WHERE state = 'kept'")
        story.check("media that came early and late are kept", kept and kept > 0, kept)
        healed = await here.value("SELECT count(*) FROM messages WHERE type = 'media_placeholder'")
        story.check("older media stay as placeholders that say why", healed and healed > 0, healed)
        ledger = await here.get(f"/numbers/{number['id']}/sync")
        story.check("the ledger's page shows it", ledger.is_success and "100" in ledger.text)
        unreadable = await here.value("SELECT count(*) FROM webhooks WHERE state IN ('unreadable', 'unclaimed')")
        story.check("no webhook was unreadable", unreadable == 0, unreadable)
        await meta.post("/control/delivery", duplicate=0.2)


async def _mirror(on: Stage, ana: dict[str, Any]) -> None:
    story, meta, here, phone, number = on
    with story.step("Both places show the same"):
        async with here._http.stream("GET", f"{here.address}/live") as live:
            lines = live.aiter_lines()
            await meta.post(f"/control/phones/{phone['id']}/send", customer=ana["id"], text="Typed on the phone ☎️")
            with anyio.move_on_after(PATIENCE):
                async for line in lines:
                    if line.startswith("data:") and "echoed" in line:
                        break
            story.check("open browsers hear of it over the live stream", line.startswith("data:") and "echoed" in line)
        chat = await story.until(
            "a message typed on the phone is in the inbox",
            lambda: here.chat(ana["number"]),
            lambda row: row.get("text") == "Typed on the phone ☎️",
        )
        story.check("it is marked as from the phone", chat["author"] == "phone")
        page = await here.get(f"/inbox/{number['id']}/{chat['contact_id']}")
        story.check("the chat's page shows it", "Typed on the phone ☎️" in page.text)
        await meta.post(f"/control/customers/{ana['id']}/send", phone=phone["id"], text="Is it ready? <b>soon</b>")
        chat = await story.until(
            "what the customer writes is in the inbox",
            lambda: here.chat(ana["number"]),
            lambda row: row.get("text") == "Is it ready? <b>soon</b>",
        )
        story.check("it counts as unread, once", chat["unread"] == 1, chat["unread"])
        story.check("it opens the 24-hour window", chat["last_inbound_at"] is not None)
        page = await here.get(f"/inbox/{number['id']}/{chat['contact_id']}")
        story.check("markup in it is only text", "&lt;b&gt;soon" in page.text and "<b>soon" not in page.text)


async def _answer(on: Stage, ana: dict[str, Any]) -> None:
    story, meta, here, phone, number = on
    with story.step("A person answers from the inbox"):
        chat = await here.chat(ana["number"])
        path = f"/inbox/{number['id']}/{chat['contact_id']}/messages"
        form = {"text": "Yes, come by until seven.", "key": "demo-answer-1"}
        first = await here.post(path, **form)
        story.check("the inbox takes it", first.is_success, first.status_code)
        await here.post(path, **form)  # a double click

        async def on_screen() -> list[dict[str, Any]]:
            shown = await meta.screen(phone["id"], ana["id"])
            return [message for message in shown if message["origin"] == "api"]

        await story.until("customer and phone have it on their screens", on_screen)
        step = functools.partial(here.value, "SELECT delivery FROM messages WHERE author = 'person'")
        await story.until("sent and delivered come back", step, lambda at: (at or 0) >= Delivery.DELIVERED)
        await meta.post(f"/control/customers/{ana['id']}/read", phone=phone["id"])
        await story.until("and read, when the customer opens the chat", step, Delivery.READ.__eq__)
        await meta.settle()
        story.check("a double click sent it once", len(await on_screen()) == 1)
        picture = (await here._http.get(f"{meta.address}/control/media/424242?kind=image")).content
        answer = await here._http.post(
            here.address + path,
            data={"text": "Our new window", "key": "demo-answer-2"},
            files={"file": ("window.png", picture, "image/png")},
            headers={"X-CSRF-Token": here._csrf, "Origin": here.address},
        )
        story.check("a picture goes too", answer.is_success, answer.status_code)
        await story.until("and arrives", on_screen, lambda shown: any(one["type"] == "image" for one in shown))


async def _edits(on: Stage, ana: dict[str, Any]) -> None:
    story, meta, here, phone, _ = on
    with story.step("Edits, deletions, reactions, from both sides"):
        theirs = await meta.post(f"/control/customers/{ana['id']}/send", phone=phone["id"], text="At sx?")
        await meta.post(f"/control/customers/{ana['id']}/edit", phone=phone["id"], message=theirs["id"], text="At six?")
        oops = await meta.post(f"/control/phones/{phone['id']}/send", customer=ana["id"], text="Wrong chat")
        await meta.post(f"/control/phones/{phone['id']}/delete", customer=ana["id"], message=oops["id"])
        await meta.post(f"/control/customers/{ana['id']}/react", phone=phone["id"], message=oops["id"], emoji="👍")
        shown = "SELECT type, text, edit_text, revoked_at FROM messages WHERE wamid = %s"
        edited = await story.until(
            "the customer's edit shows, the earlier text is kept",
            lambda: here.row(shown, theirs["id"]),
            lambda row: row.get("edit_text") == "At six?",
        )
        story.check("with the first text", edited.get("text") == "At sx?")
        await story.until(
            "the owner's deletion shows", lambda: here.row(shown, oops["id"]), lambda row: row.get("revoked_at")
        )
        await story.until(
            "the reaction hangs on its message",
            lambda: here.value("SELECT text FROM messages WHERE type = 'reaction' AND quoted = %s", oops["id"]),
            lambda emoji: emoji == "👍",
        )
        await meta.post(f"/control/customers/{ana['id']}/send", phone=phone["id"], type="unsupported")
        await story.until(
            "an unsupported message is a bubble that says why",
            lambda: here.row("SELECT extra FROM messages WHERE type = 'unsupported' AND live"),
            lambda row: "131051" in json.dumps(row.get("extra")),
        )


async def _floor(on: Stage, ana: dict[str, Any]) -> None:
    story, meta, here, phone, number = on
    with story.step("The owner answers on the phone, and machines fall silent in that chat"):
        await meta.post(f"/control/phones/{phone['id']}/send", customer=ana["id"], text="I'll take this one")
        chat = await story.until(
            "the phone has the floor",
            lambda: here.chat(ana["number"]),
            lambda row: row.get("floor_holder") == "phone",
        )
        told = await _submit(here, number["id"], chat["contact_id"], "I am a bot", author="automation")
        story.check("an automation is refused", told is not None and told.startswith("floor."), told)
        page = await here.get(f"/inbox/{number['id']}/{chat['contact_id']}")
        story.check("the chat's page says so", "phone" in page.text.lower())


async def _hidden(on: Stage) -> None:
    story, meta, here, phone, number = on
    with story.step("Somebody with a username and no visible number writes"):
        leo = await meta.post(
            "/control/customers", name="Leo", number="5215550108842", username="leo.pedalea", phone_visible=False
        )
        await meta.post(f"/control/customers/{leo['id']}/send", phone=phone["id"], text="¿Precio?")
        chat = await story.until(
            "they are a contact without a number",
            lambda: here.chat(None, leo["bsuid"]),
            lambda row: row.get("text") == "¿Precio?",
        )
        story.check("with their username", chat.get("username") == "leo.pedalea", chat.get("username"))
        path = f"/inbox/{number['id']}/{chat['contact_id']}/messages"
        await here.post(path, text="Cien pesos.", key="demo-answer-3")

        async def answered() -> bool:
            return any(one["origin"] == "api" for one in await meta.screen(phone["id"], leo["id"]))

        await story.until("and are answered by user id", answered)


async def _refusals(on: Stage, bea: dict[str, Any]) -> None:
    story, meta, here, phone, number = on
    with story.step("What must not happen is refused, with the reason"):
        chat = await here.chat(bea["number"])
        path = f"/inbox/{number['id']}/{chat['contact_id']}/messages"
        answer = await here.post(path, text="We have a sale!", key="demo-answer-4")
        story.check("a free text outside the window", answer.status_code == 409 and "template" in answer.text)
        told = await _submit(here, number["id"], chat["contact_id"], "x" * 5000)
        story.check("a text that is too long", told == "text.too_long", told)
        async with here.app.db.transaction() as tx:
            try:
                await sending.submit_to(here.app, tx, number["id"], "12036304@g.us", Draft("text", "Hi all"))
                told = "sent"
            except Refused as error:
                told = error.refusal.rule
        story.check("a group", told == "capability.groups", told)
        await meta.post(f"/control/customers/{bea['id']}/marketing", phone=phone["id"], value="stop")
        await meta.post(f"/control/customers/{bea['id']}/send", phone=phone["id"], text="Stop the ads please")
        await story.until(
            "who stopped marketing",
            lambda: here.chat(bea["number"]),
            lambda row: row.get("opted_out") and row["unread"],
        )
        told = await _submit(here, number["id"], chat["contact_id"], "Sale!", lane=Lane.MARKETING)
        story.check("gets none", told == "opted_out", told)
        answer = await here._http.post(
            f"{here.address}/hook/meta", content=b"{}", headers={"X-Hub-Signature-256": "no"}
        )
        story.check("a webhook with a wrong signature", answer.status_code == 401)
        answer = await here._http.post(f"{here.address}/hook/meta", content=b" " * (3 * 1024 * 1024 + 1))
        story.check("a webhook larger than 3 MB", answer.status_code == 413)
        before = await here.value("SELECT count(*) FROM sync_requests")
        answer = await here.post(f"/numbers/{number['id']}/sync/history")
        asked = (await meta.get("/control/log?path=smb_app_data"))["requests"]
        story.check("a second synchronisation", len(asked) == before == 2, f"{len(asked)} requests")


async def _time_passes(on: Stage, ana: dict[str, Any], carla: dict[str, Any]) -> None:
    story, meta, here, phone, number = on
    with story.step("Twenty-five hours pass"):
        chat = await here.chat(ana["number"])
        await meta.post("/control/clock", advance=25 * 3600)
        answer = await here.post(
            f"/inbox/{number['id']}/{chat['contact_id']}/messages", text="Still there?", key="demo-answer-5"
        )
        story.check("the window has closed", answer.status_code == 409)
        await meta.post(f"/control/phones/{phone['id']}/send", customer=ana["id"], text="The phone may always write")
        await story.until(
            "a reply from the phone doesn't open it",
            lambda: here.chat(ana["number"]),
            lambda row: (
                row.get("text") == "The phone may always write" and row["last_inbound_at"] == chat["last_inbound_at"]
            ),
        )
        await meta.post(f"/control/customers/{carla['id']}/send", phone=phone["id"], text="Good morning")
        chat = await story.until(
            "a new message from a customer opens one", lambda: here.chat(carla["number"]), lambda row: row["unread"]
        )
        told = await _submit(here, number["id"], chat["contact_id"], "Good morning!")
        story.check("the answer is taken", told is None, told or "queued")
        await story.until(
            "and leaves",
            lambda: here.value("SELECT count(*) FROM outbox WHERE state <> 'sent'"),
            lambda left: left == 0,
        )


async def _disconnect(on: Stage, ana: dict[str, Any]) -> None:
    story, meta, here, phone, number = on
    with story.step("The owner disconnects, in the app: Settings > Account > Business Platform"):
        await meta.settle()
        await meta.post(f"/control/phones/{phone['id']}/disconnect")
        await story.until(
            "the number is shown as disconnected",
            lambda: here.value("SELECT state FROM numbers"),
            lambda state: state == "disconnected",
        )
        page = await here.get(f"/numbers/{number['id']}")
        story.check("its page says so and tells the way back", "isconnected" in page.text)
        chat = await here.chat(ana["number"])
        told = await _submit(here, number["id"], chat["contact_id"], "Anybody?")
        story.check("nothing is sent any more", told is not None and told.startswith("number."), told)
        there = await meta.get(f"/control/phones/{phone['id']}")
        calls = there["register_calls"] + there["deregister_calls"]
        story.check(
            "registration was never touched, the phone's session lives", calls == 0 and not there["session_destroyed"]
        )
        doubtful = await here.value("SELECT count(*) FROM outbox WHERE state <> 'sent'")
        story.check("nothing is left in doubt", doubtful == 0, doubtful)


async def _submit(
    here: Platform, number_id: int, contact_id: int, text: str, *, lane: int = Lane.PERSON, author: str = "person"
) -> str | None:
    """Sends past the pages, as an automation or the API would; answers the rule that refused it."""
    try:
        async with here.app.db.transaction() as tx:
            await sending.submit(here.app, tx, number_id, contact_id, Draft("text", text), lane=lane, author=author)
    except Refused as error:
        return error.refusal.rule
    return None


@asynccontextmanager
async def _started(folder: Path) -> AsyncIterator[dict[str, str]]:
    """``twinline up --simulator`` as a process of its own, on free ports; answers what it printed."""
    options = [f"--simulator-option=--contacts={CONTACTS}", f"--simulator-option=--messages={MESSAGES}"]
    command = [str(Path(sys.executable).parent / "twinline"), "up", "--simulator", "--port=0", "--simulator-port=0"]
    process = await anyio.open_process([*command, f"--data={folder}", *options], stderr=sys.stderr)
    try:
        printed = ""
        assert process.stdout is not None
        with anyio.move_on_after(60):
            async for piece in process.stdout:
                printed += piece.decode()
                if "ready" in printed:
                    break
        found = re.search(
            r"twinline +(?P<twinline>\S+).*log in as +(?P<email>\S+) +password +(?P<password>\S+).*"
            r"phone +(?P<phone>\S+)/phone",
            printed,
            re.S,
        )
        if found is None:
            raise Broken(f"`twinline up` didn't come up: {printed or 'it said nothing'}")
        yield found.groupdict()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with anyio.move_on_after(10, shield=True):
            await process.wait()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
