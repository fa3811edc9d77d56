"""Inbox: messages that came and wait for their reader; past its bounds the network keeps them."""

from typing import Any

from anywire.client.dial import WebSocketLink
from anywire.client.flow import Flow

_UNBOUNDED = 2**62


class Inbox:
    """What is unread, over links that come and go. Nothing is dropped: a full inbox pauses its
    link, until half of it was read.

    It can hold more than `most` messages or `most_bytes` by what the link has read already.
    """

    __slots__ = ("_flow", "_link", "_most", "_most_bytes", "_size", "is_paused")

    def __init__(self, *, most: int, most_bytes: int) -> None:
        if most < 1 or most_bytes < 1:
            raise ValueError("max_unread and max_unread_bytes must be 1 or more")
        self._flow: Flow[tuple[Any, int]] = Flow(most=_UNBOUNDED)
        self._most = most
        self._most_bytes = most_bytes
        self._size = 0
        self._link: WebSocketLink | None = None
        self.is_paused = False

    def __len__(self) -> int:
        return len(self._flow)

    def attach(self, link: WebSocketLink | None) -> None:
        """From now on messages come from this link; None: from nowhere."""
        self._link = link
        if link is not None and self.is_paused:
            link.pause()

    def push(self, value: object, size: int) -> None:
        """A message came, of `size` bytes."""
        self._size += size
        self._flow.push((value, size))
        if not self.is_paused and self._is_full(1):
            self.is_paused = True
            if self._link is not None:
                self._link.pause()

    def end(self, error: Exception | None) -> None:
        """No more will come: once all is read, the reader is told so, or has this error."""
        self._flow.end(error)

    async def next(self) -> Any:
        """The oldest message, taken out. Raises StopAsyncIteration, or what `end` was given."""
        value, size = await anext(self._flow)
        self._size -= size
        if self.is_paused and not self._is_full(2):
            self.is_paused = False
            if self._link is not None:
                self._link.resume()
        return value

    def _is_full(self, parts: int) -> bool:
        """Whether one of so many parts of the room is used."""
        return len(self._flow) * parts >= self._most or self._size * parts >= self._most_bytes
