"""Terminal: lines from stdin, typed or piped, and text to stdout that spares what is typed."""

import asyncio
import contextlib
import os
import sys
import termios
import threading
from collections.abc import AsyncIterator, Callable, Iterator

from anywire.cli.view import Shown

PROMPT = "> "
_AHEAD = 64
"""Lines that may be read before they are said."""


class Terminal:
    """Stdin and stdout of a command; with `is_typed`, a person types at a prompt with a history."""

    __slots__ = ("_attributes", "_is_prompting", "is_typed")

    def __init__(self, *, is_typed: bool) -> None:
        self.is_typed = is_typed
        self._is_prompting = False
        self._attributes = termios.tcgetattr(sys.stdin) if is_typed else None

    def write(self, shown: Shown) -> None:
        """Print a line; what is being typed stays below it."""
        stream = sys.stderr if shown.is_error else sys.stdout
        if not self._is_prompting:
            print(shown.text, file=stream, flush=True)
            return
        import readline

        typed = readline.get_line_buffer()
        print(f"\r\x1b[2K{shown.text}\n{PROMPT}{typed}", end="", file=stream, flush=True)

    async def lines(self) -> AsyncIterator[str]:
        """Lines until end of file, without their ends. Raises ValueError for what is not UTF-8."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        room = threading.Semaphore(_AHEAD)

        def read() -> None:
            # Files and terminals have no readiness to wait for, so a thread reads until the end.
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                try:
                    for line in self._typed() if self.is_typed else _piped():
                        room.acquire()
                        loop.call_soon_threadsafe(queue.put_nowait, line)
                    loop.call_soon_threadsafe(queue.put_nowait, None)
                except (OSError, ValueError) as error:
                    loop.call_soon_threadsafe(queue.put_nowait, error)

        threading.Thread(target=read, name="anywire stdin", daemon=True).start()
        while (line := await queue.get()) is not None:
            if isinstance(line, Exception):
                raise line
            yield line
            room.release()

    def restore(self) -> None:
        """Leave the terminal as it was found, though the thread may still be at its prompt."""
        if self._attributes is not None:
            if self._is_prompting:
                print("\r\x1b[2K", end="", flush=True)
                self._is_prompting = False
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._attributes)

    def _typed(self) -> Iterator[str]:
        import readline

        readline.set_auto_history(True)
        while True:
            self._is_prompting = True
            try:
                line = input(PROMPT)
            except EOFError:
                print(flush=True)
                return
            finally:
                self._is_prompting = False
            yield line


def _piped(read: Callable[[int, int], bytes] = os.read) -> Iterator[str]:
    rest = b""
    while data := read(sys.stdin.fileno(), 65536):
        *lines, rest = (rest + data).split(b"\n")
        yield from map(_text, lines)
    if rest:
        yield _text(rest)


def _text(line: bytes) -> str:
    try:
        return line.removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        raise ValueError("the input is not UTF-8") from None
