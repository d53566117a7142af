"""The checklist before connecting: what stops, what warns, what is asked of whom."""

from dataclasses import replace

import pytest

from twinline.rules.requirements import (
    SCOPES,
    WEBHOOK_FIELDS,
    Check,
    Known,
    Status,
    checklist,
    countries,
    country,
    ready,
    version_at_least,
)

GOOD = Known(
    phone="+34 600 111 222",
    app_version="2.26.1",
    days_in_use=400,
    business_verification="verified",
    webhook_fields=frozenset(WEBHOOK_FIELDS),
    callback_reachable=True,
    app_live=True,
    token_scopes=frozenset(SCOPES),
    cloud_api_enabled=True,
)


def found(known: Known, check_id: str) -> Check:
    return next(check for check in checklist(known) if check.id == check_id)


def test_a_well_prepared_owner_sees_only_ok() -> None:
    assert {check.status for check in checklist(GOOD)} == {Status.OK}


def test_nothing_known_is_asked_and_not_guessed() -> None:
    checks = checklist(Known())
    assert {check.status for check in checks} == {Status.ASK, Status.UNKNOWN}
    asked = {check.id for check in checks if check.status is Status.ASK}
    assert asked == {"app_version", "country", "warm_up"}
    assert ready(checks)


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("2.24.17", True),
        ("2.24.17.78", True),
        ("2.24.9", False),
        ("2.25", True),
        ("v2.24.16.99", False),
        ("10.0", True),
        ("newest", None),
        ("", None),
    ],
)
def test_versions_are_compared_number_by_number(version: str, fits: bool | None) -> None:
    assert version_at_least(version, "2.24.17") is fits


def test_an_old_app_stops_and_says_what_to_update_to() -> None:
    old = found(replace(GOOD, app_version="2.24.16"), "app_version")
    assert old.status is Status.FAIL
    assert "2.24.17" in old.detail
    assert not ready(checklist(replace(GOOD, app_version="2.24.16")))


@pytest.mark.parametrize("phone", ["2348031234567", "+27 82 123 4567"])
def test_a_country_on_which_metas_pages_disagree_is_warned_about_and_not_blocked(phone: str) -> None:
    known = replace(GOOD, phone=phone)
    assert found(known, "country").status is Status.WARN
    assert ready(checklist(known))


def test_another_country_isnt_mistaken_for_one_of_them() -> None:
    assert country("1270555012") is None
    assert all(line.source and line.date.year >= 2026 for line in countries())


def test_a_fresh_number_and_an_unverified_business_are_warnings() -> None:
    known = replace(GOOD, days_in_use=2, business_verification="not_verified")
    assert {check.id for check in checklist(known) if check.status is Status.WARN} == {
        "warm_up",
        "business_verified",
    }
    assert ready(checklist(known))


def test_missing_fields_and_permissions_are_named() -> None:
    known = replace(GOOD, webhook_fields=frozenset({"messages"}), token_scopes=frozenset())
    assert "smb_message_echoes" in found(known, "webhooks").detail
    assert "messages," not in found(known, "webhooks").detail
    assert "whatsapp_business_messaging" in found(known, "permissions").detail


@pytest.mark.parametrize(
    "known",
    [
        replace(GOOD, callback_reachable=False),
        replace(GOOD, app_live=False),
        replace(GOOD, cloud_api_enabled=False),
    ],
)
def test_a_no_of_graphs_stops(known: Known) -> None:
    assert not ready(checklist(known))


def test_every_line_says_where_to_look_and_who_says_so() -> None:
    for check in checklist(Known()):
        assert check.where_to_look
        assert check.source
