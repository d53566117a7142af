"""The pages about campaigns: the list, making one, its dry run, what becomes of it, and of each of its people."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from twinline.accounts.gate import viewer_of, writer_of
from twinline.app import App
from twinline.campaigns import builder, conversions, feeding, forms, routing, service, sheets, views, words
from twinline.campaigns.builder import MOST_BYTES, NOTHING, Builder, sample, zones
from twinline.campaigns.models import Campaign
from twinline.campaigns.planning import Plan
from twinline.campaigns.service import NoSuchCampaign
from twinline.campaigns.views import Wanted
from twinline.costs.service import account_of
from twinline.db import Tx
from twinline.kit.html import render, see_other
from twinline.numbers import queries as numbers
from twinline.numbers.models import Number
from twinline.rules import campaigns as rules
from twinline.rules.campaigns import State
from twinline.rules.comparison import differ
from twinline.rules.refusal import Refusal, Refused
from twinline.templates import queries as templates
from twinline.templates import words as template_words
from twinline.templates.models import Template

STEPS: Final = {
    "start": service.start,
    "unschedule": service.unschedule,
    "pause": service.pause,
    "resume": service.resume,
    "cancel": service.cancel,
    "edit": service.edit,
}
Doing = Callable[..., Awaitable[Campaign]]
"""A step: (tx, organisation_id, campaign_id, now, by=user_id)."""
Keeping = Callable[[Tx, Campaign, Number, FormData, int], Awaitable[tuple[Campaign, str]]]
"""What keeps a part of a draft; answers what couldn't be kept."""
WRITERS_ONLY: Final = "Your role may look at campaigns but not change them. Ask an owner or administrator."


def routes(app: App) -> list[BaseRoute]:
    pages = _Pages(app)
    one = "/campaigns/{campaign:int}"
    return [
        Route("/campaigns", pages.list, methods=["GET"]),
        Route("/campaigns", pages.create, methods=["POST"]),
        Route("/campaigns/rows", pages.rows),
        Route(one, pages.one),
        Route(f"{one}/live", pages.live),
        Route(f"{one}/people", pages.people),
        Route(f"{one}/people.{{kind}}", pages.export),
        Route(f"{one}/draft", pages.draft, methods=["POST"]),
        Route(f"{one}/file", pages.file, methods=["POST"]),
        Route(f"{one}/media", pages.media, methods=["POST"]),
        Route(f"{one}/person", pages.person),
        Route(f"{one}/bad.csv", pages.bad_rows),
        Route(f"{one}/state", pages.state),
        Route(f"{one}/plan", pages.request_plan, methods=["POST"]),
        Route(f"{one}/plan", pages.plan, methods=["GET"]),
        Route(f"{one}/preview", pages.preview),
        Route(f"{one}/behind", pages.behind),
        Route(f"{one}/tried", pages.tried),
        Route(f"{one}/first", pages.first, methods=["POST"]),
        Route(f"{one}/schedule", pages.schedule, methods=["POST"]),
        Route(f"{one}/routing", pages.route, methods=["POST"]),
        Route(f"{one}/copy", pages.copy, methods=["POST"]),
        Route(f"{one}/{{step}}", pages.step, methods=["POST"]),
    ]


