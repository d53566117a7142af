"""Every example of docs/automations.md, at a shell, against a platform that runs."""

import http.server
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures.patience import PATIENCE, eventually
from tests.story.conftest import BIN, CLEAN, Operator, Phone, data_folder, database

SAYS = "name: Cakes\ntriggers: [{keyword: {words: [cake]}}]\nsteps: [{bot: {connection: Local}}]\n"
DOCS = Path(__file__).parents[2] / "docs" / "automations.md"
ANA, BEA = "351910009001", "351910009002"


@pytest.mark.timeout(300)  # a dozen commands, each a process
def test_the_examples_of_the_documentation_do_what_it_says(database_server: str, tmp_path: Path) -> None:
    examples = "\n".join(re.findall(r"```sh\n(.*?)```", DOCS.read_text(), re.DOTALL))
    with data_folder() as folder, database(database_server) as url:
        server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
        bot = f"127.0.0.1:{server.server_port}"
        operator = Operator(folder, {"DATABASE_URL": url, "TWINLINE_OUTSIDE_ALLOWED": bot})
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

            secret = operator.does("automation", "connect", "bot", "Local", f"http://{bot}").strip()
            (tmp_path / "cakes.yaml").write_text(SAYS)
            operator.does("automation", "save", str(tmp_path / "cakes.yaml"), "--enable")
            with talking(server, secret):
                other = phone.customer("Bea", BEA)
                phone.receives(other, "I want a cake")
                eventually(lambda: phone.screen(other), lambda screen: "Which cake, Bea?" in screen)


@contextmanager
def talking(server: http.server.HTTPServer, secret: str) -> Iterator[None]:
    """The bot of the page, listening."""
    os.environ["BOT_SECRET"] = secret
    try:
        [source] = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
        names: dict[str, Any] = {"__name__": "bot"}
        exec(compile(source, str(DOCS), "exec"), names)
    finally:
        del os.environ["BOT_SECRET"]
    names["Bot"].log_message = lambda *_: None
    server.RequestHandlerClass = names["Bot"]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
