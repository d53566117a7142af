"""Contacts at the shell: files in and out, tags, opt-ins and opt-outs."""

from pathlib import Path

from tests.story.conftest import Operator
from tests.story.test_commands import OFFLINE


def test_contacts_come_and_go_as_files_and_are_opted_out(operator: Operator, tmp_path: Path) -> None:
    operator.does("number", "add", *OFFLINE)
    people = tmp_path / "people.csv"
    people.write_text("phone;name;marketing;since\n912 345 678;Ana;yes;2026-01-31\n+351910000002;Bea;;\nnonsense;;;\n")
    said = operator.tries("contact", "import", str(people), "--tag", "fair")
    assert said.out == "People taken over: 2, of them new: 2.\n"
    assert said.err.startswith("line 4: “nonsense”")
    assert operator.does("contact", "tag", "+351912345678", "--add", "vip", "--remove", "fair") == "vip\n"
    assert operator.does("contact", "opt-out", "+351 910 000 002", "--proof", "by letter").startswith("may not be sent")
    assert operator.does("contact", "opt-in", "+351912345678", "--proof", "form 7").startswith("may be sent marketing")
    assert "no topic 'news'" in operator.is_refused("contact", "opt-out", "contact:1", "--topic", "news")
    assert "neither a phone number" in operator.is_refused("contact", "tag", "somebody", "--add", "vip")
    lines = operator.does("contact", "export").splitlines()
    assert lines[0] == "phone,user_id,name,language,tags,may_get_marketing,why,last_wrote"
    assert sorted(lines[1:]) == ["+351910000002,,Bea,,fair,no,opted_out,", "+351912345678,,Ana,,vip,yes,opted_in,"]
    people.write_text("+34600111222\n")
    assert "of them new: 1" in operator.does("contact", "import", str(people), "--suppress")
    listed = tmp_path / "list.csv"
    operator.does("contact", "export", "--suppressed", "--output", str(listed))
    assert listed.read_text().splitlines()[1].startswith("+34600111222,,,20")
    assert "no column of phone numbers" in operator.is_refused("contact", "import", str(Path(__file__)))
