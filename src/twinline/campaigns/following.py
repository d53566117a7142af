"""What became of a campaign's messages: its people's states, made anew from what is known whenever that changes."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from twinline.app import App
from twinline.campaigns import conversions, queries, service
from twinline.campaigns.service import ANSWERS_WITHIN
from twinline.contacts import service as contacts
from twinline.db import Tx, as_json
from twinline.mirror import events, turn
from twinline.mirror.models import Folded
from twinline.rules import campaigns as rules
from twinline.rules import floor, outcomes
from twinline.rules.campaigns import FLOOR
from twinline.rules.campaigns import Recipient as Became
from twinline.rules.consent import Why
from twinline.rules.floor import Floor, Holder
from twinline.rules.outcomes import Class

EVENTS: Final = 500  # in one transaction
FOLLOWED_FOR: Final = timedelta(days=30)
OVERTAKEN: Final = frozenset(floor.says(why) for why in floor.Why)
OPTED_OUT: Final = frozenset({Why.OPTED_OUT, Why.OPTED_OUT_OF_TOPIC})


async def heard(app: App, tx: Tx, folded: Folded, now: datetime) -> None:
    """In the ingest's transaction: what came may be about a campaign, so somebody looks in a moment."""
    numbers = folded.numbers_with_notices | {said.number_id for said in folded.received}
    numbers |= {status.number_id for status in folded.statuses}
    if numbers:
        await tx.send(queries.HEARD, {"numbers": sorted(numbers), "task": service.TEND})


async def follow(app: App, number_id: int) -> None:
    """Brings recipients into agreement with what has happened to the number's messages."""
    while True:
        async with app.db.transaction() as tx:
            await turn.take(tx, [number_id])
            seq = await tx.value(queries.CURSOR, {"number": number_id})
            if seq is None:
                return
            rows = await tx.rows(queries.EVENTS, {"number": number_id, "seq": seq, "limit": EVENTS})
            now = app.clock.now()
            if rows:
                await _follow(tx, number_id, [(at, body) for _, at, body in rows], now)
                await tx.execute(queries.FOLLOWED, {"number": number_id, "seq": rows[-1][0]})
            else:
                await tx.execute(queries.STOP_FOLLOWING, {"number": number_id, "since": now - FOLLOWED_FOR})
        if len(rows) < EVENTS:
            return


async def _follow(
    tx: Tx, number_id: int, happened: Sequence[tuple[datetime, Mapping[str, Any]]], now: datetime
) -> None:
    named, bodies = {"number": number_id}, [body for _, body in happened]
    if joined := [pair for body in bodies for pair in body.get("merged", ())]:
        winners, losers = zip(*joined, strict=True)
        await tx.execute(queries.JOINED, {**named, "winners": list(winners), "losers": list(losers)})
    told = [message for body in bodies for message in body.get("messages", ())]
    outbox = {row[1] for body in bodies for row in body.get("outbox", ())}
    wamids = sorted({wamid for _, wamid, what in told if what in ("status", "sent")})
    if wamids:
        outbox |= {row[0] for row in await tx.rows(queries.OF_WAMIDS, {**named, "wamids": wamids})}
    changed = await learn(tx, number_id, outbox, now)
    words = sorted({wamid for _, wamid, what in told if what == "received"})
    changed |= await _answers(tx, number_id, words, now)
    speakers = {contact for contact, _, what in told if what == "received"}
    speakers |= {contact for body in bodies for contact in body.get("chats", ())}
    changed |= await _opt_outs(tx, number_id, speakers, now)
    given = [(tag, people, at) for at, body in happened for tag, people in body.get("tagged", {}).items()]
    changed |= await conversions.tagged(tx, number_id, given)
    changed |= await blocks(tx, number_id, now)
    if changed:
        await events.publish(tx, {number_id: {"campaigns": sorted(changed)}}, now)


async def learn(tx: Tx, number_id: int, outbox: Collection[int], now: datetime) -> set[int]:
    """Makes the states of these rows' people anew; answers the campaigns where one changed."""
    if not outbox:
        return set()
    facts = await tx.dicts(queries.FACTS, {"number": number_id, "outbox": sorted(outbox)})
    rows = [_became(known, now) for known in facts]
    if not rows:
        return set()
    return {row[0] for row in await tx.rows(queries.LEARN, {"number": number_id, "rows": as_json(rows)})}


