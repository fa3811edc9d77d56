"""Parking: what a member is to hear once it is answered, and how much of that may wait."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from anywire.core.recovery import is_caught_up, is_new
from anywire.frames import At, Frame, Gap, Position, Record
from anywire.payload import Policy

if TYPE_CHECKING:
    from anywire.core.member import Member
    from anywire.core.room import Room

Entry = Frame | tuple[Record, At]


class Parked:
    """Frames of its own, and publications, in their order. Of publications `Limits.outbox` bytes
    wait, as in an outbox; what is more is for the policy of their rooms.
    """

    __slots__ = ("_bound", "_size", "_spared", "entries", "is_overflown", "lost")

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._size = 0
        self._spared = 0
        """The largest publication that no bound would let wait: as in an outbox, one may."""
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
        size = size_of(record)
        self._size += size
        if size > self._bound:
            self._spared = max(self._spared, size)
        if self._size > self._bound:
            self._shrink(rooms)
        if self._size - self._spared <= self._bound:
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


def park(member: "Member") -> None:
    """Out of the lanes: what arrives from here on is for after an answer."""
    for room in member.delivered():
        room.remove(member)
        room.parked[member] = None
    for name in member.behind:
        member.rooms[name].parked[member] = None
    member.parked = Parked(member.hello.limits.outbox)


def unpark(member: "Member", ends: Mapping[str, Position | None]) -> None:
    """What arrived meanwhile, in its order, without what was replayed; then live. `ends`: where
    the member stands in each room.
    """
    session = member.session
    lacking = member.lacking()
    parked, member.parked = member.parked, None
    assert parked is not None  # once after each `park`
    if parked.is_overflown:
        session.give_up()
        return
    for name, (count, last) in parked.lost.items():
        room = member.rooms.get(name)
        if room is not None and room not in lacking and is_new(last, ends.get(name)):
            session.send(Gap(member.alias, count))
    for entry in parked.entries:
        if not isinstance(entry, tuple):
            session.send(entry)
            continue
        record, at = entry
        room = member.rooms.get(record.room)
        if room is None or room in lacking:
            continue  # left meanwhile, or still to be asked for
        if is_new(record, ends.get(record.room)):
            room.tell(member, record, at)
    for room in member.rooms.values():
        if room in lacking:
            continue
        end = ends.get(room.name)
        if end is not None and not is_caught_up(room.delivered, end):
            member.behind = {**member.behind, room.name: end}
        else:
            room.parked.pop(member, None)
            room.add(member)


def may_drop(room: "Room | None", record: Record) -> bool:
    """Whether this may be missed by who is slow."""
    if record.volatile:
        return True
    channel = None if room is None else room.channel
    return channel is not None and channel.policy is Policy.DROP_OLDEST


def size_of(record: Record) -> int:
    """About how many bytes it has on a wire."""
    return len(record.body.json) + sum(len(blob) for _, blob in record.body.blobs)
