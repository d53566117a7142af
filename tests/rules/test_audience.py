"""Which column is what, who gets which language, and which of several templates."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinline.rules.audience import choose_language, layout, plainly, spoken, unlike, variant_of


def number(cell: str) -> bool:
    return cell.isdigit() and len(cell) == 9


LIST = [
    ["Nome", "Contribuinte", "Telemóvel", "Telefone", "Idioma"],
    ["Ana", "501964843x", "910000001", "220000001", "pt"],
    ["Rui", "", "910000002", "", "pt"],
]


def test_the_columns_of_a_list_are_found() -> None:
    found = layout(LIST, number)
    assert (found.columns, found.header) == (tuple(LIST[0]), 0)
    assert (found.phone, found.language, found.name) == (2, 4, 0)
    assert found.index("telemovel") == 2
    assert found.index("fax") is None


def test_without_a_header_the_columns_have_numbers_and_nobody_is_lost() -> None:
    found = layout(LIST[1:], number)
    assert (found.header, found.phone) == (None, 2)
    assert found.columns == ("Column 1", "Column 2", "Column 3", "Column 4", "Column 5")


def test_somebody_with_a_bad_number_in_the_first_line_is_no_header() -> None:
    rows = [["Olga", "1,5512E+12"], ["Ana", "910000001"], ["Rui", "910000002"]]
    assert layout(rows, number).header is None


def test_years_in_the_name_of_a_column_are_no_number() -> None:
    assert layout([["Vendas 2025-2026", "Tel"], ["12", "910000001"], ["3", "910000002"]], number).header == 0


def test_a_title_above_the_table_is_no_header() -> None:
    assert layout([["Clientes 2026"], [], *LIST], number).header == 2


def test_a_header_may_be_told() -> None:
    assert layout(LIST[1:], number, header=True).columns[0] == "Ana"
    assert layout(LIST, number, header=False).header is None


def test_numbers_decide_before_names_do() -> None:
    rows = [["Phone", "x"], ["", "910000001"], ["", "910000002"]]
    assert layout(rows, number).phone == 1


def test_where_no_number_is_no_column_is_taken() -> None:
    assert layout([["Name", "City"], ["Ann", "Porto"]], number).phone is None
    assert layout([], number).phone is None


def test_no_two_columns_have_the_same_name() -> None:
    assert unlike(["Name", "name", "", "Name (2)"], 5) == ("Name", "name (2)", "Column 3", "Name (2) (2)", "Column 5")


@given(st.lists(st.text(max_size=6), max_size=8), st.integers(0, 10))
def test_every_column_has_a_name_of_its_own(names: list[str], width: int) -> None:
    found = unlike(names, width)
    assert len(found) == max(width, len(names))
    assert len(set(found)) == len(found)
    assert all(found)


@given(st.lists(st.lists(st.text(max_size=4) | st.just("910000001"), max_size=4), max_size=6))
def test_any_rows_have_a_layout(rows: list[list[str]]) -> None:
    found = layout(rows, number)
    assert len(found.columns) == max(map(len, rows), default=0)
    assert all(at is None or at < len(found.columns) for at in (found.phone, found.language, found.name))


def test_accents_and_case_are_one() -> None:
    assert plainly("Nº de Telemóvel:") == plainly("no DE  telemovel")


@pytest.mark.parametrize(
    ("there", "wishes", "chosen"),
    [
        (["en_US", "pt_PT", "pt_BR"], ["pt_BR"], "pt_BR"),
        (["en_US", "pt_PT", "pt_BR"], ["pt-br"], "pt_BR"),
        (["en_US", "pt_PT", "pt_BR"], ["pt"], "pt_PT"),
        (["en_US", "es"], ["es_MX"], "es"),
        (["en_US", "es_MX"], ["es"], "es_MX"),
        (["en_US", "es"], [None, "", "português", "es"], "es"),
        (["en_US", "es"], ["fr", "de"], "en_US"),
        (["en_US"], [], "en_US"),
    ],
)
def test_somebody_gets_their_language_if_it_is_there(there: list[str], wishes: list[str], chosen: str) -> None:
    assert choose_language(there, *wishes) == chosen


def test_a_telephone_hints_at_a_language() -> None:
    phones = {
        "351910000001": "pt_PT",
        "5511912345678": "pt_BR",
        "12065550100": "en_US",
        "17875550100": "es",
        "41790000000": "",
    }
    assert {phone: spoken(phone) for phone in phones} == phones


def test_variants_are_shared_out_by_weight_and_stay() -> None:
    keys = [f"p:35191{n:07}" for n in range(4000)]
    counted = Counter(variant_of(key, [1, 3], "7") for key in keys)
    assert 850 < counted[0] < 1150
    assert [variant_of(key, [1, 3], "7") for key in keys] == [variant_of(key, [1, 3], "7") for key in reversed(keys)][
        ::-1
    ]
    assert [variant_of(key, [1, 1], "7") for key in keys] != [variant_of(key, [1, 1], "8") for key in keys]
