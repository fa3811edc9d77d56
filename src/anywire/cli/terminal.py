"""Terminal: lines from stdin, typed or piped, and text to stdout that spares what is typed."""

import asyncio
import contextlib
import os
import sys
import termios
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Self

from anywire.cli.history import History
from anywire.cli.view import Shown

PROMPT = "> "
_AHEAD = 64
"""Lines that may be read before they are said."""

Words = Callable[[], Iterable[str]]
"""What a line may begin with just now."""


class Terminal:
    """Stdin and stdout of a command; with `is_typed`, a person types at a prompt.

    There the arrow keys bring earlier lines back, those of `history` too; Tab completes `words`.
    """

    __slots__ = ("_attributes", "_history", "_is_prompting", "_words", "is_typed")

    def __init__(
        self, *, is_typed: bool, history: History | None = None, words: Words = tuple
    ) -> None:
        self.is_typed = is_typed
        self._history = history
        self._words = words
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

    def lines(self) -> "Lines":
        """Lines until end of file, without their ends; to be called once."""
        return Lines(self._typed if self.is_typed else _piped)

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
        for line in self._history.lines() if self._history is not None else ():
            readline.add_history(line)
        readline.set_completer(self._complete)
        readline.set_completer_delims("")  # only what a line begins with is completed
        readline.parse_and_bind("tab: complete")
        while True:
            self._is_prompting = True
            try:
                line = input(PROMPT)
            except EOFError:
                print(flush=True)
                return
            finally:
                self._is_prompting = False
            if self._history is not None:
                self._history.add(line)
            yield line

    def _complete(self, typed: str, number: int) -> str | None:
        """Readline's completer: the way number so-and-so to go on, None past the last."""
        fitting = completions(typed, self._words())
        return fitting[number] if number < len(fitting) else None


def completions(typed: str, words: Iterable[str]) -> list[str]:
    """How a line may go on that begins like this; a lone way comes with a space behind it.

    >>> completions("/p", ["/ping", "/pong", "/close"])
    ['/ping', '/pong']
    >>> completions("/c", ["/ping", "/pong", "/close"])
    ['/close ']
    """
    fitting = sorted({word for word in words if word.startswith(typed)})
    return [f"{fitting[0]} "] if len(fitting) == 1 else fitting


class Lines:
    """Lines as they are read. Who waits for one may be cancelled, and no line is lost.

    Raises ValueError for what is not UTF-8.
    """

    __slots__ = ("_has_ended", "_queue", "_read", "_room", "_thread")

    def __init__(self, read: Callable[[], Iterator[str]]) -> None:
        self._read = read
        self._queue: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        self._room = threading.Semaphore(_AHEAD)
        self._thread: threading.Thread | None = None
        self._has_ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        if self._thread is None:
            # Files and terminals have no readiness to wait for, so a thread reads until the end.
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(
                target=self._run, args=(loop,), name="anywire stdin", daemon=True
            )
            self._thread.start()
        if self._has_ended:
            raise StopAsyncIteration
        line = await self._queue.get()
        if isinstance(line, str):
            self._room.release()
            return line
        self._has_ended = True
        if line is None:
            raise StopAsyncIteration
        raise line

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            try:
                for line in self._read():
                    self._room.acquire()
                    loop.call_soon_threadsafe(self._queue.put_nowait, line)
                loop.call_soon_threadsafe(self._queue.put_nowait, None)
            except (OSError, ValueError) as error:
                loop.call_soon_threadsafe(self._queue.put_nowait, error)


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
