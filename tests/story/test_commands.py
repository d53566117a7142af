"""What an operator does at a shell, with no server running: every command as its user has it."""

import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from tests.fixtures import wire
from tests.fixtures.wire import BAKERY, DANI, FLORIST, RUA, T0, Business, Json
from tests.story.conftest import APP_ID, APP_SECRET, Operator, Phone, data_folder, database, processes

from twinline.cli import cli

OFFLINE = (
    "--waba-id", BAKERY.waba_id, "--phone-number-id", BAKERY.phone_number_id,
    "--display-phone", "+351 210 007 788", "--offline",
)  # fmt: skip
OTHER = (
    "--waba-id", FLORIST.waba_id, "--phone-number-id", FLORIST.phone_number_id,
    "--display-phone", "+34 910 004 455", "--offline",
)  # fmt: skip


def commands(group: Any, *above: str) -> Iterator[tuple[str, Any]]:
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, *above, name)
        else:
            yield " ".join([*above, name]), command


def test_every_command_explains_itself_and_takes_a_data_folder(operator: Operator) -> None:
    found = dict(commands(typer.main.get_command(cli)))
    assert {
        "up", "web", "worker", "migrate", "doctor", "demo", "number add", "number list", "number show", "user add",
        "send", "replay", "export",
    } <= set(found)  # fmt: skip
    for name, command in found.items():
        assert command.help
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--data" in options or name in ("demo", "automation schema"), name
    assert "--shuffle" in operator.does("replay", "--help")


def test_misuse_is_told_apart_from_what_could_not_be_done(operator: Operator) -> None:
    assert "No such command" in operator.is_refused("nosuch", code=2)
    assert "--offline" in operator.is_refused("number", "add", *OFFLINE[:-1], code=2)
    told = operator.is_refused("number", "add", *OFFLINE[:4], "--display-phone", "café", "--offline", code=2)
    assert "country code" in told
    assert "marketing" in operator.is_refused("send", "+351910000001", "Hi", "--purpose", "gossip", code=2)
    assert "Name files" in operator.is_refused("replay", code=2)


def test_a_number_is_added_listed_and_shown_however_it_is_written(operator: Operator) -> None:
    assert operator.does("number", "add", *OFFLINE) == "Number 1 added.\n"
    assert operator.does("number", "add", *OFFLINE) == "Number 1 added.\n"
    assert operator.does("number", "list").split() == ["1", "+351210007788", "connected"]
    with psycopg.connect(operator.env["DATABASE_URL"]) as connection:
        connection.execute("UPDATE numbers SET verified_name = 'Café Zoë'")
    printed = operator.does("number", "show", "+351 210 007 788")
    assert '"verified_name": "Café Zoë"' in printed, "people read it, too"
    shown = json.loads(printed)
    assert (shown["phone_number_id"], shown["state"]) == (BAKERY.phone_number_id, "connected")
    assert (shown["has_token"], "token" in shown) == (False, False)


def test_the_first_user_command_founds_the_platform_and_others_join(operator: Operator) -> None:
    add = "user", "add", "mia@example.com", "--name", "Mia"
    assert "8 characters" in operator.is_refused(*add, TWINLINE_PASSWORD="short")
    assert "may log in" in operator.does(*add, "--role", "owner", TWINLINE_PASSWORD="correct horse")
    assert "already" in operator.is_refused(*add, TWINLINE_PASSWORD="correct horse")
    assert "owner, admin" in operator.is_refused(*add, "--role", "king", TWINLINE_PASSWORD="correct horse")
    assert "--organisation" in operator.is_refused(*add, "--organisation", "9", TWINLINE_PASSWORD="correct horse")
    for name in ("first-login.txt", "vault.key"):
        assert stat.S_IMODE((operator.data / name).stat().st_mode) == 0o600


# --- the same things told differently -----------------------------------------------------------------------------


