"""What an agent may read: texts of the organisation, and the passages of them that fit a question.

A text is cut into passages at its headings and paragraphs. Each is kept with its words in the text's language, and once
more without accents, since few customers type them. A question finds the passages that share words with it, the rarer
and the more the better (PostgreSQL's full text search); a passage that shares none isn't shown to anybody.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from types import MappingProxyType
from typing import Final

from twinline.accounts import service as accounts
from twinline.automations.connections import NotThere, Unusable
from twinline.contacts import conditions
from twinline.db import Tx, as_json

LONGEST_NAME: Final = 60
LONGEST: Final = 500_000  # characters of a text: a book of 300 pages
MOST: Final = 100  # texts of an organisation
PASSAGE: Final = 1200  # characters of one passage, about
PASSAGES: Final = 5  # that an agent is shown
QUESTION: Final = 2000  # characters of it that are looked at

LANGUAGES: Final = MappingProxyType(
    {
        "ar": "arabic", "ca": "catalan", "da": "danish", "de": "german", "el": "greek", "en": "english",
        "es": "spanish", "fi": "finnish", "fr": "french", "hi": "hindi", "hu": "hungarian", "id": "indonesian",
        "it": "italian", "nl": "dutch", "no": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian",
        "sv": "swedish", "tr": "turkish",
    }
)  # fmt: skip
"""By which PostgreSQL's text search knows them; in any other language words are looked for as they are written."""
PLAIN: Final = "simple"


@dataclass(frozen=True, slots=True)
class Source:
    organisation_id: int
    id: int
    name: str
    language: str
    characters: int
    passages: int
    made_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Passage:
    source: str
    heading: str
    text: str


COLUMNS = """
k.organisation_id, k.id, k.name, k.language, length(k.text) AS characters, k.made_at, k.changed_at, (
    SELECT count(*) FROM passages p WHERE p.organisation_id = k.organisation_id AND p.source_id = k.id
) AS passages
"""
ALL = f"SELECT {COLUMNS} FROM knowledge k WHERE k.organisation_id = %(organisation)s ORDER BY k.name"
ONE = f"SELECT {COLUMNS} FROM knowledge k WHERE k.organisation_id = %(organisation)s AND k.id = %(id)s"
TEXT = "SELECT text FROM knowledge WHERE organisation_id = %(organisation)s AND id = %(id)s"
COUNT = "SELECT count(*) FROM knowledge WHERE organisation_id = %(organisation)s"
PUT = """
INSERT INTO knowledge AS k (organisation_id, name, language, text, made_by, made_at, changed_at)
VALUES (%(organisation)s, %(name)s, %(language)s, %(text)s, %(user)s, %(now)s, %(now)s)
ON CONFLICT (organisation_id, name) DO UPDATE SET
    language = excluded.language, text = excluded.text, changed_at = excluded.changed_at
RETURNING id
"""
FORGET = "DELETE FROM passages WHERE organisation_id = %(organisation)s AND source_id = %(id)s"
DELETE = "DELETE FROM knowledge WHERE organisation_id = %(organisation)s AND id = %(id)s"
ADD = """
INSERT INTO passages (organisation_id, source_id, n, heading, text, words)
SELECT %(organisation)s, %(id)s, r.n, r.heading, r.text,
       setweight(to_tsvector(c, r.heading) || to_tsvector(c, r.bare_heading), 'A')
       || to_tsvector(c, r.text) || to_tsvector(c, r.bare_text)
FROM json_to_recordset(%(rows)s::json) AS r(n int, heading text, text text, bare_heading text, bare_text text),
     CAST(%(language)s AS regconfig) AS c
"""
# Any of the words is enough; the rank sees to the rest.
SEARCH = r"""
SELECT k.name AS source, p.heading, p.text
FROM knowledge k
CROSS JOIN LATERAL (
    SELECT string_agg('''' || replace(replace(word, '\', '\\'), '''', '''''') || '''', ' | ')::tsquery AS words
    FROM unnest(tsvector_to_array(
        to_tsvector(k.language::regconfig, %(question)s) || to_tsvector(k.language::regconfig, %(bare)s)
    )) AS word
) q
JOIN passages p ON p.organisation_id = k.organisation_id AND p.source_id = k.id AND p.words @@ q.words
WHERE k.organisation_id = %(organisation)s AND (k.name = ANY(%(names)s) OR %(names)s IS NULL)
ORDER BY ts_rank(p.words, q.words, 1) DESC, k.id, p.n
LIMIT %(limit)s
"""


async def sources(tx: Tx, organisation_id: int) -> list[Source]:
    """By name."""
    return await tx.all(Source, ALL, {"organisation": organisation_id})


async def found(tx: Tx, organisation_id: int, source_id: int) -> Source:
    """Raises NotThere."""
    source = await tx.one(Source, ONE, {"organisation": organisation_id, "id": source_id})
    if source is None:
        raise NotThere(f"There is no text {source_id} among what agents may read.")
    return source


async def text_of(tx: Tx, organisation_id: int, source_id: int) -> str:
    """The whole text, as it was given. Raises NotThere."""
    await found(tx, organisation_id, source_id)
    return str(await tx.value(TEXT, {"organisation": organisation_id, "id": source_id}))


