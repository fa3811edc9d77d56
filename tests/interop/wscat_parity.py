"""Both programs of the parity test, wscat and `anywire talk`, and a server that notes all it sees.

The server is the protocol of the `websockets` library on a bare socket, so that it sees every
frame, the control frames too; it knows nothing of either program.
"""

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from tests.cli.commands import ROOT, environment

WSCAT = ROOT / "tests" / "js" / "node_modules" / "wscat" / "bin" / "wscat"
PROGRAMS = {
    "wscat": ("node", str(WSCAT)),
    "anywire": (sys.executable, "-m", "anywire", "talk"),
}
CLOSINGS = 20.0
"""Seconds within which a program must have ended."""

Answer = Callable[[str], bytes | None]
"""An HTTP response to a path, None to open the WebSocket."""


@dataclass(slots=True)
class Seen:
    """One connection, as the server saw it."""

    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    frames: list[tuple[str, bytes]] = field(default_factory=list)
    close: tuple[int, str] | None = None
    certificate: object = None
    subprotocol: str | None = None

    @property
    def wish(self) -> dict[str, str]:
        """The headers, without what is random, or the server's own address.

        Of an extension only the name counts: which windows are offered is no option of wscat's.
        """
        dull = {"sec-websocket-key", "host"}
        wish = {
            name: ",".join(part.strip() for part in value.split(","))
            for name, value in self.headers.items()
            if name not in dull
        }
        wish["sec-websocket-extensions"] = wish["sec-websocket-extensions"].partition(";")[0]
        return wish


class Session(asyncio.Protocol):
    """One connection to the server."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._protocol = ServerProtocol(
            extensions=[ServerPerMessageDeflateFactory()],
            select_subprotocol=_last,
        )
        self._transport: asyncio.Transport | None = None
        self.seen = Seen()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.sessions.append(self)
        self.seen.certificate = transport.get_extra_info("peercert")

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._answer(event)
            else:
                assert isinstance(event, Frame)
                self._note(event)
        self.flush()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self.flush()

    def send(self, text: str) -> None:
        """Say something."""
        self._protocol.send_text(text.encode())
        self.flush()

    def ping(self, data: bytes) -> None:
        self._protocol.send_ping(data)
        self.flush()

    def pong(self, data: bytes) -> None:
        self._protocol.send_pong(data)
        self.flush()

    def close(self, code: int, reason: str = "") -> None:
        self._protocol.send_close(code, reason)
        self.flush()

    def flush(self) -> None:
        assert self._transport is not None
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()
        self._server.happened.set()

    def _answer(self, request: Request) -> None:
        self.seen.path = request.path
        self.seen.headers = {name.lower(): value for name, value in request.headers.raw_items()}
        if (answer := self._server.answer(request.path)) is not None:
            assert self._transport is not None
            self._transport.write(answer)
            self._transport.close()
            return
        self._protocol.send_response(self._protocol.accept(request))
        self.seen.subprotocol = self._protocol.subprotocol
        if self._protocol.state is State.OPEN:
            self._server.opened(self)

    def _note(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            said = Close.parse(frame.data)
            self.seen.close = said.code, said.reason
            return
        self.seen.frames.append((frame.opcode.name.lower(), bytes(frame.data)))
        is_open = self._protocol.state is State.OPEN
        if frame.opcode is Opcode.TEXT and self._server.echoes and is_open:
            self._protocol.send_text(bytes(frame.data))


def _last(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return offered[-1] if offered else None


class Server:
    """A server for one program; `happened` is set whenever it has seen something."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.happened = asyncio.Event()
        self.opened: Callable[[Session], None] = lambda _: None
        self.answer: Answer = lambda _: None
        self.echoes = True
        self.where = ""

    @property
    def seen(self) -> list[Seen]:
        return [session.seen for session in self.sessions]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something has been seen."""
        while not condition():
            self.happened.clear()
            await self.happened.wait()


@asynccontextmanager
async def noting(context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """A server that notes; its address is `where`."""
    server = Server()
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Session(server), "127.0.0.1", 0, ssl=context)
    server.where = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended, and what its server saw."""

    out: str
    err: str
    code: int
    seen: Seen


class Program:
    """One program that runs, its stdin open."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, name: str, *options: str) -> "Program":
        return cls(
            await asyncio.create_subprocess_exec(
                *PROGRAMS[name],
                *options,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=ROOT,
                env=environment({"NO_COLOR": "1"}),
            )
        )

    async def prints(self) -> str:
        """The next line on stdout."""
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().rstrip("\n")

    def say(self, *lines: str) -> None:
        """Write lines to its stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{line}\n" for line in lines).encode())

    async def ended(self) -> tuple[str, str, int]:
        """What is left on stdout and stderr, and the exit code; its stdin stays open till then."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None and process.stderr is not None
        try:
            async with asyncio.timeout(CLOSINGS):
                out, err = await asyncio.gather(process.stdout.read(), process.stderr.read())
                code = await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        process.stdin.close()
        return out.decode(), err.decode(), code


@asynccontextmanager
async def connect_proxy(open_to: dict[str, str]) -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy that takes CONNECT for the names in `open_to`; its address, and what it was asked."""
    asked: list[str] = []
    pipes: set[asyncio.Task[None]] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line = head.split("\r\n")[0]
        asked.append(line)
        host, port = open_to[line.split()[1]].rsplit(":", 1)
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        for task in (
            asyncio.create_task(pipe(reader, there_writer)),
            asyncio.create_task(pipe(there_reader, writer)),
        ):
            pipes.add(task)
            task.add_done_callback(pipes.discard)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()[:2]
    try:
        yield f"{host}:{port}", asked
    finally:
        listener.close()
        for task in list(pipes):
            task.cancel()
        if pipes:
            await asyncio.wait(pipes)


def port_of(pid: int) -> int:
    """The TCP port that a process listens on (proc(5): /proc/net/tcp, /proc/net/tcp6)."""
    inodes = set()
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{table}", encoding="ascii") as rows:
            for row in list(rows)[1:]:
                columns = row.split()
                if columns[3] == "0A" and columns[9] in inodes:
                    return int(columns[1].rsplit(":", 1)[1], 16)
    raise AssertionError(f"process {pid} listens on no port")
