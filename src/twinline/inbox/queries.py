"""What the inbox reads. Every list is paged by keyset along an index, however long the history is.

Each function is handed a number that was found by ``number`` (id *and* organisation), so that nobody reads another
organisation's rows.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final
from urllib.parse import quote

from psycopg.errors import QueryCanceled

from twinline.automations import queries as automations
from twinline.db import Tx
from twinline.inbox import words
from twinline.inbox.models import TICKS, Bubble, Chat, Counts, Hit, Media, Number, OpenChat, Person, Quote, tie
from twinline.meta import webhooks as wire
from twinline.rules import accents, outcomes
from twinline.rules.delivery import Delivery

CHATS_PAGE: Final = 40
THREAD_PAGE: Final = 50
HITS_PAGE: Final = 30

# Of a word that stands in more messages than this, the newest chats are searched instead of all of history.
COMMON: Final = 5_000

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# --- numbers ------------------------------------------------------------------------------------------------------

NUMBERS = """
SELECT id, display_phone, verified_name, state, connected_at, event_seq
FROM numbers WHERE organisation_id = %s ORDER BY id
"""

NUMBER = """
SELECT id, display_phone, verified_name, state, connected_at, event_seq
FROM numbers WHERE id = %s AND organisation_id = %s
"""


async def numbers(tx: Tx, organisation_id: int) -> list[Number]:
    return await tx.all(Number, NUMBERS, (organisation_id,))


async def number(tx: Tx, number_id: int, organisation_id: int) -> Number | None:
    return await tx.one(Number, NUMBER, (number_id, organisation_id))


# --- the chat list ------------------------------------------------------------------------------------------------

# The page is cut from the chats alone, and only its lines are dressed: whatever the planner thinks of the tables'
# sizes (on a young database: nothing), it can't dress them all to show the first.
PAGE = """
page AS MATERIALIZED (
    SELECT * FROM {chats} k
    WHERE k.number_id = %(number)s AND k.last_at IS NOT NULL {passes}
    ORDER BY k.last_at DESC, k.contact_id DESC LIMIT %(limit)s
)
SELECT k.contact_id, k.last_at, k.unread, k.assigned_to, a.name AS assignee, k.floor_holder, k.floor_until,
       EXISTS (
           SELECT FROM runs r WHERE r.number_id = k.number_id AND r.contact_id = k.contact_id AND {handed}
       ) AS handed,
       c.custom_name, c.book_name, c.profile_name, c.username, c.phone, c.bsuid,
       m.type, left(coalesce(m.edit_text, m.text), 200) AS text, m.content, m.outgoing, m.delivery, m.author,
       m.revoked_at IS NOT NULL AS revoked
FROM page k
JOIN contacts c ON c.number_id = k.number_id AND c.id = k.contact_id
LEFT JOIN messages m ON m.number_id = k.number_id AND m.wamid = k.last_wamid
LEFT JOIN users a ON a.id = k.assigned_to
ORDER BY k.last_at DESC, k.contact_id DESC
"""


def _page(passes: str, chats: str = "chats") -> str:
    return PAGE.format(chats=chats, passes=passes, handed=automations.HANDED_OVER)


# Whose lines are drawn from: which chats, and what they have to pass.
FILTERS: Final = {
    "all": ("chats", ""),
    "unread": ("chats", "AND k.unread > 0"),
    "mine": ("chats", "AND k.assigned_to = %(user)s"),
    "waiting": (f"({automations.HANDED_CHATS})", ""),
}

BEFORE = "AND (k.last_at, k.contact_id) < (coalesce(%(at)s::timestamptz, 'infinity'), coalesce(%(id)s::bigint, 0))"

CHATS = {name: "WITH" + _page(f"{BEFORE} {passes}", chats) for name, (chats, passes) in FILTERS.items()}

CHATS_BY_ID = {
    name: "WITH" + _page(f"AND k.contact_id = ANY(%(ids)s) {passes}", chats)
    for name, (chats, passes) in FILTERS.items()
}

# People first and their chats after: walking the chats by time would look up each person on its own.
CHATS_BY_NAME = f"""
WITH who AS MATERIALIZED (
    SELECT k.id FROM contacts k
    WHERE k.number_id = %(number)s
      AND ({accents.contains("concat_ws(' ', k.custom_name, k.book_name, k.profile_name, k.username)")}
           OR %(digits)s <> '' AND k.phone LIKE '%%' || %(digits)s || '%%')
    LIMIT 5000
),""" + _page("AND k.contact_id IN (SELECT id FROM who)")

# People with a telephone number, those lately spoken to first.
PEOPLE = f"""
SELECT k.id AS contact_id, k.custom_name, k.book_name, k.profile_name, k.username, k.phone, k.bsuid
FROM contacts k LEFT JOIN chats c ON c.number_id = k.number_id AND c.contact_id = k.id
WHERE k.number_id = %(number)s AND k.phone IS NOT NULL
  AND {accents.contains("concat_ws(' ', k.custom_name, k.book_name, k.profile_name, k.username, k.phone)")}
