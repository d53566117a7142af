"""Templates that count as approved on every WABA. Creating, reviewing and pausing them would come here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Template:
    """``body``: the text with ``{{1}}`` places, as the customer's phone shows it."""

    name: str
    language: str
    category: str
    body: str


APPROVED: dict[tuple[str, str], Template] = {
    (t.name, t.language): t
    for t in (
        Template("hello_world", "en_US", "utility", "Hello World! Welcome and congratulations!! 🎉"),
        Template("order_ready", "en_US", "utility", "Hi {{1}}, your order {{2}} is ready for pickup."),
        Template("order_ready", "es", "utility", "Hola {{1}}, tu pedido {{2}} está listo."),
        Template("order_ready", "pt_BR", "utility", "Olá {{1}}, seu pedido {{2}} está pronto."),
        Template("spring_sale", "en_US", "marketing", "{{1}}, everything is {{2}} off this week! 🌷"),
        Template("spring_sale", "es", "marketing", "{{1}}, ¡todo con {{2}} de descuento esta semana! 🌷"),
        Template("spring_sale", "pt_BR", "marketing", "{{1}}, tudo com {{2}} de desconto esta semana! 🌷"),
    )
}


def find(name: str, language: str) -> Template | None:
    """Languages compare with ``-`` and ``_`` alike."""
    return APPROVED.get((name, language.replace("-", "_")))


def text(content: dict[str, Any]) -> str:
    """What the customer's phone shows of a sent template: the body with its values, given in order or by name."""
    found = find(content["name"], content["language"]["code"])
    body = found.body if found else content["name"]
    for part in content.get("components") or ():
        if part.get("type") == "body":
            for index, value in enumerate(part.get("parameters") or (), 1):
                shown = str(value.get("text") or value.get("type", ""))
                name = re.escape(str(value.get("parameter_name", index)))
                body = re.sub(r"\{\{" + name + r"\}\}", lambda _, shown=shown: shown, body)
    return body
