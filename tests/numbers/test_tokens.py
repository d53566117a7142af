"""A pasted token: believed only after Graph has confirmed it."""

import pytest

from twinline.kit.clock import ManualClock
from twinline.numbers import invite, service
from twinline.numbers.models import NumberError

from .conftest import BUSINESS_TOKEN, PHONE_ID, WABA, Meta, Office

pytestmark = pytest.mark.anyio


async def _add(office: Office, phone_number_id: str = "") -> int:
    return await service.add_with_token(
        office.app, office.organisation_id, WABA, BUSINESS_TOKEN, phone_number_id=phone_number_id
    )


@pytest.mark.parametrize("phone_number_id", ["", PHONE_ID])
async def test_a_good_token_connects_the_number_on_the_app(office: Office, meta: Meta, phone_number_id: str) -> None:
    meta.expires_at = int(office.clock.now().timestamp()) + 86_400
    number = await office.number(await _add(office, phone_number_id))
    assert (number.phone_number_id, number.state, number.verified_name) == (PHONE_ID, "connected", "Padaria")
    assert number.token_expires_at is not None
    assert meta.subscribed
    assert meta.synced == []


async def test_each_lacking_permission_is_named(office: Office, meta: Meta) -> None:
    meta.scopes = ["public_profile"]
    with pytest.raises(NumberError, match=r"whatsapp_business_management.*whatsapp_business_messaging"):
        await _add(office)


async def test_an_expired_token_is_refused(office: Office, meta: Meta) -> None:
    meta.expires_at = int(office.clock.now().timestamp()) - 1
    with pytest.raises(NumberError, match="expired"):
        await _add(office)


async def test_a_number_of_another_account_is_refused(office: Office) -> None:
    with pytest.raises(NumberError, match="no number with the id 12345"):
        await _add(office, "12345")


async def test_a_number_that_isnt_on_the_app_is_refused(office: Office, meta: Meta) -> None:
    meta.phones[PHONE_ID]["is_on_biz_app"] = False
    with pytest.raises(NumberError, match="lives in the WhatsApp Business app"):
        await _add(office, PHONE_ID)
    assert not meta.subscribed


async def test_of_several_numbers_the_id_is_asked_for(office: Office, meta: Meta) -> None:
    meta.phones["999"] = {"display_phone_number": "+351 21 000 9999", "verified_name": None, "is_on_biz_app": True}
    with pytest.raises(NumberError, match="give the id of one"):
        await _add(office)


async def test_a_new_token_for_a_connected_number_changes_nothing_else(
    office: Office, meta: Meta, clock: ManualClock
) -> None:
    before = await office.connect()
    clock.advance(days=3)
    after = await office.number(await _add(office))
    assert (after.id, after.connected_at) == (before.id, before.connected_at)
    assert after.token != before.token


async def test_a_number_may_be_taken_on_offline_without_a_token(office: Office) -> None:
    async with office.app.db.transaction() as tx:
        number_id = await service.add_number(
            office.app, tx, office.organisation_id, WABA, PHONE_ID, "+351 21 000 7788", None, verified=False
        )
    number = await office.number(number_id)
    assert (number.state, number.display_phone, number.token, number.verified_at) == (
        "connected",
        "351210007788",
        None,
        None,
    )


async def test_an_invitation_opens_one_onboarding_for_seven_days(office: Office, clock: ManualClock) -> None:
    sealed = invite.seal(office.app.vault, office.organisation_id, 7, clock.now())
    found = invite.unseal(office.app.vault, sealed, clock.now())
    assert found is not None
    assert (found.organisation_id, found.onboarding_id) == (office.organisation_id, 7)
    assert invite.unseal(office.app.vault, sealed[:-4] + "AAAA", clock.now()) is None
    assert invite.unseal(office.app.vault, office.app.vault.seal(BUSINESS_TOKEN).decode(), clock.now()) is None
    clock.advance(days=7)
    assert invite.unseal(office.app.vault, sealed, clock.now()) is None