ORDER BY c.last_at DESC NULLS LAST, k.id LIMIT 30
"""

# Few are many enough here: nobody reads an exact number above a hundred.
COUNTS_TO: Final = 100
TO_SEE = f"""
SELECT (SELECT count(*) FROM (
            SELECT FROM chats WHERE number_id = %(number)s AND unread > 0 LIMIT {COUNTS_TO}
        ) few) AS unread,
       (SELECT count(*) FROM (
            SELECT FROM ({automations.HANDED_CHATS}) k WHERE k.last_at IS NOT NULL LIMIT {COUNTS_TO}
        ) few) AS waiting
"""


async def chats(
    tx: Tx,
    number_id: int,
    user_id: int,
    now: datetime,
    *,
    filter: str = "all",
    before: tuple[datetime, int] | None = None,
) -> list[Chat]:
    """A page of chats, newest first; ``before`` is where the last one ended."""
    at, contact_id = before or (None, None)
    params = {"number": number_id, "user": user_id, "at": at, "id": contact_id, "limit": CHATS_PAGE}
    return await tx.all(Chat, CHATS[filter], {**params, "day": now - automations.HANDED_FOR})


async def chats_by_id(
    tx: Tx, number_id: int, user_id: int, now: datetime, ids: Sequence[int], *, filter: str = "all"
) -> list[Chat]:
    """Those of these chats that pass the filter."""
    params = {"number": number_id, "user": user_id, "ids": list(ids), "limit": len(ids)}
    return await tx.all(Chat, CHATS_BY_ID[filter], {**params, "day": now - automations.HANDED_FOR})


async def chats_by_name(tx: Tx, number_id: int, now: datetime, words_: str) -> list[Chat]:
    """Chats whose person's name, username or phone contains the words, with or without accents, newest first."""
    digits = "".join(c for c in words_ if c.isdecimal())
    # "Flat 3" isn't a phone number: digits count only if there is nothing else than their usual company.
    looks_like_phone = len(digits) >= 3 and not set(words_) - set("0123456789 +-().")
    params = {"number": number_id, "digits": digits if looks_like_phone else "", "limit": 20}
    params |= {**accents.typed(words_), "day": now - automations.HANDED_FOR}
    return await tx.all(Chat, CHATS_BY_NAME, params)


async def people(tx: Tx, number_id: int, words_: str) -> list[Person]:
    """Those whose contact can be sent, by name or number."""
    return await tx.all(Person, PEOPLE, {"number": number_id, **accents.typed(words_)})


async def to_see(tx: Tx, number_id: int, now: datetime) -> dict[str, int]:
    """How many chats are ``unread``, and how many ``waiting`` for a person; both are counted to 100."""
    [found] = await tx.dicts(TO_SEE, {"number": number_id, "day": now - automations.HANDED_FOR})
    return found


# --- search in the texts ------------------------------------------------------------------------------------------

