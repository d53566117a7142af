"""A number's page about automations: business hours, words on the phone, the pause after a reply, language."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from twinline.accounts.gate import administrator_of, viewer_of
from twinline.app import App
from twinline.automations import forms, queries, service
from twinline.automations.models import NoSuchAutomation, Settings
from twinline.campaigns.zones import zone_of
from twinline.kit.html import render, see_other
from twinline.numbers import queries as numbers
from twinline.numbers import service as connecting
from twinline.numbers import words
from twinline.numbers.models import Number
from twinline.rules.automations.hours import Hours
from twinline.rules.refusal import Refused

ADMINISTRATORS_ONLY: Final = "Only an owner or administrator of the organisation may do this. Ask one of them."
DAYS: Final = {
    "mon": "Monday", "tue": "Tuesday", "wed": "Wednesday", "thu": "Thursday", "fri": "Friday", "sat": "Saturday",
    "sun": "Sunday",
}  # fmt: skip
PAUSES: Final = (0, 15, 30, 60, 120, 240, 480, 1440)  # minutes
DOES: Final = {"release": "hands the chat back", "pause": "silences automations", "start": "starts"}
LANGUAGES: Final = {
    "": "Each contact's own", "en": "English", "es": "Español", "pt": "Português", "pt_BR": "Português (Brasil)",
}  # fmt: skip


def routes(app: App) -> list[BaseRoute]:
    pages = _Pages(app)
    return [Route("/numbers/{number:int}/automations", pages.settings, methods=["GET", "POST"])]


class _Pages:
    def __init__(self, app: App) -> None:
        self._app = app

    async def settings(self, request: Request) -> Response:
        if request.method == "GET":
            return await self._settings(request)
        viewer, now = administrator_of(request, ADMINISTRATORS_ONLY), self._app.clock.now()
        async with request.form(max_fields=600) as form:
            chosen = _read(form)
            receipts, typing = form.get("send_receipts") == "yes", form.get("send_typing") == "yes"
        number = await self._number(request)
        try:
            async with self._app.db.transaction() as tx:
                await service.set_settings(
                    tx, viewer.organisation_id, number.id, chosen, user_id=viewer.user_id, now=now
                )
                await connecting.set_preferences(
                    tx,
                    viewer.organisation_id,
                    number.id,
                    phone_pause=chosen.pause,
                    keep_edited=number.keep_edited,
                    send_receipts=receipts,
                    send_typing=typing,
                    count_echoes=number.count_echoes,
                    user_id=viewer.user_id,
                    now=now,
                )
        except NoSuchAutomation as error:
            raise HTTPException(404) from error
        except Refused as refused:
            return await self._settings(request, chosen, refused.refusal.says, 422)
        return see_other(f"/numbers/{number.id}/automations?saved")

    async def _settings(
        self, request: Request, chosen: Settings | None = None, problem: str = "", status: int = 200
    ) -> Response:
        number = await self._number(request)
        async with self._app.db.transaction() as tx:
            kept = chosen or await service.settings_of(tx, number.id)
            known = await queries.automations(tx, number.organisation_id)
        hours: Mapping[str, Any] = kept.hours or {}
        return render(
            request,
            "automations/number.html",
            status=status,
            number=number,
            words=words,
            problem=problem,
            kept=kept,
            week=hours.get("week") or {},
            holidays=sorted((hours.get("holidays") or {}).items()),
            always=not hours.get("week"),
            days=DAYS,
            bars=_bars,
            does=DOES,
            pauses=sorted({*PAUSES, int(kept.pause.total_seconds() // 60)}),
            languages=LANGUAGES,
            zones=sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/")),
            known=[one for one in known if one.version],
            otherwise=zone_of(number.display_phone, "UTC"),
            opens=self._opens(kept, number),
            short=dict(forms.DAYS),
        )

    def _opens(self, kept: Settings, number: Number) -> bool | None:
        """Whether it is open now, where that can be said."""
        try:
            hours = Hours.of(kept.hours)
            return hours.open_at(
                self._app.clock.now().astimezone(ZoneInfo(kept.zone or zone_of(number.display_phone, "UTC")))
            )
        except (ValueError, KeyError):
            return None

    async def _number(self, request: Request) -> Number:
        async with self._app.db.transaction() as tx:
            found = await numbers.number(tx, viewer_of(request).organisation_id, request.path_params["number"])
        if found is None:
            raise HTTPException(404)
        return found


def _read(form: FormData) -> Settings:
    """Hours as ``day`` with ``from.mon``, ``to.mon`` in pairs; holidays and keywords as rows of equal names."""
    week = {}
    for day in DAYS:
        spans = list(_pairs(form, f"from.{day}", f"to.{day}"))
        if spans and form.get("open") != "always":
            week[day] = [[begin, end] for begin, end in spans]
    holidays: dict[str, list[list[str]]] = {}
    for date, yearly, begin, end in zip(
        form.getlist("holiday"), form.getlist("holiday.yearly"), form.getlist("holiday.from"),
        form.getlist("holiday.to"), strict=False,
    ):  # fmt: skip
        if str(date):
            day = str(date)[5:] if str(yearly) == "yes" else str(date)
            holidays.setdefault(day, []).extend([[str(begin), str(end)]] if begin and end else [])
    hours = {"week": week, "holidays": holidays} if week or holidays else None
    keywords = [
        _keyword(str(word), str(does), str(more))
        for word, does, more in zip(
            form.getlist("word"), form.getlist("does"), form.getlist("more"), strict=False
        )
        if str(word).strip()
    ]  # fmt: skip
    minutes = str(form.get("phone_pause", ""))
    return Settings(
        hours=hours,
        zone=str(form.get("zone", "")).strip(),
        language=str(form.get("language", "")).strip()[:20],
        phone_keywords=keywords,
        pause=timedelta(minutes=int(minutes) if minutes.isdecimal() else 120),
    )


def _pairs(form: FormData, begin: str, end: str) -> Iterator[tuple[str, str]]:
    pairs = zip(form.getlist(begin), form.getlist(end), strict=False)
    yield from ((str(first), str(last)) for first, last in pairs if first and last)


def _keyword(word: str, does: str, more: str) -> dict[str, Any]:
    said: dict[str, Any] = {"word": word.strip(), "does": does}
    if does == "start" and more.isdecimal():
        said["automation"] = int(more)
    elif does == "pause" and more and not more.isdecimal():
        said["for"] = more
    return said


def _bars(spans: list[list[str]]) -> list[tuple[float, float]]:
    """Where the hours lie in the day: left and width in percent."""
    found = []
    for begin, end in spans:
        try:
            first, last = (int(part[:2]) + int(part[3:5]) / 60 for part in (begin, end))
        except ValueError:
            continue
        last = last if last > first else 24
        found.append((round(first / 24 * 100, 2), round((last - first) / 24 * 100, 2)))
    return found
