"""Streams of one session: a handler's items on their way out, a client's uploads coming in."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from typing import TYPE_CHECKING, Any, Protocol

from anywire.body import Args
from anywire.core.clock import Cancellable
from anywire.errors import CallFailed, Refused

if TYPE_CHECKING:
    from anywire.core.member import Member


class Future(Protocol):
    """What the loop gives to wait on."""

    def done(self) -> bool: ...

    def set_result(self, result: None, /) -> None: ...

    def __await__(self) -> Generator[Any, None, None]: ...


class Stream:
    """One answer under way that its client may cancel: a stream, or a call whose handler still
    runs.
    """

    __slots__ = ("event", "is_cancelled", "member", "session", "task")

    def __init__(self, member: "Member", event: str | None = None) -> None:
        self.member = member
        self.session = member.session
        """Where it began: its member may have gone on in another one since."""
        self.event = event
        """Of a stream: the event that asked for it; None for a call."""
        self.task: Cancellable | None = None
        self.is_cancelled = False

    def cancel(self) -> None:
        """Stop the handler at its next suspension."""
        self.is_cancelled = True
        if self.task is not None:
            self.task.cancel()


class Inbox:
    """An upload: items as the client sends them, read by a handler as an async iterator.

    Exists from the arrival of its event. Holds at most so many items and bytes; past that the
    stream, not the session, ends with `busy`. `wait` makes a future: the loop is the dispatcher's
    business.
    """

    __slots__ = (
        "_bytes",
        "_bytes_bound",
        "_decode",
        "_error",
        "_future",
        "_is_over",
        "_items",
        "_items_bound",
        "_new",
    )

    def __init__(
        self,
        decode: Callable[[Args], object],
        *,
        items: int,
        size: int,
        future: Callable[[], "Future"],
    ) -> None:
        self._decode = decode
        self._items: deque[tuple[Args, int]] = deque()
        self._items_bound = items
        self._bytes = 0
        self._bytes_bound = size
        self._is_over = False
        self._error: Exception | None = None
        self._new = future
        self._future: Future | None = None

    def put(self, args: Args) -> bool:
        """Take an item; false when it is one too many: the stream is over."""
        if self._is_over:
            return True
        raw = args.raw
        size = len(raw) if isinstance(raw, str) else len(memoryview(raw))
        size += sum(len(blob) for _, blob in args.blobs)
        if len(self._items) >= self._items_bound or self._bytes + size > self._bytes_bound:
            self.end("busy", "the upload is too far ahead of its handler")
            return False
        self._items.append((args, size))
        self._bytes += size
        self._wake()
        return True

    def end(self, code: str = "", text: str = "") -> None:
        """No more items; with a code the handler's loop raises CallFailed after those that came."""
        if self._is_over:
            return
        self._is_over = True
        if code:
            self._error = CallFailed(code, text)
        self._wake()

    def __aiter__(self) -> AsyncIterator[object]:
        return self

    async def __anext__(self) -> object:
        while not self._items:
            if self._is_over:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            if self._future is not None and not self._future.done():
                raise RuntimeError("an upload has one reader at a time")
            self._future = self._new()
            await self._future
        args, size = self._items.popleft()
        self._bytes -= size
        try:
            return self._decode(args)
        except Refused:
            self.end("invalid", "")
            self._items.clear()
            raise

    def _wake(self) -> None:
        future, self._future = self._future, None
        if future is not None and not future.done():
            future.set_result(None)
