"""Who is calling: the dependencies that every endpoint of the HTTP API names its caller, number and scope with.

::

    @router.get("/numbers/{number_id}/templates")
    async def templates(app: Here, who: Annotated[Caller, key("templates:read")],
                        number_id: Annotated[int, number("templates:read")]) -> ...
"""

from math import ceil
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from twinline.accounts import keys, queries
from twinline.accounts.models import Caller
from twinline.accounts.throttle import Pace
from twinline.app import App
from twinline.kit.api import ApiError, Id, Out

BEARER: Final = HTTPBearer(
    auto_error=False,
    scheme_name="API key",
    description="`Authorization: Bearer twl_…`. An owner or administrator makes keys on the Account page.",
)


def _app(request: Request) -> App:
    app: App = request.app.state.app
    return app


def _pace(request: Request) -> Pace:
    pace: Pace = request.app.state.pace
    return pace


Here = Annotated[App, Depends(_app)]


async def caller(
    needed: SecurityScopes,
    app: Here,
    pace: Annotated[Pace, Depends(_pace)],
    shown: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
) -> Caller:
    """Whose key was shown, if it opens this door now. Raises ApiError 401, 403, 429."""
    challenge = {"WWW-Authenticate": "Bearer"}
    if shown is None:
        raise ApiError(
            401,
            "key.missing",
            "This needs an API key.",
            "Send it as a header: Authorization: Bearer twl_… Keys are made on the Account page.",
            headers=challenge,
        )
    now = app.clock.now()
    async with app.db.transaction() as tx:
        found = await keys.caller(tx, shown.credentials, now)
    if found is None:
        raise ApiError(
            401,
            "key.unknown",
            "This API key isn't known here, or it was revoked.",
            "Check it, or make a new one on the Account page.",
            headers=challenge,
        )
    if wait := pace.wait(found.key_id, now):
        raise ApiError(
            429,
            "key.too_fast",
            f"This key asks more than {pace.per_second} times a second.",
            "Wait as long as Retry-After says, then go on more slowly.",
            headers={"Retry-After": str(ceil(wait))},
        )
    if missing := [scope for scope in needed.scopes if scope not in found.scopes]:
        raise ApiError(
            403,
            "key.scope",
            f"This key lacks the scope {missing[0]}.",
            "Use a key that has it, or make one on the Account page.",
        )
    return found


def key(scope: str) -> Any:
    """For ``Annotated[Caller, key("messages:write")]``."""
    return Security(caller, scopes=[scope])


async def own_number(number_id: Id, app: Here, who: Annotated[Caller, Security(caller)]) -> int:
    """The number in the address, if it is the caller's. Raises ApiError 404."""
    async with app.db.transaction() as tx:
        if await queries.owns_number(tx, who.organisation_id, number_id):
            return number_id
    raise ApiError(404, "number.unknown", f"There is no number {number_id}.", "GET /v1/numbers lists those there are.")


def number(scope: str) -> Any:
    """For ``Annotated[int, number("messages:write")]``: the address's ``number_id``, checked."""
    return Security(own_number, scopes=[scope])


# --- the key itself -------------------------------------------------------------------------------------------------

router = APIRouter(tags=["Key"])


class Key(Out):
    id: int
    name: str
    organisation: str
    scopes: list[str]


@router.get("/key", summary="The key that asks")
async def this_key(who: Annotated[Caller, Security(caller)]) -> Key:
    """Whose key this is and what it may do: a first call to see that it works."""
    return Key(id=who.key_id, name=who.name, organisation=who.organisation, scopes=who.scopes)
