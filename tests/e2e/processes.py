"""Processes of a test: started, heard line by line, ended by their id, shown when it fails."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
NODE_MODULES = ROOT / "tests" / "js" / "node_modules"
TIMEOUT = 10.0
"""Seconds a process may take to say what is waited for."""

Wanted = str | Callable[[str], object]


class Process:
    """One child; its output and errors are one list of lines."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.lines: list[str] = []
        self._process = process
        self._changed = asyncio.Event()
        self._readers = [
            asyncio.create_task(self._read(stream), name=f"output of {name}")
            for stream in (process.stdout, process.stderr)
            if stream is not None
        ]

    @classmethod
    async def start(
        cls, name: str, command: Iterable[object], env: Mapping[str, str] | None = None
    ) -> Self:
        """Start it in a session of its own, so that no signal meant for the tests reaches it."""
        process = await asyncio.create_subprocess_exec(
            *map(str, command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1"} | dict(env or {}),
            start_new_session=True,
        )
        return cls(name, process)

    async def line(self, wanted: Wanted, *, timeout: float = TIMEOUT) -> str:  # noqa: ASYNC109
        """The first line, said already or to come, that has this text or fits this condition."""
        fits = (lambda line: wanted in line) if isinstance(wanted, str) else wanted
        seen = 0
        try:
            async with asyncio.timeout(timeout):
                while True:
                    for line in self.lines[seen:]:
                        if fits(line):
                            return line
                    seen = len(self.lines)
                    if all(reader.done() for reader in self._readers):
                        raise AssertionError(f"{self.name} ended without saying {wanted!r}")
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name} did not say {wanted!r} in {timeout} s") from None

    async def say(self, text: str) -> None:
        """Type a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n".encode())
        await self._process.stdin.drain()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this one process; harmless when it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def kill(self) -> None:
        """End it at once, and what it started; returns when it is gone."""
        with contextlib.suppress(ProcessLookupError):
            # It leads its own group: Chromium's helpers go with it.
            os.killpg(self._process.pid, signal.SIGKILL)
        await self.ended()

    async def ended(self) -> int:
        """Wait for its end; returns the exit code."""
        async with asyncio.timeout(TIMEOUT):
            code = await self._process.wait()
            await asyncio.gather(*self._readers)
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(ConnectionError):
            await self._process.stdin.wait_closed()
        return code

    async def finish(self) -> int:
        """End its input, which is the word to leave, and wait for that."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return await self.ended()

    async def _read(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            self.lines.append(line.decode(errors="replace").rstrip("\r\n"))
            self._changed.set()
        self._changed.set()


class Processes:
    """All processes of one test."""

    def __init__(self) -> None:
        self._all: list[Process] = []

    async def start(
        self, name: str, *command: object, env: Mapping[str, str] | None = None
    ) -> Process:
        process = await Process.start(name, command, env)
        self._all.append(process)
        return process

    async def node(self, name: str, script: str, *arguments: object) -> Process:
        """A script of this folder."""
        return await self.start(name, "node", HERE / script, *arguments)

    async def anywire(
        self, name: str, *arguments: object, env: Mapping[str, str] | None = None
    ) -> Process:
        """The command line."""
        return await self.start(name, sys.executable, "-m", "anywire", *arguments, env=env)

    async def demo(self, name: str = "server", *, port: int = 0) -> "Demo":
        """The demo, once it listens."""
        process = await self.anywire(name, "demo", "--port", port, "--token", "secret")
        line = await process.line("Listening on http://")
        return Demo(process, int(line.split()[2].rpartition(":")[2]))

    async def end(self) -> None:
        """Kill what still runs; pytest prints what all of them said when the test failed."""
        for process in self._all:
            await process.kill()
        for process in self._all:
            said = "\n".join(f"  {line}" for line in process.lines)
            sys.stdout.write(f"--- {process.name} said:\n{said}\n")


class Demo:
    """A running demo."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.ws = f"ws://127.0.0.1:{port}/ws"


class Browser:
    """Pages in headless Chromium, through `browser.mjs`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._serial = 0

    @classmethod
    async def start(cls, processes: Processes) -> Self:
        process = await processes.node("browser", "browser.mjs")
        await process.line('{"id":0,')
        return cls(process)

    async def do(self, action: str, **options: object) -> Any:
        """One action of `browser.mjs`; raises AssertionError with what went wrong."""
        self._serial += 1
        await self._process.say(json.dumps({"id": self._serial, "do": action, **options}))
        answer = json.loads(await self._process.line(f'{{"id":{self._serial},', timeout=15.0))
        if "error" in answer:
            raise AssertionError(f"{action} {options}: {answer['error']}")
        return answer["result"]

    async def open(self, page: str, url: str) -> None:
        """Open a page under this name, and wait until it is connected."""
        await self.do("open", page=page, url=url)
        await self.state(page, "Connected")

    async def state(self, page: str, text: str) -> None:
        """Wait until the page shows this state of the connection."""
        await self.do("see", page=page, selector="#state", text=text)

    async def type(self, page: str, text: str, *, label: str = "Message") -> None:
        """Write into a field and press Enter."""
        await self.do("fill", page=page, label=label, text=text)
        await self.do("press", page=page, label=label, key="Enter")

    async def hears(self, page: str, text: str) -> None:
        """Wait until a message of somebody else shows."""
        await self.do("see", page=page, selector=".message.other", text=text)

    async def texts(self, page: str, selector: str) -> list[str]:
        """What all elements of a kind show."""
        texts: list[str] = await self.do("texts", page=page, selector=selector)
        return texts

    async def close(self) -> None:
        """End Chromium in its own way."""
        await self._process.finish()
