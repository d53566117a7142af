"""Serves the hook alone: the process that ``test_kill`` kills."""

import asyncio
import os
import socket

from twinline.app import open_app
from twinline.mirror.hook import Hook
from twinline.settings import Settings
from twinline.web.app import Platform
from twinline.web.server import server_of


async def main() -> None:
    settings = Settings()
    assert settings.database_url
    async with open_app(settings, settings.database_url) as app:
        hook = Hook(app, ())
        await hook.start()
        await server_of(Platform(hook)).serve(sockets=[socket.socket(fileno=int(os.environ["LISTENING"]))])
        await hook.stop()


if __name__ == "__main__":
    asyncio.run(main())
