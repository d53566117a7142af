"""WhatsApp's own little markup, as HTML."""

import re

from markupsafe import Markup, escape

_LINK = re.compile(r"\bhttps?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]}]|\bwww\.[\w-]+\.[^\s<>\"']*[\w/]", re.IGNORECASE)
_BLOCK = re.compile(r"```(.+?)```", re.DOTALL)
_MARKS = (
    (re.compile(r"(?<![\w`])`([^`\n]+)`(?![\w`])"), "code"),
    (re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])"), "strong"),
    (re.compile(r"(?<![\w_])_(?=\S)([^_\n]+?)(?<=\S)_(?![\w_])"), "em"),
    (re.compile(r"(?<![\w~])~(?=\S)([^~\n]+?)(?<=\S)~(?![\w~])"), "s"),
)


def rich(text: str) -> Markup:
    """The text with WhatsApp's *bold*, _italic_, ~strike~, `code` and with links; everything else escaped.

    Code blocks and links are cut out first, since what looks like a mark inside of them isn't one.
    """
    return Markup("").join(
        Markup("<code class='block'>{}</code>").format(part.strip("\n")) if inside else _linked(part)
        for part, inside in alternate(_BLOCK, text)
    )


def _linked(text: str) -> Markup:
    parts = []
    for part, inside in alternate(_LINK, text):
        if inside:
            address = part if part.lower().startswith("http") else f"https://{part}"
            parts.append(
                Markup('<a href="{}" target="_blank" rel="noopener noreferrer nofollow">{}</a>').format(address, part)
            )
        else:
            parts.append(_marked(part))
    return Markup("").join(parts)


def _marked(text: str) -> Markup:
    html = str(escape(text))
    for pattern, tag in _MARKS:
        html = pattern.sub(rf"<{tag}>\1</{tag}>", html)
    return Markup(html)  # noqa: S704 — escaped above; only our own four tags were added


def alternate(pattern: re.Pattern[str], text: str) -> list[tuple[str, bool]]:
    """The text in pieces, each with whether the pattern matched it (its first group, if it has one)."""
    pieces, start = [], 0
    for found in pattern.finditer(text):
        pieces += [(text[start : found.start()], False), (found[pattern.groups and 1], True)]
        start = found.end()
    return [piece for piece in (*pieces, (text[start:], False)) if piece[0]]
