"""The simulator as a bench's Meta: a process of its own; each number is a phone there, and people have just written."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from bench import common
from twinline.kit.vault import Vault

PEOPLE = 24  # per number
AT_ONCE = 16

ADOPT = """
UPDATE numbers SET waba_id = %s, phone_number_id = %s, display_phone = %s, token = %s,
    connected_at = now() - interval '1 day'
WHERE id = %s
"""


class Simulator:
    def __init__(self, address: str) -> None:
        self.address = address
        self._numbers: dict[str, int] = {}

    def connect(self, on: common.Platform, port: int) -> None:
        """Each number of the platform becomes a phone here, and its people write to it."""
        asyncio.run(self._connect(on, port))
        written = f"SELECT count(*) >= {PEOPLE * len(self._numbers)} FROM contacts"
        begun = time.monotonic()
        while not on.sql(written)[0][0]:
            if time.monotonic() - begun > 120:
                raise TimeoutError("what people wrote to the simulator's phones didn't arrive")
            time.sleep(0.2)
        time.sleep(3)
        on.sql("UPDATE numbers SET state = 'connected'")  # what the simulator told of connecting them wasn't our doing

    async def _connect(self, on: common.Platform, port: int) -> None:
        vault = Vault.open(on.folder, None)
        async with httpx.AsyncClient(base_url=self.address, timeout=60) as http:
            places = asyncio.Semaphore(AT_ONCE)

            async def ask(path: str, **body: object) -> dict[str, object]:
                async with places:
                    answer = await http.post(f"/control/{path}", json=body)
                    answer.raise_for_status()
                    return dict(answer.json())

            await ask("app", callback_url=f"http://127.0.0.1:{port}/hook/meta")
            await ask("options", auto_read=True)
            await ask("delivery", batch_wait=0.1)  # as the sink does it
            people = []
            for number_id in range(1, len(on.numbers) + 1):
                phone = await ask("phones", connected=True)
                here = str(phone["id"])
                self._numbers[here] = number_id
                on.sql(ADOPT, phone["waba_id"], here, phone["number"], vault.seal(str(phone["token"])), number_id)
                made = await ask("customers", count=PEOPLE)
                people += [(here, customer["id"]) for customer in made["customers"]]  # type: ignore[attr-defined]
            await asyncio.gather(*(ask(f"customers/{who}/send", phone=phone, text="Hello?") for phone, who in people))

    def seen(self) -> list[tuple[float, int]]:
        """When each message that was taken arrived, and of which number."""
        found, since = [], 0
        while True:
            query = {"path": "/messages", "status": "200", "since": str(since), "limit": "5000", "page": "1"}
            page = httpx.get(f"{self.address}/control/log", params=query, timeout=60).json()
            for request in page["requests"]:
                found.append((request["at"], self._numbers[request["path"].strip("/").split("/")[-2]]))
            if not page["requests"]:
                return found
            since = page["next"]


@contextmanager
def running() -> Iterator[Simulator]:
    command = [str(common.BIN / "whatsapp-simulator"), "--port=0", f"--app-secret={common.SECRET}"]
    with common.process([*command, "--messages=10", "--contacts=2"], dict(os.environ), "listening on") as line:
        yield Simulator(line.rsplit(" ", 1)[1])
