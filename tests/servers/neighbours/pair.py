"""Two nodes of one app in one process, with servers, that meet in a folder; and clients of them."""

import asyncio
import contextlib
import json
import os
import ssl as tls
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import trustme

from anywire.brokers.local import Folder, LocalBroker
from anywire.core.channel import Channel, Channels
from anywire.core.clock import Deadlines
from anywire.core.member import Member
from anywire.core.node import Authenticate, Node
from anywire.limits import Limits
from anywire.net.connection import Close
from anywire.payload import Carrier
from anywire.servers.carry import Carry
from anywire.servers.hosting import Hosting
from anywire.servers.tcp import Server
from anywire.wires.anywire.server import Own
from anywire.wires.base import Wire
from tests.servers.serving import Dialed, dial, request, upgrade
from tests.transports.test_websocket import Client

PROTOCOL = "Sec-WebSocket-Protocol: anywire.json.1"


class House:
    """One node and its server. `number`: 0 is the hub."""

    def __init__(self, number: int, folder: Folder, node: Node, hosting: Hosting) -> None:
        self.number = number
        self.folder = folder
        self.node = node
        self.hosting = hosting
        self.server: Server

    @property
    def door(self) -> str:
        """The path of its door."""
        return self.folder.door(self.node.id)

    @property
    def is_open(self) -> bool:
        """Whether there is a door."""
        return os.path.exists(self.door)

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the loop turn until it holds; five seconds are too many."""
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.to_thread(os.sched_yield)


def talk() -> Channel:
    """Says back what it hears; `size:N` has it send N bytes, forty times."""
    channel = Channel("talk", kinds={Member: "member"})

    @channel.message
    async def heard(member: Member, message: str) -> None:
        if message.startswith("size:"):
            for _ in range(40):
                await member.send("message", "x" * int(message[5:]))
        else:
            await member.send("message", message)

    return channel


@asynccontextmanager
async def pair(
    *,
    limits: Limits | None = None,
    authenticate: Authenticate | None = None,
    ssl: bool = False,
    wires: Sequence[Wire] | None = None,
    carriers: Mapping[Carrier, Carry] | None = None,
    channel: Channel | None = None,
    **options: Any,
) -> AsyncIterator[tuple[House, House]]:
    """Both are started, and stopped at the end; the first is the hub."""
    async with AsyncExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory())
        folder = Folder(Path(place) / "f")
        houses: list[House] = []
        for number in range(2):
            loop = asyncio.get_running_loop()
            channels = Channels()
            channels.add(channel or talk())
            id = f"n{number}"
            node = Node(
                id=id,
                door=folder.door(id),
                channels=channels,
                backend=LocalBroker(folder),
                now=loop.time,
                wall=time.time,
                deadlines=Deadlines(now=loop.time, call_at=loop.call_at),
                limits=limits or Limits(closing=0.5),
                authenticate=authenticate,
            )
            served = [Own("/ws")] if wires is None else wires
            hosting = Hosting(node, served, folder)
            assert isinstance(hosting.carriers, dict)
            hosting.carriers.update(carriers or {})
            house = House(number, folder, node, hosting)
            hosting.start()
            await node.start()
            stack.callback(node.deadlines.close)
            stack.push_async_callback(node.stop)
            stack.callback(hosting.stop)
            house.server = Server(
                node=node,
                wires=served,
                hosting=hosting,
                port=0,
                ssl=server_side() if ssl else None,
                **options,
            )
            await house.server.start()
            stack.push_async_callback(house.server.stop)
            houses.append(house)
        one, two = houses
        await one.until(lambda: len(one.node.nodes.doors()) == len(two.node.nodes.doors()) == 2)
        yield one, two


@cache
def _authority() -> trustme.CA:
    return trustme.CA()


@cache
def server_side() -> tls.SSLContext:
    """For servers at `localhost`."""
    context = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
    _authority().issue_cert("localhost").configure_cert(context)
    return context


@cache
def client_side() -> tls.SSLContext:
    """For clients of them."""
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    _authority().configure_trust(context)
    return context


# --- clients --------------------------------------------------------------------------------------


class Caller(Client):
    """A client of our own wire over a WebSocket. `seen`: how many counted messages it heard."""

    seen = 0
    session = ""
    token = ""

    async def say(self, type: str, **more: object) -> None:
        """One message."""
        await self.send(json.dumps({"type": type, **more}))

    async def hear(self, *types: str) -> dict[str, Any]:
        """The next message, one of these types if any are named."""
        async with asyncio.timeout(5):
            while True:
                event = await self.event()
                assert not isinstance(event, Close), event
                if isinstance(event, str):
                    break
        said: dict[str, Any] = json.loads(event)
        assert not types or said["type"] in types, said
        self.seen += said["type"] in ("joined", "event", "reply", "refused")
        if said["type"] == "welcome":
            self.session, self.token = said["session"], said["token"]
        return said

    async def words(self, count: int) -> list[object]:
        """The data of the next events."""
        return [(await self.hear("event"))["data"] for _ in range(count)]

    async def end(self) -> tuple[int, str]:
        """Code and reason of the close; what is said before is skipped."""
        async with asyncio.timeout(5):
            while not isinstance(event := await self.event(), Close):
                pass
        return event.code, event.reason

    async def join(self) -> None:
        """Be a member of `talk`."""
        await self.say("join", address="talk", ref=1)
        await self.hear("joined")

    async def message(self, text: str) -> None:
        """Say something there."""
        await self.say("event", address="talk", event="message", data=text)

    def resuming(self, **more: str) -> str:
        """The query that resumes this session."""
        query = {"session": self.session, "resume": self.token, "received": str(self.seen), **more}
        return "?" + "&".join(f"{name}={value}" for name, value in query.items())


@asynccontextmanager
async def call(house: House, query: str = "", early: bytes = b"") -> AsyncIterator[Caller]:
    """A WebSocket; `early` travels right behind the request's head."""
    async with dial_to(house) as dialed:
        dialed.send(upgrade(f"/ws{query}", PROTOCOL), early)
        async with asyncio.timeout(5):
            answer = await dialed.answer(has_body=False)
        assert answer.status == 101, answer
        yield Caller(dialed.reader, dialed.writer, None)


@asynccontextmanager
async def dial_to(house: House) -> AsyncIterator[Dialed]:
    """A connection to the server of this house."""
    is_secure = house.server.addresses[0].is_secure
    async with dial(house.server, client_side() if is_secure else None) as dialed:
        try:
            yield dialed
        finally:
            dialed.writer.transport.abort()
            with contextlib.suppress(OSError):
                await dialed.writer.wait_closed()


@asynccontextmanager
async def left(house: House, query: str = "") -> AsyncIterator[Caller]:
    """A client that joined there, and whose connection was cut: its session waits for a resume."""
    async with call(house, query) as caller:
        await caller.hear("welcome")
        await caller.join()
        caller.vanish()
        await house.until(lambda: house.node.detached)
    yield caller


def asked(path: str, *, method: str = "GET", body: bytes = b"") -> bytes:
    """A request that is the last one of its connection."""
    return request(path, "Connection: close", method=method, body=body)


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))