class _Pages:
    def __init__(self, app: App) -> None:
        self._app = app
        self._builder = Builder(app)

    # --- the list -------------------------------------------------------------------------------------------------

    async def list(self, request: Request) -> Response:
        viewer = viewer_of(request)
        async with self._app.db.transaction() as tx:
            known = await numbers.numbers(tx, viewer.organisation_id)
            groups = await views.groups(tx, viewer.organisation_id)
        if not known:
            return render(request, "campaigns/none.html")
        query = f"?{request.url.query}" if request.url.query else ""
        return render(
            request, "campaigns/list.html", groups=groups, query=query, numbers=known, **await self._listed(request)
        )

    async def rows(self, request: Request) -> Response:
        return render(request, "campaigns/rows.html", **await self._listed(request))

    async def _listed(self, request: Request) -> dict[str, Any]:
        viewer, asked = viewer_of(request), _asked(request, "group", "q", "before")
        before = int(asked["before"]) if asked["before"].isdecimal() else None
        async with self._app.db.transaction() as tx:
            found = await views.campaigns(
                tx, viewer.organisation_id, group=asked["group"], q=asked["q"], before=before, limit=21
            )
        several = len({one.number_id for one in found}) > 1
        return {"found": found[:20], "more": len(found) > 20, "asked": asked, "several": several, "words": words}

    async def create(self, request: Request) -> Response:
        viewer, now = writer_of(request, WRITERS_ONLY), self._app.clock.now()
        async with request.form() as form:
            wanted = str(form.get("number", ""))
        async with self._app.db.transaction() as tx:
            known = await numbers.numbers(tx, viewer.organisation_id)
            chosen = next((one for one in known if wanted in ("", str(one.id))), None)
            if chosen is None:
                raise HTTPException(404)
            name = f"Campaign of {now.day} {now:%B}"
            made = await service.create(tx, viewer.organisation_id, chosen.id, name, now, by=viewer.user_id)
        return see_other(f"/campaigns/{made.id}")

    # --- one ------------------------------------------------------------------------------------------------------

    async def one(self, request: Request) -> Response:
        return await self._one(request)

    async def _one(self, request: Request, problem: str = "", status: int = 200) -> Response:
        """The page that a campaign has in its state."""
        async with self._app.db.transaction() as tx:
            one, number = await _campaign(tx, request)
            cursor = f"{number.id}:{number.event_seq}"
            given = {**_shared(one, number), "cursor": cursor, "problem": problem, "oob": False}
            given |= await self._routed(tx, one)
            if one.state is State.DRAFT:
                given |= await self._builder.shown(tx, one, number)
            elif one.state in (State.PLANNED, State.SCHEDULED):
                given |= await self._dry_run(tx, one, number)
            elif one.state is not State.PLANNING:
                given["seen"] = await self._seen(tx, one)
        page = {State.DRAFT: "builder", State.PLANNING: "planning", State.PLANNED: "dryrun", State.SCHEDULED: "dryrun"}
        return render(request, f"campaigns/{page.get(one.state, 'results')}.html", status=status, **given)

    async def _routed(self, tx: Tx, one: Campaign) -> dict[str, Any]:
        told = await routing.told(tx, one.organisation_id, one.routing)
        return {"answers": told, **await builder.routes(tx, one.organisation_id)}

    async def state(self, request: Request) -> Response:
        """A page that is for one state asks whether that is over; that of the planning, how far it is."""
        async with self._app.db.transaction() as tx:
            one, _ = await _campaign(tx, request)
        if one.state != request.query_params.get("was"):
            return Response(status_code=204, headers={"hx-refresh": "true"})
        if one.state is State.PLANNING:
            return render(request, "campaigns/progress.html", one=one, oob=True)
        return Response(status_code=204)

    # --- making one -----------------------------------------------------------------------------------------------

    async def draft(self, request: Request) -> Response:
        """The form keeps itself while it is filled in."""
        return await self._keep(request, self._builder.keep)

    async def file(self, request: Request) -> Response:
        return await self._keep(request, self._builder.file)

    async def media(self, request: Request) -> Response:
        return await self._keep(request, self._builder.media)

    async def _keep(self, request: Request, keeping: Keeping) -> Response:
        viewer = writer_of(request, WRITERS_ONLY)
        if int(request.headers.get("content-length") or 0) > MOST_BYTES:
            raise HTTPException(413, "The file is larger than can be read here (100 MB). Split it.")
        async with request.form(max_part_size=1 << 20) as form:
            try:
                async with self._app.db.transaction() as tx:
                    one, number = await _campaign(tx, request)
                    one, trouble = await keeping(tx, one, number, form, viewer.user_id)
                    shown = await self._builder.shown(tx, one, number, skip=_figure(str(form.get("skip", ""))))
            except Refused as refused:
                # Somebody else has planned or discarded it meanwhile.
                return Response(refused.refusal.says, status_code=409, headers={"hx-refresh": "true"})
            who, way = shown["audience"], form.get("way")
            if way == "people" and not forms.complete(groups := forms.groups(form)):
                # As far as one has come: it isn't kept yet.
                who = replace(who, way="people", groups=groups, reach=None)
            shown |= {
                "audience": who,
                "groups_for": forms.groups_for(who.groups),
                "oob": True,
                "one": one,
                "trouble": trouble,
                "redraw_file": way == "file" and form.get("reading") != (who.reading.key if who.reading else ""),
                "redraw_groups": way == "people" and form.get("groups_for") != forms.groups_for(who.groups),
                "redraw_values": form.get("values_for") != shown["values_for"] or keeping == self._builder.media,
            }
            if keeping == self._builder.file:
                shown |= {"audience": replace(shown["audience"], wrong=trouble), "redraw_file": True, "trouble": ""}
        return render(request, "campaigns/kept.html", **shown)

    async def person(self, request: Request) -> Response:
        async with self._app.db.transaction() as tx:
            one, number = await _campaign(tx, request)
            return await self._builder.person(request, tx, one, number, _number(request, "skip"))

    async def bad_rows(self, request: Request) -> Response:
        async with self._app.db.transaction() as tx:
            one, _ = await _campaign(tx, request)
            try:
                data = await self._builder.bad_rows(tx, one)
            except Refused as refused:
                raise HTTPException(404, refused.refusal.says) from refused
        named = {"content-disposition": f'attachment; filename="campaign-{one.id}-rows.csv"'}
        return Response(data, media_type="text/csv; charset=utf-8", headers=named)

    async def request_plan(self, request: Request) -> Response:
        """Keeps the form, if it came with one, and lets a job make the dry run."""
        viewer = writer_of(request, WRITERS_ONLY)
        async with request.form(max_part_size=1 << 20) as form:

            async def doing(tx: Tx, organisation_id: int, campaign_id: int, now: datetime, *, by: int) -> Campaign:
                one, number = await _campaign(tx, request)
                trouble = ""
                if "values_for" in form:
                    one, trouble = await self._builder.keep(tx, one, number, form, by)
                if trouble:
                    raise Refused(Refusal("campaign.form", trouble, ""))
                return await service.plan_requested(tx, organisation_id, campaign_id, now, by=viewer.user_id)

            return await self._do(request, doing)

    # --- the dry run ----------------------------------------------------------------------------------------------

    async def plan(self, request: Request) -> Response:
        """The dry run of a campaign that has begun."""
        async with self._app.db.transaction() as tx:
            one, number = await _campaign(tx, request)
            if one.plan is None:
                raise HTTPException(404)
            shown = await self._dry_run(tx, one, number) | await self._routed(tx, one)
        cursor = f"{number.id}:{number.event_seq}"
        return render(request, "campaigns/dryrun.html", cursor=cursor, problem="", **_shared(one, number), **shown)

    async def _dry_run(self, tx: Tx, one: Campaign, number: Number) -> dict[str, Any]:
        assert one.plan is not None
        where = one.number_id, one.id
        people = await views.messages(tx, *where, 3)
        home = await feeding.home_zone(tx, number.id)
        return {
            "plan": Plan.of(one.plan),
            "first": [person for person in people if person.state == "planned"],
            "tried": await views.tried(tx, *where),
            "bad_rows": any("file" in source for source in one.audience.get("sources", ())),
            "zones": zones(),
            "when_zone": one.when.zone if one.when.at else home,
            "words_of": template_words,
            **await self._message(tx, one, people[0] if people else None),
        }

    async def preview(self, request: Request) -> Response:
        """What one of the people will read, or who stands beside them."""
        after, step = _number(request, "id"), request.query_params.get("step", "")
        async with self._app.db.transaction() as tx:
            one, _ = await _campaign(tx, request)
            message = await views.message(tx, one.number_id, one.id, after, step)
            shown = await self._message(tx, one, message)
        return render(request, "campaigns/preview.html", **shown)

    async def _message(self, tx: Tx, one: Campaign, message: views.Message | None) -> dict[str, Any]:
        if message is None:
            return {"shown": NOTHING, "oob": False}
        where = one.number_id, one.id
        address = f"/campaigns/{one.id}/preview?id={message.id}&step="
        template = await _template(tx, one.number_id, one.what.variants[message.variant].template, message.language)
        about = [message.market, template_words.language(message.language) if message.language else None]
        if len(one.what.variants) > 1:
            about.insert(0, one.what.variants[message.variant].template)
        return {
            "oob": False,
            "shown": {
                **NOTHING,
                "who": words.who(message),
                "about": " · ".join(part for part in about if part),
                "back": f"{address}back" if await views.message(tx, *where, message.id, "back") else None,
                "next": f"{address}next" if await views.message(tx, *where, message.id, "next") else None,
                "bubble": template_words.bubble(template.spec, message.filled, examples=False) if template else None,
                "sample": sample(template),
            },
        }

    async def behind(self, request: Request) -> Response:
        """Some of the people behind a reason of the funnel."""
        reason = _asked(request, "reason")["reason"]
        async with self._app.db.transaction() as tx:
            one, _ = await _campaign(tx, request)
            people = await views.people(tx, one.number_id, one.id, Wanted(reason=reason), limit=13)
        skipped = bool(people) and people[0].state == "skipped"
        return render(
            request,
            "campaigns/behind.html",
            one=one,
            people=people[:12],
            more=len(people) > 12,
            reason=reason,
            shown="skipped" if skipped else "",
            words=words,
        )

    async def tried(self, request: Request) -> Response:
        async with self._app.db.transaction() as tx:
            one, _ = await _campaign(tx, request)
            found = await views.tried(tx, one.number_id, one.id)
        return render(request, "campaigns/tried.html", one=one, tried=found, words=words)

    async def first(self, request: Request) -> Response:
        """To a few of the people before all others."""
        viewer = writer_of(request, WRITERS_ONLY)
        async with request.form() as form:
            chosen = [int(str(one)) for one in form.getlist("recipient") if str(one).isdecimal()]

        async def doing(tx: Tx, organisation_id: int, campaign_id: int, now: datetime, *, by: int | None) -> Campaign:
            await service.try_first(self._app, tx, organisation_id, campaign_id, chosen, by=viewer.user_id)
            return await service.found(tx, organisation_id, campaign_id)

        return await self._do(request, doing)

    async def schedule(self, request: Request) -> Response:
        """At the time that the form gives, or that the campaign has."""
        async with request.form() as form:
            at, zone = str(form.get("at", "")).strip(), str(form.get("zone", "")).strip()

        async def doing(tx: Tx, organisation_id: int, campaign_id: int, now: datetime, *, by: int | None) -> Campaign:
            one = await service.found(tx, organisation_id, campaign_id)
            when = replace(one.when, at=at, zone=zone) if at else None
            return await service.schedule(tx, organisation_id, campaign_id, now, when=when, by=by)

        return await self._do(request, doing)

    async def route(self, request: Request) -> Response:
        """What is done with answers, also of one that has begun."""
        async with request.form() as form:
            said_ = forms.routing(form)

        async def doing(tx: Tx, organisation_id: int, campaign_id: int, now: datetime, *, by: int | None) -> Campaign:
            return await service.route(tx, organisation_id, campaign_id, now, said_, by=by)

        return await self._do(request, doing)

    # --- what becomes of it ---------------------------------------------------------------------------------------

    async def live(self, request: Request) -> Response:
        async with self._app.db.transaction() as tx:
            one, number = await _campaign(tx, request)
            seen = await self._seen(tx, one)
        return render(request, "campaigns/live.html", problem="", **_shared(one, number), seen=seen)

    async def _seen(self, tx: Tx, one: Campaign) -> "Seen":
        where = one.number_id, one.id
        tally = await views.tally(tx, *where)
        running = one.state in (State.RUNNING, State.HELD)
        rate = await views.rate(tx, *where, self._app.clock.now(), running=running)
        variants = await views.variants(tx, *where, [variant.template for variant in one.what.variants])
        account = await account_of(tx, one.number_id)
        worth = await conversions.worth(tx, one)
        spent, planned, unknown = await views.spent(tx, *where)
        currency = account.currency if account else None
        return Seen(
            tally=tally,
            rate=rate,
            pace=rate.pace if rate and running else 0.0,
            spent=words.money(spent, currency).removeprefix("about "),
            planned=words.money(planned, currency, unknown).removeprefix("about "),
            failures=await views.reasons(tx, *where, "failed") if tally["failed"] else [],
            waits=[
                cause
                for cause in (await views.reasons(tx, *where, "waiting") if tally["waiting"] else [])
                if cause.reason or cause.says
            ],
            skipped=await views.reasons(tx, *where, "skipped") if tally["skipped"] else [],
            taps=_taps(variants),
            variants=variants,
            better=better(variants),
            worth=[words.money(amount, code).removeprefix("about ") for code, amount in sorted(_sum(worth).items())],
        )

    async def people(self, request: Request) -> Response:
        wanted, after = _wanted(request), _number(request, "after")
        async with self._app.db.transaction() as tx:
            one, number = await _campaign(tx, request)
            where = one.number_id, one.id
            found = await views.people(tx, *where, wanted, after=after, limit=views.PAGE + 1)
            tally = await views.tally(tx, *where)
            count = await views.count_people(tx, *where, wanted)
            reasons = await views.reasons(tx, *where, wanted.shown) if wanted.shown in views.SHOWN else []
        asked = _query(wanted)
        more = len(found) > views.PAGE
        return render(
            request,
            "campaigns/people.html",
            cursor=f"{number.id}:{number.event_seq}",
            **_shared(one, number),
            wanted=wanted,
            people=found[: views.PAGE],
            count=count,
            page=views.PAGE,
            tally=tally,
            reasons=[cause for cause in reasons if cause.reason],
            variants=one.what.variants,
            query=f"?{asked}" if asked else "",
            next=f"?{urlencode({'after': found[views.PAGE - 1].id})}{'&' + asked if asked else ''}" if more else "",
        )

    async def export(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        if kind not in ("csv", "xlsx"):
            raise HTTPException(404)
        wanted = _wanted(request)
        async with self._app.db.transaction() as tx:
            one, _ = await _campaign(tx, request)
        body, media_type = sheets.written(self._app.db, one, wanted, kind)
        return StreamingResponse(
            body,
            media_type=media_type,
            headers={"content-disposition": f'attachment; filename="campaign-{one.id}.{kind}"'},
        )

    # --- steps ----------------------------------------------------------------------------------------------------

    async def step(self, request: Request) -> Response:
        doing: Doing | None = STEPS.get(request.path_params["step"])
        if doing is None:
            raise HTTPException(404)
        return await self._do(request, doing)

    async def _do(self, request: Request, doing: Doing) -> Response:
        viewer = writer_of(request, WRITERS_ONLY)
        try:
            async with self._app.db.transaction() as tx:
                one, _ = await _campaign(tx, request)
                after = await doing(tx, viewer.organisation_id, one.id, self._app.clock.now(), by=viewer.user_id)
        except Refused as refused:
            return await self._one(request, refused.refusal.says, 409)
        gone = after.state is State.CANCELLED and after.planned_at is None
        return see_other("/campaigns" if gone else f"/campaigns/{one.id}")

    async def copy(self, request: Request) -> Response:
        viewer = writer_of(request, WRITERS_ONLY)
        async with self._app.db.transaction() as tx:
            one, _ = await _campaign(tx, request)
            made = await service.create(
                tx,
                viewer.organisation_id,
                one.number_id,
                f"{one.name} (copy)",
                self._app.clock.now(),
                audience=one.audience,
                content=one.what,
                limits=one.limits,
                routing=one.routing,
                topic=one.topic,
                speed=one.speed,
                by=viewer.user_id,
            )
        return see_other(f"/campaigns/{made.id}")


@dataclass(frozen=True, slots=True)
class Seen:
    """What the page of a running campaign shows."""

    tally: views.Tally
    rate: views.Rate | None
    pace: float
    spent: str
    planned: str
    failures: list[views.Reason]
    waits: list[views.Reason]
    skipped: list[views.Reason]
    taps: list[tuple[str, int]]
    variants: list[views.Variant]
    better: str
    worth: list[str]

    @property
    def converted(self) -> int:
        return sum(variant.converted for variant in self.variants)

    @property
    def opted_out(self) -> int:
        return sum(variant.opted_out + variant.blocked for variant in self.variants)

    @property
    def left(self) -> float:
        """Seconds, at the pace of the last half minute."""
        return self.tally["waiting"] / self.pace if self.pace else 0.0


def better(variants: list[views.Variant]) -> str:
    """Which of two templates does better, if that can be said."""
    if len(variants) != 2:
        return ""
    one, other = (variant.tally for variant in variants)
    for shown, doing in (("replied", "answered"), ("read", "read")):
        if differ(one[shown], one["sent"], other[shown], other["sent"]):
            winner = variants[one[shown] / one["sent"] < other[shown] / other["sent"]]
            return f"{winner.template} is {doing} more often; chance alone hardly explains that."
    return "Too early to tell them apart; so far it may be chance."


def _sum(worth: Mapping[int, Mapping[str, Decimal]]) -> dict[str, Decimal]:
    """What conversions were worth, by currency."""
    found: dict[str, Decimal] = {}
    for amounts in worth.values():
        for currency, amount in amounts.items():
            found[currency] = found.get(currency, Decimal(0)) + amount
    return found


def _taps(variants: list[views.Variant]) -> list[tuple[str, int]]:
    found: dict[str, int] = {}
    for variant in variants:
        for button, people in variant.buttons.items():
            found[button] = found.get(button, 0) + people
    return sorted(found.items(), key=lambda tap: (-tap[1], tap[0]))


async def _template(tx: Tx, number_id: int, name: str, language: str | None) -> Template | None:
    place = await templates.account_of(tx, number_id)
    found = await templates.by_name(tx, *place, name) if place else []
    return next((one for one in found if one.language == language), found[0] if found else None)


# --- reading a request ------------------------------------------------------------------------------------------------


async def _campaign(tx: Tx, request: Request) -> tuple[Campaign, Number]:
    viewer = viewer_of(request)
    try:
        one = await service.found(tx, viewer.organisation_id, request.path_params["campaign"])
    except NoSuchCampaign:
        raise HTTPException(404) from None
    number = await numbers.number(tx, viewer.organisation_id, one.number_id)
    if number is None:
        raise HTTPException(404)
    return one, number


def _shared(one: Campaign, number: Number) -> dict[str, Any]:
    steps = {str(step) for step in rules.possible(one.state)}
    return {"one": one, "number": number, "steps": steps, "words": words}


def _asked(request: Request, *names: str) -> dict[str, str]:
    return {name: request.query_params.get(name, "").strip().replace("\0", "")[:200] for name in names}


def _wanted(request: Request) -> Wanted:
    asked = _asked(request, "shown", "reason", "q", "variant", "button")
    variant, shown = asked.pop("variant"), asked.pop("shown")
    which = int(variant) if variant.isdecimal() and len(variant) < 3 else None
    return Wanted(shown if shown in views.SHOWN else "", variant=which, **asked)


def _query(wanted: Wanted) -> str:
    named = {name: getattr(wanted, name) for name in ("shown", "reason", "q", "variant", "button")}
    return urlencode({name: value for name, value in named.items() if value not in ("", None)})


def _number(request: Request, name: str) -> int:
    return _figure(request.query_params.get(name, ""))


def _figure(said: str) -> int:
    return int(said) if said.isascii() and said.isdecimal() and len(said) < 19 else 0
