"""One process of several that plan and charge the same number: prints the instants it was promised, one JSON line.

``DATABASE_URL``; arguments: seed, number, rounds. It goes by the machine's clock, as processes do.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from random import Random

from tests.fixtures import wire
from tests.fixtures.wire import Human

from twinline.app import open_app
from twinline.mirror import ingest
from twinline.sending import lane, service
from twinline.settings import Settings


async def main(seed: int, number_id: int, rounds: int) -> None:
    chance = Random(seed)
    promised: list[int] = []
    charged = 0
    data = Path(os.environ["TWINLINE_DATA"])
    async with open_app(Settings(data=data), os.environ["DATABASE_URL"]) as app:
        for n in range(rounds):
            if chance.random() < 0.1:
                now = app.clock.now()
                text = wire.text(f"wamid.{seed}.{n}", int(now.timestamp()), "?")
                body = wire.body(wire.inbound(Human(f"35193000{seed:04}"), text))
                async with app.db.transaction() as tx:
                    await ingest.ingest(app, tx, [ingest.read(body, 1 << 30)], [service.follow], app.clock.now())
                charged += 1
            planned = await lane.plan(app, number_id)
            assert planned is not None
            promised += [instant for _, instant in planned.rows]
            await asyncio.sleep(chance.choice([0, 0.02, 0.1]))
    print(json.dumps({"promised": promised, "charged": charged}))


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
