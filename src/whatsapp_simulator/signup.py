"""Embedded Signup: the session behind the popup, and the code for a token.

``number_needed`` -> ``code_shown`` -> (the owner types the code on the phone and chooses what to share) ->
``finished``; or ``cancelled``. A popup that wasn't asked for coexistence falls through to the ordinary flow: a fresh
Cloud API number and a plain ``FINISH``.
"""

from __future__ import annotations

from . import numbers
from . import phone as phones
from .errors import GraphError
from .state import Code, Json, Phone, Session, Token
from .world import Refused, World

CODE_LIVES = 30.0  # Meta: implementation page
OLDEST_APP = (2, 24, 17)  # Meta: onboarding business app users
FEATURE = "whatsapp_business_app_onboarding"
STEPS = (
    "BUSINESS_ACCOUNT_SELECTION",
    "WABA_PHONE_PROFILE_PICKER",
    "WHATSAPP_BUSINESS_PROFILE_SETUP",
    "PHONE_NUMBER_SETUP",
    "PHONE_NUMBER_VERIFICATION",
    "PERMISSIONS",
)
CODE_EXPIRED, CODE_USED = 36007, 36009  # GUESS: subcodes seen with other Facebook logins


def coexistence(world: World, extras: Json) -> bool:
    """Whether the popup offers to connect an app number: by feature type, by the product ticked in the
    configuration (v4), or by itself in the v4 preview."""
    return (
        extras.get("featureType") == FEATURE
        or world.state.options.product_ticked
        or str(extras.get("version", "")) == "v4-public-preview"
    )


def begin(world: World, config_id: str, extras: Json, number: str | None) -> Session:
    """Open the popup."""
    if config_id != world.state.app.config_id:
        raise Refused("Sorry, something went wrong.", 400)  # all that Meta says about a wrong configuration id
    session = Session(world.ids.text(16), extras, "number_needed", world.now())
    world.state.sessions[session.id] = session
    if number:
        choose_number(world, session, number)
    world.changed("session", session=session.id)
    return session


def find(world: World, session_id: str) -> Session:
    session = world.state.sessions.get(session_id)
    if session is None:
        raise Refused("No such signup session.", 404)
    return session


def choose_number(world: World, session: Session, number: str) -> None:
    """The number is typed. With coexistence the phone is asked to confirm; without, a new number is made."""
    if session.state != "number_needed":
        raise Refused("This session has its number already.")
    if not coexistence(world, session.extras):
        _fall_through(world, session, number)
        return
    phone = world.phone_by_number(number)
    if phone is None or phone.state == "cloud_only":
        raise Refused(f"+{numbers.digits(number)} isn't registered in the WhatsApp Business app.", 404)
    if phone.state in ("connected", "offboarded"):
        raise Refused("This number is connected to a business platform already. Disconnect it in the app first.")
    if tuple(int(part) for part in phone.app_version.split(".")[:3]) < OLDEST_APP:
        raise Refused("Update the WhatsApp Business app to 2.24.17 or newer.")
    session.phone_id = phone.id
    session.verification_code = "".join(world.ids.random.choices("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=8))
    session.state = "code_shown"
    phone.pending_session = session.id
    world.changed("session", session=session.id, phone=phone.id)


def _fall_through(world: World, session: Session, number: str) -> None:
    waba = world.make_phone(name="New number").waba_id
    phone = next(p for p in world.state.phones.values() if p.waba_id == waba)
    phone.state = "cloud_only"
    phone.onboarded_at = world.now()
    session.phone_id = phone.id
    _finish(world, session, phone, "FINISH")
    session.data |= {"phone_number_id": phone.id, "business_id": world.waba(phone).owner_business_id}


def confirm(world: World, phone: Phone, code: str, *, share_history: bool, share_contacts: bool) -> Session:
    """On the phone: paste the code, confirm, choose what to share."""
    session = world.state.sessions.get(phone.pending_session or "")
    if session is None or session.state != "code_shown":
        raise Refused("Nothing is waiting to be connected.")
    if not phone.app_open:
        raise Refused("The app is closed.")
    if code.replace("-", "").replace(" ", "").upper() != session.verification_code:
        raise Refused("That code isn't right.", 400)
    phones.onboard(world, phone, share_history=share_history, share_contacts=share_contacts)
    _finish(world, session, phone, "FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING")
    return session


def _finish(world: World, session: Session, phone: Phone, event: str) -> None:
    code = Code(world.ids.code(), phone.waba_id, world.now())
    world.state.codes[code.code] = code
    session.state, session.code, session.event = "finished", code.code, event
    session.data = {"waba_id": phone.waba_id}
    world.changed("session", session=session.id, phone=phone.id)


def finish(world: World, session: Session) -> None:
    """The last button of the popup: the code is made now, as it lives for 30 seconds only."""
    if session.state != "finished" or session.code is None:
        raise Refused("The phone hasn't confirmed yet.")
    code = Code(world.ids.code(), world.state.codes.pop(session.code).waba_id, world.now())
    world.state.codes[code.code] = code
    session.code = code.code
    world.dirty = True


def cancel(world: World, session: Session, step: str | None, error: str | None) -> None:
    """Close the popup before its end, or report an error from inside it."""
    if session.state in ("finished", "cancelled"):
        raise Refused("This session is over.")
    if step is not None and step not in STEPS:
        raise Refused(f"current_step must be one of {', '.join(STEPS)}.", 400)
    phone = world.state.phones.get(session.phone_id or "")
    if phone is not None:
        phone.pending_session = None
    if error is not None:
        at = str(int(world.now()))
        session.data = {"error_message": error, "error_id": "524126", "session_id": session.id, "timestamp": at}
    else:
        default = "PHONE_NUMBER_SETUP" if session.state == "number_needed" else "PHONE_NUMBER_VERIFICATION"
        session.data = {"current_step": step or default}
    session.state, session.event = "cancelled", "CANCEL"
    world.changed("session", session=session.id)


def window_message(session: Session) -> Json | None:
    """What the popup posts to its opener."""
    if session.event is None:
        return None
    message: Json = {"type": "WA_EMBEDDED_SIGNUP", "event": session.event, "data": session.data}
    if session.event == "FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING":
        message["version"] = 3
    return message


def exchange(world: World, client_id: str, client_secret: str, code_text: str) -> Token:
    """``GET /oauth/access_token``: once, within 30 seconds, with the app's secret."""
    app = world.state.app
    if client_id != app.id:
        raise GraphError(
            101, message="Error validating application. Cannot get application info due to a system error."
        )
    if client_secret != app.secret:
        raise GraphError(1, message="Error validating client secret.")
    code = world.state.codes.get(code_text)
    if code is None:
        raise GraphError(100, message="Invalid verification code format.", subcode=CODE_EXPIRED)
    if code.used:
        raise GraphError(100, message="This authorization code has been used.", subcode=CODE_USED)
    if world.now() - code.issued_at > CODE_LIVES:
        raise GraphError(100, message="This authorization code has expired.", subcode=CODE_EXPIRED)
    code.used = True
    return world.grant(code.waba_id)
