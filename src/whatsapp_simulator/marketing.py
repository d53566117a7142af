"""Who may be reached by templates, and how often: the messaging limit of a portfolio, and what Meta does for people
who get too much marketing (Meta: messaging limits, per-user marketing template limits, pricing in the US).
"""

from __future__ import annotations

from . import numbers
from .state import Customer, Json, Phone, Portfolio, Template, Waba
from .world import Refused, World

DAY = 86400.0
TIERS: dict[str, int | None] = {
    # unique people outside a service window in a moving day
    "TIER_250": 250,
    "TIER_2K": 2000,
    "TIER_10K": 10_000,
    "TIER_100K": 100_000,
    "TIER_UNLIMITED": None,
}
UNLIMITED = -1
"""How a webhook says that there is no limit."""
NUMBERS = {"TIER_250": 2}
"""Phone numbers that a business may have; with more trust 25."""
IN_FIGURES = 24
"""The Graph version since which a webhook says the limit in figures."""
UNCAPPED = frozenset(
    (
        *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IS", "IT", "LI"),
        *("LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK", "GB", "JP", "KR"),
    )
)
"""Countries without a cap per person: the EEA, the United Kingdom, Japan and South Korea."""


# -- the messaging limit -------------------------------------------------------------------------------------------


def portfolio(world: World, waba: Waba) -> Portfolio:
    return world.state.portfolios.setdefault(waba.owner_business_id, Portfolio())


def reach(world: World, waba: Waba, customer: Customer, now: float) -> bool:
    """Count a message outside a service window; False when it would be one person too many."""
    owner = portfolio(world, waba)
    _forget(owner, now)
    limit = TIERS[owner.tier] if world.state.options.portfolio_limit else None
    if customer.id not in owner.reached and limit is not None and len(owner.reached) >= limit:
        return False
    owner.reached.pop(customer.id, None)
    owner.reached[customer.id] = now
    return True


def _forget(owner: Portfolio, now: float) -> None:
    """The oldest come first; those of a time to come are there after the clock was moved back."""
    while owner.reached:
        first = next(iter(owner.reached))
        if now - DAY < owner.reached[first] <= now:
            return
        del owner.reached[first]


def show(world: World, business_id: str) -> Json:
    """What the operator sees of a portfolio."""
    owner = world.state.portfolios.get(business_id) or Portfolio()
    _forget(owner, world.now())
    wabas = [w for w in world.state.wabas.values() if w.owner_business_id == business_id]
    name = wabas[0].name if wabas else ""
    return {"id": business_id, "name": name, "tier": owner.tier, "limit": TIERS[owner.tier], "used": len(owner.reached)}


def set_tier(world: World, business_id: str, tier: str) -> None:
    """A new messaging limit, with ``business_capability_update`` to every WABA of the portfolio."""
    wabas = [w for w in world.state.wabas.values() if w.owner_business_id == business_id]
    if not wabas:
        raise Refused(f"No portfolio {business_id!r}.", 404)
    if tier not in TIERS:
        raise Refused(f"There is no tier {tier!r}; there are {', '.join(TIERS)}.", 400)
    portfolio(world, wabas[0]).tier = tier
    for waba in wabas:
        world.emit_waba(waba, "business_capability_update", _capability(world.state.app.webhook_version, tier))
    world.changed("portfolio", portfolio=business_id)


def _capability(version: str, tier: str) -> Json:
    limit, phones = TIERS[tier], NUMBERS.get(tier, 25)
    if float(version[1:]) < IN_FIGURES:
        return {"max_daily_conversations_per_business": tier, "max_phone_numbers_per_business": phones}
    most = UNLIMITED if limit is None else limit
    return {"max_daily_conversations_per_business": most, "max_phone_numbers_per_waba": phones}


# -- what becomes of marketing -------------------------------------------------------------------------------------


def fate(
    world: World, phone: Phone, customer: Customer, template: Template, now: float, *, in_window: bool
) -> int | None:
    """The code that a template message will fail with after its 200, for what it is and whom it is for."""
    refused = _unwanted(world, phone, customer, now) if template.category == "MARKETING" else None
    if refused is None and not in_window and not reach(world, world.waba(phone), customer, now):
        return world.state.options.portfolio_code
    return refused


def _unwanted(world: World, phone: Phone, customer: Customer, now: float) -> int | None:
    """Why Meta doesn't deliver marketing to a person."""
    if customer.id in phone.stopped:
        return 131050
    if customer.experiment:
        return 130472
    country = numbers.country(customer.number)
    if country == "US" and not world.state.options.us_marketing:
        return 131049
    return 131049 if _capped(world, world.waba(phone), customer, country, now) else None


def _capped(world: World, waba: Waba, customer: Customer, country: str, now: float) -> bool:
    """Whether the person got their share of the day. Who keeps trying in vain loses them for a day."""
    if waba.shielded.get(customer.id, 0.0) > now:
        return True
    cap = world.state.options.marketing_cap
    customer.marketed = _of_today(customer.marketed, now)
    if cap and country not in UNCAPPED and len(customer.marketed) >= cap:
        tries = waba.capped[customer.id] = [*_of_today(waba.capped.get(customer.id, []), now), now]
        if len(tries) > world.state.options.cap_repeats:
            waba.shielded[customer.id] = now + DAY
        return True
    customer.marketed.append(now)
    return False


def _of_today(times: list[float], now: float) -> list[float]:
    return [then for then in times if now - DAY < then <= now]
