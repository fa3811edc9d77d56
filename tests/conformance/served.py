"""The conformance app as a process of its own.

`ANYWIRE_CONFORMANCE_URL` names a server that runs already and is taken instead.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

ROOT = Path(__file__).parents[2]
VARIABLE = "ANYWIRE_CONFORMANCE_URL"
LARGEST = 1_000_000
TIMEOUT = 8.0
"""Seconds until what is waited for will not come."""
LOOKING = 0.05
"""Seconds between two looks."""
NAMES = ["__proto__", "constructor", "toString", "hasOwnProperty", "__class__", "__init__"]
"""Of what every object of some language has."""
NOBODY = {"sessions": 1, "members": 1, "rooms": 1, "users": 1}
"""What a server has of its clients when there is only who asks."""
_LISTENING = re.compile(r"Listening on (http\S+)")


@dataclass(frozen=True, slots=True)
class Served:
    """A running server; `log` has what it says of itself, where it is ours."""

    url: str
    log: Path | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        port = urlsplit(self.url).port
        assert port is not None
        return port

    async def socket(
        self,
        where: str,
        stack: AsyncExitStack,
        *,
        subprotocol: str = "",
        close_timeout: float = TIMEOUT,
    ) -> ClientConnection:
        """A WebSocket of a path and query, closed with the stack; nobody answers pings for it."""
        async with asyncio.timeout(TIMEOUT):
            socket = await connect(
                f"ws{self.url.removeprefix('http')}{where}",
                subprotocols=[Subprotocol(subprotocol)] if subprotocol else None,
                compression=None,
                ping_interval=None,
                max_size=None,
                proxy=None,
                close_timeout=close_timeout,
            )
        stack.push_async_callback(socket.close)
        return socket

    async def standing(self) -> dict[str, int]:
        """What it has of its clients, of which one asks this."""
        url = f"ws{self.url.removeprefix('http')}/socket/websocket?vsn=2.0.0&user=looks"
        async with asyncio.timeout(TIMEOUT), connect(url, compression=None, proxy=None) as socket:
            await socket.send('["1","1","standing","phx_join",{}]')
            await socket.send('["1","2","standing","count",{}]')
            await socket.recv()
            count = json.loads(await socket.recv())[4]["response"]
        assert isinstance(count, dict)
        return count

    async def empties(self) -> dict[str, int]:
        """Wait until nobody else is there; returns what it has at last."""
        count = await self.standing()
        for _ in range(round(TIMEOUT / LOOKING)):
            if count == NOBODY:
                break
            await asyncio.sleep(LOOKING)
            count = await self.standing()
        return count

    async def is_as_before(self) -> None:
        """Nothing is kept of who has gone, and no bug was logged."""
        assert await self.empties() == NOBODY
        assert "Traceback" not in self.said()

    def said(self) -> str:
        """What it has logged."""
        return "" if self.log is None else self.log.read_text(encoding="utf-8", errors="replace")

    def process(self) -> Path:
        """The folder in /proc of the process that listens there."""
        listening = set()
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                local, _, state, *_, inode = line.split()[1:10]
                if state == "0A" and int(local.rpartition(":")[2], 16) == self.port:
                    listening.add(f"socket:[{inode}]")
        for entry in Path("/proc").glob("[0-9]*/fd/*"):
            with suppress(OSError):
                if os.readlink(entry) in listening:
                    return entry.parent.parent
        raise AssertionError(f"nobody listens on port {self.port}")

    def files(self) -> int:
        """How many files and sockets its process has open."""
        return len(os.listdir(self.process() / "fd"))

    def memory(self) -> int:
        """Bytes of its process that are in memory."""
        status = (self.process() / "status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024


@contextmanager
def serving() -> Iterator[Served]:
    """The app, on a free port until the end."""
    if url := os.environ.get(VARIABLE):
        yield Served(url.rstrip("/"))
        return
    command = (sys.executable, "-m", "anywire", "serve", "conformance.app:app", "--port", "0")
    with (
        tempfile.NamedTemporaryFile() as log,
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdout is not None
        try:
            found = next(filter(None, map(_LISTENING.search, process.stdout)), None)
            assert found is not None, Path(log.name).read_text(encoding="utf-8")
            yield Served(found[1], Path(log.name))
        finally:
            process.terminate()
            try:
                process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
