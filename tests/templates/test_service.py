"""Templates between the platform and a Meta that behaves as Meta does."""

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from tests.templates.conftest import BODY, Shop, spec

from twinline import wiring
from twinline.meta.graph import GraphError
from twinline.mirror import hook, ingest
from twinline.rules.refusal import Refused
from twinline.templates import queries, service
from twinline.templates.models import TemplateError

pytestmark = pytest.mark.anyio


def text(*values: str) -> dict[str, Any]:
    return {"type": "body", "parameters": [{"type": "text", "text": value} for value in values]}


async def is_refused(shop: Shop, *args: Any, **options: Any) -> str:
    with pytest.raises(Refused) as caught:
        await shop.says(*args, **options)
    refusal = caught.value.refusal
    assert refusal.what_to_do
    return f"{refusal.rule}: {refusal.text} {refusal.what_to_do}"


# --- reading Meta -----------------------------------------------------------------------------------------------------


async def test_connecting_a_number_reads_its_templates_and_every_language_is_one(shop: Shop) -> None:
    [job] = await shop.jobs(service.SYNC)
    assert job == {"organisation_id": shop.organisation_id, "waba_id": shop.waba_id}
    assert await shop.sync() >= 10
    async with shop.app.db.transaction() as tx:
        names = [(one.name, one.language) for one in await queries.by_name(tx, *shop.place, "order_ready")]
        [account] = await queries.accounts(tx, *shop.place)
    assert names == [("order_ready", "en_US"), ("order_ready", "es"), ("order_ready", "pt_BR")]
    assert account.read_at is not None
    assert (await shop.named("booking_reminder")).parameter_format == "NAMED"


async def test_what_was_deleted_elsewhere_is_gone_after_the_next_reading(shop: Shop) -> None:
    await shop.sync()
    gone = await shop.named("hello_world")
    await shop.control("options", app_statuses=False)
    token = (await shop.rows("SELECT token FROM numbers"))[0]["token"]
    answer = await shop.sim.request(
        "DELETE", f"/v26.0/{shop.waba_id}/message_templates", params={"name": "hello_world"},
        headers={"Authorization": f"Bearer {shop.app.vault.unseal(token)}"},
    )  # fmt: skip
    assert answer.is_success, answer.text
    shop.clock.advance(minutes=1)
    await shop.sync()
    with pytest.raises(TemplateError):
        await shop.template(gone.id)


async def test_a_template_made_elsewhere_is_fetched_when_somebody_sends_it(shop: Shop) -> None:
    await shop.sync()
    await shop.control("templates", waba=shop.waba_id, approved=True, **spec("made_elsewhere"))
    await shop.rows("DELETE FROM procrastinate_jobs RETURNING id")
    assert "template.unknown" in await is_refused(shop, "+14155550171", "made_elsewhere")
    await service.acquaint(shop.app, shop.number_id, "made_elsewhere")
    outbox = await shop.says("+14155550171", "made_elsewhere", text("Ann", "Friday"))
    assert outbox > 0


# --- writing ----------------------------------------------------------------------------------------------------------


async def test_a_new_template_waits_for_review_and_is_approved_by_webhook(shop: Shop) -> None:
    made = await shop.create()
    one = await shop.template(made)
    assert (one.status, one.told.sends) == ("PENDING", False)
    assert "can't be sent now" in await is_refused(shop, "+14155550171", "bike_ready", text("Ann", "Friday"))
    await shop.step(made, "approve")
    one = await shop.template(made)
    assert (one.status, one.told.sends) == ("APPROVED", True)
    [row] = await shop.rows("SELECT body FROM events WHERE number_id = %s ORDER BY seq DESC LIMIT 1", shop.number_id)
    assert row["body"]["templates"] is True


async def test_what_meta_would_refuse_never_reaches_meta(shop: Shop) -> None:
    before = len(shop.way.calls)
    bad = spec("Bike Ready", {"type": "BODY", "text": "{{1}} is ready"}, language="xx")
    with pytest.raises(TemplateError) as caught:
        await shop.create(bad)
    assert {problem.rule for problem in caught.value.problems} == {
        "name.characters", "language.unknown", "variable.edge", "example.missing",
    }  # fmt: skip
    assert len(shop.way.calls) == before


