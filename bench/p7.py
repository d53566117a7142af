"""P7: the pages of an inbox with 100,000 chats and 5,000,000 messages of one number.

The past is made in the database itself, before its search index, as a restored backup would be: a tenth of the chats
hold three quarters of the messages, texts are words of a vocabulary of 20,000 in which the common are common, one chat
in fifty is unread and one in thirty is the asker's. Everything is vacuumed and analysed once; then one logged-in
session asks ``twinline web``, one request after the other, each for other chats, words or places. What counts is from
the request's first byte to the answer's last. Reference: the same process's ``/health``.
"""

import hashlib
import random
import time
import urllib.parse
from dataclasses import replace

import psycopg

from bench import common, stage
from bench.common import Figure, Platform, median, quantile

CHATS = 100_000
MESSAGES = 5_000_000
ASKS = 100
PIECE = 500_000  # messages made in one statement
COUNTRY = "35191"  # what telephone numbers begin with; a contact's id follows

SCENE = """
CREATE FUNCTION pg_temp.whose(n bigint, chats bigint) RETURNS bigint IMMUTABLE LANGUAGE sql AS $$
    SELECT 1 + CASE WHEN n %% 4 = 0 THEN n / 4 %% chats ELSE abs(hashint8(n)::bigint) %% (chats / 10) END
$$;
CREATE FUNCTION pg_temp.word(n bigint) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    -- By its rank: cubed, so that a hundred of them are a sixth of all that is said.
    SELECT left(md5((20000 * power((abs(hashint8(n)::bigint) %% 100003) / 100003.0, 3))::int::text), 6)
$$;
DROP INDEX messages_search;
INSERT INTO contacts (number_id, id, phone, phone_v, profile_name, profile_v)
SELECT 1, n, %(country)s || lpad(n::text, 7, '0'), 1, 'Person ' || n || ' ' || pg_temp.word(n), 1
FROM generate_series(1, %(chats)s::bigint) n;
INSERT INTO identities (number_id, key, contact_id)
SELECT 1, 'p:' || %(country)s || lpad(n::text, 7, '0'), n FROM generate_series(1, %(chats)s::bigint) n;
"""

SAID = """
INSERT INTO messages (number_id, wamid, contact_id, outgoing, live, version, at, type, text, author, delivery)
SELECT 1, 'wamid.P7' || lpad(n::text, 10, '0'), pg_temp.whose(n, %(chats)s), n %% 3 = 0, n > %(messages)s * 0.9, 1,
       now() - (%(messages)s - n) * interval '3 seconds', 'text', (
           SELECT string_agg(pg_temp.word(n * 31 + i), ' ') FROM generate_series(1, 3 + n %% 12) i
       ), CASE WHEN n %% 3 = 0 THEN 'phone' ELSE 'customer' END, 3
FROM generate_series(%(first)s::bigint, %(last)s::bigint) n
"""

LINES = """
INSERT INTO chats (number_id, contact_id, last_at, last_wamid, last_inbound_at, unread, assigned_to)
SELECT DISTINCT ON (contact_id) 1, contact_id, at, wamid, at, CASE WHEN contact_id % 50 = 0 THEN 2 ELSE 0 END,
       CASE WHEN contact_id % 30 = 0 THEN (SELECT min(id) FROM users) END
FROM messages WHERE number_id = 1 ORDER BY contact_id, at DESC
"""

INDEX = """
SET maintenance_work_mem = '512MB';
CREATE INDEX messages_search ON messages USING gin (to_tsvector('simple', text))
    WITH (gin_pending_list_limit = 262144);
"""


def run(quick: bool = False) -> list[Figure]:
    chats, messages, asks = (2_000, 50_000, 10) if quick else (CHATS, MESSAGES, ASKS)
    with common.platform(numbers=1) as on:
        cookie = stage.login(on)
        begun = time.perf_counter()
        fill(on, chats, messages)
        told: dict[str, object] = {"chats": chats, "messages": messages, "filled_in": time.perf_counter() - begun}
        with common.web(on) as port:
            took, bare = stage.run(_ask(on, port, cookie, _questions(on, chats, messages, asks)))
    reference = quantile(bare, 0.95)
    figures = []
    for what, times in took.items():
        wanted = 150 if what.startswith("search") else 30
        value = quantile(times, 0.95)
        detail = {**told, "p50": median(times), "max": max(times)}
        figures.append(
            Figure("P7", f"{what}, p95", value, "ms", reference, "/health", value / reference, f"<= {wanted} ms",
                   value <= wanted, detail)
        )  # fmt: skip
    return [replace(figure, met=None) for figure in figures] if quick else figures


