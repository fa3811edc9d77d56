"""The peer websockets: echo at /echo, one room at /room. Usage: websockets_server.py PORT"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

members: set[ServerConnection] = set()


async def answer(connection: ServerConnection) -> None:
    """Runs one connection until its peer is gone."""
    if connection.request is not None and connection.request.path == "/echo":
        async for message in connection:
            await connection.send(message)
        return
    members.add(connection)
    try:
        async for message in connection:
            broadcast(members, message)
    finally:
        members.discard(connection)


async def main(port: int) -> None:
    """Serves until the process is ended."""
    async with serve(answer, "127.0.0.1", port, compression=None):
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
