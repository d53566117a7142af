"""Files that people bring: whatever they are made of, each of their lines is a row or has a reason."""

import io
import zipfile
from datetime import date, datetime

import openpyxl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twinline.kit import tables
from twinline.kit.tables import Line, TableError


def read(data: bytes, name: str = "list.csv", **how: str) -> list[Line]:
    return list(tables.lines(data, tables.shape(data, name, **how)))


def cells(data: bytes, name: str = "list.csv", **how: str) -> list[list[str]]:
    return [line.cells for line in read(data, name, **how)]


def workbook(*rows: list[object], title: str = "Clientes") -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = title
    for row in rows:
        sheet.append(row)
    return saved(book)


def saved(book: openpyxl.Workbook) -> bytes:
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def changed(data: bytes, **members: bytes) -> bytes:
    """The archive with members replaced; ``__`` stands for a slash, ``_`` in names isn't used by workbooks."""
    replaced = {name.replace("__", "/") + ".xml": text for name, text in members.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, replaced.get(name, old.read(name)))
    return buffer.getvalue()


LIST = "Nome,Telefone,Cidade\r\nJoão,910 000 001,Porto\r\nInês,910 000 002,Lisboa\r\n"
ROWS = [["Nome", "Telefone", "Cidade"], ["João", "910 000 001", "Porto"], ["Inês", "910 000 002", "Lisboa"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_any_encoding_that_a_spreadsheet_writes_is_found_out(encoding: str) -> None:
    assert cells(LIST.encode(encoding)) == ROWS


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_delimiter_and_any_end_of_line(delimiter: str, end: str) -> None:
    assert cells(LIST.replace(",", delimiter).replace("\r\n", end).encode()) == ROWS


def test_decimal_commas_do_not_hide_the_semicolon() -> None:
    data = b"Nome;Saldo;Telefone\nAna;12,50;910000001\nRui;8,00;910000002\n"
    assert cells(data)[1] == ["Ana", "12,50", "910000001"]


def test_what_excel_says_of_its_delimiter_is_no_line_of_the_table() -> None:
    assert cells(b"sep=;\nNome;Telefone\nAna;910000001\n") == [["Nome", "Telefone"], ["Ana", "910000001"]]


def test_a_quoted_cell_may_hold_delimiters_quotation_marks_and_line_breaks() -> None:
    found = read(b'Name,Address,Phone\nAnn,"1 High St\nFlat ""B"", 2nd",911\nBob,Low St,922\n')
    assert found[1] == Line(2, ["Ann", '1 High St\nFlat "B", 2nd', "911"])
    assert found[2] == Line(4, ["Bob", "Low St", "922"])


def test_a_quotation_mark_that_is_never_closed_costs_its_line_and_no_other() -> None:
    found = read(b'Name,Phone\n"Ann,911\nBob,922\nEve,933\n')
    assert [(line.number, line.problem) for line in found] == [(1, ""), (2, tables.UNCLOSED), (3, ""), (4, "")]
    assert found[3].cells == ["Eve", "933"]


def test_inches_in_a_cell_open_no_quotation() -> None:
    assert cells(b'What,Phone\n5" pipe,911\n6" pipe,922\n')[1:] == [['5" pipe', "911"], ['6" pipe', "922"]]


def test_a_character_that_is_none_costs_its_line_and_no_other() -> None:
    found = read("Nome,Telefone\nJoão,911\nInês,922\n".encode().replace("ã".encode(), b"\xff"), encoding="utf-8")
    assert [line.problem for line in found] == ["", tables.UNREADABLE, ""]


def test_empty_lines_are_passed_over_and_counted() -> None:
    assert [line.number for line in read(b"Name,Phone\n\n,,\nAnn,911\n\n")] == [1, 4]


def test_a_line_without_end_is_told_and_costs_no_memory() -> None:
    found = read(b"Name,Phone\n" + b"x" * 200_000 + b"\nAnn,911\n")
    assert [(line.number, line.problem) for line in found] == [(1, ""), (2, tables.TOO_LONG), (3, "")]


@pytest.mark.parametrize(
    ("data", "name", "says"),
    [
        (b"", "list.csv", "empty"),
        (b"%PDF-1.7\n\xe2\xe3", "list.csv", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "list.csv", "image/png"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "list.xls", "old kind"),
        (b"<html><table><tr><td>Ann</td></tr></table>", "list.xls", "web page"),
        (bytes(range(1, 32)) * 9, "list.csv", "isn't made of text"),
        (b"PK\x03\x04 and then nothing", "list.xlsx", "can't be read"),
    ],
)
def test_what_is_no_table_is_refused_with_what_to_do(data: bytes, name: str, says: str) -> None:
    with pytest.raises(TableError, match=says):
        read(data, name)


def test_an_encoding_may_be_told_but_has_to_exist() -> None:
    assert cells("Имя,Город\nИван,Сочи\n".encode("cp1251"), encoding="windows-1251") == [
        ["Имя", "Город"],
        ["Иван", "Сочи"],
    ]
    for name in ("klingon", "base64"):
        with pytest.raises(TableError, match="encoding"):
            read(b"Name,Phone\n", encoding=name)


# --- workbooks --------------------------------------------------------------------------------------------------------


def test_a_workbook_gives_what_its_cells_show() -> None:
    data = workbook(
        ["Nome", "Telefone", "Saldo", "Desde", "Hora", "VIP", "Erro"],
        ["João", 351910000001, 12.5, date(2026, 1, 31), datetime(2026, 1, 31, 9, 30), True, "#N/A"],
        ["Inês", 351910000002.0, 3.0, None, None, False, None],
    )
    assert cells(data, "list.xlsx")[1:] == [
        ["João", "351910000001", "12.5", "2026-01-31", "2026-01-31 09:30", "TRUE", ""],
        ["Inês", "351910000002", "3", "", "", "FALSE"],
    ]


def test_of_a_formula_its_value_counts() -> None:
    data = workbook(["Name", "Phone"], ["Ann", "=1+1"])
    sheet = zipfile.ZipFile(io.BytesIO(data)).read("xl/worksheets/sheet1.xml")
    known = sheet.replace(b"<v />", b"<v>351910000001</v>")
    assert cells(data, "a.xlsx")[1] == ["Ann"]
    assert cells(changed(data, xl__worksheets__sheet1=known), "a.xlsx")[1] == ["Ann", "351910000001"]


def test_the_first_sheet_that_can_be_seen_and_holds_something_is_the_list() -> None:
    book = openpyxl.Workbook()
    hidden, empty, people = book.active, book.create_sheet("Vazio"), book.create_sheet("Pessoas")
    assert hidden is not None
    hidden.append(["secret"])
    hidden.sheet_state = "hidden"
    people.append(["Ann", 911])
    data = saved(book)
    shape = tables.shape(data, "a.xlsx")
    assert (shape.sheet, shape.sheets) == ("Pessoas", ("Vazio", "Pessoas"))
    assert list(tables.lines(data, shape)) == [Line(1, ["Ann", "911"])]
    with pytest.raises(TableError, match="no worksheet 'Sheet'"):
        tables.shape(data, "a.xlsx", sheet="Sheet")
    assert empty.title == "Vazio"


def test_a_cell_far_away_costs_nothing() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["Name", "Phone"])
    sheet["XFD1048576"] = "here"
    assert cells(saved(book), "a.xlsx") == [["Name", "Phone"]]


def test_a_row_behind_the_last_one_is_refused() -> None:
    data = workbook(["Name", "Phone"], ["Ann", "911"])
    sheet = zipfile.ZipFile(io.BytesIO(data)).read("xl/worksheets/sheet1.xml")
    far = sheet.replace(b'r="2"', b'r="99999999999"').replace(b"A2", b"A99999999999").replace(b"B2", b"B99999999999")
    with pytest.raises(TableError):
        read(changed(data, xl__worksheets__sheet1=far), "a.xlsx")


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    data = workbook(["Name", "Phone"])
    bomb = changed(data, xl__worksheets__sheet1=b" " * 5_000_000)
    assert len(bomb) < 20_000
    monkeypatch.setattr(tables, "MOST_UNPACKED", 4_000_000)
    with pytest.raises(TableError, match="far larger"):
        read(bomb, "a.xlsx")
    monkeypatch.undo()
    monkeypatch.setattr(tables, "MOST_SHARED", 4_000_000)
    with pytest.raises(TableError, match="far larger"):
        read(changed(data, xl__styles=b" " * 5_000_000), "a.xlsx")


def test_a_bomb_of_entities_is_refused() -> None:
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha" * 50}">' for n in range(9))
    data = workbook(["Name", "Phone"])
    sheet = f"<!DOCTYPE x [{laughs}]><worksheet><sheetData><row><c><v>&a8;</v></c></row></sheetData></worksheet>"
    with pytest.raises(TableError):
        read(changed(data, xl__worksheets__sheet1=sheet.encode()), "a.xlsx")


def test_another_archive_is_no_workbook() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("content.xml", "<office/>")
    with pytest.raises(TableError, match="Save it as XLSX or CSV"):
        read(buffer.getvalue(), "list.ods")


# --- laws -------------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.sampled_from(["a.csv", "a.xlsx", "a"]))
@example(b'"', "a.csv")
@example(b'\xff\xfe"', "a.csv")
@example(b"PK\x03\x04", "a.xlsx")
def test_any_bytes_are_read_or_refused(data: bytes, name: str) -> None:
    try:
        found = read(data, name)
    except TableError as error:
        assert str(error)  # noqa: PT017
        return
    numbers = [line.number for line in found]
    assert numbers == sorted(set(numbers))
    assert all(line.problem or any(line.cells) for line in found)


CELL = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\ufffd\ufeff'), max_size=8)


@given(st.lists(st.lists(CELL, min_size=1, max_size=4), min_size=1, max_size=8), st.sampled_from([",", ";", "\t", "|"]))
def test_every_line_that_holds_something_comes_with_its_number(rows: list[list[str]], delimiter: str) -> None:
    shape = tables.Shape("csv", encoding="utf-8", delimiter=delimiter)
    lines = [delimiter.join(row) for row in rows]
    found = {line.number: line for line in tables.lines("\n".join(lines).encode(), shape)}
    for number, line in enumerate(lines, 1):
        wanted = [cell.strip() for cell in line.split(delimiter)]
        wanted = ["" if cell in tables.FAILED else cell for cell in wanted]
        if number == 1 and line.lower().strip().startswith("sep="):
            continue
        assert (found[number].cells if number in found else None) == (wanted if any(wanted) else None)


ANYTHING = st.text(st.sampled_from('ab,;"\n\r 1'), max_size=60)


@given(ANYTHING)
def test_no_line_is_lost_whatever_the_quotation_marks(text: str) -> None:
    """Each physical line with a letter in it is a record of its own, or inside of the quoted cell of one."""
    shape = tables.Shape("csv", encoding="utf-8", delimiter=",")
    found = list(tables.lines(text.encode(), shape))
    letters = "".join(char for char in text if char in "ab1")
    assert "".join(char for line in found for cell in line.cells for char in cell if char in "ab1") == letters


@given(st.lists(st.lists(st.text(max_size=10).map(str.strip), min_size=2, max_size=3), max_size=5))
def test_what_is_written_is_read_again(rows: list[list[str]]) -> None:
    """But for what a spreadsheet would run, which gets an apostrophe."""
    kept = [[cell for cell in row if not set(cell) & set("\r\n\0\ufffd") and cell not in tables.FAILED] for row in rows]
    kept = [row for row in kept if any(row) and row[0] and not row[0].lower().startswith("sep=")]
    try:
        data = b"".join(tables.written(kept))
    except UnicodeEncodeError:
        return
    shape = tables.Shape("csv", encoding="utf-8-sig", delimiter=",")
    found = [line.cells for line in tables.lines(data, shape)]
    assert [[cell.removeprefix("'") for cell in row] for row in found] == [
        [cell.removeprefix("'") for cell in row] for row in kept
    ]


@pytest.mark.parametrize("cell", ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "\tx"])
def test_a_download_holds_no_formulas(cell: str) -> None:
    assert b"'" + cell.encode() in b"".join(tables.written([[cell]]))


def test_a_download_leaves_telephone_numbers_alone() -> None:
    assert b"'" not in b"".join(tables.written([["+351 910 000 001", "+(351) 910", "-5"]]))
