"""`twinline up` as people live with it: started, used beside other commands, killed, started again, ended."""

import json
import signal
import stat
from collections.abc import Iterator

import httpx
import psutil
import pytest
from tests.fixtures import wire
from tests.fixtures.patience import PATIENCE, eventually
from tests.fixtures.wire import RUA, T0, Business
from tests.story.conftest import BIN, Operator, Phone, Running, browser, data_folder, login, processes


@pytest.fixture
def operator() -> Iterator[Operator]:
    """Somebody with an empty folder, in which the database comes to live as well."""
    with data_folder() as folder:
        yield Operator(folder)
        # Whatever happened: nothing that has to do with the folder still runs.
        assert eventually(lambda: processes(folder), lambda found: not found) == []


def texts(operator: Operator) -> dict[str, str]:
    """Every message that number 1 knows: its text and who wrote it."""
    lines = [json.loads(line) for line in operator.exports("1")]
    return {line["text"]: line["author"] for line in lines if line["kind"] == "message"}


def test_a_number_outlives_restarts_and_a_kill(operator: Operator) -> None:
    with operator.up() as up:
        for name in ("first-login.txt", "vault.key"):
            assert stat.S_IMODE((operator.data / name).stat().st_mode) == 0o600
        assert (operator.data / "first-login.txt").read_text().strip() == up.password
        assert login(up.address, up.email, up.password).status_code == 303
        assert login(up.address, up.email, "a guess").status_code == 401

        # A number is added beside it, against the same simulator, without saying so.
        phone = Phone.connected(up.meta)
        ana = phone.customer("Ana", "351910009001")
        operator.does("number", "add", *phone.options, TWINLINE_TOKEN=phone.token)
        phone.receives(ana, "Is it ready?")
        eventually(lambda: texts(operator), lambda found: found.get("Is it ready?") == "customer")

        # The running worker sends; this process only waits for it.
        assert operator.does("send", "+351 910 009 001", "Yes, come by") == "sent\n"
        assert phone.screen(ana) == ["Yes, come by"]

        # What was recorded elsewhere can be told beside it.
        body = operator.data / "body.json"
        early = wire.echoes(RUA, wire.text("wamid.old", T0, "Good morning"), business=here(phone))
        body.write_bytes(wire.body(early))
        assert "folded\t1" in operator.does("replay", str(body), "--repeat", "3")

        # All that the doctor can find fault with is that Meta can't reach this machine, which here it needn't.
        found = operator.does("doctor")
        assert [line.split(":")[0] for line in found.splitlines() if line.startswith(("WARN", "FAIL"))] == [
            "WARN  Public address"
        ]
        assert "Another `twinline up` is running" in operator.is_refused("up", "--port=0")
        before = texts(operator)
        assert set(before) == {"Is it ready?", "Yes, come by", "Good morning"}

        # The simulator writes its world down every second.
        snapshot = operator.data / "simulator" / "simulator.json"
        eventually(snapshot.read_text, lambda text: "Yes, come by" in text)
        assert up.running.ends(signal.SIGKILL) == -signal.SIGKILL

    # The same ports: nobody of before holds them.
    ports = f"--port={httpx.URL(up.address).port}", f"--simulator-port={httpx.URL(up.meta).port}"
    with operator.up(*ports) as again:
        assert (again.address, again.meta, again.password) == (up.address, up.meta, up.password)
        assert texts(operator) == before
        phone.receives(ana, "I'm on my way")
        eventually(lambda: texts(operator), lambda found: "I'm on my way" in found)
        assert operator.does("send", "+351910009001", "The door is open") == "sent\n"
        assert phone.screen(ana) == ["Yes, come by", "The door is open"]
        with browser(again.address, again.email, again.password) as owner:
            changed = owner.post("/account/password", data={"current": again.password, "new": "my own password"})
            assert "is changed" in changed.text
            # Ctrl-C, while a page listens.
            with owner.stream("GET", "/live") as live:
                assert live.status_code == 200
                again.running.process.send_signal(signal.SIGINT)
                assert again.running.process.wait(PATIENCE) == 0
    assert processes(operator.data) == []

    # Another simulator's port, another day: the phone is still there.
    with operator.up() as third:
        assert third.password == "as you set it"
        assert login(third.address, third.email, again.password).status_code == 401
        assert login(third.address, third.email, "my own password").status_code == 303
        phone.meta = third.meta
        assert operator.does("send", "+351910009001", "Closing time") == "sent\n"
        assert phone.screen(ana) == ["Yes, come by", "The door is open", "Closing time"]
        assert third.running.ends(signal.SIGTERM) == 0
    assert processes(operator.data) == []

    # Meta is never told of numbers that live in the simulator.
    assert "twinline up --simulator" in operator.is_refused("send", "+351910009001", "Anybody?")


def here(phone: Phone) -> Business:
    return Business(phone.waba_id, phone.id, phone.number)


def test_up_ends_with_its_simulator(operator: Operator) -> None:
    with operator.up() as up:
        [simulator] = [child for child in psutil.Process(up.running.process.pid).children() if child.is_running()]
        simulator.kill()
        assert up.running.process.wait(PATIENCE) == 1
        assert "The simulator has ended" in up.running.err


def test_up_does_without_a_simulator_and_ends_by_the_closing_of_its_terminal(operator: Operator) -> None:
    with operator.starts("up", "--port=0", TWINLINE_APP_SECRET="s") as running:
        assert "customers" not in running.out
        address = running.out.split()[1]
        assert httpx.get(f"{address}/ready").json() == {"status": "ok"}
        assert running.ends(signal.SIGHUP) == 0


def test_up_that_is_told_to_end_while_it_starts_leaves_nothing(operator: Operator) -> None:
    # A shell starts what runs in its background deaf to Ctrl-C.
    up = [BIN / "twinline", "up", "--port=0", "--simulator", "--simulator-port=0", "--data", operator.data]
    running = Running(["env", "--ignore-signal=INT", *up], operator.env)
    try:
        eventually(lambda: processes(operator.data), lambda found: any("whatsapp-simulator" in line for line in found))
        assert running.ends(signal.SIGTERM) != 0
    finally:
        running.forget()


def test_web_and_worker_start_at_once_on_an_empty_folder(operator: Operator) -> None:
    with (
        operator.starts("worker", ready="") as worker,
        operator.starts("web", "--port=0", ready="listening on") as web,
    ):
        worker.waits_for("ready")
        assert httpx.get(f"{web.out.split()[-1]}/ready").json() == {"status": "ok"}
        assert worker.ends() == 0
        assert httpx.get(f"{web.out.split()[-1]}/ready").json() == {"status": "ok"}
        assert web.ends() == 0
