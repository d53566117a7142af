"""What must be refused, is: by the hook, by the rules of sending, by Meta, and by the house itself. Each refusal says
what happened and what to do."""

import hashlib
import hmac
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import psycopg
import pytest
from cryptography.fernet import Fernet
from tests.fixtures import wire
from tests.fixtures.wire import BAKERY, FLORIST, RUA, T0, Business, Human, Json
from tests.story.conftest import APP_ID, APP_SECRET, Operator, Phone, browser, data_folder, database, processes

MB = 1024 * 1024
PASSWORD = "correct horse"


@dataclass
class Door:
    """A web process, an operator beside it, and a connected phone that it knows as number 1."""

    address: str
    operator: Operator
    phone: Phone

    def post(self, body: bytes, secret: str = APP_SECRET) -> httpx.Response:
        signed = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={signed}"}
        return httpx.post(f"{self.address}/hook/meta", content=body, headers=headers)

    def tells(self, webhook: Json) -> None:
        assert self.post(wire.body(webhook)).status_code == 200

    def counted(self, outcome: str) -> float:
        text = httpx.get(f"{self.address}/metrics").text
        found = re.search(rf'twinline_webhooks_total{{outcome="{outcome}"}} (\S+)', text)
        return float(found[1]) if found else 0.0

    @property
    def business(self) -> Business:
        return Business(self.phone.waba_id, self.phone.id, self.phone.number)

    def browser(self) -> AbstractContextManager[httpx.Client]:
        return browser(self.address, "mia@example.com", PASSWORD)


@pytest.fixture(scope="module")
def door(database_server: str, simulator: str) -> Iterator[Door]:
    with data_folder() as folder, database(database_server) as url:
        env = {
            "DATABASE_URL": url, "TWINLINE_GRAPH_URL": simulator, "TWINLINE_APP_ID": APP_ID,
            "TWINLINE_APP_SECRET": APP_SECRET,
        }  # fmt: skip
        operator = Operator(folder, env)
        phone = Phone.connected(simulator)
        operator.does("number", "add", *phone.options, TWINLINE_TOKEN=phone.token)
        operator.does("user", "add", "mia@example.com", "--role", "owner", TWINLINE_PASSWORD=PASSWORD)
        with operator.starts("web", "--port=0", ready="listening on") as web:
            yield Door(web.out.split()[-1], operator, phone)


# --- by the hook --------------------------------------------------------------------------------------------------


def test_a_body_with_a_wrong_signature_is_counted_and_kept_out(door: Door) -> None:
    before = door.counted("bad_signature")
    body = wire.body(wire.inbound(RUA, wire.text("wamid.forged", T0, "Send money"), business=door.business))
    answer = door.post(body, secret="a guess")
    assert (answer.status_code, "X-Hub-Signature-256" in answer.text) == (401, True)
    assert httpx.post(f"{door.address}/hook/meta", content=body).status_code == 401
    assert door.counted("bad_signature") == before + 2
    assert not [line for line in door.operator.exports("1") if "wamid.forged" in line]


def test_a_body_larger_than_meta_sends_is_not_read_to_its_end(door: Door) -> None:
    before = door.counted("too_large")
    declared = door.post(b" " * (3 * MB + 1))
    assert (declared.status_code, "3 MB" in declared.text) == (413, True)
    in_pieces = httpx.post(f"{door.address}/hook/meta", content=iter([b" " * MB] * 3 + [b" "]))
    assert in_pieces.status_code == 413
    assert door.counted("too_large") == before + 2


def test_json_that_breaks_off_is_answered_kept_and_read_again(door: Door) -> None:
    assert door.post(b'{"object": "whatsapp_business_account", "entry": [').status_code == 200
    assert "1 couldn't be understood" in door.operator.tries("doctor").out
    with door.browser() as mia:
        assert "couldn&#39;t be understood" in mia.get("/doctor").text
    door.operator.does("replay", "--unreadable")
    assert "1 couldn't be understood" in door.operator.tries("doctor").out


def test_what_is_said_of_an_unknown_number_waits_for_it(door: Door) -> None:
    door.tells(wire.inbound(RUA, wire.text("wamid.early", T0, "Roses, please"), business=FLORIST))
    assert "1 speak of numbers that aren't here" in door.operator.tries("doctor").out
    with door.browser() as mia:
        assert "speak of numbers that aren&#39;t here" in mia.get("/doctor").text
    door.operator.does(
        "number", "add", "--waba-id", FLORIST.waba_id, "--phone-number-id", FLORIST.phone_number_id,
        "--display-phone", FLORIST.phone, "--offline",
    )  # fmt: skip
    assert [line for line in door.operator.exports(FLORIST.phone) if "wamid.early" in line]
    assert "speak of numbers that aren't here" not in door.operator.tries("doctor").out


# --- by the rules of sending --------------------------------------------------------------------------------------


