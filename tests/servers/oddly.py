"""Clients of the stranger wire Odd, over bytes written out by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from anywire.core.node import Node
from anywire.core.session import Session
from anywire.payload import Payload
from anywire.servers.tcp import Server
from tests.servers.serving import Dialed, Said, dial, frame, make_node, request, serving, upgrade
from tests.wires.strangers.odd import NETSTRINGS, Odd, split


@dataclass(slots=True)
class Guest:
    """A session of Odd in the channel `echo`: `asks` polls, `says` posts."""

    node: Node
    asks: Dialed
    says: Dialed
    path: str = "/odd/echo"
    session: str = ""
    key: str = ""
    told: dict[str, str] = field(default_factory=dict)
    """Headers of the last answer."""

    @property
    def query(self) -> str:
        return f"session={self.session}&key={self.key}"

    @property
    def standing(self) -> Session:
        return self.node.sessions[self.session]

    async def open(self) -> list[str]:
        """The first poll: its session; what else is in the answer."""
        self.asks.send(request(f"{self.path}/poll"))
        first, *rest = self.read(await self.asks.answer())
        assert first[0] == "h", first
        self.session, self.key = first[1:].split(" ")
        return rest

    def ask(self, dialed: Dialed | None = None, kind: str = "poll") -> None:
        (dialed or self.asks).send(request(f"{self.path}/{kind}?{self.query}"))

    async def poll(self, dialed: Dialed | None = None) -> list[str]:
        self.ask(dialed)
        return self.read(await (dialed or self.asks).answer())

    def read(self, said: Said) -> list[str]:
        assert said.status == 200, said
        self.told = said.headers
        return split(said.body)

    async def post(self, *texts: str, dialed: Dialed | None = None) -> Said:
        body = b"".join(NETSTRINGS.frame(Payload(f"m{text}".encode())) for text in texts)
        return await self.post_as_it_is(body, dialed)

    async def post_as_it_is(self, body: bytes, dialed: Dialed | None = None) -> Said:
        says = dialed or self.says
        says.send(request(f"{self.path}/say?{self.query}", method="POST", body=body))
        return await says.answer()

    def say(self, *texts: str) -> None:
        """The server says these."""
        for text in texts:
            self.standing.enqueue(Payload(f"m{text}".encode()))


@asynccontextmanager
async def odd(
    wire: Odd | None = None, *, node: Node | None = None, **options: Any
) -> AsyncIterator[tuple[Server, Guest]]:
    """A server with the stranger wire, and a client that has not said anything yet."""
    node = node or make_node()
    async with (
        serving(node=node, wires=[wire or Odd()], **options) as server,
        dial(server) as asks,
        dial(server) as says,
    ):
        yield server, Guest(node, asks, says)


class Second:
    """A WebSocket that may take over from the requests of a guest."""

    def __init__(self, dialed: Dialed) -> None:
        self.dialed = dialed

    def say(self, *texts: str) -> None:
        self.dialed.send(*map(frame, texts))

    async def hear(self) -> str:
        first, data = await self.dialed.frame()
        assert first == 0x81, (first, data)
        return data.decode()

    async def closed(self) -> int:
        first, data = await self.dialed.frame()
        assert first == 0x88, (first, data)
        return int.from_bytes(data[:2], "big")


async def second(guest: Guest, dialed: Dialed) -> Second:
    """It is let in as a candidate."""
    dialed.send(upgrade(f"{guest.path}?{guest.query}"))
    assert (await dialed.answer(has_body=False)).status == 101
    return Second(dialed)
