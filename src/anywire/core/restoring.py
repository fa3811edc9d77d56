"""Restoring: a member hears again of rooms with history, whose client was cut and is back.

For wires whose clients say themselves where they stand, once the session goes on (`Cap.CATCH_UP`).
Rooms, state and rights are as they were, and no handler runs. In this order: parked, so that
nothing is lost from here on; the history is read; what was missed, with who came and went; what was
parked; live. See docs/decisions/0027-who-comes-back-asks-for-what-it-missed.md.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from anywire.core.joining import check_here, park, read_of, replay, unpark
from anywire.errors import Refused
from anywire.frames import Outcome, Position, Since

if TYPE_CHECKING:
    from anywire.core.member import Member
    from anywire.core.node import Node


async def restore(node: "Node", member: "Member", since: Since) -> None:
    """Say what was missed since then, and go live. Raises Refused where some of it is not known,
    once the rest is said.
    """
    session = member.session
    machine = session.machine
    park(member)
    try:
        while True:
            breaks = node.breaks
            read = {room.name: await read_of(node, room, since) for room in member.lacking()}
            check_here(member)
            if node.breaks == breaks:
                break  # else what was read is of an epoch that is over: read again
    except BaseException:  # cancelled, too
        if not member.has_left:
            go_live(member)
        raise
    if session.is_adrift or session.machine is not machine:
        unpark(member, {})
        raise Refused("lost", "the client was cut again, and will ask again")
    # From here on nothing is awaited: what is written is one piece of the client's order.
    for name, recovery in read.items():
        replay(member, member.rooms.get(name), recovery.records)
    ends = {name: recovery.end for name, recovery in read.items()}
    unpark(member, {**_others(member), **ends})
    for name, recovery in read.items():
        if recovery.outcome is not Outcome.RECOVERED:
            why = recovery.reason or "nobody said since when"
            raise Refused("lost", f'what was missed of "{name}" is not known: {why}')


def go_live(member: "Member") -> None:
    """Hear from now on, whatever was missed."""
    unpark(member, _others(member))


def _others(member: "Member") -> Mapping[str, Position]:
    """Where it stands in rooms where nothing is lacking; in the others it is known from here on."""
    behind, member.behind = member.behind, {}
    return {name: end for name, end in behind.items() if end is not None}
