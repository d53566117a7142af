"""A token that somebody pastes: what Graph says of it, and which number it is for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from twinline.app import App
from twinline.meta.graph import DebugToken, PhoneNumber
from twinline.numbers import requirements
from twinline.numbers.models import NumberError
from twinline.rules.requirements import SCOPES


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Graph knows the number, it lives on the app, and the token may speak for it."""

    phone_number_id: str
    display_phone: str
    verified_name: str | None
    expires_at: datetime | None


async def confirm(app: App, waba_id: str, token: str, phone_number_id: str) -> Confirmed:
    """Asks Graph about the token and the number; without an id, the one number on the app is meant.

    Raises NumberError with what is wrong, and GraphError when Meta doesn't answer.
    """
    debugged = await app.graph.debug_token(token, token=requirements.app_token(app))
    _check(debugged, app.clock.now())
    number = _pick(await app.graph.phone_numbers(waba_id, token=token), waba_id, phone_number_id)
    return Confirmed(number.id, number.display_phone_number or "", number.verified_name, expiry(debugged))


def expiry(debugged: DebugToken) -> datetime | None:
    return datetime.fromtimestamp(debugged.expires_at, tz=UTC) if debugged.expires_at else None


def nothing_shared(numbers: Sequence[PhoneNumber]) -> str:
    """What to tell the owner when none of these numbers lives on the app."""
    if not numbers:
        return "The account has no number yet. Finish connecting in the app on the phone, then try again."
    listed = ", ".join(number.display_phone_number or number.id for number in numbers)
    return (
        f"Meta doesn't show a number that lives in the WhatsApp Business app. It lists: {listed}. If it is one of "
        "them, open the app, look at Settings > Account > Business Platform, finish connecting there, then try again."
    )


def _check(debugged: DebugToken, now: datetime) -> None:
    expires_at = expiry(debugged)
    if not debugged.is_valid or (expires_at and expires_at <= now):
        raise NumberError("Meta doesn't accept this token any more: it has expired, or was withdrawn.")
    if lacking := [scope for scope in SCOPES if scope not in debugged.scopes]:
        raise NumberError(
            " ".join(f"The token lacks the permission {scope}." for scope in lacking)
            + " Make a new one for the system user, with this ticked."
        )


def _pick(numbers: Sequence[PhoneNumber], waba_id: str, phone_number_id: str) -> PhoneNumber:
    meant = [number for number in numbers if number.id == phone_number_id] if phone_number_id else list(numbers)
    if phone_number_id and not meant:
        raise NumberError(f"The account {waba_id} has no number with the id {phone_number_id}.")
    shared = [number for number in meant if number.is_on_biz_app]
    if not shared:
        raise NumberError(nothing_shared(meant))
    if len(shared) > 1:
        listed = ", ".join(f"{number.display_phone_number} ({number.id})" for number in shared)
        raise NumberError(f"Several numbers of this account are on the app; give the id of one: {listed}.")
    return shared[0]
