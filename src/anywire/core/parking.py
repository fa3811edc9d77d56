"""Parking: what a member is to hear once it is answered, and how much of that may wait."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from anywire.frames import At, Frame, Record
from anywire.payload import Policy

if TYPE_CHECKING:
    from anywire.core.room import Room

Entry = Frame | tuple[Record, At]


class Parked:
    """Frames of its own, and publications, in their order. Of publications `Limits.outbox` bytes
    wait, as in an outbox; what is more is for the policy of their rooms.
    """

    __slots__ = ("_bound", "_size", "entries", "is_overflown", "lost")

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._size = 0
        self.entries: list[Entry] = []
        self.lost: dict[str, tuple[int, Record]] = {}
        """How many publications of a room were dropped, and the last of them."""
        self.is_overflown = False
        """Too much waited that may not be dropped: nothing is kept any more."""

    def put(self, frame: Frame) -> None:
        """Keep a frame for this member alone."""
        self.entries.append(frame)

    def put_record(self, record: Record, at: At, rooms: Mapping[str, "Room"]) -> bool:
        """Keep a publication; false when it is one too many, the first time. `rooms`: those of the
        member, by name.
        """
        if self.is_overflown:
            return True
        self.entries.append((record, at))
        self._size += size_of(record)
        if self._size > self._bound:
            self._shrink(rooms)
        if self._size <= self._bound:
            return True
        self.entries.clear()
        self.is_overflown = True
        return False

    def records(self) -> Iterator[Record]:
        """The publications."""
        return (entry[0] for entry in self.entries if isinstance(entry, tuple))

    def forget(self, is_known: Callable[[Record], bool]) -> None:
        """Keep no publication that the member is told otherwise."""
        kept: list[Entry] = []
        for entry in self.entries:
            if isinstance(entry, tuple) and is_known(entry[0]):
                self._size -= size_of(entry[0])
            else:
                kept.append(entry)
        self.entries = kept

    def _shrink(self, rooms: Mapping[str, "Room"]) -> None:
        """Drop the oldest that may be dropped, down to half the bound: not one at a time."""
        kept: list[Entry] = []
        for entry in self.entries:
            if (
                isinstance(entry, tuple)
                and self._size > self._bound // 2
                and may_drop(rooms.get(entry[0].room), entry[0])
            ):
                record = entry[0]
                self._size -= size_of(record)
                if not record.volatile:
                    count = self.lost[record.room][0] if record.room in self.lost else 0
                    self.lost[record.room] = count + 1, record
            else:
                kept.append(entry)
        self.entries = kept


def may_drop(room: "Room | None", record: Record) -> bool:
    """Whether this may be missed by who is slow."""
    if record.volatile:
        return True
    channel = None if room is None else room.channel
    return channel is not None and channel.policy is Policy.DROP_OLDEST


def size_of(record: Record) -> int:
    """About how many bytes it has on a wire."""
    return len(record.body.json) + sum(len(blob) for _, blob in record.body.blobs)
