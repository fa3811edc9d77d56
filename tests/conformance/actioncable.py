"""A client of Action Cable's mount, which does as it is told, be it wrong."""

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.conformance.served import TIMEOUT, Served

ROOM = '{"channel":"RoomChannel","room":"lobby"}'
LOG = '{"channel":"LogChannel","name":"log"}'


class Cable:
    """A client of the mount, and what it has opened."""

    def __init__(self, server: Served, stack: AsyncExitStack) -> None:
        self.server = server
        self._stack = stack

    async def socket(self, *, user: str = "ana", extended: bool = False) -> ClientConnection:
        """A WebSocket that was welcomed."""
        protocol = f"actioncable-v1-{'ext-' if extended else ''}json"
        where = f"/cable?user={user}"
        socket = await self.server.socket(where, self._stack, subprotocol=protocol)
        assert (await told(socket))["type"] == "welcome"
        return socket

    async def subscribed(self, identifier: str = ROOM, *, user: str = "ana") -> ClientConnection:
        """… and is subscribed to a room."""
        socket = await self.socket(user=user)
        await socket.send(command("subscribe", identifier))
        assert await told(socket) == {"identifier": identifier, "type": "confirm_subscription"}
        assert await told(socket) == {"identifier": identifier, "message": {"hello": user}}
        return socket

    async def logs(self) -> ClientConnection:
        """A WebSocket of AnyCable's protocol that is subscribed to a log."""
        socket = await self.socket(extended=True)
        await socket.send(command("subscribe", LOG))
        assert await told(socket) == {"identifier": LOG, "type": "confirm_subscription"}
        assert (await told(socket))["message"]["type"] == "info"
        return socket

    async def works(self) -> None:
        """All is as it should be for somebody new, by both protocols."""
        await echoes(await self.subscribed())
        await writes(await self.logs())


def command(name: str, identifier: str = ROOM, data: object = None, **more: object) -> str:
    """A command; the data is JSON in it, text stays as it is."""
    said: dict[str, object] = {"command": name, "identifier": identifier, **more}
    if data is not None:
        said["data"] = data if isinstance(data, str) else json.dumps(data)
    return json.dumps(said)


async def told(socket: ClientConnection) -> dict[str, Any]:
    """The next message that is no ping."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            said = json.loads(await socket.recv())
            assert isinstance(said, dict)
            if said.get("type") != "ping":
                return said


async def ended(socket: ClientConnection) -> list[dict[str, Any]]:
    """What was said before the server closed."""
    said: list[dict[str, Any]] = []
    with suppress(ConnectionClosed):
        while True:
            said.append(await told(socket))
    return said


async def asked(socket: ClientConnection, identifier: str = ROOM, **data: object) -> Any:
    """The message that comes of an action, which comes next."""
    await socket.send(command("message", identifier, data))
    said = await told(socket)
    assert said.keys() == {"identifier", "message"} and said["identifier"] == identifier
    return said["message"]


async def echoes(socket: ClientConnection, identifier: str = ROOM) -> None:
    """An action is done, and nothing else was said before."""
    assert await asked(socket, identifier, action="echo", n=[1]) == {"echo": {"n": [1]}}


async def writes(socket: ClientConnection) -> None:
    """What is said in the log comes back with its place; what was said before is passed over."""
    await socket.send(command("message", LOG, {"mark": 1}))
    while (said := await told(socket)).get("message") != {"mark": 1}:
        pass
    assert said["offset"] >= 1
