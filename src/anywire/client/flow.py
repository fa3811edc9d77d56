"""Flow: values on their way to an `async for` loop, bounded."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from anywire.errors import CallFailed
from anywire.payload import Policy

T = TypeVar("T")
MOST = 1000
"""Values that may wait for their reader, unless an option says otherwise."""


class Flow(Generic[T]):
    """Values for a reader that may be slower than they come.

    Past `most` the policy acts: CLOSE ends the flow with `busy` and calls `on_full`; DROP_OLDEST
    gives the oldest up and counts it in `dropped`.
    """

    __slots__ = (
        "_error",
        "_is_over",
        "_items",
        "_most",
        "_on_full",
        "_policy",
        "_readers",
        "dropped",
    )

    def __init__(
        self,
        *,
        most: int = MOST,
        policy: Policy = Policy.CLOSE,
        on_full: Callable[[], None] | None = None,
    ) -> None:
        self._items: deque[T] = deque()
        self._readers: deque[asyncio.Future[None]] = deque()
        self._most = most
        self._policy = policy
        self._on_full = on_full
        self._is_over = False
        self._error: Exception | None = None
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    def push(self, value: T) -> None:
        """Add a value; nothing once the flow is over."""
        if self._is_over:
            return
        self._items.append(value)
        if len(self._items) > self._most:
            if self._policy is Policy.DROP_OLDEST:
                self._items.popleft()
                self.dropped += 1
            else:
                self._items.clear()
                self.end(CallFailed("busy", f"more than {self._most} items waited to be read"))
                if self._on_full is not None:
                    self._on_full()
                return
        if self._readers:
            _wake(self._readers.popleft())

    def end(self, error: Exception | None = None) -> None:
        """No more will come; what came is still read, then `error` is raised, if there is one."""
        if self._is_over:
            return
        self._is_over = True
        self._error = error
        while self._readers:
            _wake(self._readers.popleft())

    def __aiter__(self) -> "Flow[T]":
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._is_over:
                error, self._error = self._error, None
                raise error or StopAsyncIteration
            reader = asyncio.get_running_loop().create_future()
            self._readers.append(reader)
            try:
                await reader
            except asyncio.CancelledError:
                if reader in self._readers:
                    self._readers.remove(reader)
                elif self._items and self._readers:
                    _wake(self._readers.popleft())  # it was woken for a value that another can have
                raise
        return self._items.popleft()


def _wake(reader: asyncio.Future[None]) -> None:
    if not reader.done():
        reader.set_result(None)
