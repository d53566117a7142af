"""The life of a connection, told in facts."""

from datetime import UTC, datetime, timedelta

import pytest

from twinline.rules.lifecycle import (
    OFF_APP,
    START,
    Connection,
    Fact,
    FactKind,
    State,
    explain,
    fold,
    may_send,
)

T0 = datetime(2026, 11, 1, 9, tzinfo=UTC)


def at(minute: int, kind: FactKind, reason: str | None = None) -> Fact:
    return Fact(T0 + timedelta(minutes=minute), kind, reason)


def moment(minute: int) -> datetime:
    return T0 + timedelta(minutes=minute)


def test_a_number_is_connecting_until_we_say_that_it_is_connected() -> None:
    assert fold([]) == START
    assert fold([at(0, FactKind.OBSERVED_ON_APP)]).state is Connection.CONNECTING
    assert fold([at(5, FactKind.CONNECTED)]) == State(Connection.CONNECTED, moment(5))


def test_a_new_phone_offboards_the_number_and_meta_brings_it_back() -> None:
    story = [at(0, FactKind.CONNECTED), at(10, FactKind.ACCOUNT_OFFBOARDED)]
    assert fold(story) == State(Connection.OFFBOARDED, moment(10), "ACCOUNT_OFFBOARDED")
    story.append(at(14, FactKind.ACCOUNT_RECONNECTED))
    assert fold(story) == State(Connection.CONNECTED, moment(14))


def test_a_device_change_that_isnt_carried_over_ends_in_a_disconnection() -> None:
    story = [
        at(0, FactKind.CONNECTED),
        at(10, FactKind.PARTNER_REMOVED, "USER_RE_REGISTERED"),
        at(10, FactKind.ACCOUNT_OFFBOARDED),
    ]
    assert fold(story) == State(Connection.DISCONNECTED, moment(10), "USER_RE_REGISTERED")


def test_a_poll_doesnt_revive_a_disconnected_number_but_signing_up_again_does() -> None:
    story = [at(0, FactKind.CONNECTED), at(10, FactKind.PARTNER_REMOVED), at(20, FactKind.OBSERVED_ON_APP)]
    assert fold(story) == State(Connection.DISCONNECTED, moment(10))
    assert fold([*story, at(30, FactKind.CONNECTED)]) == State(Connection.CONNECTED, moment(30))


def test_a_poll_notices_what_no_event_told() -> None:
    story = [at(0, FactKind.CONNECTED), at(10, FactKind.OBSERVED_OFF_APP)]
    assert fold(story) == State(Connection.OFFBOARDED, moment(10), OFF_APP)
    assert fold([*story, at(20, FactKind.OBSERVED_ON_APP)]).state is Connection.CONNECTED


def test_an_event_that_comes_late_explains_what_the_poll_saw() -> None:
    story = [at(0, FactKind.CONNECTED), at(10, FactKind.OBSERVED_OFF_APP), at(9, FactKind.ACCOUNT_OFFBOARDED)]
    assert fold(story) == State(Connection.OFFBOARDED, moment(9), "ACCOUNT_OFFBOARDED")


def test_a_second_event_about_the_same_end_may_say_more_but_never_less() -> None:
    story = [
        at(0, FactKind.CONNECTED),
        at(10, FactKind.OBSERVED_OFF_APP),
        at(11, FactKind.ACCOUNT_OFFBOARDED),
    ]
    assert fold(story) == State(Connection.OFFBOARDED, moment(10), "ACCOUNT_OFFBOARDED")
    story += [at(20, FactKind.PARTNER_APP_UNINSTALLED), at(21, FactKind.PARTNER_REMOVED, "CHANGE_NUMBER")]
    story.append(at(22, FactKind.PARTNER_REMOVED))
    assert fold(story) == State(Connection.DISCONNECTED, moment(20), "CHANGE_NUMBER")


def test_a_ban_lies_on_top_and_is_lifted_without_touching_the_connection() -> None:
    story = [at(0, FactKind.CONNECTED), at(10, FactKind.DISABLED_UPDATE, "DISABLE")]
    assert fold(story) == State(Connection.OFFBOARDED, moment(10), "DISABLE")
    assert fold([*story, at(11, FactKind.OBSERVED_ON_APP)]).state is Connection.OFFBOARDED
    lifted = [*story, at(12, FactKind.DISABLED_UPDATE, "REINSTATE")]
    assert fold(lifted) == State(Connection.CONNECTED, moment(0))
    gone = [*lifted, at(11, FactKind.PARTNER_REMOVED)]
    assert fold(gone).state is Connection.DISCONNECTED


def test_an_announced_ban_isnt_one_yet() -> None:
    story = [at(0, FactKind.CONNECTED), at(10, FactKind.DISABLED_UPDATE, "SCHEDULE_FOR_DISABLE")]
    assert fold(story).state is Connection.CONNECTED


@pytest.mark.parametrize("kind", [FactKind.PARTNER_APP_UNINSTALLED, FactKind.ACCOUNT_DELETED])
def test_losing_the_permission_or_the_account_disconnects(kind: FactKind) -> None:
    ended = fold([at(0, FactKind.CONNECTED), at(1, kind)])
    assert (ended.state, ended.reason) == (Connection.DISCONNECTED, kind.value)
    assert explain(ended.reason) != explain("SOMETHING_NEW")


@pytest.mark.parametrize(
    "reason",
    [
        None,
        "COMPANION_INACTIVITY",
        "PRIMARY_INACTIVITY",
        "CHANGE_NUMBER",
        "BUSINESS_DOWNGRADE",
        "USER_RE_REGISTERED",
        "ACCOUNT_DISCONNECTED",
        "DISABLE",
        "ACCOUNT_OFFBOARDED",
        OFF_APP,
    ],
)
def test_every_reason_of_metas_says_what_happened_and_what_to_do(reason: str | None) -> None:
    told = explain(reason)
    assert told.says.endswith(".")
    assert told.do.endswith(".")
    assert str(reason) not in told.says


def test_a_new_reason_is_passed_on() -> None:
    assert "SOMETHING_NEW" in explain("SOMETHING_NEW").says


def test_only_a_connected_number_sends() -> None:
    assert {state for state in Connection if may_send(state)} == {Connection.CONNECTED}
