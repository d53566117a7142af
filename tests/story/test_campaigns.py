"""Every example of docs/campaigns.md, at a shell, against a platform that runs; and what the commands refuse."""

import json
import os
import re
import subprocess
from pathlib import Path

import httpx
import openpyxl
import pytest
from tests.fixtures.patience import PATIENCE, eventually
from tests.story.conftest import BIN, CLEAN, Operator, Phone, data_folder, database

DOCS = Path(__file__).parents[2] / "docs" / "campaigns.md"
ANA, BEA = "351910009001", "351910009002"


@pytest.mark.timeout(900)  # a dozen commands, each a process
def test_the_examples_of_the_documentation_do_what_it_says(database_server: str, tmp_path: Path) -> None:
    examples = "\n".join(re.findall(r"```sh\n(.*?)```", DOCS.read_text(), re.DOTALL))
    with data_folder() as folder, database(database_server) as url:
        operator = Operator(folder, {"DATABASE_URL": url})
        with operator.up() as up:
            phone = Phone.connected(up.meta)
            operator.does("number", "add", *phone.options, TWINLINE_TOKEN=phone.token)
            ana, bea = phone.customer("Ana", ANA), phone.customer("Bea", BEA)
            script = examples.replace("http://127.0.0.1:8420", up.address)
            assert script != examples
            env = {**CLEAN, **operator.env, "TWINLINE_DATA": str(folder), "PATH": f"{BIN}:{os.environ['PATH']}"}
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True,
                timeout=6 * PATIENCE, check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            assert "line 4:" in done.stderr, "the command names the bad line"
            assert "Spring, slowly: 2 of 3 people get it." in done.stdout
            for state in ("running", "paused", "running", "cancelled"):
                assert f"Spring, slowly is {state}." in done.stdout
            for customer, values in ((ana, ["Ana", "20 %"]), (bea, ["Bea", "30 %"])):
                eventually(lambda customer=customer: phone.screen(customer))
                seen = httpx.get(f"{up.meta}/control/phones/{phone.id}/chats/{customer}").json()["messages"]
                [components] = [message["content"]["components"] for message in seen]
                assert [value["text"] for value in components[0]["parameters"]] == values, "it came, and once"
            assert [row[4] for row in openpyxl.load_workbook(tmp_path / "spring.xlsx").active.values][3] == "skipped"
            told = json.loads(operator.does("campaign", "show", "1"))
            assert (told["state"], told["results"]["converted"], told["results"]["value"]) == (
                "finished",
                1,
                {"EUR": "19.9"},
            )
            assert "no campaign 99" in operator.is_refused("campaign", "pause", "99")
            assert "finished" in operator.is_refused("campaign", "pause", "1")
            assert "--state" in operator.is_refused("campaign", "recipients", "1", "--state", "happy", code=2)
            spring = ("campaign", "create", "x", "--template", "spring_sale", "--language", "en_US")
            assert "--file" in operator.is_refused(*spring, code=2)
            assert "column:…" in operator.is_refused(*spring, "--tag", "vip", "--var", "1=Ana", code=2)
            again = (*spring, "--tag", "vip", "--key", "spring-slowly")
            assert "used before" in operator.is_refused(*again)


def test_a_dry_run_is_made_though_no_worker_runs(operator: Operator, simulator: str, tmp_path: Path) -> None:
    phone = Phone.connected(simulator)
    operator.env |= {"TWINLINE_GRAPH_URL": simulator, "TWINLINE_APP_ID": "100000000000001"}
    operator.env |= {"TWINLINE_APP_SECRET": "simulator-app-secret"}
    operator.does("number", "add", *phone.options, TWINLINE_TOKEN=phone.token)
    operator.does("template", "sync")
    people = tmp_path / "people.csv"
    people.write_text(f"phone\n+{ANA}\n+{BEA}\n")
    options = ("--template", "hello_world", "--language", "en_US", "--file", str(people))
    one = operator.does("campaign", "create", "Hello", *options).strip()
    assert "hasn't been planned" in operator.is_refused("campaign", "start", one)
    assert "Hello: 2 of 2 people get it." in operator.does("campaign", "plan", one)
    said = operator.tries("campaign", "start", one)
    assert (said.code, said.out) == (0, "Hello is running.\n")
    assert "No worker runs" in said.err
    assert operator.does("campaign", "list") == f"{one}\tHello\trunning\t0/2\n"
    assert operator.does("campaign", "cancel", one) == "Hello is cancelled.\n"

    wrong = operator.does("campaign", "create", "Bye", *options, "--var", "1=column:phone").strip()
    assert "no place 'body.1'" in operator.is_refused("campaign", "plan", wrong)
