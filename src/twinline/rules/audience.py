"""Lists of people: which column is what, who gets which language, and who gets which variant."""

import hashlib
import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

# What columns are called that hold a telephone number, those that say WhatsApp before those that may mean a landline.
PHONE: Final = (
    ("whatsapp", "wa id", "waid", "zap"),
    (
        "mobile",
        "mobile phone",
        "mobile number",
        "cell",
        "cell phone",
        "celular",
        "telemovel",
        "movil",
        "telefono movil",
    ),
    (
        "phone",
        "phone number",
        "telephone",
        "telefone",
        "telefono",
        "tel",
        "fone",
        "msisdn",
        "telefon",
        "handy",
        "portable",
    ),
    ("number", "numero", "contact", "contato", "contacto", "to", "user id", "bsuid"),
)
LANGUAGE: Final = frozenset({"language", "lang", "locale", "idioma", "lingua", "langue", "sprache"})
NAME: Final = frozenset(
    {"name", "full name", "first name", "customer", "client", "nome", "nombre", "nom", "cliente", "nome completo"}
    | {"nombre completo", "primeiro nome", "primer nombre", "vorname"}
)
HEADER_WITHIN: Final = 10

_CODE: Final = re.compile(r"([a-z]{2,3})(?:[-_]([a-z]{2}))?", re.ASCII)

Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class Layout:
    """What stands where. ``header`` is the index of the row with the names, or None; indexes of columns from 0."""

    columns: tuple[str, ...]
    header: int | None = None
    phone: int | None = None
    language: int | None = None
    name: int | None = None

    def index(self, column: str) -> int | None:
        """A column by its name, whether or not its case and accents are met."""
        if column in self.columns:
            return self.columns.index(column)
        plain = [plainly(name) for name in self.columns]
        return plain.index(plainly(column)) if plainly(column) in plain else None


def plainly(text: str) -> str:
    """Lower case, without accents and punctuation: ``"Nº de Telemóvel"`` becomes ``"no de telemovel"``."""
    bare = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    return " ".join(re.findall(r"[a-z0-9]+", bare))


def layout(rows: Sequence[Row], is_number: Callable[[str], bool], *, header: bool | None = None) -> Layout:
    """Reads the first rows of a table. ``header`` says whether the columns have names; None: find out.

    The names stand in the first row that is about as wide as the table, which leaves out a title above them, unless
    that row is about somebody.
    """
    width = max((len(row) for row in rows), default=0)
    usual = max(
        Counter(sum(map(bool, row)) for row in rows if any(row)).items(), key=lambda one: one[1], default=(0, 0)
    )[0]
    wide = [at for at, row in enumerate(rows[:HEADER_WITHIN]) if 2 * sum(map(bool, row)) >= max(usual, 1)]
    at = wide[0] if wide else None
    if header is False or at is None or (header is None and _tells(rows, at, is_number)):
        at = None
    body = rows if at is None else rows[at + 1 :]
    names = unlike(() if at is None else rows[at], width)
    plain = [plainly(name) for name in names]
    language, name = (next((n for n, one in enumerate(plain) if one in words), None) for words in (LANGUAGE, NAME))
    return Layout(names, at, _phone(plain, body, is_number), language, name)


def _tells(rows: Sequence[Row], at: int, is_number: Callable[[str], bool]) -> bool:
    """Whether a row is about somebody, rather than naming the columns. A number may be there that can't be read."""
    phone = _phone([""] * max(map(len, rows)), rows, is_number)
    cell = rows[at][phone] if phone is not None and phone < len(rows[at]) else ""
    return any(map(is_number, rows[at])) or sum(map(str.isdecimal, cell)) >= 5


def unlike(names: Iterable[str], width: int) -> tuple[str, ...]:
    """A name for each column: its own, a number where it has none, and no two the same."""
    given = [" ".join(name.split())[:100] for name in names]
    found: list[str] = []
    taken: set[str] = set()
    for at in range(max(width, len(given))):
        name = base = (given[at] if at < len(given) else "") or f"Column {at + 1}"
        times = 1
        while plainly(name) in taken or name in taken:
            times += 1
            name = f"{base} ({times})"
        taken |= {name, plainly(name)} - {""}
        found.append(name)
    return tuple(found)


def _phone(names: Sequence[str], body: Sequence[Row], is_number: Callable[[str], bool]) -> int | None:
    """The column with the most numbers in it; of several, the one that is called like it. None: there is none."""

    def score(at: int) -> tuple[float, float]:
        cells = [row[at] for row in body if at < len(row) and row[at]]
        share = sum(map(is_number, cells)) / len(cells) if cells else 0.0
        name = next((1 - 0.2 * n for n, words in enumerate(PHONE) if _called(names[at], words)), 0.0)
        return share + name / 2, share

    best = max(range(len(names)), key=score, default=None)
    return best if best is not None and score(best)[0] > 0.2 else None


def _called(name: str, words: Iterable[str]) -> bool:
    return any(re.search(rf"\b{word}\b", name) for word in words)


# --- languages --------------------------------------------------------------------------------------------------------


@cache
def _spoken() -> dict[str, str]:
    found: dict[str, str] = tomllib.loads(files(__package__).joinpath("languages.toml").read_text("utf-8"))["spoken"]
    return found


def spoken(phone: str) -> str:
    """The language most people speak where a number (digits) belongs; "" where that isn't known."""
    return next((_spoken()[phone[:n]] for n in (4, 3, 2, 1) if phone[:n] in _spoken()), "")


def choose_language(there: Sequence[str], *wishes: str | None) -> str:
    """The first wish that the template can fulfil: in the same language, of the same country if possible.

    ``there``: the template's languages as Meta writes them, the one for everybody else first.
    """
    for wish in wishes:
        said = _CODE.fullmatch((wish or "").strip().lower())
        if said is None:
            continue
        exact = f"{said[1]}_{said[2].upper()}" if said[2] else said[1]
        if exact in there:
            return exact
        like = [one for one in there if one.split("_")[0] == said[1]]
        if like:
            return said[1] if said[1] in like else like[0]
    return there[0]


# --- variants ---------------------------------------------------------------------------------------------------------


def variant_of(key: str, shares: Sequence[int], seed: str) -> int:
    """Which variant somebody gets, by their key: the same at every planning of a campaign, another in the next one."""
    if len(shares) < 2:
        return 0
    drawn = int.from_bytes(hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=8).digest()) % sum(shares)
    for number, share in enumerate(shares):
        drawn -= share
        if drawn < 0:
            return number
    raise AssertionError("the shares add up")
