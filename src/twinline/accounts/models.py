"""Who is looking at a page."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Viewer:
    """A logged-in user. ``organisation_id`` filters every query made for them."""

    user_id: int
    organisation_id: int
    organisation: str
    email: str
    name: str
    role: str
    csrf_token: str

    @property
    def may_write(self) -> bool:
        return self.role != "viewer"

    @property
    def may_administer(self) -> bool:
        return self.role in ("owner", "admin")
