"""A live server for tests of the client, and networks before it that cut and that choose."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from anywire import Anywire, Member
from anywire.servers.tcp import Server


def shop(**options: Any) -> Anywire:
    """An app that answers, asks, streams, publishes, echoes in order and throws out."""
    app = Anywire(**options)
    chat = app.channel("chat", history=1000)

    @chat.on("say")
    async def say(member: Member, text: object) -> object:
        await member.room.publish("said", text)
        return text

    @chat.on("ask-me")
    async def ask_me(member: Member) -> object:
        return [await member.call("confirm", n) for n in range(3)]

    @chat.on("count")
    async def count(most: int) -> AsyncIterator[int]:
        for n in range(most):
            yield n

    @chat.on("out")
    async def out(member: Member) -> None:
        member.session.close(4003, "thrown out é", retry=None)

    @chat.on("session")
    async def session(member: Member) -> str:
        return member.session.id

    return app


@asynccontextmanager
async def running(app: Anywire, **options: Any) -> AsyncIterator[str]:
    """The URL of the app, served."""
    async with app.lifespan():
        server = Server(node=app.node, wires=app.wires, port=0, **options)
        await server.start()
        try:
            scheme = "https" if "ssl" in options else "http"
            yield f"{scheme}://127.0.0.1:{server.addresses[0].port}/ws"
        finally:
            await server.stop()


def port_of(url: str) -> int:
    return int(url.split(":")[2].partition("/")[0])


async def no_tasks() -> None:
    """Nothing of the client's links runs any more."""
    names = ("anywire listen", "anywire post")
    await until(lambda: not [task for task in asyncio.all_tasks() if task.get_name() in names])


async def until(condition: Callable[[], bool]) -> None:
    """Give everybody turns until it holds; five seconds are too many."""
    end = asyncio.get_running_loop().time() + 5
    while not condition():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0)


class Saboteur:
    """A proxy whose connections end after a random number of bytes, in either direction."""

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._random = random.Random(seed)
        self.is_calm = True
        self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            pumps = (self._pump(reader, ours), self._pump(theirs, writer))
            await asyncio.wait(
                [asyncio.create_task(pump) for pump in pumps], return_when="FIRST_COMPLETED"
            )
        finally:
            for one in (writer, ours):
                one.transport.abort()
        with suppress(OSError):
            await ours.wait_closed()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = int(self._random.expovariate(1 / 1500))
        with suppress(OSError):
            while data := await reader.read(65536):
                if not self.is_calm:
                    left -= len(data)
                if left < 0:
                    writer.write(data[:left])
                    self.cuts += 1
                    return
                writer.write(data)


class Gate:
    """A proxy that looks at each request, and treats some in its own way.

    `rule` is given the request's first line, behind `UPGRADE` for a WebSocket; None: it is let
    through. `answer …`: that is what it says; `stall`: nothing; `reset`; `mute`: the way back ends
    behind the head of the answer; `hold`: so it does until the answer is whole.
    """

    def __init__(self, port: int, rule: Callable[[str], str | None] = lambda line: None) -> None:
        self._port = port
        self._random = random.Random(port)
        self.rule = rule
        self.asked: list[str] = []
        """What `rule` was given."""
        self.is_cutting = False
        """Connections end after a random number of bytes."""
        self.cuts = 0
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Reset what stands."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            line = head.partition(b"\r\n")[0].decode()
            is_upgrade = b"upgrade: websocket" in head.lower()
            self.asked.append(f"UPGRADE {line}" if is_upgrade else line)
            verdict = self.rule(self.asked[-1])
            if verdict is None or verdict in ("mute", "hold"):
                # One request a connection, so that each comes by here.
                head = head if is_upgrade else _last(head)
                await self._carry(head, reader, writer, verdict)
            elif verdict == "stall":
                await reader.read()
            elif verdict != "reset":
                text = verdict.removeprefix("answer ")
                lines = "Content-Length: 0\r\nConnection: close"
                writer.write(f"HTTP/1.1 {text}\r\n{lines}\r\n\r\n".encode())
                writer.close()
                return
        writer.transport.abort()

    async def _carry(
        self,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        verdict: str | None,
    ) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._port)
        ours.write(head)
        pair = {writer, ours}
        self._writers |= pair
        there = asyncio.create_task(self._pump(reader, ours, None))
        back = asyncio.create_task(self._pump(theirs, writer, verdict))
        try:
            await asyncio.wait([there, back], return_when="FIRST_COMPLETED")
            if back.done() and back.result():
                writer.close()
                await writer.wait_closed()
        finally:
            self._writers -= pair
            for one in pair:
                one.transport.abort()
            await asyncio.wait([there, back])

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, verdict: str | None
    ) -> bool:
        """Whether everything was carried, to the end."""
        left = int(self._random.expovariate(1 / 1500))
        try:
            if verdict == "mute":
                writer.write(await reader.readuntil(b"\r\n\r\n"))
            if verdict is not None:
                held = await reader.read(-1)
                if verdict == "hold":
                    writer.write(held)
                return True
            while data := await reader.read(65536):
                if self.is_cutting:
                    left -= len(data)
                if left < 0:
                    writer.write(data[:left])
                    self.cuts += 1
                    return False
                writer.write(data)
        except (OSError, asyncio.IncompleteReadError):
            return False
        return True


def _last(head: bytes) -> bytes:
    """The head of a request after which its connection ends."""
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([lines[0], b"Connection: close", *lines[1:]])