# Every word must occur, each may be the beginning of a longer one. The parser is the index's own, so that "3.50" or
# an e-mail address is one word here as it is there. And what a text with these words contains, letter by letter.
QUERY = r"""
SELECT CASE WHEN q <> '' THEN replace(q, ' & ', ':* & ') || ':*' ELSE '' END AS query,
       ARRAY(
           SELECT '%%' || regexp_replace(word, '([\\%%_])', '\\\1', 'g') || '%%'
           FROM unnest(tsvector_to_array(to_tsvector('simple', %(words)s))) AS word
       ) AS letters
FROM (SELECT plainto_tsquery('simple', %(words)s)::text) AS parsed(q)
"""

# A plan that doesn't know the words reads the whole table for rare ones; so it is planned for these words each time.
PATIENCE = """
SELECT set_config('statement_timeout', '1500', true), set_config('plan_cache_mode', 'force_custom_plan', true)
"""

# What a message says now; each half has an index of its own. That few were edited has to be said, for of the words in
# none the planner expects one in a hundred.
MATCHES = """
FROM messages WHERE number_id = %(number)s
  AND (edit_text IS NULL AND to_tsvector('simple', text) @@ %(query)s::tsquery
       OR edit_text IS NOT NULL AND to_tsvector('simple', edit_text) @@ %(query)s::tsquery)
"""

FOUND = f"""
WITH found AS MATERIALIZED (
    SELECT wamid, contact_id, at, coalesce(edit_text, text) AS text, outgoing
    {MATCHES} AND revoked_at IS NULL AND type <> 'reaction' AND contact_id IS NOT NULL
    LIMIT %(common)s
)
"""

# A common word: the chats that moved last are walked, newest first, until the page is full. Taking a text apart into
# words takes ten times as long as looking for their letters in it.
RECENT = """
WITH found AS MATERIALIZED (
    SELECT m.wamid, m.contact_id, m.at, m.text, m.outgoing
    FROM (
        SELECT contact_id FROM chats WHERE number_id = %(number)s AND last_at IS NOT NULL
        ORDER BY last_at DESC, contact_id DESC LIMIT 300
    ) c
    CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT wamid, contact_id, at, coalesce(edit_text, text) AS text, outgoing, revoked_at FROM messages m
            WHERE m.number_id = %(number)s AND m.contact_id = c.contact_id AND m.type <> 'reaction'
            ORDER BY m.at DESC, m.wamid DESC LIMIT 100
        ) latest
        WHERE lower(latest.text) LIKE ALL(%(letters)s)
          AND to_tsvector('simple', latest.text) @@ %(query)s::tsquery AND latest.revoked_at IS NULL
        LIMIT 3
    ) m
    LIMIT %(limit)s
)
"""

HITS = """
SELECT f.contact_id, f.wamid, f.at, f.text, f.outgoing,
       k.custom_name, k.book_name, k.profile_name, k.username, k.phone, k.bsuid
FROM found f JOIN contacts k ON k.number_id = %(number)s AND k.id = f.contact_id
WHERE (f.at, f.wamid) < (coalesce(%(at)s::timestamptz, 'infinity'), %(id)s)
ORDER BY f.at DESC, f.wamid DESC LIMIT %(limit)s
"""


async def hits(
    tx: Tx, number_id: int, words_: str, *, before: tuple[datetime, str] | None = None
) -> tuple[list[Hit], bool]:
    """Messages with these words over all history, newest first; and whether there may be more to page to.

    Of very common words only the newest chats are shown, since nobody pages through a hundred thousand "hello".
    """
    [asked] = await tx.dicts(QUERY, {"words": words_})
    if not asked["query"]:
        return [], False
    at, wamid = before or (None, "")
    params = {**asked, "number": number_id, "at": at, "id": wamid, "limit": HITS_PAGE, "common": COMMON}
    recent = await tx.all(Hit, RECENT + HITS, params) if await _seems_common(tx, params) else []
    if len(recent) < HITS_PAGE and await _is_rare(tx, params):
        found = await tx.all(Hit, FOUND + HITS, params)
        return found, len(found) == HITS_PAGE
    return recent or await tx.all(Hit, RECENT + HITS, params), False


