"""Recovery: what a member that joins with a position must hear before it hears what is new.

A join runs in five steps, in this order: authorise; subscribe the node; park what arrives; read
history; replay, drop duplicates by offset, unpark. `recover` is the last step, pure. It needs no
luck with timing: whatever was published before the reading is in the history that was read,
whatever came after it was parked or is still on its way, and what is in both is known by its
offset. See docs/decisions/0005-join-with-a-position.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from anywire.frames import Outcome, Position, Record, Since

Past = tuple[Sequence[Record], Position, str]
"""What `History.since` answers: records, the room's position at that moment, why some are lost."""


@dataclass(slots=True, frozen=True)
class Recovery:
    """The end of a join with a position, for one room."""

    records: tuple[Record, ...]
    """To be sent, in this order, after the answer to the join."""
    outcome: Outcome
    reason: str
    """Why history was lost; empty unless `outcome` is LOST."""
    start: Position | None
    """Where the client stands when it has the answer and no record yet: what `Joined` must say, for
    a client that is
    cut off in the middle of the replay comes back with it."""
    end: Position | None
    """Where the member stands after the records; what arrives later is judged by `is_new`."""


def recover(
    room: str, since: Since | None, past: Past | None, parked: Sequence[Record]
) -> Recovery:
    """What a member hears of this room first, without duplicates and without gaps.

    `since` is what the client asked, `past` what history answered (None: this room keeps none),
    `parked` what was delivered from the subscription to this moment, in order of arrival. A member
    that asked nothing for this room begins at the position that was read. A mark alone is `off`:
    only the node that wrote it could say what stood there, and none keeps that.
    """
    known = None if since is None else since.positions.get(room)
    is_placed = known is not None or (since is not None and since.time is not None)
    asked = is_placed or (since is not None and since.mark is not None)
    if past is None:
        outcome = Outcome.LOST if asked else Outcome.FRESH
        reason = "off" if asked else ""
        return Recovery(tuple(parked), outcome, reason, None, _last(parked, None))
    records, read, lost = past
    if not is_placed:
        lost = "off"
    # By the position that was read, not the last record's: there may be no record, and what the
    # client has already can still arrive.
    fresh = [record for record in parked if is_new(record, read)]
    outcome = Outcome.FRESH
    if asked:
        outcome = Outcome.LOST if lost else Outcome.RECOVERED
    start = read
    if records and records[0].position is not None:
        start = Position(records[0].position.offset - 1, read.epoch)
    return Recovery(
        records=(*records, *fresh),
        outcome=outcome,
        reason=lost if asked else "",
        start=start,
        end=_last(fresh, read),
    )


def is_new(record: Record, position: Position | None) -> bool:
    """Whether a member that stands at `position` has not heard this record.

    A record without a number is always new: it is in no history, so it comes once. One of another
    epoch is new too: offsets of two epochs do not compare, and twice is better than never.
    """
    at = record.position
    if at is None or position is None or at.epoch != position.epoch:
        return True
    return at.offset > position.offset


def is_caught_up(delivered: Position | None, end: Position | None) -> bool:
    """Whether a member that stands at `end` may hear all that the node delivers from now on.

    `delivered` is where the last numbered record stands that the node delivered in this room since
    it subscribed. While this is false, records up to `end` may still be on their way: the member
    stays parked, hears what `is_new`, and is asked about again after each record. With a broker
    that delivers before it answers (memory) nobody has to wait.
    """
    if end is None or end.offset == 0:
        return True
    if delivered is None or delivered.epoch != end.epoch:
        return False
    return delivered.offset >= end.offset


def _last(records: Sequence[Record], position: Position | None) -> Position | None:
    """The position of the last numbered record, or else the given one."""
    for record in reversed(records):
        if record.position is not None:
            return record.position
    return position