def _became(known: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """What became of one person."""
    row: dict[str, Any] = {
        "campaign_id": known["campaign_id"],
        "id": known["id"],
        "contact_id": known["now_contact_id"],
        "outbox_id": known["outbox_id"],
        "wamid": known["wamid"],
        "tries": known["tries"],
        "reason": "",
        "says": "",
        "not_before": None,
        "blocked_at": None,
        "delivered_at": known["delivered_at"],
        "read_at": known["read_at"],
        "sent_at": (known["sent_at"] or known["sending_at"]) if known["outbox"] == "sent" else None,
        "failed_at": None,
    }
    state = rules.recipient_state(known["outbox"], known["delivery"], replied=known["replied_at"] is not None)
    if state is Became.CANCELLED and known["error_text"] in OVERTAKEN:
        # Somebody spoke in the chat first. It goes out when they have done, if that isn't too late.
        here = Floor(Holder(known["floor_holder"]), known["floor_epoch"], known["floor_until"])
        again = {"outbox_id": None, "tries": known["tries"] + 1, "not_before": rules.look_again_at(here, now)}
        return {**row, **again, "state": Became.HELD, "reason": FLOOR, "says": known["error_text"]}
    if state in {Became.FAILED, Became.HELD, Became.CANCELLED}:
        code = known["error_code"]
        row["reason"] = "" if code is None else str(code)
        row["says"] = known["error_text"] or ""
    if state is Became.FAILED:
        if known["error_code"] is None and known["outbox"] == "failed":  # a rule's word, not Meta's: it never left
            return {**row, "state": Became.SKIPPED, "reason": "refused"}
        row["failed_at"] = known["failed_at"] or known["refused_at"] or known["settled_at"]
        if known["error_code"] is not None and outcomes.outcome(known["error_code"]).klass is Class.OPT_OUT:
            row["blocked_at"] = row["failed_at"]
    return {**row, "state": state}


async def blocks(tx: Tx, number_id: int, now: datetime) -> set[int]:
    """Whoever told WhatsApp to stop marketing since a campaign reached them; answers the campaigns."""
    named = {"number": number_id, "within": ANSWERS_WITHIN, "since": now - FOLLOWED_FOR}
    return {row[0] for row in await tx.rows(queries.BLOCKED, named)}


async def _answers(tx: Tx, number_id: int, wamids: Collection[str], now: datetime) -> set[int]:
    """Words of customers that answer a campaign."""
    if not wamids:
        return set()
    named = {"number": number_id, "wamids": list(wamids), "within": ANSWERS_WITHIN}
    answers: dict[tuple[int, int], dict[str, Any]] = {}
    for found in await tx.dicts(queries.ANSWERED, named):
        first = answers.setdefault((found["campaign_id"], found["id"]), found)
        first["button"] = first["button"] or found["button"]
    if not answers:
        return set()
    rows = [{name: one[name] for name in ("campaign_id", "id", "at", "wamid", "button")} for one in answers.values()]
    changed = {row[0] for row in await tx.rows(queries.REPLIED, {**named, "rows": as_json(rows)})}
    changed |= await learn(tx, number_id, {one["outbox_id"] for one in answers.values()}, now)
    await _route(tx, number_id, [one for one in answers.values() if one["first"]], now)
    return changed


async def answered(tx: Tx, number_id: int, wamids: Collection[str]) -> tuple[dict[int, int], dict[int, str]]:
    """Which campaigns customers' messages answer, by contact, and which automation such a campaign hands them to."""
    named = {"number": number_id, "wamids": sorted(wamids), "within": ANSWERS_WITHIN}
    answers = {found["contact_id"]: found["campaign_id"] for found in await tx.dicts(queries.ANSWERED, named)}
    if not answers:
        return {}, {}
    routing = await tx.rows(queries.ROUTING, {"number": number_id, "ids": sorted(set(answers.values()))})
    return answers, {campaign: str(to["automation"]) for campaign, to, _ in routing if to.get("automation")}


async def _route(tx: Tx, number_id: int, answers: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Whoever answers for the first time gets the campaign's tag, and their chat its person."""
    if not answers:
        return
    by_campaign: dict[int, set[int]] = defaultdict(set)
    for one in answers:
        by_campaign[one["campaign_id"]].add(one["contact_id"])
    for campaign_id, routing, _ in await tx.rows(queries.ROUTING, {"number": number_id, "ids": sorted(by_campaign)}):
        people = sorted(by_campaign[campaign_id])
        if routing.get("tag"):
            await contacts.tag(tx, number_id, people, now, add=[routing["tag"]])
        if routing.get("assign_to"):
            named = {"number": number_id, "contacts": people, "user": routing["assign_to"]}
            await tx.execute(queries.ASSIGN, named)
            await events.publish(tx, {number_id: {"chats": people}}, now)


async def _opt_outs(tx: Tx, number_id: int, people: Iterable[int], now: datetime) -> set[int]:
    """Whoever of these has ended marketing since a campaign reached them."""
    named: dict[str, Any] = {"number": number_id, "contacts": sorted(people), "since": now - ANSWERS_WITHIN}
    if not named["contacts"]:
        return set()
    topics: dict[str, list[int]] = defaultdict(list)
    for contact, topic in await tx.rows(queries.TOPICS, named):
        topics[topic].append(contact)
    rows = [
        {"contact_id": contact, "topic": topic, "at": consent.since or now}
        for topic, asked in topics.items()
        for contact, consent in (await contacts.consents(tx, number_id, asked, topic)).items()
        if consent.why in OPTED_OUT
    ]
    if not rows:
        return set()
    named |= {"rows": as_json(rows), "within": ANSWERS_WITHIN}
    return {row[0] for row in await tx.rows(queries.OPTED_OUT, named)}
