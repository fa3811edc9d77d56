"""Running the real command line in tests: to its end, or beside the test while it serves."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from anywire import Anywire
from anywire.servers.tcp import Server

ROOT = Path(__file__).parents[2]
LISTENING = re.compile(r"Listening on (\S+)(?: with \d+ workers)? \(Ctrl-C to stop\)\n")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment, without what would change how commands look."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return {**plain, **(extra or {})}


async def start(
    *arguments: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    """`anywire …` as a process with pipes."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "anywire",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        env=environment(env),
    )


async def end(process: asyncio.subprocess.Process, stdin: str | bytes = "") -> Ended:
    """Give it all of its input and wait for its end."""
    data = stdin if isinstance(stdin, bytes) else stdin.encode()
    out, err = await process.communicate(data)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def run(
    *arguments: str,
    stdin: str | bytes = "",
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
) -> Ended:
    """`anywire …` from its start to its end."""
    return await end(await start(*arguments, cwd=cwd, env=env), stdin)


@asynccontextmanager
async def serving(
    *arguments: str, cwd: Path = ROOT
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A command that serves, and its URL; it is stopped at the end, if it is still there."""
    process = await start(*arguments, cwd=cwd)
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        found = LISTENING.fullmatch(line)
        if found is None:
            ended = await end(process)
            raise AssertionError(f"it does not listen: {line}{ended.out}{ended.err}")
        yield process, found[1]
    finally:
        if process.returncode is None:
            process.terminate()  # not killed: workers would outlive their supervisor
        await end(process)


@asynccontextmanager
async def served(app: Anywire) -> AsyncIterator[str]:
    """An app on a server in this process; yields `ws://127.0.0.1:…`."""
    async with app.lifespan():
        node = app.node
        server = Server(node=node, wires=app.wires, port=0)
        await server.start()
        try:
            yield server.addresses[0].url.replace("http", "ws", 1)
        finally:
            await server.stop()