async def test_metas_own_words_are_shown_when_it_refuses_all_the_same(shop: Shop) -> None:
    await shop.control("templates", waba=shop.waba_id, **spec("taken"))
    await shop.rows("DELETE FROM templates RETURNING id")
    with pytest.raises(GraphError) as caught:
        await shop.create(spec("taken"))
    assert "already" in service.meta_said(caught.value)


async def test_a_lost_answer_makes_no_second_template(shop: Shop) -> None:
    shop.way.lose.append("/message_templates")
    made = await shop.create()
    posts = [call for call in shop.way.calls if call == f"POST /v26.0/{shop.waba_id}/message_templates"]
    assert len(posts) == 1
    assert (await shop.template(made)).name == "bike_ready"


async def test_a_rejected_template_says_why_and_may_be_handed_in_again(shop: Shop) -> None:
    made = await shop.create()
    await shop.step(made, "reject", reason="TAG_CONTENT_MISMATCH")
    one = await shop.template(made)
    assert (one.status, one.reason) == ("REJECTED", "TAG_CONTENT_MISMATCH")
    assert "language or category" in one.told.says
    better = spec("bike_ready", {"type": "BODY", "text": "Your bike is mended and waits for you."})
    await service.edit(shop.app, *shop.place, made, better)
    one = await shop.template(made)
    assert (one.status, one.reason, one.components) == ("PENDING", None, better["components"])


async def test_an_approved_template_is_changed_once_a_day_and_that_is_said_before(shop: Shop) -> None:
    made = await shop.create(approve=True)
    await service.edit(
        shop.app, *shop.place, made, spec("bike_ready", {"type": "BODY", "text": "Your bike is mended."})
    )
    await shop.step(made, "approve")
    calls = len(shop.way.calls)
    with pytest.raises(TemplateError, match="once in 24 hours"):
        await service.edit(shop.app, *shop.place, made, spec())
    assert len(shop.way.calls) == calls
    await shop.passes(86_401)
    await service.edit(shop.app, *shop.place, made, spec())


async def test_a_deleted_name_stays_blocked_for_thirty_days(shop: Shop) -> None:
    made = await shop.create(approve=True)
    assert await service.delete(shop.app, *shop.place, "bike_ready") == 1
    with pytest.raises(TemplateError):
        await shop.template(made)
    with pytest.raises(TemplateError, match="30 days"):
        await shop.create()
    await shop.passes(30 * 86_400 + 60)
    again = await shop.create()
    assert again != made


async def test_one_language_of_several_can_go_alone(shop: Shop) -> None:
    await shop.sync()
    spanish = await shop.named("order_ready", "es")
    assert await service.delete(shop.app, *shop.place, "order_ready", spanish.id) == 1
    assert "it is in en_US, pt_BR" in await is_refused(shop, "+14155550171", "order_ready", language="es")


PICTURE = b"\xff\xd8\xff" + b"\0" * 3000


