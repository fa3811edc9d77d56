"""Queue: what waits to be sent, in order, bounded by count and by bytes. Pure."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Queue(Generic[T]):
    """A full queue refuses the newest: what was accepted stays accepted."""

    __slots__ = ("_entries", "_most", "most_bytes", "size")

    def __init__(self, *, most: int, most_bytes: int) -> None:
        self._entries: list[tuple[T, int]] = []
        self._most = most
        self.most_bytes = most_bytes
        self.size = 0
        """Bytes that wait."""

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, value: T, size: int) -> bool:
        """Append a value of `size` bytes; False when it is refused for want of room."""
        if len(self._entries) >= self._most or self.size + size > self.most_bytes:
            return False
        self._entries.append((value, size))
        self.size += size
        return True

    def pop(self) -> T:
        """Take out the oldest; there is one."""
        value, size = self._entries.pop(0)
        self.size -= size
        return value

    def take(self, wanted: Callable[[T], bool] = lambda value: True) -> list[T]:
        """Take out all that are wanted, in order."""
        taken: list[T] = []
        rest: list[tuple[T, int]] = []
        for entry in self._entries:
            if wanted(entry[0]):
                taken.append(entry[0])
                self.size -= entry[1]
            else:
                rest.append(entry)
        self._entries = rest
        return taken