def fill(on: Platform, chats: int, messages: int) -> None:
    """Gives number 1 so many chats and messages."""
    with psycopg.connect(on.url, autocommit=True) as connection:
        cursor = psycopg.ClientCursor(connection)
        cursor.execute("SET synchronous_commit = off")
        cursor.execute(SCENE, {"chats": chats, "country": COUNTRY})
        for first in range(1, messages + 1, PIECE):
            last = min(first + PIECE - 1, messages)
            cursor.execute(SAID, {"chats": chats, "messages": messages, "first": first, "last": last})
        cursor.execute(LINES)
        cursor.execute(INDEX)
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute("CHECKPOINT")


def _questions(on: Platform, chats: int, messages: int, asks: int) -> dict[str, list[str]]:
    """What is asked, by what it is called in the figures."""
    draw = random.Random(7)
    rows = "/inbox/1/rows?"

    def chat() -> int:
        return draw.randrange(chats) + 1

    def busy() -> int:
        return draw.randrange(chats // 10) + 1

    def word(lowest: int, highest: int) -> str:
        """By its rank, the most common first."""
        return hashlib.md5(str(draw.randrange(lowest, highest)).encode()).hexdigest()[:6]

    def before() -> str:
        [[at, contact]] = on.sql(
            "SELECT (extract(epoch FROM last_at) * 1000000)::bigint, contact_id FROM chats WHERE contact_id = %s",
            chat(),
        )
        return urllib.parse.quote(f"{at}.{contact}")

    def older() -> str:
        contact = busy()
        [[at, wamid]] = on.sql(
            "SELECT (extract(epoch FROM at) * 1000000)::bigint, wamid FROM messages"
            " WHERE number_id = 1 AND contact_id = %s ORDER BY at DESC OFFSET 40 LIMIT 1", contact
        )  # fmt: skip
        return f"/inbox/1/{contact}/messages?before={urllib.parse.quote(f'{at}.0.{wamid}')}"

    asked = {
        "list of chats": lambda: f"{rows}filter=all",
        "list of chats, far down": lambda: f"{rows}filter=all&before={before()}",
        "lines of six chats": lambda: rows + urllib.parse.urlencode({"ids": ",".join(str(chat()) for _ in range(6))}),
        "filter, unread": lambda: f"{rows}filter=unread",
        "filter, mine": lambda: f"{rows}filter=mine",
        "filter, waiting": lambda: f"{rows}filter=waiting",
        "a chat opened": lambda: f"/inbox/1/{chat()}",
        "thread, a page further up": older,
        "search, a rare word": lambda: f"{rows}q={word(5_000, 20_000)}",
        "search, a common word": lambda: f"{rows}q={word(0, 20)}",
        "search, two words": lambda: f"{rows}q={word(0, 400)}+{word(0, 400)}",
        "search, the beginning of a word": lambda: f"{rows}q={word(0, 20_000)[:4]}",
        "search, a name": lambda: f"{rows}q=Person+{chat()}",
        "search, a telephone number": lambda: f"{rows}q={COUNTRY}{chat():07}",
    }
    return {what: [one() for _ in range(asks)] for what, one in asked.items()}


async def _ask(
    on: Platform, port: int, cookie: str, questions: dict[str, list[str]]
) -> tuple[dict[str, list[float]], list[float]]:
    """Milliseconds of each; the first few of a kind warm plans and pages and don't count."""
    bare: list[float] = []
    took: dict[str, list[float]] = {}
    async with common.clients(port, 1) as [client]:
        for what, addresses in questions.items():
            took[what] = []
            for address in [*addresses[:5], *addresses]:
                took[what].append(await _one(client, address, cookie))
                bare.append(await _one(client, "/health", cookie))
            del took[what][:5]
    return took, bare


async def _one(client: common.Client, address: str, cookie: str) -> float:
    begun = time.perf_counter()
    raw = f"GET {address} HTTP/1.1\r\nHost: bench\r\nCookie: {cookie}\r\nHX-Request: true\r\n\r\n".encode()
    status = await client.send(raw)
    assert status == 200, f"{address}: {status}"
    return (time.perf_counter() - begun) * 1000


if __name__ == "__main__":
    for figure in run():
        print(figure, figure.detail)
