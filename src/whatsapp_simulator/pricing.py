"""The ``pricing`` object of status webhooks.

For now the plain rules: a reply inside the window is free, a template costs. Rates, the monthly free service messages
and free entry points would come here.
"""

from __future__ import annotations

from .state import Json


def pricing(category: str) -> Json:
    """``category``: service, or the template's own."""
    free = category == "service"
    return {
        "billable": not free,
        "pricing_model": "PMP",
        "type": "free_customer_service" if free else "regular",
        "category": category,
    }
