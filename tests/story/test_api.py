"""Every example of docs/api.md, at a shell, against a platform that runs; and the commands beside it."""

import os
import re
import subprocess
from pathlib import Path

import httpx
from tests.fixtures.patience import PATIENCE, eventually
from tests.story.conftest import BIN, CLEAN, Operator, Phone, data_folder, database

DOCS = Path(__file__).parents[2] / "docs" / "api.md"
ANA = "351910009001"


def test_the_examples_of_the_documentation_do_what_it_says(database_server: str, tmp_path: Path) -> None:
    examples = "\n".join(re.findall(r"```sh\n(.*?)```", DOCS.read_text(), re.DOTALL))
    with data_folder() as folder, database(database_server) as url:
        operator = Operator(folder, {"DATABASE_URL": url})
        with operator.up() as up:
            phone = Phone.connected(up.meta)
            operator.does("number", "add", *phone.options, TWINLINE_TOKEN=phone.token)
            ana = phone.customer("Ana", ANA)
            phone.receives(ana, "Is it ready?")
            httpx.post(f"{up.meta}/control/delivery/flush").raise_for_status()
            script = examples.replace("http://127.0.0.1:8420", up.address)
            assert script != examples
            env = {**CLEAN, **operator.env, "TWINLINE_DATA": str(folder), "PATH": f"{BIN}:{os.environ['PATH']}"}
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True,
                timeout=3 * PATIENCE, check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            assert "Till in the shop" in done.stdout
            assert "sent\ndelivered\n" in done.stdout
            screen = eventually(lambda: phone.screen(ana), lambda seen: len(seen) >= 8)
            assert screen.count("Your bread is ready.") == 1
            assert "We close at seven." in screen
            said = operator.tries("send", f"+{ANA}", "--template", "hello_world", "--var", "1=Ana")
            assert (said.code, "body.1" in said.err) == (1, True)
            said = operator.tries("send", f"+{ANA}", "--template", "spring_song")
            assert (said.code, "spring_song" in said.err) == (1, True)
            assert "--template" in operator.is_refused("send", f"+{ANA}", "Hi", "--template", "hello_world", code=2)
            assert "--var" in operator.is_refused("send", f"+{ANA}", "Hi", "--var", "1=Ana", code=2)
            assert "name=value" in operator.is_refused("send", f"+{ANA}", "--template", "x", "--var", "Ana", code=2)
            assert "--as" in operator.is_refused("send", f"+{ANA}", "Hi", "--as", "voice", code=2)


def test_a_key_is_made_listed_and_revoked_at_the_shell(operator: Operator) -> None:
    key = operator.does("key", "create", "Till", "--scope", "numbers:read", "--scope", "messages:read").strip()
    [line] = operator.does("key", "list").splitlines()
    assert line.split("\t") == ["1", "Till", f"twl_…{key[-4:]}", "numbers:read,messages:read", "never used"]
    assert "no scope 'everything'" in operator.is_refused("key", "create", "Till", "--scope", "everything")
    assert "name" in operator.is_refused("key", "create", " ")
    assert operator.does("key", "revoke", "1") == "Till is revoked.\n"
    assert "revoked" in operator.does("key", "list")
    assert "no key 7" in operator.is_refused("key", "revoke", "7")
    assert "larger than any" in operator.is_refused("key", "revoke", str(2**63))
