"""Restoring: a member hears again of rooms with history, whose client was cut and is back.

For wires whose clients say themselves where they stand, once the session goes on (`Cap.CATCH_UP`).
Rooms, state and rights are as they were, and no handler runs. In this order: parked, so that
nothing is lost from here on; the history is read; what was missed, with who came and went; what was
parked; live. See docs/decisions/0027-who-comes-back-asks-for-what-it-missed.md.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from anywire.core.joining import check_here
from anywire.core.parking import park, unpark
from anywire.core.recovery import Recovery
from anywire.core.replaying import missed, one_at_a_time, replay
from anywire.errors import Refused
from anywire.frames import Outcome, Past, Position, Record

if TYPE_CHECKING:
    from anywire.core.member import Member
    from anywire.core.node import Node
    from anywire.core.room import Room


class Restoring(msgspec.Struct):
    """One reading for one member."""

    asked: Past | None
    """What it is for; None: the client is cut, and has not asked again."""


async def restore(node: "Node", member: "Member", restoring: Restoring) -> None:
    """Say what was missed, and go live; nothing of it when the client was cut meanwhile.

    Raises Refused where some of it is not known, once the rest is said; what reading raises, once
    the member is live all the same.
    """
    async with one_at_a_time(node, member.session):
        await _catch_up(node, member, restoring)


async def _catch_up(node: "Node", member: "Member", restoring: Restoring) -> None:
    park(member)
    try:
        read = await _read(node, member, restoring)
        check_here(member)
    except BaseException:  # cancelled, too
        if not member.has_left:
            unpark(member, _others(member))
        raise
    if read is None:
        unpark(member, {})
        return
    # From here on nothing is awaited: what is written is one piece of the client's order.
    for name, recovery in read.items():
        replay(member, member.rooms.get(name), recovery.records)
    unpark(member, {**_others(member), **{name: recovery.end for name, recovery in read.items()}})
    for name, recovery in read.items():
        if recovery.outcome is not Outcome.RECOVERED:
            why = recovery.reason or "nobody said since when"
            raise Refused("lost", f'what was missed of "{name}" is not known: {why}')


async def _read(
    node: "Node", member: "Member", restoring: Restoring
) -> Mapping[str, Recovery] | None:
    """What was missed since the client asked last, by room; None: it is gone."""
    while (asked := restoring.asked) is not None:
        breaks = node.breaks
        lacking = member.lacking()
        assert member.parked is not None  # until `unpark`
        member.parked.forget(partial(_is_of, lacking))  # it is in what is read from here on
        try:
            read = await missed(node, lacking, asked.since)
        except Exception:
            if restoring.asked is not asked:
                continue  # it is nobody's failure
            raise
        if restoring.asked is asked and node.breaks == breaks:
            return read  # else it is of an epoch that is over, or of another question
    return None


def _is_of(rooms: Iterable["Room"], record: Record) -> bool:
    """Whether it was published in one of these."""
    return any(record.room == room.name for room in rooms)


def _others(member: "Member") -> Mapping[str, Position]:
    """Where it stands in rooms where nothing is lacking; in the others it is known from here on."""
    behind, member.behind = member.behind, {}
    return {name: end for name, end in behind.items() if end is not None}
