"""What is done with the answers to a campaign.

``tag``: whoever answers gets it. ``assign_to``: their chat becomes this person's, if it is nobody's yet.
``automation``: the id of the one that talks with them; automations say what there is to choose (``offer``) and read the
choice (``following.answered``). ``converted_by``: whoever is given this tag has converted.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from twinline.accounts import queries as accounts
from twinline.contacts.models import ContactError
from twinline.contacts.service import tag_names
from twinline.db import Tx
from twinline.rules.refusal import Refusal, Refused

TAGS: Final = ("tag", "converted_by")
KEYS: Final = (*TAGS, "assign_to", "automation")

Named = Mapping[int, str]
"""Things by their ids, and what people call each."""

_automations: list[Callable[[Tx, int], Awaitable[Named]]] = []


def offer(automations: Callable[[Tx, int], Awaitable[Named]]) -> None:
    """A feature above says which automations an organisation can choose."""
    _automations[:] = [automations]


async def automations(tx: Tx, organisation_id: int) -> Named:
    return await _automations[0](tx, organisation_id) if _automations else {}


async def team(tx: Tx, organisation_id: int) -> dict[int, str]:
    """Those whose chat one can become."""
    return {user.id: user.name for user in await accounts.users(tx, organisation_id) if user.role != "viewer"}


async def read(tx: Tx, organisation_id: int, said: Mapping[str, Any]) -> dict[str, Any]:
    """As a campaign keeps it, without what is empty. Raises Refused."""
    if surplus := sorted(said.keys() - set(KEYS)):
        raise _refused(f"Answers can't be routed by {surplus[0][:40]!r}.", f"Use {', '.join(KEYS)}.")
    found: dict[str, Any] = {name: value for name, value in said.items() if value not in (None, "")}
    try:
        for name in TAGS:
            if name in found:
                [found[name]] = tag_names([str(found[name])]) or [""]
    except ContactError as error:
        raise _refused(str(error), "Choose another tag.") from error
    if "assign_to" in found and found["assign_to"] not in await team(tx, organisation_id):
        raise _refused("The person who is to look after the answers isn't in your team.", "Choose somebody else.")
    if "automation" in found and found["automation"] not in await automations(tx, organisation_id):
        raise _refused("The automation that is to answer isn't there.", "Choose another one.")
    return {name: value for name, value in found.items() if value}


async def told(tx: Tx, organisation_id: int, routing: Mapping[str, Any]) -> list[str]:
    """In words."""
    says = []
    if tag := routing.get("tag"):
        says.append(f"Whoever answers gets the tag “{tag}”.")
    if someone := routing.get("assign_to"):
        name = (await team(tx, organisation_id)).get(someone, "somebody who isn't in your team any more")
        says.append(f"Their chats become those of {name}, unless they are somebody's already.")
    if automation := routing.get("automation"):
        called = (await automations(tx, organisation_id)).get(automation, "an automation that isn't there any more")
        says.append(f"“{called}” talks with them.")
    if bought := routing.get("converted_by"):
        says.append(f"Whoever is given the tag “{bought}” afterwards counts as a conversion.")
    return says


def _refused(says: str, do: str) -> Refused:
    return Refused(Refusal("campaign.routing", says, do))
