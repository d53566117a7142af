"""The doctor names what is wrong, and never a secret."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from twinline.app import App
from twinline.kit.clock import ManualClock
from twinline.kit.vault import Vault
from twinline.numbers import doctor
from twinline.numbers.doctor import Finding, Level

from .conftest import BUSINESS_TOKEN, Meta, Office, open_office, refusal

pytestmark = pytest.mark.anyio


async def _find(app: App, title: str) -> Finding:
    [finding] = [finding for finding in await doctor.run(app) if finding.title == title]
    return finding


async def test_a_meta_and_a_callback_that_dont_answer_fail(app: App) -> None:
    assert (await _find(app, "Graph API")).level is Level.FAIL
    assert "doesn't answer" in (await _find(app, "Webhook callback")).text


def _with(app: App, **settings: object) -> App:
    return replace(app, settings=app.settings.model_copy(update=settings))


async def test_every_line_that_isnt_well_says_how_to_mend_it(app: App) -> None:
    findings = await doctor.run(app)
    assert all(finding.mend for finding in findings if finding.level is not Level.OK)
    assert not any(finding.mend for finding in findings if finding.level is Level.OK)


async def test_the_database_is_reachable_and_current(app: App) -> None:
    assert (await _find(app, "Database")).level is Level.OK
    async with app.db.transaction() as tx:
        await tx.execute("UPDATE alembic_version SET version_num = '0000'")
    assert "twinline migrate" in (await _find(app, "Database")).mend


async def test_a_vault_key_that_others_can_read_fails(app: App, tmp_path: Path) -> None:
    assert (await _find(app, "Vault key")).level is Level.OK
    (tmp_path / "vault.key").chmod(0o644)
    finding = await _find(app, "Vault key")
    assert finding.level is Level.FAIL
    assert "chmod 600" in finding.mend


async def test_tokens_sealed_with_a_lost_key_are_named(office: Office) -> None:
    await office.connect()
    stranger = replace(office.app, vault=Vault(["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]))
    assert "+351210007788" in (await _find(stranger, "Vault key")).text


@pytest.mark.parametrize(
    ("address", "level"),
    [("http://127.0.0.1:9", Level.WARN), ("http://twinline.test", Level.FAIL), ("https://twinline.test", Level.OK)],
)
async def test_meta_wants_a_public_https_address(app: App, address: str, level: Level) -> None:
    assert (await _find(_with(app, public_url=address), "Public address")).level is level


async def test_fields_that_arent_subscribed_are_named(app: App, meta: Meta) -> None:
    assert (await _find(app, "Webhook fields")).level is Level.OK
    meta.fields.remove("smb_message_echoes")
    assert "smb_message_echoes" in (await _find(app, "Webhook fields")).text


async def test_missing_template_webhooks_are_a_warning(app: App, meta: Meta) -> None:
    meta.fields.remove("template_category_update")
    finding = await _find(app, "Webhook fields")
    assert finding.level is Level.WARN
    assert "template_category_update" in finding.text


async def test_a_token_is_looked_at_number_by_number(office: Office, meta: Meta) -> None:
    await office.connect()
    title = "Token of +351210007788"
    assert (await _find(office.app, title)).level is Level.OK
    meta.scopes = meta.scopes[:1]
    assert "whatsapp_business_messaging" in (await _find(office.app, title)).text
    meta.valid = False
    assert "Expired or withdrawn" in (await _find(office.app, title)).text
    meta.fail["debug_token"] = lambda _: refusal(190, "Invalid OAuth access token")
    assert (await _find(office.app, title)).level is Level.FAIL


async def test_an_organisation_is_told_of_its_own_numbers_only(office: Office, clock: ManualClock) -> None:
    await office.connect()
    other = await open_office(office.app, clock, "eve@example.com")
    assert "+351210007788" in repr(await doctor.run(office.app, office.organisation_id))
    assert "+351210007788" not in repr(await doctor.run(office.app, other.organisation_id))


async def test_webhooks_that_couldnt_be_understood_are_counted(app: App) -> None:
    assert (await _find(app, "Webhooks")).level is Level.OK
    now = app.clock.now()
    async with app.db.transaction() as tx:
        await tx.execute(
            "INSERT INTO webhooks (received_on, digest, received_at, state, body) "
            "VALUES (%s, '1', %s, 'unreadable', '{')",
            (now.date(), now),
        )
    finding = await _find(app, "Webhooks")
    assert finding.level is Level.FAIL
    assert "1 couldn't be understood" in finding.text


async def test_no_line_holds_a_secret(office: Office) -> None:
    await office.connect()
    app = _with(office.app, app_secret=SecretStr("s3cret-of-the-app"), verify_token=SecretStr("s3cret-to-verify"))
    shown = repr(await doctor.run(app))
    assert "s3cret" not in shown
    assert BUSINESS_TOKEN not in shown
