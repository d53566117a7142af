"""Every example of docs/automations.md, at a shell, against a platform that runs."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from tests.fixtures.patience import PATIENCE, eventually
from tests.story.conftest import BIN, CLEAN, Operator, Phone, data_folder, database

DOCS = Path(__file__).parents[2] / "docs" / "automations.md"
ANA = "351910009001"


@pytest.mark.timeout(300)  # a dozen commands, each a process
def test_the_examples_of_the_documentation_do_what_it_says(database_server: str, tmp_path: Path) -> None:
    examples = "\n".join(re.findall(r"```sh\n(.*?)```", DOCS.read_text(), re.DOTALL))
    with data_folder() as folder, database(database_server) as url:
        operator = Operator(folder, {"DATABASE_URL": url})
        with operator.up() as up:
            phone = Phone.connected(up.meta)
            operator.does("number", "add", *phone.options, TWINLINE_TOKEN=phone.token)
            ana = phone.customer("Ana", ANA)
            phone.receives(ana, "Hello")
            script = examples.replace("http://127.0.0.1:8420", up.address)
            assert script != examples
            env = {**CLEAN, **operator.env, "TWINLINE_DATA": str(folder), "PATH": f"{BIN}:{os.environ['PATH']}"}
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True,
                timeout=6 * PATIENCE, check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            assert "Opening hours (1) is kept: version 1, on." in done.stdout
            assert (tmp_path / "bot.secret").read_text().startswith("whsec_")
            assert "House: 2 passages." in done.stdout
            assert done.stdout.count("\nperson") == 2, "the floor was taken twice"
            assert "handed the chat back" in done.stdout
            assert "till-key-1" not in done.stdout + done.stderr
            seen = eventually(lambda: phone.screen(ana), lambda screen: len(screen) >= 2)
            assert [said for said in seen if "is ready" in said] == [
                "Hello Ana, your bread is ready.",
                "Hello Ana, your cake is ready.",
            ]
            assert operator.does("floor", "release", f"+{ANA}") == "nobody\n"
            phone.receives(ana, "When are you open?")
            eventually(lambda: phone.screen(ana), lambda screen: "Which shop do you mean?" in str(screen))
