"""What agents may read, and which passages of it a question finds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sending.conftest import Shop, clock, meta, shop

from twinline.automations import knowledge
from twinline.automations.connections import NotThere, Unusable
from twinline.automations.knowledge import PASSAGE, bare, passages, read

__all__ = ["clock", "meta", "shop"]

HOUSE = """Padaria da Ana

# Horário de funcionamento
De terça a domingo, das 7 às 19 horas.

Segunda-feira estamos fechados.

# Entregas
Entregamos em Lisboa a partir de 20 euros. A entrega custa 3 euros.

# Alergias
Todos os pães contêm glúten. Temos bolos sem açúcar.
"""


async def _organisation(shop: Shop) -> int:
    return int(await shop.value("SELECT organisation_id FROM numbers"))


@pytest.mark.anyio
async def test_a_question_finds_its_passage_with_or_without_accents_and_in_other_forms(shop: Shop) -> None:
    mine = await _organisation(shop)
    async with shop.app.db.transaction() as tx:
        await knowledge.put(tx, mine, "House", HOUSE, "pt", None, shop.clock.now())
        await knowledge.put(tx, mine, "Jokes", "A baker's joke: it's rye humour.", "en", None, shop.clock.now())

        async def found(question: str, *names: str) -> list[str]:
            return [one.heading or one.text for one in await knowledge.search(tx, mine, question, names or None)]

        assert (await found("qual é o horario?"))[0] == "Horário de funcionamento"
        assert (await found("voces entregam em casa?"))[0] == "Entregas"
        assert (await found("tem pao com gluten?"))[0] == "Alergias"
        assert await found("o de a em") == [], "words that stand everywhere find nothing"
        assert await found("do you know jokes?", "House") == []
        assert await found("do you know jokes?") == ["A baker's joke: it's rye humour."]
        assert await found("'; DROP TABLE knowledge; -- \\ ' | & ! :*") == []
        assert await knowledge.search(tx, mine + 1, "jokes") == [], "another organisation's"


@pytest.mark.anyio
async def test_a_text_is_kept_once_under_its_name_and_goes_with_its_passages(shop: Shop) -> None:
    mine, now = await _organisation(shop), shop.clock.now()
    async with shop.app.db.transaction() as tx:
        await knowledge.put(tx, mine, " House ", HOUSE, "pt", None, now)
        one = await knowledge.put(tx, mine, "House", "Só pão.", "pt", None, now)
        assert (one.name, one.language, one.passages) == ("House", "portuguese", 1)
        assert await knowledge.text_of(tx, mine, one.id) == "Só pão."
        assert [source.id for source in await knowledge.sources(tx, mine)] == [one.id]
        with pytest.raises(NotThere):
            await knowledge.remove(tx, mine + 1, one.id, None, now)
        await knowledge.remove(tx, mine, one.id, None, now)
        assert await knowledge.search(tx, mine, "pão") == []
        for name, text in (("", "x"), ("x", " \n"), ("x", "x" * (knowledge.LONGEST + 1))):
            with pytest.raises(Unusable):
                await knowledge.put(tx, mine, name, text, "", None, now)


@given(st.text(alphabet=st.sampled_from("ab# .\n\tü"), max_size=5000))
def test_nothing_of_a_text_is_lost_and_no_passage_is_too_long(text: str) -> None:
    found = list(passages(text))
    words = {word for line in text.split("\n") if not line.strip().startswith("#") for word in line.split()}
    kept = "".join("".join(part.split()) for _, part in found)
    assert all(word in kept for word in words if len(word) < PASSAGE)
    assert all(0 < len(part) <= PASSAGE + 2 for _, part in found)


def test_files_are_read_as_people_save_them() -> None:
    assert read("a.txt", "Olá".encode()) == read("a.md", "\ufeffOlá".encode()) == read("A.TXT", "Olá".encode("cp1252"))
    for name in ("menu.pdf", "menu"):
        with pytest.raises(Unusable, match="paste its text"):
            read(name, b"%PDF")
    with pytest.raises(Unusable):
        read("menu.txt", b"PK\0\0")
    assert bare("Ação, señor, Größe") == "Acao, senor, Große"
