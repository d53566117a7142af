"""P5 once more, with a real campaign of 10,000 people, planned and started, instead of rows that wait already.

What ``p5`` leaves out: two workers also feed the outbox a few seconds ahead of the lane, make contacts of strangers,
and follow what becomes of each message, while the sink tells the hook that it was sent, delivered and read (some 45
statuses a second). Customers write and a person answers as in ``p5``, and the same is judged, over a part of the
campaign that begins with its first message. The JSON says what of the processors the platform used meanwhile, and what
the campaign knew of its people.
"""

import asyncio
import json
import os
import sys
import time
from dataclasses import replace

import httpx
import psycopg

from bench import common, p5, stage
from bench.common import Figure, quantile
from twinline.app import open_app
from twinline.campaigns import queries, service
from twinline.kit.vault import Vault
from twinline.settings import Settings

PEOPLE = 10_000
SECONDS = 45.0  # that count, from its first message
BODY = [{"type": "BODY", "text": "Spring is here, {{1}}.", "example": {"body_text": [["Ann"]]}}]
WORK = "a campaign of 10,000 runs"

SCENE = """
INSERT INTO templates (organisation_id, waba_id, id, name, language, components, parameter_format, status, status_v,
                       quality, category, category_v, was_approved, fetched_at)
VALUES (1, %(waba)s, '1', 'campaign', 'en', %(body)s, 'POSITIONAL', 'APPROVED', 0, 'GREEN', 'MARKETING', 0, true,
        now());
INSERT INTO portfolios (number_id, messaging_limit, said_at, asked_at) VALUES (1, 'TIER_UNLIMITED', now(), now());
INSERT INTO campaigns (organisation_id, number_id, name, state, state_since, created_at, planned_at, plan, content)
VALUES (1, 1, 'Spring', 'planned', now(), now(), now(), '{}', %(content)s);
INSERT INTO recipients (number_id, campaign_id, key, phone, name, language, filled, draft, market, cost, state)
SELECT 1, 1, 'p:35191' || lpad(n::text, 7, '0'), '35191' || lpad(n::text, 7, '0'), 'Person ' || n, 'en',
       '{"body.1": "Ann"}', %(draft)s::jsonb, 'Rest of Western Europe', 0.0592, 'planned'
FROM generate_series(1, %(people)s) n
"""
CONTENT = {
    "variants": [{"template": "campaign", "languages": ["en"], "values": {"body.1": {"text": "Ann"}}, "share": 1}]
}
DRAFT = {
    "type": "template",
    "text": "Spring is here, Ann.",
    "content": {
        "name": "campaign",
        "language": {"code": "en"},
        "components": [{"type": "body", "parameters": [{"type": "text", "text": "Ann"}]}],
        "shown": {"category": "MARKETING"},
    },
}


def run(quick: bool = False) -> list[Figure]:
    seconds = 15.0 if quick else SECONDS
    with (
        common.process([sys.executable, "-m", "bench.sink"], dict(os.environ), "listening on") as line,
        stage.platform(numbers=1, TWINLINE_GRAPH_URL=line.rsplit(" ", 1)[1]) as on,
        common.web(on) as port,
    ):
        cookie = stage.login(on)
        token = Vault.open(on.folder, None).seal("bench-token")
        on.sql("UPDATE numbers SET token = %s, connected_at = now() - interval '1 day'", token)
        _scene(on)
        return stage.run(_measure(on, port, line.rsplit(" ", 1)[1], cookie, seconds))


def _scene(on: common.Platform) -> None:
    with psycopg.connect(on.url, autocommit=True) as connection:
        named = {"waba": common.WABA, "people": PEOPLE, "body": json.dumps(BODY)}
        cursor = psycopg.ClientCursor(connection)
        cursor.execute(SCENE, {**named, "content": json.dumps(CONTENT), "draft": json.dumps(DRAFT)})
        connection.execute("VACUUM ANALYZE")


async def _measure(on: common.Platform, port: int, sink: str, cookie: str, seconds: float) -> list[Figure]:
    now = int(time.time())
    replies = int(seconds / p5.REPLY_EVERY)
    people = [common.request(common.envelope(common.message(on.numbers[0], i, at=now))) for i in range(replies)]
    await common.flood(port, people, connections=8)
    contacts = [int(str(row[0])) for row in on.sql("SELECT id FROM contacts ORDER BY id")]
    await asyncio.sleep(2)
    ended = asyncio.Event()
    written: list[tuple[float, float]] = []
    httpx.post(f"{sink}/report?port={port}").raise_for_status()
    with common.worker(on), common.worker(on):
        async with open_app(Settings(data=on.folder), on.url) as app, app.db.transaction() as tx:
            await queries.count(tx, await service.found(tx, 1, 1))
            await service.start(tx, 1, 1, app.clock.now())
        shares = stage.Shares(on.folder)
        customers = asyncio.create_task(p5.customers(on, port, ended, written))
        beating = asyncio.create_task(p5.beat(sink, ended))
        pressed = asyncio.create_task(p5.person(on, port, cookie, contacts, ended))
        await asyncio.sleep(seconds)
        over, used = time.time(), shares.read()
        ended.set()
        await asyncio.gather(customers, beating)
        said_at = await pressed
        became = {str(state): count for state, count in on.sql("SELECT state, count(*) FROM recipients GROUP BY 1")}
    async with httpx.AsyncClient() as http:
        told = (await http.get(f"{sink}/seen")).json()
        late = [at - float(due) for at, due in (await http.get(f"{sink}/ticked")).json()]
    texts = [text for _, text in told]
    assert len(set(texts)) == len(texts), "something was sent twice"
    begun = min(at for at, text in told if text.startswith("campaign-"))
    seen = [(at, text) for at, text in told if begun <= at < over]
    figures = p5.judge(seen, sorted(written), said_at, quantile(late, 0.99), WORK)
    more = {"cores": {who: spent / seconds for who, spent in used.items()}, "became": became}
    return [replace(figure, detail={**figure.detail, **more}) for figure in figures]


if __name__ == "__main__":
    for figure in run("--quick" in sys.argv):
        print(figure, figure.detail)
