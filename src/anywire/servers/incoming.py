"""Incoming: the body of a request while it comes in, and who waits for that or for another change.

What every exchange (`carry.Exchange`) does alike, wherever its bytes come from.
"""

import asyncio
from collections.abc import Callable

from anywire.errors import Closed


class Incoming:
    """One body. Whoever feeds it bounds it; `read` gives what came since the last time."""

    __slots__ = ("_parts", "_waiters", "is_over", "is_whole", "size", "unread", "watcher")

    def __init__(self) -> None:
        self.is_whole = False
        """All of it is here."""
        self.is_over = False
        """Nothing more is read: the client is gone, or was answered."""
        self.size = 0
        """Bytes that came."""
        self.unread = 0
        """Bytes that came and were not read."""
        self._parts: list[bytes] = []
        self._waiters: list[asyncio.Future[None]] = []
        self.watcher: Callable[[], None] | None = None
        """Called when something has changed, beside those who wait; once it is over, a last time.
        """

    def feed(self, data: bytes) -> None:
        """A part is here."""
        self._parts.append(data)
        self.size += len(data)
        self.unread += len(data)
        self.wake()

    def finish(self) -> None:
        """That was all."""
        self.is_whole = True
        self.wake()

    def stop(self, *, drop: bool = False) -> None:
        """Nothing more is read; with `drop` not what is here either."""
        self.is_over = True
        if drop:
            self._parts.clear()
        self.wake()

    async def read(self) -> bytes:
        """The next part; empty once it is whole. Raises Closed if it never will be."""
        while not self._parts:
            if self.is_whole:
                return b""
            if self.is_over:
                raise Closed
            await self.changed()
        data = b"".join(self._parts)
        self._parts.clear()
        self.unread = 0
        return data

    async def changed(self) -> None:
        """Wait until something has changed: more is here, or `wake` was called."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(future)
        await future

    def wake(self) -> None:
        """Have everyone who waits look again."""
        waiters, self._waiters = self._waiters, []
        for future in waiters:
            if not future.done():
                future.set_result(None)
        watcher = self.watcher
        if watcher is not None:
            if self.is_over:
                self.watcher = None
            watcher()
