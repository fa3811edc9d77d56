"""Replaying: what a member missed is read and said, within what its client can take."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anywire.core.member import Member
from anywire.core.parking import size_of
from anywire.core.recovery import Recovery, recover
from anywire.core.room import Room
from anywire.frames import At, Record, Since

if TYPE_CHECKING:
    from anywire.core.node import Node
    from anywire.core.session import Session


@asynccontextmanager
async def one_at_a_time(node: "Node", session: "Session") -> AsyncGenerator[None]:
    """For what is replayed to one client: one room after the other, each once there is room for
    more, and nothing is parked before its turn. What was missed in many rooms would otherwise make
    it one that is too slow.
    """
    async with node.replays.setdefault(session.id, asyncio.Lock()):
        await node.drained(session)
        yield


def replay(member: Member, room: Room | None, records: Iterable[Record]) -> None:
    """Say what was published in a room, if the member is still in it."""
    if room is None:
        return
    for record in records:
        if not member.is_in(record.but):
            room.tell(member, record, At(room.name, record.position))


async def missed(node: "Node", rooms: Iterable[Room], since: Since | None) -> dict[str, Recovery]:
    """What a member missed in these rooms, by name. One that asked nothing begins at the present.

    A replay may not fill an outbox, or the client would be closed as too slow, come back, and be
    closed again: of what is more, only the newest comes.
    """
    left = node.limits.outbox // 2
    read = {}
    for room in rooms:
        read[room.name] = recovery = await _missed(node, room, since, left)
        left -= sum(map(size_of, recovery.records))
    return read


async def _missed(node: "Node", room: Room, since: Since | None, bound: int) -> Recovery:
    if not room.is_kept():
        return recover(room.name, since, None, ())
    asked = since
    if since is None or not (
        room.name in since.positions or since.time is not None or since.last is not None
    ):
        asked = Since(last=0)
    assert asked is not None
    records, position, lost = await node.history.since(room.name, asked, node.limits.replay)
    newest = _newest(records, bound)
    return recover(
        room.name, since, (newest, position, lost if len(newest) == len(records) else "limit"), ()
    )


def _newest(records: Sequence[Record], bound: int) -> Sequence[Record]:
    """The last of these records that fit into so many bytes."""
    size = 0
    for count, record in enumerate(reversed(records)):
        size += size_of(record)
        if size > bound:
            return records[len(records) - count :]
    return records