async def put(
    tx: Tx, organisation_id: int, name: str, text: str, language: str, user_id: int | None, now: datetime
) -> Source:
    """Keeps a text under its name, in place of what was there. ``language`` is a code like ``pt``. Raises Unusable."""
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME:
        raise Unusable(f"Give the text a name of 1 to {LONGEST_NAME} characters.")
    text = text.replace("\r\n", "\n").replace("\0", "")
    if not text.strip():
        raise Unusable("There is nothing to read in it.")
    if len(text) > LONGEST:
        raise Unusable(f"The text has more than {LONGEST:,} characters. Divide it into several.")
    named = {"organisation": organisation_id, "user": user_id, "now": now}
    try:
        spoken = LANGUAGES.get(conditions.language(language).partition("_")[0], PLAIN) if language.strip() else PLAIN
    except ValueError as error:
        says = f"“{language[:20]}” can't be the language. Give a code like pt or en, or none."
        raise Unusable(says) from error
    source_id = int(await tx.value(PUT, {**named, "name": name, "language": spoken, "text": text}))
    if await tx.value(COUNT, named) > MOST:
        raise Unusable(f"There are {MOST} texts already. Remove one that isn't needed any more.")
    rows = [
        {"n": n, "heading": heading, "text": part, "bare_heading": bare(heading), "bare_text": bare(part)}
        for n, (heading, part) in enumerate(passages(text))
    ]
    which = {**named, "id": source_id, "language": spoken}
    await tx.execute(FORGET, which)
    await tx.execute(ADD, {**which, "rows": as_json(rows)})
    detail = {"source": source_id, "name": name}
    await accounts.record(tx, organisation_id, user_id, "knowledge.kept", detail, now)
    return await found(tx, organisation_id, source_id)


async def remove(tx: Tx, organisation_id: int, source_id: int, user_id: int | None, now: datetime) -> None:
    """Raises NotThere."""
    source = await found(tx, organisation_id, source_id)
    await tx.execute(FORGET, {"organisation": organisation_id, "id": source_id})
    await tx.execute(DELETE, {"organisation": organisation_id, "id": source_id})
    detail = {"source": source_id, "name": source.name}
    await accounts.record(tx, organisation_id, user_id, "knowledge.removed", detail, now)


async def search(
    tx: Tx, organisation_id: int, question: str, names: Sequence[str] | None = None, limit: int = PASSAGES
) -> list[Passage]:
    """The passages that fit best, the best first; of the sources named, None: of all."""
    asked = question[:QUESTION].replace("\0", "")
    named = {
        "organisation": organisation_id,
        "names": list(names) if names is not None else None,
        "question": asked,
        "bare": bare(asked),
        "limit": limit,
    }
    return await tx.all(Passage, SEARCH, named)


# --- texts ----------------------------------------------------------------------------------------------------------

_HEADING: Final = re.compile(r"#{1,6}\s+(.+?)\s*#*$")
_SENTENCE: Final = re.compile(r"(?<=[.!?…。])\s+|\n")
READABLE: Final = (".txt", ".md", ".markdown", ".csv")


def read(name: str, data: bytes) -> str:
    """The text of a file. Raises Unusable for what isn't one."""
    if PurePath(name).suffix.lower() not in READABLE or b"\0" in data.removeprefix(b"\xff\xfe"):
        raise Unusable(
            f"{PurePath(name).name[:80]} can't be read: paste its text, or give a {' or '.join(READABLE)} file."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def passages(text: str) -> Iterator[tuple[str, str]]:
    """Heading and text of each passage: paragraphs under one heading, as many as fit."""
    for heading, paragraphs in _sections(text):
        kept = ""
        for piece in (piece for paragraph in paragraphs for piece in _pieces(paragraph)):
            if kept and len(kept) + len(piece) > PASSAGE:
                yield heading, kept
                kept = ""
            kept = f"{kept}\n\n{piece}" if kept else piece
        if kept:
            yield heading, kept


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    """The paragraphs under each Markdown heading; what stands before the first has none."""
    heading, lines = "", list[str]()
    for line in [*text.split("\n"), "# "]:
        if (found := _HEADING.fullmatch(line.strip())) or line == "# ":
            if paragraphs := [p.strip() for p in re.split(r"\n\s*\n", "\n".join(lines)) if p.strip()]:
                yield heading, paragraphs
            heading, lines = found[1] if found else "", []
        else:
            lines.append(line)


def _pieces(paragraph: str) -> Iterator[str]:
    """A paragraph in pieces that a passage can hold, cut between sentences or lines where that is possible."""
    if len(paragraph) <= PASSAGE:
        yield paragraph
        return
    kept = ""
    for sentence in _SENTENCE.split(paragraph):
        for start in range(0, len(sentence), PASSAGE):
            part = sentence[start : start + PASSAGE]
            if kept and len(kept) + len(part) > PASSAGE:
                yield kept
                kept = ""
            kept = f"{kept} {part}" if kept else part
    if kept:
        yield kept


def bare(text: str) -> str:
    """Without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