def test_messages_that_may_not_go_out_say_what_stands_in_the_way(door: Door, tmp_path: Path) -> None:
    ana = door.phone.customer("Ana", "351910007001")
    person = Human("351910007001", None, "Ana")
    send = "send", "--number", "1", "+351910007001"
    told = door.operator.is_refused(*send, "We have a sale!")
    assert "template" in told
    # Ana writes, so the window is open; and she doesn't want to hear of sales.
    now = int(time.time()) + 1
    door.tells(wire.inbound(person, wire.text("wamid.ana", now, "Hello"), business=door.business))
    door.tells(wire.preference(person, "stop", now, business=door.business))
    assert "has stopped marketing" in door.operator.is_refused(*send, "Sale!", "--purpose", "marketing")
    told = door.operator.is_refused(*send, "x" * 4097)
    assert ("4097" in told, "4096" in told) == (True, True)
    huge = tmp_path / "huge.png"
    huge.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(6 * MB))
    told = door.operator.is_refused(*send, "--media", str(huge))
    assert ("6.0 MB" in told, "5.0 MB" in told) == (True, True)
    told = door.operator.is_refused("send", "--number", "1", "12036304@g.us", "Hi all")
    assert ("Group" in told, told.count("phone")) == (True, 1)
    told = door.operator.is_refused("send", "--number", "1", "Ana", "Hi")
    assert "country code" in told
    told = door.operator.is_refused("send", "--number", "+99 1", "+351910007001", "Hi")
    assert "twinline number list" in told
    assert door.phone.screen(ana) == []


def test_tokens_sealed_with_another_key_are_told_before_anything_is_sent(door: Door) -> None:
    other = Fernet.generate_key().decode()
    told = door.operator.is_refused("send", "--number", "1", "+351910007001", "Hi", TWINLINE_VAULT_KEYS=other)
    assert "TWINLINE_VAULT_KEYS" in told
    said = door.operator.tries("doctor", TWINLINE_VAULT_KEYS=other)
    assert said.code == 1
    assert "sealed with a key that isn't here" in said.out


# --- by Meta ------------------------------------------------------------------------------------------------------


def test_the_history_is_asked_for_once(door: Door) -> None:
    with door.browser() as mia:
        assert mia.post("/numbers/1/sync/history").status_code == 303
        again = mia.post("/numbers/1/sync/history")
    assert again.status_code == 409
    log = httpx.get(f"{door.phone.meta}/control/log", params={"path": f"{door.phone.id}/smb_app_data"}).json()
    assert len(log["requests"]) == 1


@contextmanager
def graph_that_says(answer: Json) -> Iterator[str]:
    """Something that gives this one answer to every question."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def test_a_token_that_may_too_little_is_named_by_what_it_lacks(operator: Operator, simulator: str) -> None:
    add = (
        "number", "add", "--waba-id", BAKERY.waba_id, "--phone-number-id", BAKERY.phone_number_id,
        "--display-phone", BAKERY.phone, "--token", "EAAsecret123",
    )  # fmt: skip
    operator.env |= {"TWINLINE_APP_ID": APP_ID, "TWINLINE_APP_SECRET": APP_SECRET}
    said = {"is_valid": True, "app_id": APP_ID, "expires_at": 0, "scopes": ["whatsapp_business_messaging"]}
    with graph_that_says({"data": said}) as graph:
        told = operator.is_refused(*add, TWINLINE_GRAPH_URL=graph)
    assert ("whatsapp_business_management" in told, "Make a new one" in told) == (True, True)
    assert "doesn't accept this token" in operator.is_refused(*add, TWINLINE_GRAPH_URL=simulator)
    told = operator.is_refused(*add, TWINLINE_GRAPH_URL="http://127.0.0.1:9")
    assert "EAAsecret123" not in told
    assert operator.does("number", "list") == ""


# --- by the house -------------------------------------------------------------------------------------------------


def test_a_database_of_a_newer_release_is_left_alone(operator: Operator) -> None:
    with psycopg.connect(operator.env["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for command in (("up", "--port=0"), ("number", "list"), ("migrate",)):
        told = operator.is_refused(*command)
        assert ("9999" in told, "newer" in told, "restore the backup" in told) == (True, True, True)


def test_a_database_that_is_not_there_is_said_to_be_away(operator: Operator) -> None:
    told = operator.is_refused("up", "--port=0", DATABASE_URL="postgresql://twinline:secret@127.0.0.1:9/twinline")
    assert ("can't be reached" in told, "DATABASE_URL" in told, "secret" in told) == (True, True, False)
    told = operator.is_refused("migrate", DATABASE_URL="pg//twinline:secret@127.0.0.1/twinline")
    assert ("postgresql://user" in told, "secret" in told) == (True, False)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://twinline@127.0.0.1:{silent.getsockname()[1]}/twinline"
        assert "can't be reached" in operator.is_refused("number", "list", DATABASE_URL=url, PGCONNECT_TIMEOUT="2")


def test_a_number_that_nobody_added_cannot_be_shown(operator: Operator) -> None:
    for command in (("number", "show", "7"), ("export", "--number", "7")):
        assert operator.is_refused(*command) == (
            "twinline: There is no number 7 here. `twinline number list` shows those there are."
        )
    assert "twinline number add" in operator.is_refused("send", "+351910000001", "Hi")


def test_places_that_are_taken_or_closed_are_named(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told = Operator(tmp_path / "file" / "data", operator.env).is_refused("number", "list")
    assert ("can't be written" in told, "--data" in told) == (True, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for command in ("up", "web"):
            told = operator.is_refused(command, "--port", port)
            assert (port in told, "choose another with --port" in told) == (True, True)
        told = operator.is_refused("up", "--port=0", "--simulator", "--simulator-port", port)
        assert (port in told, "--simulator-port" in told) == (True, True)
    assert processes(operator.data) == []
