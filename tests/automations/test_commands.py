"""``twinline automation`` and ``twinline floor``, run within the test."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from twinline.commands.automations import cli
from twinline.operate import OperatorError
from twinline.rules.refusal import Refused

ANA = "351910009001"
SHOP = f"""
WITH o AS (INSERT INTO organisations (name, created_at) VALUES ('Bakery', now()) RETURNING id),
u AS (
    INSERT INTO users (organisation_id, email, name, role, password_hash, created_at)
    SELECT id, 'owner@example.com', 'Owner', 'owner', 'x', now() FROM o
),
n AS (
    INSERT INTO numbers (organisation_id, waba_id, phone_number_id, display_phone, created_at, connected_at, state)
    SELECT id, '1', '2', '351910000000', now(), now() - interval '1 hour', 'connected' FROM o RETURNING id
),
c AS (INSERT INTO contacts (number_id, phone, profile_name) SELECT id, '{ANA}', 'Ana' FROM n RETURNING number_id, id),
k AS (INSERT INTO chats (number_id, contact_id, last_inbound_at) SELECT number_id, id, now() FROM c)
INSERT INTO identities (number_id, key, contact_id) SELECT number_id, 'p:{ANA}', id FROM c
"""
READY = (
    "name: Ready\ntriggers: [{api: {}}]\nsteps:\n  - send: {text: 'Your {{vars.what|bread}} is ready.'}\n  - wait: 1h\n"
)

Run = Callable[..., str]


@pytest.fixture
def twinline(empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    with psycopg.connect(empty_database) as connection:
        connection.execute(SHOP)
    monkeypatch.setenv("DATABASE_URL", empty_database)
    monkeypatch.setenv("TWINLINE_DATA", str(tmp_path))
    monkeypatch.setattr("twinline.shell.new_event_loop", asyncio.new_event_loop)

    def run(*words: Any, code: int = 0) -> str:
        """What it prints; where it is refused, what it says."""
        done = CliRunner().invoke(cli, list(map(str, words)))
        if isinstance(done.exception, OperatorError | Refused):
            assert code == 1, done.exception
            return str(done.exception)
        assert done.exit_code == code, (done.output, done.exception)
        return str(done.output)

    return run


def test_a_file_is_checked_kept_and_turned_on_and_off(twinline: Run, tmp_path: Path) -> None:
    file = tmp_path / "ready.yaml"
    file.write_text(READY)
    checked = twinline("automation", "check", file)
    assert "24-hour window may be closed" in checked
    assert checked.endswith("It is fit.\n")
    assert twinline("automation", "save", file) == "Ready (1) is kept: a draft.\n"
    assert "never published" in twinline("automation", "enable", "Ready", code=1)
    assert twinline("automation", "save", file, "--enable") == "Ready (1) is kept: version 1, on.\n"
    assert twinline("automation", "list") == "1\tReady\ton\tversion 1\n"
    file.write_text(READY.replace("1h", "2h"))
    assert "isn't published" in twinline("automation", "save", file)
    assert "wait: 1h" in twinline("automation", "show", "ready")
    assert "wait: 2h" in twinline("automation", "show", 1, "--draft")
    assert twinline("automation", "publish", 1) == "Ready: version 2, on.\n"
    assert twinline("automation", "disable", 1) == "Ready: version 2, off.\n"
    file.write_text(READY.replace("send", "sent") + "  - bot: {connection: Helper}\n")
    assert "did you mean" in twinline("automation", "check", file, code=1)
    assert "did you mean" in twinline("automation", "save", file, "--publish", code=1)
    file.write_text(READY + "  - bot: {connection: Helper}\n")
    checked = twinline("automation", "check", file, code=1)
    assert [line for line in checked.splitlines() if line.startswith("error:") and "“Helper”" in line]
    assert twinline("automation", "archive", 1) == "Ready is archived.\n"
    assert "no automation Ready" in twinline("automation", "show", "Ready", code=1)


def test_what_can_be_no_definition_is_said_and_what_is_unfinished_is_shown(twinline: Run, tmp_path: Path) -> None:
    file = tmp_path / "ready.yaml"
    file.write_bytes(b"\xff\xfe")
    for command in ("check", "save"):
        assert "ready.yaml isn't text in UTF-8" in twinline("automation", command, file, code=1)
    file.write_text("")
    for command in ("check", "save"):
        assert "is an object with a name" in twinline("automation", command, file, code=1)
    assert "no organisation 7" in twinline("automation", "list", "--organisation", 7, code=1)
    file.write_text("\ufeffname: Half\nsteps:\n  - send: {text: ''}\n", "utf-8")
    assert twinline("automation", "save", file) == "Half (1) is kept: a draft.\n"
    assert twinline("automation", "show", "Half").startswith("name: Half\nsteps:\n")


def test_one_is_started_told_of_and_silenced(twinline: Run, tmp_path: Path) -> None:
    file = tmp_path / "ready.yaml"
    file.write_text(READY)
    twinline("automation", "save", file, "--enable")
    start = ("automation", "start", "Ready", f"+{ANA}", "--var", "what=cake", "--key", "one")
    assert twinline(*start).startswith("1\n")
    assert twinline(*start).startswith("1\n"), "once for each key"
    assert "used before" in twinline(*start[:4], "--key", "one", code=1)
    assert twinline("automation", "runs") == "1\tReady\tAna\twaiting\t1\ttime\n"
    assert twinline("automation", "log", f"+{ANA}").count("\n") >= 1
    assert twinline("floor", "show", f"+{ANA}").startswith("automation")
    assert twinline("floor", "take", f"+{ANA}", "--for", "2h").startswith("person until ")
    assert "answering" in twinline(*start[:4], code=1)
    assert twinline("floor", "release", f"+{ANA}") == "nobody\n"
    assert "isn't known here" in twinline("floor", "show", "+351 910 009 009", code=1)
    twinline("floor", "take", f"+{ANA}", "--for", "soon", code=2)
    twinline(*start[:4], "--var", "cake", code=2)


def test_it_tells_that_a_person_is_waited_for(twinline: Run, tmp_path: Path) -> None:
    file = tmp_path / "calls.yaml"
    file.write_text("name: Calls\ntriggers: [{api: {}}]\nsteps: [{release: {note: A cake}}]\n")
    twinline("automation", "save", file, "--enable")
    twinline("automation", "start", "Calls", f"+{ANA}")
    told = twinline("floor", "show", f"+{ANA}")
    assert "“Calls” handed the chat to people at " in told
    assert "nobody has answered yet" in told
    assert twinline("floor", "release", f"+{ANA}") == "nobody\n"


def test_places_and_texts(twinline: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "whsec_" in twinline("automation", "connect", "bot", "Helper", "https://bot.example.com")
    monkeypatch.setenv("TWINLINE_SECRET", "sk-1")
    said = twinline("automation", "connect", "ai", "Brain", "https://llm.example.com/v1", "--model", "small")
    assert said == "Brain is connected.\n"
    assert twinline("automation", "connections").splitlines()[0] == "2\tai\tBrain\thttps://llm.example.com/v1"
    assert "https" in twinline("automation", "connect", "http", "Till", "http://10.0.0.1", code=1)
    twinline("automation", "disconnect", 1)
    assert "no connection 1" in twinline("automation", "disconnect", 1, code=1)
    house = tmp_path / "house.md"
    house.write_text("# Hours\nFrom seven.\n")
    assert twinline("automation", "read", house, "--language", "en") == "house: 1 passage.\n"
    assert twinline("automation", "approvals") == ""
    assert "No answer 7 waits" in twinline("automation", "approve", 7, code=1)
