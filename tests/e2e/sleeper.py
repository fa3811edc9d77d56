"""The Python client as a process, for tests that stop it: `python sleeper.py URL`."""

import asyncio
import sys

from anywire.client import connect


async def main(url: str) -> None:
    async with connect(url, reconnect_interval=0.1, max_reconnect_interval=0.2) as client:
        client.on("state", lambda state, previous: say(f"{previous} > {state}"))
        chat = client.channel("chat")
        await chat.join()
        say("joined")
        async for event in chat:
            say(f"heard {event.name}")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


asyncio.run(main(sys.argv[1]))