async def test_a_headers_file_is_handed_in_and_goes_on_where_it_broke_off(shop: Shop) -> None:
    shop.way.lose.append("/upload:")
    kept = await service.keep_sample(shop.app, *shop.place, "IMAGE", PICTURE, "bike.jpg")
    assert kept["handle"]
    header = {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": [kept["handle"]]}}
    made = await shop.create(spec("bike_picture", header, BODY), approve=True)
    assert (await shop.template(made)).told.sends


async def test_a_file_of_another_kind_is_refused_with_what_would_do(shop: Shop) -> None:
    with pytest.raises(TemplateError, match=r"application/pdf.*image/jpeg, image/png"):
        await service.keep_sample(shop.app, *shop.place, "IMAGE", b"%PDF-1.7", "bike.pdf")


# --- what Meta says later ---------------------------------------------------------------------------------------------


async def test_a_pause_for_its_quality_says_until_when_and_lifts_itself(shop: Shop) -> None:
    made = await shop.create(approve=True)
    await shop.step(made, "pause")
    one = await shop.template(made)
    assert one.status == "PAUSED"
    assert one.paused_until is not None
    assert one.paused_until - shop.clock.now() > timedelta(hours=2, minutes=59)
    told = await is_refused(shop, "+14155550171", "bike_ready", text("Ann", "Friday"))
    assert told.startswith("template.paused")
    assert "by itself" in told
    await shop.passes(3 * 3600 + 5)
    assert (await shop.template(made)).told.sends


async def test_a_pause_from_pacing_waits_for_somebody_who_ends_it(shop: Shop) -> None:
    made = await shop.create(approve=True)
    await shop.step(made, "drop")
    one = await shop.template(made)
    assert (one.status, one.reason, one.paused_until) == ("PAUSED", "RATE_LIMITING_PAUSE", None)
    assert "doesn't end by itself" in one.told.says
    await service.unpause(shop.app, *shop.place, made)
    assert (await shop.template(made)).status == "APPROVED"
    with pytest.raises(TemplateError, match="isn't paused"):
        await service.unpause(shop.app, *shop.place, made)


async def test_of_two_readings_in_one_second_the_later_one_counts(shop: Shop) -> None:
    made = await shop.create(approve=True)
    await shop.step(made, "drop")
    shop.clock.advance(seconds=5)
    await service.sync(shop.app, *shop.place)
    shop.clock.advance(milliseconds=1)
    await service.unpause(shop.app, *shop.place, made)
    assert (await shop.template(made)).status == "APPROVED"


async def test_quality_and_category_follow(shop: Shop) -> None:
    made = await shop.create(approve=True)
    await shop.step(made, "quality", score="YELLOW")
    assert (await shop.template(made)).quality == "YELLOW"
    await shop.step(made, "recategorise", category="MARKETING")
    one = await shop.template(made)
    assert (one.category, one.next_category) == ("UTILITY", "MARKETING")
    await shop.passes(2 * 86_400)
    one = await shop.template(made)
    assert (one.category, one.next_category) == ("MARKETING", None)


async def test_a_disabled_template_never_goes_out_again(shop: Shop) -> None:
    made = await shop.create(approve=True)
    await shop.step(made, "disable")
    assert (await is_refused(shop, "+14155550171", "bike_ready")).startswith("template.disabled")


def _told(shop: Shop, field: str, at: int, template_id: str, **value: Any) -> bytes:
    import orjson

    change = {"field": field, "value": {"message_template_id": int(template_id), "message_template_name": "bike_ready",
                                        "message_template_language": "en_US", **value}}  # fmt: skip
    return orjson.dumps(
        {"object": "whatsapp_business_account", "entry": [{"id": shop.waba_id, "time": at, "changes": [change]}]}
    )


async def test_in_whatever_order_webhooks_come_they_end_in_the_same_row(shop: Shop) -> None:
    made = await shop.create(approve=True)
    base = int(shop.clock.now().timestamp()) + 100
    status = "message_template_status_update"
    bodies = [
        _told(shop, status, base, made, event="PAUSED", other_info={"title": "FIRST_PAUSE"}),
        _told(shop, status, base + 60, made, event="APPROVED", reason="NONE"),
        _told(shop, "message_template_quality_update", base + 30, made, new_quality_score="RED"),
        _told(shop, "template_category_update", base + 40, made, new_category="MARKETING"),
    ]
    [before] = await shop.rows("SELECT * FROM templates WHERE id = %s", made)
    shop.clock.advance(seconds=300)
    ends = set()
    for order in permutations(range(4)):
        await shop.rows("DELETE FROM templates WHERE id = %s RETURNING id", made)
        await shop.rows("DELETE FROM notices RETURNING number_id")
        await shop.rows("DELETE FROM webhooks RETURNING digest")
        async with shop.app.db.transaction() as tx:
            row = {**before, "version": before["status_v"]}
            for name in ("fetched_at", "created_at"):
                row[name] = before[name].isoformat() if before[name] else None
            await queries.write(tx, [row])
        for index in order:
            await hook.commit(shop.app, [ingest.read(bodies[index], 1 << 20)], wiring.followers(shop.app))
        one = await shop.template(made)
        ends.add((one.status, one.paused_until, one.quality, one.category))
    assert ends == {("APPROVED", None, "RED", "MARKETING")}


async def test_an_event_that_says_too_little_makes_somebody_look_once(shop: Shop) -> None:
    made = await shop.create(approve=True)
    await shop.rows("DELETE FROM procrastinate_jobs RETURNING id")
    shop.clock.advance(seconds=60)
    at = int(shop.clock.now().timestamp())
    body = _told(shop, "message_template_status_update", at, made, event="FLAGGED")
    await hook.commit(shop.app, [ingest.read(body, 1 << 20)], wiring.followers(shop.app))
    assert [job["template_id"] for job in await shop.jobs(service.LOOK)] == [made]
    shop.clock.advance(seconds=5)
    await service.look(shop.app, *shop.place, made)
    await shop.rows("DELETE FROM procrastinate_jobs RETURNING id")
    other = _told(shop, "message_template_quality_update", at + 1, made, new_quality_score="GREEN")
    await hook.commit(shop.app, [ingest.read(other, 1 << 20)], wiring.followers(shop.app))
    assert await shop.jobs(service.LOOK) == []


# --- sending one ------------------------------------------------------------------------------------------------------


async def test_a_template_reaches_the_customer_as_it_was_shown(shop: Shop) -> None:
    await shop.create(approve=True)
    outbox = await shop.says("+14155550171", "bike_ready", text("Nora", "Friday"))
    [row] = await shop.rows("SELECT * FROM outbox WHERE id = %s", outbox)
    assert row["text"] == "Dear Nora, your bike is mended and waits for you until Friday at the shop."
    assert row["content"]["shown"]["category"] == "UTILITY"
    await shop.drain()
    [row] = await shop.rows("SELECT state, error_text FROM outbox WHERE id = %s", outbox)
    assert row == {"state": "sent", "error_text": None}
    [message] = await shop.rows("SELECT type, text FROM messages WHERE outgoing AND type = 'template'")
    assert message["text"].startswith("Dear Nora")


async def test_missing_and_surplus_values_are_named_one_by_one(shop: Shop) -> None:
    await shop.create(approve=True)
    few = await is_refused(shop, "+14155550171", "bike_ready")
    assert "no value for {{1}} in the text" in few
    assert "no value for {{2}} in the text" in few
    many = await is_refused(shop, "+14155550171", "bike_ready", text("Nora", "Friday", "now", "here"))
    assert "no place for value 3" in many
    assert "no place for value 4" in many


async def test_an_empty_value_is_filled_from_its_fallback(shop: Shop) -> None:
    made = await shop.create(approve=True)
    async with shop.app.db.transaction() as tx:
        await service.set_fallbacks(shop.app, tx, await shop.template(made), {"body.1": "friend", "body.2": ""})
    outbox = await shop.says("+14155550171", "bike_ready", text("", "Friday"))
    [row] = await shop.rows("SELECT text, content FROM outbox WHERE id = %s", outbox)
    assert row["text"].startswith("Dear friend,")
    assert row["content"]["components"][0]["parameters"][0]["text"] == "friend"
    async with shop.app.db.transaction() as tx:
        with pytest.raises(TemplateError, match=r"no variable body\.9"):
            await service.set_fallbacks(shop.app, tx, await shop.template(made), {"body.9": "x"})


async def test_an_unknown_name_gets_a_hint(shop: Shop) -> None:
    told = await is_refused(shop, "+14155550171", "order_redy")
    assert "weren't read from Meta yet" in told
    await shop.sync()
    assert "Did you mean order_ready?" in await is_refused(shop, "+14155550171", "order_redy")


async def test_a_code_goes_to_a_phone_and_to_nobody_who_hides_it(shop: Shop) -> None:
    await shop.sync()
    code = text("482913"), {"type": "button", "sub_type": "url", "index": "0",
                            "parameters": [{"type": "text", "text": "482913"}]}  # fmt: skip
    assert await shop.says("+14155550171", "login_code", *code) > 0
    told = await is_refused(shop, "US.13491208655302741918", "login_code", *code)
    assert told.startswith("template.needs_phone")


async def test_who_stopped_marketing_gets_none_from_a_person_either(shop: Shop) -> None:
    await shop.sync()
    contact = await shop.contact("+14155550171")
    await shop.rows("UPDATE contacts SET opted_out = true WHERE id = %s RETURNING id", contact)
    sale = await shop.named("spring_sale")
    values = text(*(slot.example for slot in sale.slots if slot.place == "body"))
    others = [{"type": "button", "sub_type": slot.sub_type, "index": str(slot.place),
               "parameters": [{"type": "coupon_code", "coupon_code": "X"} if slot.kind == "coupon" else
                              {"type": "text", "text": "x"}]}
              for slot in sale.slots if isinstance(slot.place, int) and slot.required]  # fmt: skip
    assert (await is_refused(shop, "+14155550171", "spring_sale", values, *others)).startswith("opted_out")
    await shop.says("+14155550171", "order_ready", text("Nora", "17"))
