"""The capability matrix is complete, sourced, and names the phone as the place."""

import pytest

from twinline.rules.capabilities import Api, Phone, features, refused


@pytest.mark.parametrize(
    "feature",
    [
        "groups",
        "broadcast_lists",
        "status",
        "calls",
        "video_calls",
        "disappearing_messages",
        "view_once",
        "live_location",
        "catalog",
        "labels",
        "linked_devices",
        "business_profile",
        "disconnect",
    ],
)
def test_what_the_api_cant_do_names_the_phone_as_the_place(feature: str) -> None:
    line = refused(feature)
    assert line is not None
    assert "phone" in (line.what_to_do or "")


@pytest.mark.parametrize("feature", ["chats", "media", "templates", "history", "never heard of"])
def test_what_the_api_can_do_isnt_refused(feature: str) -> None:
    assert refused(feature) is None


def test_a_name_means_one_feature() -> None:
    names = [name for line in features() for name in (line.id, *line.also)]
    assert len(names) == len(set(names))


def test_every_line_has_a_sentence_for_each_side_and_a_source() -> None:
    for line in features():
        assert line.title, line.id
        assert line.phone_says.endswith("."), line.id
        assert line.api_says.endswith("."), line.id
        assert line.source.startswith(("Meta: ", "Partners")), line.id
        assert line.date.year >= 2025, line.id


def test_a_line_has_an_error_exactly_when_the_api_says_no() -> None:
    assert all((line.error is not None) == (line.api is Api.NO) for line in features())
    assert all((line.error is None) == (line.what_to_do is None) for line in features())


def test_no_feature_is_listed_twice() -> None:
    ids = [line.id for line in features()]
    assert len(ids) == len(set(ids))


def test_what_the_owner_loses_is_known_before_connecting() -> None:
    lost = {line.id for line in features() if line.phone is Phone.LOST}
    assert lost == {"broadcast_lists", "disappearing_messages", "view_once", "live_location"}
