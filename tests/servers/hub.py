"""A client of a SignalR hub over requests, written out by hand: an id is given away before."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from anywire.core.node import Node
from anywire.core.session import Session
from anywire.servers.tcp import Server
from anywire.wires.signalr import SignalR
from tests.servers.serving import Dialed, Said, dial, echo, make_node, request, serving

HAND = b'{"protocol":"json","version":1}\x1e'


@dataclass(slots=True)
class Hub:
    """A connection of the hub `echo`: `asks` polls, `says` posts."""

    node: Node
    asks: Dialed
    says: Dialed
    id: str = ""
    token: str = ""

    @property
    def standing(self) -> Session:
        return self.node.sessions[self.id]

    async def negotiate(self) -> None:
        self.says.send(request("/hub/negotiate?negotiateVersion=1", method="POST"))
        said = json.loads((await self.says.answer()).body)
        self.id, self.token = said["connectionId"], said["connectionToken"]

    async def open(self) -> None:
        """Negotiate, poll for the first time, shake hands."""
        await self.negotiate()
        assert (await self.poll()).body == b""
        assert (await self.post(HAND)).status == 200
        assert (await self.poll()).body == b"{}\x1e"

    def ask(self, dialed: Dialed | None = None, *lines: str) -> None:
        (dialed or self.asks).send(request(f"/hub?id={self.token}", *lines))

    async def poll(self) -> Said:
        self.ask()
        return await self.asks.answer()

    async def post(self, body: bytes, method: str = "POST") -> Said:
        self.says.send(request(f"/hub?id={self.token}", method=method, body=body))
        return await self.says.answer()

    async def leave(self) -> Said:
        return await self.post(b"", "DELETE")


@asynccontextmanager
async def hub(**options: Any) -> AsyncIterator[tuple[Server, Hub]]:
    """A server with a hub, and a client that has not said anything yet."""
    node = make_node(channel=echo())
    async with (
        serving(node=node, wires=[SignalR({"/hub": "echo"}, **options)]) as server,
        dial(server) as asks,
        dial(server) as says,
    ):
        yield server, Hub(node, asks, says)
