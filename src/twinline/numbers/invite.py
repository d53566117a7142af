"""An invitation: a link by which somebody without a login connects one number.

The link is the proof. It seals which onboarding it opens and until when, so nothing is stored, and a key that is
rotated out ends every invitation made with it.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from twinline.kit.vault import Vault, VaultError

LIFE = timedelta(days=7)


class Invitation(NamedTuple):
    organisation_id: int
    onboarding_id: int
    expires_at: datetime


def seal(vault: Vault, organisation_id: int, onboarding_id: int, now: datetime) -> str:
    """The part of the link that proves it; safe in a URL."""
    expires = int((now + LIFE).timestamp())
    return vault.seal(f"join:{organisation_id}:{onboarding_id}:{expires}").decode()


def unseal(vault: Vault, sealed: str, now: datetime) -> Invitation | None:
    """None when it isn't one of ours, or is over."""
    try:
        kind, organisation_id, onboarding_id, expires = vault.unseal(sealed.encode()).split(":")
    except (VaultError, ValueError):
        return None
    if kind != "join":
        return None
    invitation = Invitation(int(organisation_id), int(onboarding_id), datetime.fromtimestamp(int(expires), tz=UTC))
    return invitation if now < invitation.expires_at else None
