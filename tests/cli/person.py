"""A person at a terminal: a command on a pseudo-terminal that is typed to and read from."""

import asyncio
import fcntl
import os
import pty
import re
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tests.cli.commands import ROOT, environment

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x07")
_PLAIN = {"TERM": "xterm", "NO_COLOR": "1", "INPUTRC": os.devnull}


class Person:
    """Types into a terminal and reads its screen; `screen` is all that was ever printed there."""

    def __init__(self, master: int, process: asyncio.subprocess.Process) -> None:
        self._master = master
        self.process = process
        self.raw = ""
        self._more = asyncio.Event()

    @property
    def screen(self) -> str:
        """What was printed, without codes that move or colour."""
        return _CODES.sub("", self.raw).replace("\r", "")

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    async def sees(self, text: str, *, times: int = 1) -> None:
        """Wait until `text` stands on the screen."""
        while self.screen.count(text) < times:
            self._more.clear()
            await self._more.wait()

    async def leaves(self) -> int:
        """Press Ctrl-D until the command ends; its exit code.

        A key that comes between one prompt and the next is nobody's, as in any shell.
        """
        end = asyncio.ensure_future(self.ends())
        while not end.done():
            self.type("\x04")
            await asyncio.wait({end}, timeout=0.5)
        return end.result()

    async def ends(self) -> int:
        """Wait for the command's end; its exit code."""
        return await self.process.wait()

    def attributes(self) -> list[Any]:
        """How the terminal is set (termios)."""
        return termios.tcgetattr(self._master)

    def read(self) -> None:
        """Take what was printed."""
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has the terminal open any more
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
        self.raw += data.decode(errors="replace")
        self._more.set()


@asynccontextmanager
async def at_terminal(
    *arguments: str, env: Mapping[str, str] | None = None, state: Path | None = None
) -> AsyncIterator[Person]:
    """`anywire …` on a terminal of its own; `state` is where it keeps its history, else nowhere."""
    command = (sys.executable, "-m", "anywire", *arguments)
    # No history of whoever runs the tests is read or written.
    kept = {"XDG_STATE_HOME": os.devnull if state is None else str(state)}
    async with command_at_terminal(
        *command, env={**(_PLAIN if env is None else env), **kept}
    ) as person:
        yield person


@asynccontextmanager
async def command_at_terminal(
    *command: str, env: Mapping[str, str] = _PLAIN
) -> AsyncIterator[Person]:
    """Any command on a terminal of its own."""
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=ROOT,
        env=environment(env),
        start_new_session=True,
        # The terminal is its own, so that Ctrl-C is a signal.
        preexec_fn=partial(fcntl.ioctl, 0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    person = Person(master, process)
    loop = asyncio.get_running_loop()
    loop.add_reader(master, person.read)
    try:
        yield person
    finally:
        loop.remove_reader(master)
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(master)