def world(business: Business) -> list[Json]:
    """A little of everything that Meta says of a number."""
    picture = wire.said("wamid.p", T0 - 90, "image", wire.TYPES["image"])
    return [
        wire.chunk(0, 1, 40, wire.thread(RUA, wire.theirs(RUA, wire.text("wamid.h1", T0 - 99, "Bom dia")),
                   wire.ours(wire.placeholder("wamid.p", T0 - 90), business=business)), business=business),
        wire.chunk(1, 2, 100, wire.thread(RUA, wire.theirs(RUA, wire.text("wamid.h0", T0 - 500, "Olá")))),
        wire.follow_up_out(RUA, picture, business=business),
        wire.state_sync(wire.contact(RUA, "add", T0 - 50, "Rua Nova", "Rua"), business=business),
        wire.state_sync(wire.contact(RUA, "remove", T0 - 20), business=business),
        wire.state_sync(wire.contact(DANI, "add", T0 - 10, "Dani da Rua"), business=business),
        wire.inbound(RUA, wire.text("wamid.1", T0, "Are there tarts?"), business=business),
        wire.inbound(RUA, wire.edit_of("wamid.e1", T0 + 3, "wamid.1", "text", {"body": "Are there any tarts?"}),
                     business=business),
        wire.inbound(DANI, wire.text("wamid.2", T0 + 1, "Hi"), wire.text("wamid.3", T0 + 1, "Hello?"),
                     business=business),
        wire.inbound(DANI, wire.revoke_of("wamid.r", T0 + 8, "wamid.3"), business=business),
        wire.echoes(RUA, wire.text("wamid.4", T0 + 5, "Just out of the oven"), business=business),
        wire.statuses(wire.status(RUA, "wamid.4", "delivered", T0 + 6), business=business),
        wire.statuses(wire.status(RUA, "wamid.4", "read", T0 + 7), business=business),
        wire.preference(RUA, "stop", T0 + 9, business=business),
        wire.account("quality", business=business),
    ]  # fmt: skip


def test_two_databases_that_know_the_same_print_the_same_bytes(
    operator: Operator, database_server: str, tmp_path: Path
) -> None:
    """One is told before the number is there, twice in order; the other in disorder, thrice, beside another number."""
    folder = tmp_path / "bodies"
    (folder / "later").mkdir(parents=True)
    bodies = [wire.body(webhook) for webhook in world(BAKERY)]
    for n, body in enumerate(bodies[:8]):
        (folder / f"{n:02}.json").write_bytes(body)
    (folder / "later" / "rest.jsonl").write_bytes(b"\n".join(bodies[8:]) + b"\n\n")

    told = operator.does("replay", str(folder), "--repeat", "2")
    assert dict(line.split("\t") for line in told.splitlines()) == {"bodies": "30", "unclaimed": "15"}
    operator.does("number", "add", *OFFLINE)
    first = operator.does("export", "--number", BAKERY.phone)

    with database(database_server) as url:
        other = Operator(tmp_path / "other", {"DATABASE_URL": url})
        other.does("number", "add", *OTHER)
        assert other.does("number", "add", *OFFLINE) == "Number 2 added.\n"
        other.does("replay", str(folder), "--shuffle", "7", "--repeat", "3", "--batch", "2")
        other.does("replay", str(folder / "later"), "--shuffle", "8")
        file = tmp_path / "second.jsonl"
        assert other.does("export", "--number", "2", "--output", str(file)) == ""
    assert file.read_text() == first

    lines = [json.loads(line) for line in first.splitlines()]
    kinds = [line["kind"] for line in lines]
    assert [kind for n, kind in enumerate(kinds) if kind not in kinds[:n]] == [
        "number", "contact", "chat", "message", "status", "edit", "revoke", "notice", "chunk"
    ]  # fmt: skip
    messages = {line["wamid"]: line for line in lines if line["kind"] == "message"}
    assert set(messages) == {"wamid.h0", "wamid.h1", "wamid.p", "wamid.1", "wamid.2", "wamid.3", "wamid.4"}
    assert messages["wamid.1"]["edit_text"] == "Are there any tarts?"
    assert messages["wamid.p"]["type"] == "image"
    assert messages["wamid.3"]["revoked_at"] == T0 + 8
    assert messages["wamid.4"]["delivery"] == "read"
    assert messages["wamid.4"]["author"] == "phone"


