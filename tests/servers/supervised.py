"""`anywire serve --workers N` for tests: its workers by number, its clients, and its whole end."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path

from tests.e2e.processes import Process

READY = re.compile(r"worker (\d+) is ready \(pid (\d+)\)$")
LISTENING = re.compile(r"Listening on (\S+) with \d+ workers \(Ctrl-C to stop\)")
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"

APP = """
import os
from anywire import Anywire, Limits

async def site(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    else:
        body = str(os.getpid()).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

app = Anywire(fallback=site, limits=Limits(stop=2.0))
who = app.channel("who")

@who.message
async def message(data: str) -> str:
    if data == "loop":
        print("looping", flush=True)
        while True:
            pass
    return str(os.getpid())
"""


class Supervised:
    """A supervisor, and what it said of its workers."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.url = ""

    @property
    def pid(self) -> int:
        return self.process._process.pid

    @property
    def started(self) -> dict[int, list[int]]:
        """The pids of each number, in the order of their readiness."""
        found: dict[int, list[int]] = {}
        for line in self.process.lines:
            if match := READY.search(line):
                found.setdefault(int(match[1]), []).append(int(match[2]))
        return found

    @property
    def workers(self) -> list[int]:
        """The newest pids, by number."""
        return [pids[-1] for _, pids in sorted(self.started.items())]

    @property
    def children(self) -> list[int]:
        """The pids of its workers, ready or not; none when it has ended."""
        with contextlib.suppress(OSError):
            return list(
                map(int, Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split())
            )
        return []

    async def says(self, text: str, *, after: int = 0) -> str:
        """The first line with this text, past the first `after` lines of everything it said."""
        old = set(map(id, self.process.lines[:after]))
        return await self.process.line(lambda line: text in line and id(line) not in old)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    async def ask(self) -> int:
        """The pid of the worker that answers a new connection."""
        if self.url.startswith("unix:"):
            reader, writer = await asyncio.open_unix_connection(self.url.removeprefix("unix:"))
        else:
            reader, writer = await asyncio.open_connection(*self.address)
        writer.write(REQUEST)
        try:
            return worker_of(await reader.read())
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def worker_of(answer: bytes) -> int:
    """The pid in an answer of the app."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), answer
    return int(body)


@asynccontextmanager
async def supervised(
    *arguments: object, count: int = 2, port: int | None = 0
) -> AsyncIterator[Supervised]:
    """A supervisor whose workers are ready; nobody of them outlives the test."""
    options: list[object] = [*arguments, "--workers", count, "--log-level", "info"]
    if port is not None:
        options += ["--port", port]
    # A supervisor that is killed leaves its private folder behind.
    folder = tempfile.mkdtemp()
    one = Supervised(await start(*options, folder=folder))
    try:
        found = LISTENING.search(await one.process.line("Listening on "))
        assert found is not None
        one.url = found[1]
        yield one
    finally:
        for pid in (one.pid, *one.children, *chain.from_iterable(one.started.values())):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await one.process.kill()
        shutil.rmtree(folder)
        sys.stdout.write("\n".join(one.process.lines))


async def start(*arguments: object, folder: str | None = None) -> Process:
    """`anywire serve …`, whose private folder is made in `folder`."""
    where = () if folder is None else ("env", f"XDG_RUNTIME_DIR={folder}")
    command = (*where, sys.executable, "-m", "anywire", "serve", *arguments)
    return await Process.start("supervisor", command)


async def gone(pid: int) -> None:
    """Wait for the end of a process that is not our child."""
    try:
        file = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(file, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(file)
        os.close(file)


def write_app(folder: Path, text: str = APP) -> Path:
    """An app whose site says the pid of who serves it, as `raw/who` does."""
    path = folder / "pids.py"
    path.write_text(text)
    return path
