"""From bytes to events, shape by shape; and the law that nothing but Unreadable ever comes out of ``parse``."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.fixtures import wire
from tests.fixtures.wire import BAKERY, DANI, FLORIST, OLD_SHAPE, RUA, T0, Json

from twinline.meta import webhooks
from twinline.meta.webhooks import (
    CONTENT,
    HISTORY,
    PLACEHOLDER,
    Address,
    ContactChange,
    Edit,
    Event,
    HistoryChunk,
    HistoryDeclined,
    Message,
    Notice,
    Parsed,
    Person,
    PersonMoved,
    Preference,
    Status,
    Unreadable,
    parse,
)
from twinline.rules.delivery import Delivery

HERE = Address(BAKERY.waba_id, BAKERY.phone_number_id, BAKERY.phone)
RUA_SEEN = Person("351910000001", "PT.1000000001", None, None, "Rua Nova")
DANI_SEEN = Person(None, "ES.2000000002", "ES.ENT.22", "dani.canta", "Dani")


def read(webhook: Json) -> Parsed:
    return parse(wire.body(webhook))


def events(webhook: Json) -> list[Event]:
    parsed = read(webhook)
    assert parsed.problems == []
    return parsed.events


def one(webhook: Json) -> Any:
    [event] = events(webhook)
    return event


# --- live messages ------------------------------------------------------------------------------------------------


def test_a_text_says_who_wrote_what_and_when() -> None:
    message = one(wire.inbound(RUA, wire.text("wamid.1", T0, "Hello", context={"id": "wamid.0", "from": "351"})))
    assert isinstance(message, Message)
    assert message.address == HERE
    assert message.person == RUA_SEEN
    assert (message.wamid, message.at, message.type, message.text) == ("wamid.1", T0, "text", "Hello")
    assert (message.outgoing, message.live, message.rank) == (False, True, CONTENT)
    assert message.quoted == "wamid.0"
    assert message.content is None
    assert message.delivery == Delivery.NONE


@pytest.mark.parametrize("kind", wire.TYPES)
@pytest.mark.parametrize("outgoing", [False, True])
def test_every_type_is_read_from_both_sides(kind: str, outgoing: bool) -> None:
    said = wire.said("wamid.1", T0, kind, wire.TYPES[kind])
    message = one(wire.echoes(RUA, said) if outgoing else wire.inbound(RUA, said))
    assert isinstance(message, Message)
    assert (message.type, message.text, message.outgoing) == (kind, wire.TEXTS[kind], outgoing)
    assert message.person == RUA_SEEN
    assert message.media_id == (wire.TYPES[kind]["id"] if kind in webhooks.MEDIA else None)
    assert message.rank == (PLACEHOLDER if kind == "unsupported" else CONTENT)


def test_what_stands_in_the_text_or_changes_with_every_delivery_isnt_kept_twice() -> None:
    message = one(wire.inbound(RUA, wire.said("wamid.1", T0, "image", wire.TYPES["image"])))
    assert message.content == {"id": "41001", "mime_type": "image/jpeg", "sha256": "aW1n"}
    again = {**wire.TYPES["image"], "url": "https://x/2"}
    assert one(wire.inbound(RUA, wire.said("wamid.1", T0, "image", again))) == message


def test_a_location_keeps_its_url_because_that_is_what_was_sent() -> None:
    place = one(wire.inbound(RUA, wire.said("wamid.1", T0, "location", wire.TYPES["location"])))
    assert place.content["url"] == "u"


def test_cards_are_a_list_and_are_kept_as_one() -> None:
    cards = one(wire.inbound(RUA, wire.said("wamid.1", T0, "contacts", wire.TYPES["contacts"])))
    assert cards.content == {"items": wire.TYPES["contacts"]}


def test_a_card_without_a_name_reads_as_its_number() -> None:
    nameless = [{"phones": [{"phone": "+351 1"}]}, {"name": {"formatted_name": "Tia Lu"}}]
    assert one(wire.inbound(RUA, wire.said("w", T0, "contacts", nameless))).text == "+351 1, Tia Lu"


def test_a_reaction_quotes_what_it_reacts_to_and_is_empty_when_taken_back() -> None:
    given_ = one(wire.inbound(RUA, wire.said("w1", T0, "reaction", {"message_id": "w0", "emoji": "🧡"})))
    assert (given_.quoted, given_.text) == ("w0", "🧡")
    for taken in ({"message_id": "w0"}, {"message_id": "w0", "emoji": ""}):
        back = one(wire.inbound(RUA, wire.said("w2", T0, "reaction", taken)))
        assert (back.quoted, back.text) == ("w0", None)


@pytest.mark.parametrize(
    ("interactive", "words"),
    [
        ({"type": "button_reply", "button_reply": {"id": "1", "title": "Sliced"}}, "Sliced"),
        ({"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "response_json": "{}"}}, "Sent"),
        ({"type": "call_permission_reply", "call_permission_reply": {"response": "accept"}}, "accept"),
        ({"type": "tomorrow_reply"}, None),
    ],
)
def test_an_answer_to_an_interactive_message_reads_as_what_was_pressed(interactive: Json, words: str | None) -> None:
    assert one(wire.inbound(RUA, wire.said("w", T0, "interactive", interactive))).text == words


def test_marks_referrals_and_errors_are_kept_beside_the_content() -> None:
    forwarded = one(wire.inbound(RUA, wire.text("w", T0, "pass it on", context={"frequently_forwarded": True})))
    assert (forwarded.extra, forwarded.quoted) == ({"frequently_forwarded": True}, None)
    advert = {"source_type": "ad", "source_id": "77", "ctwa_clid": "x"}
    assert one(wire.inbound(RUA, wire.text("w", T0, "from the ad", referral=advert))).extra == {"referral": advert}
    hidden = one(wire.inbound(RUA, wire.said("w", T0, "unsupported", errors=[wire.NOT_HERE_YET])))
    assert hidden.extra == {"errors": [wire.NOT_HERE_YET]}
    assert hidden.rank == PLACEHOLDER


def test_a_text_longer_than_any_client_allows_is_kept_whole_in_the_content() -> None:
    long = "bread " * 20_000
    message = one(wire.inbound(RUA, wire.text("w", T0, long)))
    assert len(message.text) == webhooks.MAX_TEXT
    assert message.content == {"body": long}


def test_a_person_with_a_username_has_no_phone_and_one_from_before_user_ids_has_only_that() -> None:
    assert one(wire.inbound(DANI, wire.text("w", T0, "hi"))).person == DANI_SEEN
    assert one(wire.inbound(OLD_SHAPE, wire.text("w", T0, "hi"))).person == Person(
        "4915100000003", None, None, None, "Frieda"
    )


def test_a_username_is_kept_without_its_at_sign() -> None:
    at_sign = wire.Human(None, "ES.2", "Dani", "@dani.canta")
    assert one(wire.inbound(at_sign, wire.text("w", T0, "hi"))).person.username == "dani.canta"


def test_a_parent_id_that_only_the_message_names_is_read_as_well() -> None:
    said = {**wire.text("wamid.1", T0, "hello"), "from_parent_user_id": "PT.ENT.5"}
    assert one(wire.inbound(RUA, said)).person == Person(RUA.phone, RUA.user_id, "PT.ENT.5", RUA.username, RUA.name)


def test_an_echo_without_contacts_still_names_the_customer() -> None:
    webhook = wire.echoes(RUA, wire.text("w", T0, "ready"))
    del webhook["entry"][0]["changes"][0]["value"]["contacts"]
    echo = one(webhook)
    assert (echo.person.phone, echo.person.bsuid, echo.outgoing) == (RUA.phone, RUA.user_id, True)


def test_echoes_under_the_messages_field_are_echoes_all_the_same() -> None:
    webhook = wire.echoes(RUA, wire.text("w", T0, "ready"))
    webhook["entry"][0]["changes"][0]["field"] = "messages"
    assert one(webhook).outgoing


@pytest.mark.parametrize("written", ["5215512345678", "525512345678", "+52 1 55 1234 5678"])
def test_the_business_is_itself_however_its_number_is_written(written: str) -> None:
    shop = wire.Business(BAKERY.waba_id, BAKERY.phone_number_id, "525512345678")
    webhook = wire.echoes(RUA, wire.text("w1", T0, "ready"), business=shop)
    webhook["entry"][0]["changes"][0]["value"]["message_echoes"][0]["from"] = written
    assert one(webhook).outgoing
    said = {"from": written, **wire.past(wire.text("w2", T0, "ready"))}
    assert events(wire.chunk(0, 1, 5, wire.thread(RUA, said), business=shop))[0].outgoing  # type: ignore[union-attr]


def test_what_stands_among_the_echoes_was_written_by_the_business_whatever_from_says() -> None:
    webhook = wire.echoes(RUA, wire.text("w", T0, "ready"))
    webhook["entry"][0]["changes"][0]["value"]["message_echoes"][0]["from"] = "15550009999"
    assert one(webhook).outgoing


def test_a_message_of_a_group_is_kept_as_a_notice_and_not_mixed_into_chats() -> None:
    notice = one(wire.inbound(RUA, wire.text("w", T0, "all of you", group_id="g1")))
    assert isinstance(notice, Notice)
    assert (notice.field, notice.at) == ("group_message", T0)


def test_errors_of_the_value_are_a_notice() -> None:
    notice = one(wire.hook("messages", wire.value(errors=[wire.TOO_LATE])))
    assert notice == Notice(HERE, "errors", None, {"errors": [wire.TOO_LATE]})


# --- edits and revokes --------------------------------------------------------------------------------------------


def test_an_edit_carries_the_new_text_and_names_the_original() -> None:
    edit = one(wire.inbound(RUA, wire.edit_of("e1", T0, "w0", "text", {"body": "two loaves"})))
    assert isinstance(edit, Edit)
    assert (edit.wamid, edit.original, edit.kind, edit.text) == ("e1", "w0", "edit", "two loaves")
    assert (edit.outgoing, edit.person) == (False, RUA_SEEN)


def test_the_owner_edits_a_caption() -> None:
    edit = one(wire.echoes(RUA, wire.edit_of("e1", T0, "w0", "image", wire.TYPES["image"])))
    assert (edit.outgoing, edit.type, edit.text) == (True, "image", "this cake")


def test_a_revoke_of_somebody_without_a_phone() -> None:
    revoke = one(wire.inbound(DANI, wire.revoke_of("r1", T0, "w0")))
    assert (revoke.kind, revoke.original, revoke.text, revoke.person) == ("revoke", "w0", None, DANI_SEEN)


def test_edits_and_revokes_come_in_history_too() -> None:
    edit, revoke, piece = events(
        wire.chunk(
            1, 2, 40,
            wire.thread(
                RUA,
                wire.theirs(RUA, wire.edit_of("e1", T0, "w0", "text", {"body": "three"})),
                wire.ours(wire.revoke_of("r1", T0, "w9")),
            ),
        )
    )  # fmt: skip
    assert isinstance(edit, Edit)
    assert isinstance(revoke, Edit)
    assert (edit.outgoing, revoke.outgoing) == (False, True)
    assert edit.person.phone == revoke.person.phone == RUA.phone
    assert isinstance(piece, HistoryChunk)


# --- statuses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["sent", "delivered", "read", "played", "failed"])
def test_a_status_is_a_rung(word: str) -> None:
    status = one(wire.statuses(wire.status(RUA, "w", word, T0), human=RUA))
    assert isinstance(status, Status)
    assert status.status == Delivery[word.upper()]
    assert status.person == RUA_SEEN


def test_a_status_keeps_price_errors_and_our_own_key() -> None:
    told = wire.status(RUA, "w", "failed", T0, errors=[wire.TOO_LATE], biz_opaque_callback_data="out-7")
    status = one(wire.statuses(told))
    assert (status.detail, status.callback_data) == ({"errors": [wire.TOO_LATE]}, "out-7")
    assert one(wire.statuses(wire.status(RUA, "w", "sent", T0, pricing=wire.PRICED))).detail == {"pricing": wire.PRICED}


def test_a_status_of_a_message_that_was_sent_to_a_user_id() -> None:
    assert one(wire.statuses(wire.status(RUA, "w", "delivered", T0, to_user=True))).person == Person(None, RUA.user_id)


@pytest.mark.parametrize("key", ["recipient_parent_user_id", "parent_recipient_user_id"])
def test_the_parent_id_is_read_under_its_new_and_its_old_key(key: str) -> None:
    told = wire.status(RUA, "w", "sent", T0, **{key: "PT.ENT.5"})
    assert one(wire.statuses(told)).person.parent_bsuid == "PT.ENT.5"


def test_a_status_nobody_knows_yet_and_one_of_a_group_are_kept() -> None:
    assert one(wire.statuses(wire.status(RUA, "w", "teleported", T0))).field == "status"
    assert one(wire.statuses(wire.status(RUA, "w", "read", T0, recipient_type="group"))).field == "group_status"


# --- history ------------------------------------------------------------------------------------------------------


def test_a_chunk_is_its_messages_and_a_line_in_the_ledger() -> None:
    asked, answered, picture, piece = events(
        wire.chunk(
            0, 1, 18,
            wire.thread(
                RUA,
                wire.theirs(RUA, wire.text("w1", T0, "open today?")),
                wire.ours(wire.text("w2", T0 + 1, "till eight")),
                wire.ours(wire.placeholder("w3", T0 + 2), "PLAYED"),
            ),
        )
    )  # fmt: skip
    assert isinstance(asked, Message)
    assert isinstance(answered, Message)
    assert isinstance(picture, Message)
    assert (asked.outgoing, answered.outgoing, picture.outgoing) == (False, True, True)
    assert (asked.live, asked.rank, picture.rank) == (False, HISTORY, PLACEHOLDER)
    assert (asked.delivery, answered.delivery, picture.delivery) == (0, Delivery.DELIVERED, Delivery.PLAYED)
    assert {asked.person.phone, answered.person.phone, picture.person.phone} == {RUA.phone}
    assert piece == HistoryChunk(HERE, phase=0, chunk_order=1, progress=18, threads=1, messages=3)


@pytest.mark.parametrize("word", ["DELIVERED", "ERROR", "PENDING", "PLAYED", "READ", "SENT"])
def test_all_six_words_of_history_are_understood(word: str) -> None:
    message, _ = events(wire.chunk(0, 1, 1, wire.thread(RUA, wire.ours(wire.text("w", T0, "x"), word))))
    assert isinstance(message, Message)
    assert message.delivery == (Delivery.FAILED if word == "ERROR" else Delivery[word])


def test_a_thread_of_somebody_without_a_phone_is_known_by_its_context() -> None:
    said, piece = events(wire.chunk(0, 1, 1, wire.thread(DANI, wire.ours(wire.text("w", T0, "x")))))
    assert isinstance(said, Message)
    assert said.person == Person(None, DANI.user_id, DANI.parent_id, DANI.username)
    assert isinstance(piece, HistoryChunk)


def test_a_chunk_with_nothing_but_progress_and_several_chunks_in_one_body() -> None:
    assert one(wire.chunk(2, 7, 100)) == HistoryChunk(HERE, 2, 7, 100, 0, 0)
    webhook = wire.chunk(0, 1, 10)
    webhook["entry"][0]["changes"][0]["value"]["history"].append(
        {"metadata": {"phase": "1", "chunk_order": "2", "progress": "55"}, "threads": []}
    )
    assert events(webhook) == [HistoryChunk(HERE, 0, 1, 10, 0, 0), HistoryChunk(HERE, 1, 2, 55, 0, 0)]


def test_media_follow_ups_come_from_both_sides_and_arent_live() -> None:
    voice = wire.said("w1", T0, "audio", wire.TYPES["audio"])
    theirs, mine = one(wire.follow_up_in(RUA, voice)), one(wire.follow_up_out(RUA, voice))
    assert (theirs.outgoing, theirs.live, theirs.rank, theirs.media_id) == (False, False, CONTENT, "41003")
    assert (mine.outgoing, mine.live, mine.person.phone) == (True, False, RUA.phone)


def test_a_follow_up_that_doesnt_say_to_whom_is_read_for_its_placeholder_knows() -> None:
    follow_up = one(wire.follow_up_out(None, wire.said("w1", T0, "image", wire.TYPES["image"])))
    assert not follow_up.person.known
    assert follow_up.outgoing


@pytest.mark.parametrize("shape", ["bare", "enveloped", "value_level"])
def test_declined_history_in_all_its_shapes(shape: str) -> None:
    declined = one(wire.declined(shape))
    assert isinstance(declined, HistoryDeclined)
    assert declined.address.phone_number_id == BAKERY.phone_number_id
    assert declined.text == "The owner keeps the chats on the phone"


def test_another_error_in_history_is_a_notice() -> None:
    assert one(wire.hook("history", wire.value(history=[{"errors": [wire.TOO_LATE]}]))).field == "errors"


# --- the address book and the people ------------------------------------------------------------------------------


def test_the_phone_adds_edits_and_removes_a_contact() -> None:
    added, edited, removed = events(
        wire.state_sync(
            wire.contact(RUA, "add", T0, "Rua Nova", "Rua"),
            wire.contact(DANI, "EDIT", T0 + 1, "Dani D."),
            wire.contact(RUA, "remove", T0 + 2),
        )
    )
    phone = Person(RUA.phone, RUA.user_id)
    assert added == ContactChange(HERE, phone, T0, "Rua Nova", "Rua")
    assert edited == ContactChange(HERE, Person(None, DANI.user_id, None, DANI.username), T0 + 1, "Dani D.", None)
    assert removed == ContactChange(HERE, phone, T0 + 2, None, None)


def test_an_address_book_entry_may_miss_its_time_its_names_and_write_its_number_for_people() -> None:
    pretty = wire.Human("+351 910 000-001")
    assert one(wire.state_sync(wire.contact(pretty, "add", None, None, "Rua"))) == ContactChange(
        HERE, Person("351910000001"), 0, "Rua", "Rua"
    )
    assert one(wire.state_sync(wire.contact(pretty, "add", None))).full_name == ""


def test_another_kind_of_state_is_kept() -> None:
    assert one(wire.state_sync({"type": "label", "label": {"name": "vip"}, "action": "add"})).field == (
        "smb_app_state_sync"
    )


@pytest.mark.parametrize("word", ["stop", "resume"])
def test_a_person_stops_and_resumes_marketing(word: str) -> None:
    assert one(wire.preference(RUA, word, T0)) == Preference(HERE, RUA_SEEN, T0, word == "stop")
    assert one(wire.preference(DANI, word, T0)).person == DANI_SEEN


def test_a_preference_nobody_knows_yet_is_kept() -> None:
    assert one(wire.preference(RUA, "snooze", T0)).field == "user_preferences"


def test_a_new_user_id_joins_the_old_one() -> None:
    before, after = wire.Human(None, "PT.1"), wire.Human(None, "PT.2", "Rua")
    moved = one(wire.new_user_id(before, after, T0))
    assert moved == PersonMoved(HERE, Person(None, "PT.1"), Person(None, "PT.2", None, None, "Rua"), T0)


def test_a_new_number_is_a_system_message_and_a_move() -> None:
    after = wire.Human("351910000099", RUA.user_id)
    message, moved = events(wire.new_number(RUA, after, "w", T0))
    assert isinstance(message, Message)
    assert (message.type, message.text) == ("system", "They have a new number")
    assert isinstance(moved, PersonMoved)
    assert (moved.previous.phone, moved.person.phone) == (RUA.phone, "351910000099")


# --- the account --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", wire.ACCOUNT)
@pytest.mark.parametrize("at", [T0, str(T0), T0 * 1000, None])
def test_whatever_is_said_of_an_account_is_kept_as_said(name: str, at: int | str | None) -> None:
    field, said = wire.ACCOUNT[name]
    notice = one(wire.account(name, at))
    assert isinstance(notice, Notice)
    assert (notice.field, notice.value, notice.at) == (field, said, None if at is None else T0)
    assert notice.address.waba_id == BAKERY.waba_id


def test_a_partner_event_names_the_customers_account_inside() -> None:
    notice = one(wire.envelope({**wire.account("removed")["entry"][0], "id": "the partner's portfolio"}))
    assert notice.address.waba_id == BAKERY.waba_id


def test_an_alert_about_a_phone_number_names_it() -> None:
    alert = {**wire.ACCOUNT["alert"][1], "entity_type": "PHONE_NUMBER", "entity_id": int(BAKERY.phone_number_id)}
    assert one(wire.hook("account_alerts", alert)).address.phone_number_id == BAKERY.phone_number_id


@pytest.mark.parametrize("place", ["entry", "root", "nowhere"])
def test_a_field_at_the_wrong_level_or_nowhere_is_found_all_the_same(place: str) -> None:
    for webhook in (
        wire.inbound(RUA, wire.text("w", T0, "x")),
        wire.echoes(RUA, wire.text("w", T0, "x")),
        wire.chunk(0, 1, 1),
        wire.state_sync(wire.contact(RUA, "add", T0, "R")),
        wire.statuses(wire.status(RUA, "w", "read", T0)),
        wire.preference(RUA, "stop", T0),
        wire.new_user_id(RUA, DANI, T0),
        wire.account("offboarded"),
    ):
        expected = events(webhook)
        change = webhook["entry"][0]["changes"][0]
        field = change.pop("field")
        if place == "entry":
            webhook["entry"][0]["field"] = field
        elif place == "root":
            webhook["field"] = field
        assert events(webhook) == expected


def test_a_value_of_a_known_field_that_holds_nothing_known_is_kept() -> None:
    assert one(wire.hook("messages", wire.value(calls=[{"id": "c1"}]))).field == "messages"


# --- calls --------------------------------------------------------------------------------------------------------


def test_a_customers_call_is_kept_as_said_and_is_a_message_of_its_chat() -> None:
    webhook = wire.call(RUA, "wacid.1", T0, session={"sdp_type": "offer", "sdp": "v=0"})
    notice, message = events(webhook)
    assert isinstance(notice, Notice)
    assert isinstance(message, Message)
    assert (notice.field, notice.value["session"]["sdp_type"]) == ("calls", "offer")
    assert (message.wamid, message.type, message.at, message.live, message.outgoing) == (
        "wacid.1",
        "call",
        T0,
        True,
        False,
    )
    assert (message.person.phone, message.content) == (RUA.phone, None)


def test_a_call_counts_from_its_beginning_and_its_end_only_stands_in_for_that() -> None:
    [_, begins] = events(wire.call(RUA, "wacid.1", T0))
    [_, ends] = events(wire.call(RUA, "wacid.1", T0 + 90, "terminate", start_time=str(T0 + 4), duration=86))
    assert isinstance(begins, Message)
    assert isinstance(ends, Message)
    assert begins.rank > ends.rank
    assert ends.at == T0 + 4


@pytest.mark.parametrize(
    "bent",
    [
        {"direction": "BUSINESS_INITIATED"},
        {"direction": None, "from": BAKERY.phone},
        {"from": None, "from_user_id": None},
        {"id": None},
        {"id": ["?"]},
    ],
)
def test_a_call_of_ones_own_or_of_nobody_is_only_kept(bent: dict[str, Any]) -> None:
    [notice] = events(wire.call(RUA, "wacid.1", T0, **bent))
    assert isinstance(notice, Notice)


def test_a_call_without_a_direction_is_the_callers_and_rings_of_ours_are_kept() -> None:
    assert isinstance(events(wire.call(RUA, "wacid.1", T0, direction=None))[1], Message)
    rings = {"id": "wacid.2", "type": "call", "status": "RINGING", "timestamp": str(T0)}
    assert one(wire.hook("calls", wire.value(statuses=[rings]))).value == {"statuses": [rings]}


# --- bodies -------------------------------------------------------------------------------------------------------


def test_one_body_may_speak_of_several_numbers_accounts_and_fields() -> None:
    webhook = wire.envelope(
        wire.entry(
            wire.change("messages", wire.value(messages=[{**wire.sender(RUA), **wire.text("a", T0, "1")}])),
            wire.change("messages", wire.value(statuses=[wire.status(RUA, "b", "read", T0)])),
        ),
        *wire.echoes(DANI, wire.text("c", T0, "2"), business=FLORIST)["entry"],
        *wire.account("offboarded", business=FLORIST)["entry"],
    )
    a, b, c, d = events(webhook)
    assert [type(event) for event in (a, b, c, d)] == [Message, Status, Message, Notice]
    assert [event.address.phone_number_id for event in (a, b, c, d)] == [
        BAKERY.phone_number_id, BAKERY.phone_number_id, FLORIST.phone_number_id, None
    ]  # fmt: skip


def test_ids_times_and_numbers_may_be_strings_or_integers() -> None:
    webhook = wire.inbound(wire.Human("351910000001"), wire.text("w", T0, "x"))
    as_numbers = json.loads(json.dumps(webhook))
    about = as_numbers["entry"][0]["changes"][0]["value"]
    as_numbers["entry"][0]["id"] = int(BAKERY.waba_id)
    about["metadata"] = {"display_phone_number": int(BAKERY.phone), "phone_number_id": int(BAKERY.phone_number_id)}
    about["messages"][0] |= {"from": 351910000001, "timestamp": T0}
    about["contacts"][0]["wa_id"] = 351910000001
    assert events(as_numbers) == events(webhook)


@pytest.mark.parametrize("stamp", [T0, str(T0), T0 * 1000, str(T0 * 1000), float(T0)])
def test_a_time_in_milliseconds_is_seen_by_its_size(stamp: Any) -> None:
    assert one(wire.inbound(RUA, {**wire.text("w", T0, "x"), "timestamp": stamp})).at == T0


@pytest.mark.parametrize("stamp", [None, "soon", [], {}, True, -1, "9" * 5000])
def test_a_time_that_isnt_one_is_the_oldest_there_is(stamp: Any) -> None:
    assert one(wire.inbound(RUA, {**wire.text("w", T0, "x"), "timestamp": stamp})).at == 0


@pytest.mark.parametrize("infinite", [b"1e999", b"-1e999", b"NaN", b"Infinity"])
def test_a_number_without_end_is_no_time_either(infinite: bytes) -> None:
    body = wire.body(wire.inbound(RUA, wire.text("w", T0, "x"))).replace(b'"%d"' % T0, infinite)
    parsed = parse(body)
    assert [event.at for event in parsed.events if isinstance(event, Message)] == [0]


def test_a_number_too_large_for_any_column_doesnt_lose_the_message() -> None:
    message = one(wire.inbound(RUA, wire.said("w", T0, "holographic_hug", {"arms": 10**30})))
    assert message.type == "holographic_hug"


def test_nul_and_half_a_surrogate_pair_become_the_replacement_character() -> None:
    body = wire.body(wire.inbound(RUA, wire.text("w", T0, "MARK")))
    for spoiled, seen in (
        (b"a\\u0000b", "a\ufffdb"),
        (b"a\\ud83db", "a\ufffdb"),
        (b"a\\ude00b", "a\ufffdb"),
        (b"\\ud83e\\udde1", "🧡"),
        (b"\xed\xa0\xbdb", "\ufffdb"),
        (b"\\\\u0000", "\\u0000"),
    ):
        [message] = parse(body.replace(b"MARK", spoiled)).events
        assert isinstance(message, Message)
        assert message.text == seen


def test_nul_is_cleaned_from_ids_and_keys_too() -> None:
    webhook = wire.inbound(RUA, wire.said("w\0id", T0, "t\0ype", {"k\0ey": ["v\0"]}))
    message = one(webhook)
    assert (message.wamid, message.type, message.content) == ("w\ufffdid", "t\ufffdype", {"k\ufffdey": ["v\ufffd"]})


def test_an_id_too_long_to_index_is_a_problem_and_a_long_quote_is_only_dropped() -> None:
    parsed = read(wire.inbound(RUA, wire.text("w" * 5000, T0, "x")))
    assert (parsed.events, len(parsed.problems)) == ([], 1)
    assert one(wire.inbound(RUA, wire.text("w", T0, "x", context={"id": "q" * 5000}))).quoted is None


def test_a_message_of_nobody_is_a_problem_that_names_it() -> None:
    parsed = read(wire.hook("messages", wire.value(messages=[wire.text("wamid.lost", T0, "x")])))
    assert parsed.events == []
    assert "wamid.lost" in parsed.problems[0]


@pytest.mark.parametrize("webhook", list(wire.hostile()))
def test_a_hostile_part_never_takes_its_neighbour_along(webhook: Json) -> None:
    parsed = read(webhook)
    assert "wamid.good" in {event.wamid for event in parsed.events if isinstance(event, Message)}


@pytest.mark.parametrize("body", wire.NOT_WEBHOOKS)
def test_what_isnt_a_webhook_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        parse(body)
    assert str(caught.value)
    assert len(str(caught.value)) < 500


def test_nesting_deep_enough_to_exhaust_the_stack_is_unreadable_and_nothing_worse() -> None:
    for depth in (100, 250, 300, 500, 900, 990, 2000, 100_000):
        for inside in ('"\\u0000"', '"\\ud800"', "1"):
            nested = ('{"a":' * depth + inside + "}" * depth).encode()
            for body in (
                b'{"entry":[{"changes":[{"field":"x","value":' + nested + b"}]}]}",
                wire.body(wire.inbound(RUA, wire.said("w", T0, "hug", "MARK"))).replace(b'"MARK"', nested),
            ):
                only_unreadable(body)


# --- the law ------------------------------------------------------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text()
    | st.sampled_from(["", "0", "\0", "\ud800", "x" * 5000, "unsupported", "edit", "revoke", "system", "history"])
)
# Keys that the parser looks for, so that made-up JSON gets past the first door.
WORDS = [
    "entry", "changes", "value", "field", "metadata", "phone_number_id", "display_phone_number", "messages",
    "message_echoes", "statuses", "contacts", "history", "threads", "context", "errors", "code", "id", "from", "to",
    "timestamp", "type", "text", "body", "image", "edit", "revoke", "original_message_id", "message", "state_sync",
    "contact", "action", "user_preferences", "user_id_update", "user_id", "previous", "current", "system", "wa_id",
    "reaction", "interactive", "phase", "chunk_order", "progress", "recipient_id", "status", "group_id", "waba_info",
    "entity_type", "entity_id",
]  # fmt: skip
keys = st.sampled_from(WORDS) | st.text(max_size=3)
any_json = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5), max_leaves=25
)
readers = st.sampled_from([*webhooks.READERS, "account_update", "", "other"])


def only_unreadable(body: bytes) -> None:
    try:
        parsed = parse(body)
    except Unreadable:
        return
    assert all(isinstance(problem, str) for problem in parsed.problems)


def dumped(found: Any) -> bytes:
    try:
        return json.dumps(found).encode()
    except ValueError:  # integers longer than Python writes
        return b"{}"


@given(st.binary())
@example(b'{"entry":[{"changes":[{"value":{"a":1e999}}],"time":1e999}]}')
def test_no_bytes_raise_anything_but_unreadable(body: bytes) -> None:
    only_unreadable(body)


@given(any_json)
def test_no_json_raises_anything_but_unreadable(found: Any) -> None:
    only_unreadable(dumped(found))


@given(readers, any_json, any_json)
def test_no_value_of_any_field_raises(field: str, found: Any, waba: Any) -> None:
    only_unreadable(dumped({"entry": [{"id": waba, "time": waba, "changes": [{"field": field, "value": found}]}]}))


GOOD: list[Json] = [
    wire.inbound(RUA, *(wire.said(f"w{n}", T0, kind, about) for n, (kind, about) in enumerate(wire.TYPES.items()))),
    wire.echoes(DANI, wire.text("w", T0, "x"), wire.edit_of("e", T0, "w", "text", {"body": "y"})),
    wire.statuses(wire.status(RUA, "w", "failed", T0, errors=[wire.TOO_LATE]), human=RUA),
    wire.chunk(0, 1, 1, wire.thread(DANI, wire.ours(wire.text("p", T0, "")))),
    wire.follow_up_out(None, wire.said("w", T0, "image", wire.TYPES["image"])),
    *(wire.declined(shape) for shape in ("bare", "enveloped", "value_level")),
    wire.state_sync(wire.contact(RUA, "add", T0, "R"), wire.contact(DANI, "remove", None)),
    wire.preference(RUA, "stop", T0),
    wire.new_user_id(RUA, DANI, T0),
    wire.new_number(RUA, wire.Human("351910000099", "PT.9"), "w", T0),
    *(wire.account(name) for name in wire.ACCOUNT),
]  # fmt: skip


def places(found: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = list(found.items()) if type(found) is dict else list(enumerate(found)) if type(found) is list else []
    return [path] * bool(path) + [place for key, item in inner for place in places(item, (*path, key))]


@given(st.data())
def test_no_good_webhook_raises_with_any_part_of_it_replaced(data: st.DataObject) -> None:
    webhook = json.loads(json.dumps(data.draw(st.sampled_from(GOOD))))
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from(places(webhook)))
        part = webhook
        try:
            for key in path:
                part = part[key]
            part[last] = data.draw(any_json)
        except (KeyError, IndexError, TypeError):  # an earlier replacement took the place away
            continue
    only_unreadable(dumped(webhook))
