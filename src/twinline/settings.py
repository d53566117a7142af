"""One frozen Settings, read once from the environment (``TWINLINE_…``) and the command line.

Every default is production's. The simulator is only other addresses: nothing in the platform asks whether
it is there.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def default_data_dir() -> Path:
    """Where the data lives unless told otherwise.

    Embedded PostgreSQL refuses to run as root, so as root it runs as a user of its own, which must be able to
    walk to the folder: outside the home folder, then.
    """
    if sys.platform != "win32" and os.geteuid() == 0:
        return Path("/var/lib/twinline")
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "twinline"


def _listed(given: Any) -> Any:
    """What stands in the environment with commas between."""
    return tuple(one.strip() for one in given.split(",") if one.strip()) if isinstance(given, str) else given


Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TWINLINE_", frozen=True, extra="ignore")

    # where things are
    data: Path = Field(default_factory=default_data_dir)
    database_url: str | None = Field(default=None, validation_alias="DATABASE_URL")
    media_url: str | None = None  # any fsspec address; default: <data>/media
    clock_file: Path | None = None  # seconds to add to the clock, for demonstrations and tests

    # the web server
    host: str = "127.0.0.1"
    port: int = 8420
    public_url: str | None = None  # how browsers and Meta reach us, when not http://host:port
    secure_cookies: bool | None = None  # default: when public_url is https

    # Meta's side
    graph_url: str = "https://graph.facebook.com"
    graph_version: str = "v26.0"
    app_id: str = ""
    app_secret: SecretStr = SecretStr("")
    verify_token: SecretStr = SecretStr("")
    signup_config_id: str = ""
    signup_sdk_url: str = "https://connect.facebook.net/en_US/sdk.js"
    signup_origins: Listed = (
        "https://www.facebook.com",
        "https://web.facebook.com",
    )
    # Embedded Signup v4: sources disagree on how to ask for coexistence (product tick, featureType, both), so
    # both values are settings. An empty feature type sends bare extras.
    signup_feature_type: str = "whatsapp_business_app_onboarding"
    signup_session_info: str = "3"

    # What webhooks and automations may reach besides the public internet, with commas between: host, host:port or
    # network/bits (kit.outside).
    outside_allowed: Listed = ()

    # secrets
    vault_keys: SecretStr | None = None  # comma-separated Fernet keys, newest first; default: <data>/vault.key

    # how long what is told of the past is kept, in days
    archive_days: int = 30  # webhook bodies of Meta as they came
    deliveries_days: int = Field(default=30, ge=6)  # of outgoing webhooks; one is tried for five days
    why_days: int = Field(default=180, ge=1)  # why automations said something, or didn't
    runs_days: int = Field(default=400, ge=367)  # ended conversations; one may not begin anew for 366 days (once_per)

    # sizes
    hook_max_body: int = 3 * 1024 * 1024  # Meta: webhooks, payload size
    hook_heavy_body: int = 48 * 1024  # bodies above this are folded behind, not before, the answer
    hook_batch: int = 400
    api_per_second: int = Field(default=50, ge=1)  # requests a second that one API key may make of one web process
    db_pool: int = 8

    @property
    def address(self) -> str:
        """Our own address as others reach it, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")

    @property
    def cookies_are_secure(self) -> bool:
        return self.address.startswith("https://") if self.secure_cookies is None else self.secure_cookies