async def _seems_common(tx: Tx, params: Mapping[str, object]) -> bool:
    """Whether the planner takes these words for so common that they needn't be counted.

    It has counted the commonest words, once; of others it guesses too much, so only far above the limit its word is
    taken, and only if the newest chats are full of them.
    """
    [[[plan]]] = await tx.rows(f"EXPLAIN (FORMAT JSON) SELECT {MATCHES}", params)
    return bool(plan["Plan"]["Plan Rows"] > 4 * COMMON)


async def _is_rare(tx: Tx, params: Mapping[str, object]) -> bool:
    """Whether all messages with these words can be sorted by time within the patience of whoever types.

    The index knows no numbers, so a word that only others use much is common here too.
    """
    try:
        async with tx.connection.transaction():
            await tx.execute(PATIENCE)
            return int(await tx.value(FOUND + "SELECT count(*) FROM found", params)) < COMMON
    except QueryCanceled:
        return False


# --- one chat -----------------------------------------------------------------------------------------------------

OPEN_CHAT = """
SELECT k.id AS contact_id, coalesce(c.unread, 0) AS unread, c.assigned_to, a.name AS assignee,
       coalesce(c.floor_holder, 'nobody') AS floor_holder, c.floor_until,
       k.custom_name, k.book_name, k.profile_name, k.username, k.phone, k.bsuid
FROM contacts k
LEFT JOIN chats c ON c.number_id = k.number_id AND c.contact_id = k.id
LEFT JOIN users a ON a.id = c.assigned_to
WHERE k.number_id = %(number)s AND k.id = %(contact)s
"""

MERGED_INTO = """
SELECT winner_id FROM merges WHERE number_id = %s AND loser_id = %s ORDER BY id DESC LIMIT 1
"""


async def open_chat(tx: Tx, number: Number, contact_id: int) -> OpenChat | None:
    return await tx.one(OpenChat, OPEN_CHAT, {"number": number.id, "contact": contact_id})


async def merged_into(tx: Tx, number_id: int, contact_id: int) -> int | None:
    """The contact that this one turned out to be, if it went that way."""
    winner: int | None = await tx.value(MERGED_INTO, (number_id, contact_id))
    return winner


# --- the thread ---------------------------------------------------------------------------------------------------

MESSAGE = """
SELECT m.wamid, m.outgoing, m.live, m.at, m.heard, m.type, m.text, m.content, m.extra, m.media_id, m.quoted,
       m.author, m.delivery, m.edit_v >= 0 AS edited, m.edit_text, m.edit_content, m.revoked_at IS NOT NULL AS revoked,
       u.name AS author_name, f.state AS media_state, f.mime_type, f.size, f.reason AS media_reason,
       q.type AS quoted_type, left(coalesce(q.edit_text, q.text), 300) AS quoted_text, q.content AS quoted_content,
       q.outgoing AS quoted_outgoing, q.author AS quoted_author, q.revoked_at IS NOT NULL AS quoted_revoked
FROM {} m
LEFT JOIN users u ON u.id = m.author_id AND m.author = 'person' AND u.organisation_id = %(organisation)s
LEFT JOIN media f ON f.number_id = m.number_id AND f.media_id = m.media_id
LEFT JOIN messages q ON q.number_id = m.number_id AND q.wamid = m.quoted AND m.contact_id = q.contact_id
WHERE m.number_id = %(number)s AND m.contact_id = %(contact)s AND m.type <> 'reaction'
"""

OLDER = (
    MESSAGE.format("messages")
    + """
  AND (m.at, m.heard, m.wamid) < (coalesce(%(at)s::timestamptz, 'infinity'), %(heard)s, %(wamid)s)
ORDER BY m.at DESC, m.heard DESC, m.wamid DESC LIMIT %(limit)s
"""
)

NEWER = (
    MESSAGE.format("messages")
    + """
  AND (m.at, m.heard, m.wamid) > (%(at)s, %(heard)s, %(wamid)s)
ORDER BY m.at, m.heard, m.wamid LIMIT %(limit)s
"""
)

