"""Ends of WebSockets that another library owns: one process, an end for each test.

The process is told what to do, and tells what happens, in lines of JSON; see `end.mjs`. The
libraries are `ws` (Node), `websockets` and aiohttp (Python), and gorilla/websocket (Go).
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIBRARIES = ("ws", "websockets", "aiohttp", "gorilla")
TIMEOUT = 5.0
"""Seconds within which whatever a test waits for has happened."""
_LONGEST_LINE = 8 * 1024 * 1024


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What happened at an end; the fields that the event has no use for are empty."""

    end: str
    event: str
    data: bytes = b""
    binary: bool = False
    read: int = 0
    """Bytes the socket had read when the message was whole."""
    code: int = 0
    reason: str = ""
    error: str = ""
    """What the library itself complained about."""
    port: int = 0
    protocol: str = ""
    extensions: str = ""
    status: int = 0
    headers: dict[str, Any] = {}


class End:
    """One end; what it hears is heard here in the same order."""

    def __init__(self, name: str, input: asyncio.StreamWriter) -> None:
        self.name = name
        self.told: asyncio.Queue[Told] = asyncio.Queue()
        self._input = input

    async def hears(self, event: str) -> Told:
        """The next thing that happens, which must be this one."""
        async with asyncio.timeout(TIMEOUT):
            told = await self.told.get()
        assert told.event == event, told
        return told

    async def hears_message(self, content: str | bytes) -> Told:
        """The next thing that happens, which must be this message."""
        told = await self.hears("message")
        is_text = isinstance(content, str)
        assert told.data == (content.encode() if isinstance(content, str) else content)
        assert told.binary is not is_text
        return told

    async def is_closed(self, code: int) -> Told:
        """The next thing that happens is the end, with this code; the library found no fault."""
        told = await self.hears("close")
        assert (told.code, told.error) == (code, ""), told
        return told

    def order(self, kind: str, **fields: object) -> None:
        """Have it do something; see `end.mjs` for what there is."""
        line = msgspec.json.encode({"end": self.name, "do": kind, **fields})
        self._input.write(line + b"\n")

    def send(self, content: str | bytes, *, fin: bool = True) -> None:
        """Send a message, or a fragment of it."""
        is_text = isinstance(content, str)
        data = content.encode() if isinstance(content, str) else content
        self.order("send", data=data, binary=not is_text, fin=fin)

    def write(self, *frames: bytes) -> None:
        """Send bytes past `ws`, as one; the other libraries have no way to."""
        self.order("write", data=b"".join(frames))

    def close(self, code: int | None = None, reason: str = "") -> None:
        """Begin the close handshake; without a code, with an empty frame."""
        fields = {} if code is None else {"code": code, "reason": reason}
        self.order("close", **fields)


class Peer:
    """The process, and its ends by name."""

    def __init__(self, library: str, process: asyncio.subprocess.Process) -> None:
        self.library = library
        self._process = process
        self._ends: dict[str, End] = {}
        self._reading = asyncio.create_task(self._read(), name="output of a peer")

    def open(self, **fields: object) -> End:
        """Have the script open another end."""
        assert self._process.stdin is not None
        assert not self._reading.done(), "the peer has ended"
        end = End(str(len(self._ends)), self._process.stdin)
        self._ends[end.name] = end
        end.order("open", **fields)
        return end

    async def stop(self) -> None:
        """End its input, which is the word to leave."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(TIMEOUT):
                assert await self._process.wait() == 0
        finally:
            if self._process.returncode is None:
                self._process.kill()
            await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = msgspec.json.decode(line, type=Told)
            self._ends[told.end].told.put_nowait(told)


def command(library: str, role: str) -> tuple[str | Path, ...]:
    """What runs a library's ends; `role` is `client` or `server`."""
    if library == "ws":
        return ("node", HERE / f"ws_{role}.mjs")
    if library == "gorilla":
        subprocess.run(("sh", "scripts/gorilla.sh"), cwd=ROOT, check=True)
        return (ROOT / "build" / "gorilla-peer", role)
    return (sys.executable, "-m", f"tests.interop.{library}_peer", role)


@asynccontextmanager
async def running(library: str, role: str) -> AsyncIterator[Peer]:
    """The process of a library's ends; its errors are printed with the test's."""
    process = await asyncio.create_subprocess_exec(
        *command(library, role),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
        start_new_session=True,
    )
    peer = Peer(library, process)
    try:
        yield peer
    finally:
        await peer.stop()