def test_what_could_not_be_read_is_kept_and_can_be_read_again(operator: Operator, tmp_path: Path) -> None:
    broken, good = tmp_path / "broken.json", tmp_path / "good.json"
    broken.write_bytes(b'{"entry": [')
    good.write_bytes(wire.body(wire.inbound(RUA, wire.text("wamid.1", T0, "Hi"))))
    operator.does("number", "add", *OFFLINE)
    assert "unreadable\t1" in operator.does("replay", str(broken), str(good))
    assert [line for line in operator.exports("1") if '"wamid.1"' in line]
    assert "couldn't be understood" in operator.tries("doctor").out
    assert "read again\t1" in operator.does("replay", "--unreadable")
    assert "couldn't be understood" in operator.tries("doctor").out
    told = operator.is_refused("replay", str(tmp_path / "nowhere"))
    assert "no file or folder" in told


# --- without a number of one's own --------------------------------------------------------------------------------


def test_a_message_leaves_though_no_worker_runs(operator: Operator, simulator: str, tmp_path: Path) -> None:
    phone = Phone.connected(simulator)
    ana = phone.customer("Ana", "351910004001")
    operator.env |= {"TWINLINE_GRAPH_URL": simulator, "TWINLINE_APP_ID": APP_ID, "TWINLINE_APP_SECRET": APP_SECRET}
    operator.does("number", "add", *phone.options, TWINLINE_TOKEN=phone.token)
    phone.receives(ana, "Anybody?")  # opens Meta's window; ours opens by what is replayed here
    here = Business(phone.waba_id, phone.id, phone.number)
    body = tmp_path / "anybody.json"
    said = wire.text("wamid.q", int(time.time()) + 1, "Anybody?")
    body.write_bytes(wire.body(wire.inbound(wire.Human("351910004001", None, "Ana"), said, business=here)))
    operator.does("replay", str(body))

    assert operator.does("send", "+351 910 004 001", "We are here", "--key", "k1") == "sent\n"
    assert operator.does("send", "+351 910 004 001", "We are here", "--key", "k1") == "sent\n"
    assert "used before" in operator.is_refused("send", "+351 910 004 001", "We have gone", "--key", "k1")
    picture = tmp_path / "window.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert operator.does("send", "351910004001", "Look", "--media", str(picture)) == "sent\n"
    assert phone.screen(ana) == ["We are here", "Look"]
    [chat] = [json.loads(line) for line in operator.exports("1") if '"kind":"chat"' in line]
    assert chat["answered_at"] is not None


# --- the house itself ---------------------------------------------------------------------------------------------


def test_the_doctor_looks_at_a_fresh_folder_and_says_what_to_do() -> None:
    """The one story here on a database of the folder's own: it comes by itself and goes with the command."""
    with data_folder() as folder:
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        operator = Operator(closed / "data")
        # No network: Meta is a port that nobody listens on.
        said = operator.tries("doctor", TWINLINE_GRAPH_URL="http://127.0.0.1:9")
        assert said.code == 1
        assert "OK    Database: PostgreSQL" in said.out
        assert "OK    Vault key" in said.out
        assert "Set TWINLINE_APP_SECRET" in said.out
        assert "can't be reached" in said.out
        # As root the server runs as a user of its own, who has to walk there: that is said, of a home always.
        root = os.geteuid() == 0
        assert (str(closed) in said.err) == root
        again = operator.tries("migrate", HOME=str(closed))
        assert (again.code, again.out) == (0, "The database is up to date.\n")
        assert (str(closed) in again.err) == root
        assert processes(folder) == []
        assert stat.S_IMODE((operator.data / "vault.key").stat().st_mode) == 0o600
        for private in ("postgres", "media"):
            assert stat.S_IMODE((operator.data / private).stat().st_mode) == 0o700


@pytest.mark.parametrize("gone", ["vault.key", "TWINLINE_VAULT_KEYS"])
def test_settings_that_cannot_be_used_are_named(operator: Operator, gone: str) -> None:
    if gone == "vault.key":
        operator.data.mkdir()
        (operator.data / "vault.key").write_bytes(b"\xff\xfe no key")
        told = operator.is_refused("number", "list")
    else:
        told = operator.is_refused("number", "list", TWINLINE_VAULT_KEYS="not-a-key")
    assert gone in told
    assert "TWINLINE_DB_POOL" in operator.is_refused("number", "list", TWINLINE_DB_POOL="many")