# OFFSET 0 keeps the planner to the primary key; it would sooner walk a whole chat, or all reactions, for one message.
NAMED = "(SELECT * FROM messages n WHERE n.number_id = %(number)s AND n.wamid = ANY(%(wamids)s) OFFSET 0)"

THESE = MESSAGE.format(NAMED) + "ORDER BY m.at DESC, m.heard DESC, m.wamid DESC"

POSITION = """
SELECT at, heard FROM messages
WHERE number_id = %s AND wamid = %s AND contact_id = %s AND type <> 'reaction'
"""

REACTIONS = """
SELECT DISTINCT ON (quoted, outgoing) quoted, outgoing, text, revoked_at IS NOT NULL AS gone
FROM messages
WHERE number_id = %s AND quoted = ANY(%s) AND type = 'reaction'
ORDER BY quoted, outgoing, at DESC, wamid DESC
"""

EDITS = """
SELECT original, at, text FROM edits
WHERE number_id = %s AND original = ANY(%s) AND kind = 'edit' AND type IS DISTINCT FROM 'reaction'
ORDER BY original, version, wamid
"""

# With the row of the outbox that it came from, if it came from here.
FAILURES = """
SELECT s.wamid, s.detail,
       (SELECT o.id FROM outbox o WHERE o.number_id = s.number_id AND o.wamid = s.wamid ORDER BY o.id LIMIT 1) AS id
FROM statuses s WHERE s.number_id = %s AND s.wamid = ANY(%s) AND s.status = %s
"""

# What a person may decide about a message that hasn't become one yet, by its state.
OFFERS: Final = {
    "queued": ("cancel",),
    "held": ("cancel",),
    "in_doubt": ("arrived", "surely"),
    "unknown": ("arrived", "surely"),
}

# What a reaction is about: its bubble must be drawn anew.
TARGETS = f"SELECT m.quoted FROM {NAMED} m WHERE m.type = 'reaction'"

UNSENT = """
SELECT o.id, o.created_at, o.type, o.text, o.content, o.quoted, o.state, o.author, o.error_text, o.error_code,
       o.attempts > 0 OR o.not_before IS NOT NULL OR o.behind OR o.author <> 'person' AS lingers,
       u.name AS author_name,
       q.type AS quoted_type, left(coalesce(q.edit_text, q.text), 300) AS quoted_text, q.content AS quoted_content,
       q.outgoing AS quoted_outgoing, q.author AS quoted_author, q.revoked_at IS NOT NULL AS quoted_revoked
FROM outbox o
LEFT JOIN users u ON u.id = o.author_id AND o.author = 'person' AND u.organisation_id = %(organisation)s
LEFT JOIN messages q ON q.number_id = o.number_id AND q.wamid = o.quoted
WHERE o.number_id = %(number)s AND o.contact_id = %(contact)s
  AND o.state <> 'sent' AND o.state <> 'cancelled' AND o.type <> 'reaction'
  AND (%(ids)s::bigint[] IS NULL OR o.id = ANY(%(ids)s))
ORDER BY o.id DESC LIMIT 50
"""


def _tie(cursor_tie: str) -> dict[str, object]:
    """A cursor's tie as parameters. Raises ValueError for one that wasn't given out here."""
    heard, _, wamid = cursor_tie.partition(".")
    return {"heard": int(heard), "wamid": wamid}


class Thread:
    """Reads the messages of one chat, dressed with what other rows say of them."""

    def __init__(self, tx: Tx, number_id: int, contact_id: int, organisation_id: int, name: str) -> None:
        self._tx = tx
        self._number_id = number_id
        self._name = name
        self._params = {"number": number_id, "contact": contact_id, "organisation": organisation_id}

    async def older(self, before: tuple[datetime, str] | None = None, limit: int = THREAD_PAGE) -> list[Bubble]:
        """The page that ends before the cursor (the newest page without one), oldest first."""
        at, rest = before or (None, "0.")
        rows = await self._tx.dicts(OLDER, {**self._params, "at": at, **_tie(rest), "limit": limit})
        return await self._dress(reversed(rows))

    async def newer(self, after: tuple[datetime, str], limit: int = THREAD_PAGE) -> list[Bubble]:
        rows = await self._tx.dicts(NEWER, {**self._params, "at": after[0], **_tie(after[1]), "limit": limit})
        return await self._dress(rows)

    async def these(self, wamids: Sequence[str]) -> list[Bubble]:
        """Those of these messages that are in the chat; a reaction stands for the message that it is about."""
        about = await self._tx.rows(TARGETS, {**self._params, "wamids": list(wamids)})
        wanted = sorted({*wamids, *(row[0] for row in about if row[0])})
        rows = await self._tx.dicts(THESE, {**self._params, "wamids": wanted})
        return await self._dress(reversed(rows))

    async def position(self, wamid: str) -> tuple[datetime, str] | None:
        """Where a message stands in the thread; None when it isn't in it."""
        found = await self._tx.rows(POSITION, (self._number_id, wamid, self._params["contact"]))
        return (found[0][0], tie(found[0][1], wamid)) if found else None

    async def unsent(self, ids: Sequence[int] | None = None) -> list[Bubble]:
        """What waits in the outbox for this chat, or didn't make it out of it; oldest first."""
        rows = await self._tx.dicts(UNSENT, {**self._params, "ids": list(ids) if ids is not None else None})
        return [self._unsent(row) for row in reversed(rows)]

    async def _dress(self, rows: Iterable[dict[str, Any]]) -> list[Bubble]:
        rows = list(rows)
        if not rows:
            return []
        wamids = [row["wamid"] for row in rows]
        reactions: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for target, outgoing, emoji, gone in await self._tx.rows(REACTIONS, (self._number_id, wamids)):
            if emoji and not gone:
                reactions[target].append((emoji, "you" if outgoing else self._name))
        edits: dict[str, list[tuple[datetime, str | None]]] = defaultdict(list)
        if edited := [row["wamid"] for row in rows if row["edited"]]:
            for original, at, text in await self._tx.rows(EDITS, (self._number_id, edited)):
                edits[original].append((at, text))
        failures: dict[str, tuple[dict[str, Any] | None, int | None]] = {}
        if failed := [row["wamid"] for row in rows if row["delivery"] == Delivery.FAILED]:
            found = await self._tx.rows(FAILURES, (self._number_id, failed, int(Delivery.FAILED)))
            failures = {wamid: (detail, outbox_id) for wamid, detail, outbox_id in found}
        return [
            self._message(
                row, tuple(reactions[row["wamid"]]), edits[row["wamid"]], *failures.get(row["wamid"], (None, None))
            )
            for row in rows
        ]

    def _message(
        self,
        row: dict[str, Any],
        reactions: tuple[tuple[str, str], ...],
        edits: list[tuple[datetime, str | None]],
        failure: dict[str, Any] | None,
        outbox_id: int | None,
    ) -> Bubble:
        content = {**(row["content"] or {}), **(row["edit_content"] or {})}
        extra = row["extra"] or {}
        if "errors" in extra:
            content["errors"] = extra["errors"]
        says, remedy = None, None
        offers: tuple[str, ...] = ()
        if row["delivery"] == Delivery.FAILED:
            code = wire.error_code(failure)
            outcome = outcomes.outcome(code) if code is not None else outcomes.UNKNOWN
            says, remedy = outcome.says, outcome.do
            offers = ("again",) if outcome.again and outbox_id is not None else ()
        text = row["edit_text"] if row["edited"] and row["edit_text"] is not None else row["text"]
        return Bubble(
            dom_id=f"m-{row['wamid']}",
            at=row["at"],
            outgoing=row["outgoing"],
            type=row["type"],
            author=row["author"] or ("phone" if row["outgoing"] else "customer"),
            author_name=row["author_name"],
            wamid=row["wamid"],
            heard=row["heard"],
            text=text,
            content=content,
            media=self._media(row, content),
            quote=self._quote(row),
            reactions=reactions,
            earlier=_earlier(row, edits),
            edited=row["edited"],
            revoked=row["revoked"],
            imported=not row["live"],
            forwarded=bool(extra.get("forwarded") or extra.get("frequently_forwarded")),
            ad=_ad(extra.get("referral")),
            tick=TICKS.get(Delivery(row["delivery"]), "") if row["outgoing"] and not row["revoked"] else "",
            failure=says,
            remedy=remedy,
            offers=offers,
            offers_for=outbox_id,
        )

    def _media(self, row: dict[str, Any], content: Mapping[str, Any]) -> Media | None:
        if row["media_id"] is None:
            return None
        kept = row["media_state"] == "kept"
        mime = row["mime_type"] or content.get("mime_type") or ""
        return Media(
            address=_address(f"/media/{self._number_id}/{row['media_id']}", content) if kept else None,
            state=row["media_state"] or "wanted",
            mime_type=str(mime).split(";")[0].strip().lower(),
            size=row["size"],
            filename=content.get("filename") if isinstance(content.get("filename"), str) else None,
            reason=row["media_reason"],
        )

    def _quote(self, row: dict[str, Any]) -> Quote | None:
        if row["quoted"] is None:
            return None
        if row["quoted_type"] is None:
            return Quote(row["quoted"], "", "reply", "A message that isn't here", False, False)
        line = words.preview(
            row["quoted_type"], row["quoted_text"], row["quoted_content"], revoked=row["quoted_revoked"]
        )
        who = "You" if row["quoted_outgoing"] else self._name
        return Quote(row["quoted"], who, line.icon, line.text, True, row["quoted_author"] == "phone")

    def _unsent(self, row: dict[str, Any]) -> Bubble:
        content = row["content"] or {}
        states = {"queued": "pending", "sending": "pending", "held": "held", "failed": "failed"}
        failure, remedy = None, None
        # What is about to leave isn't offered to be taken back: it would be gone before anybody could press.
        offers = OFFERS.get(row["state"], ()) if row["state"] != "queued" or row["lingers"] else ()
        if row["state"] == "failed":
            code = row["error_code"]
            outcome = outcomes.outcome(code) if code is not None else outcomes.UNKNOWN
            if code is not None or not row["error_text"]:
                failure, remedy = outcome.says, outcome.do
            else:  # one of our own rules, which says both
                failure = row["error_text"]
            offers = ("again",) if code is None or outcome.again else ()
        elif row["state"] == "held":
            failure = f"Held: {row['error_text']}"
            remedy = "It goes out by itself when that is over, if it still may."
        elif row["state"] in ("in_doubt", "unknown"):
            failure = "WhatsApp hasn't said whether this message arrived."
            remedy = "Look on the phone before you send it again: it may be there."
        filed = isinstance(content.get("file"), str)
        return Bubble(
            dom_id=f"o-{row['id']}",
            at=row["created_at"],
            outgoing=True,
            type=row["type"],
            author=row["author"],
            author_name=row["author_name"],
            outbox_id=row["id"],
            text=row["text"],
            content=content,
            media=Media(
                address=_address(f"/outgoing/{self._number_id}/{row['id']}", content),
                state="kept",
                mime_type=str(content.get("mime_type") or "").split(";")[0],
                size=content.get("size"),
                filename=content.get("filename"),
                reason=None,
            )
            if filed
            else None,
            quote=self._quote(row),
            tick=states.get(row["state"], "doubt"),
            failure=failure,
            remedy=remedy,
            offers=offers,
            offers_for=row["id"],
        )


def _earlier(row: dict[str, Any], edits: list[tuple[datetime, str | None]]) -> tuple[tuple[datetime, str], ...]:
    """What an edited message said before, as far as that was kept: the original, then each edit but the last."""
    if not row["edited"]:
        return ()
    said = [(row["at"], row["text"]), *edits]
    return tuple((at, text) for (at, text), (_, then) in pairwise(said) if text and text != then)


def _address(path: str, content: Mapping[str, Any]) -> str:
    name = content.get("filename")
    return f"{path}?name={quote(name)}" if isinstance(name, str) and name else path


def _ad(referral: Any) -> str | None:
    if not isinstance(referral, dict):
        return None
    return str(referral.get("headline") or referral.get("body") or "An ad")[:120]


# --- the panel ----------------------------------------------------------------------------------------------------

COUNTS = """
SELECT count(*) FILTER (WHERE NOT outgoing) AS received, count(*) FILTER (WHERE author = 'phone') AS phone,
       count(*) FILTER (WHERE outgoing AND author <> 'phone') AS here, min(at) AS first_at
FROM (
    SELECT outgoing, author, at FROM messages
    WHERE number_id = %(number)s AND contact_id = %(contact)s AND type <> 'reaction'
    ORDER BY at DESC, wamid DESC LIMIT %(many)s
) latest
"""

# The newest pictures among the newest messages: a strip, not an archive.
STRIP = """
SELECT m.wamid, m.type, f.media_id FROM (
    SELECT number_id, wamid, type, media_id, at FROM messages
    WHERE number_id = %(number)s AND contact_id = %(contact)s AND type <> 'reaction' AND revoked_at IS NULL
    ORDER BY at DESC, wamid DESC LIMIT 500
) m
JOIN media f ON f.number_id = m.number_id AND f.media_id = m.media_id AND f.state = 'kept'
WHERE m.type IN ('image', 'video') ORDER BY m.at DESC, m.wamid DESC LIMIT 9
"""


async def counts(tx: Tx, number_id: int, contact_id: int) -> Counts:
    found = await tx.one(Counts, COUNTS, {"number": number_id, "contact": contact_id, "many": words.MANY})
    assert found is not None
    return found


async def strip(tx: Tx, number_id: int, contact_id: int) -> list[tuple[str, str, str]]:
    """(wamid, type, media id) of the newest pictures and videos that are kept."""
    rows = await tx.rows(STRIP, {"number": number_id, "contact": contact_id})
    return [(row[0], row[1], row[2]) for row in rows]


# --- files --------------------------------------------------------------------------------------------------------

MEDIA = """
SELECT f.file, f.mime_type
FROM media f JOIN numbers n ON n.id = f.number_id AND n.organisation_id = %(organisation)s
WHERE f.number_id = %(number)s AND f.media_id = %(media)s AND f.state = 'kept'
"""

OUTGOING = """
SELECT o.content->>'file', o.content->>'mime_type'
FROM outbox o JOIN numbers n ON n.id = o.number_id AND n.organisation_id = %(organisation)s
WHERE o.number_id = %(number)s AND o.id = %(id)s AND o.content ? 'file'
"""


async def kept_file(tx: Tx, number_id: int, media_id: str, organisation_id: int) -> tuple[str, str] | None:
    """The file's name in the store and its type, if it is the organisation's and there."""
    params = {"number": number_id, "media": media_id, "organisation": organisation_id}
    return _file(await tx.rows(MEDIA, params))


async def outgoing_file(tx: Tx, number_id: int, outbox_id: int, organisation_id: int) -> tuple[str, str] | None:
    """The same of a file that is still on its way out."""
    params = {"number": number_id, "id": outbox_id, "organisation": organisation_id}
    return _file(await tx.rows(OUTGOING, params))


def _file(rows: list[tuple[Any, ...]]) -> tuple[str, str] | None:
    return (rows[0][0], rows[0][1] or "") if rows and rows[0][0] else None


def parse_cursor(value: str) -> tuple[datetime, str]:
    """Raises ValueError when it isn't one of ``models.cursor``."""
    micros, tie = value.split(".", 1)
    try:
        return EPOCH + timedelta(microseconds=int(micros)), tie
    except OverflowError as error:
        raise ValueError("no such time") from error


def parse_thread_cursor(value: str) -> tuple[datetime, str]:
    """The same for a place in a chat, whose tie has parts of its own."""
    at, tie = parse_cursor(value)
    _tie(tie)
    return at, tie
