"""Joining: the five steps of a join, in an order that loses and doubles nothing.

Authorise; subscribe the node; park what arrives; read history; replay, drop duplicates, unpark.
Every other order is wrong under some interleaving: docs/decisions/0005-join-with-a-position.md.
"""

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from anywire.body import NO_ARGS, Args, Body
from anywire.core.binding import Scope
from anywire.core.entering import enter
from anywire.core.member import Member
from anywire.core.parking import unpark
from anywire.core.presence import PRESENCE, whole
from anywire.core.recovery import Recovery
from anywire.core.replaying import missed, one_at_a_time, replay
from anywire.errors import Refused
from anywire.frames import Join, Joined, Outcome, Record
from anywire.wires.base import Cap

if TYPE_CHECKING:
    from anywire.core.node import Node

SECRET = "~"
"""What stands between the id of a membership and its secret."""
_LISTS = 8
"""How often a join asks who is here, while people come and go."""


async def join(node: "Node", member: Member, frame: Join) -> None:
    """Make a member of who asked, answer, and replay. Raises what the `join` handler raises."""
    check_here(member)
    data = await authorised(member, frame)
    body = None if data is None else Body.of(data)
    if member.since is None:
        await _begin(node, member, frame, body)
    else:
        async with one_at_a_time(node, member.session):
            await _begin(node, member, frame, body)


async def _begin(node: "Node", member: Member, frame: Join, body: Body | None) -> None:
    """The steps after the authorisation."""
    session = member.session
    check_here(member)
    member.room = await enter(node, member, member.room)
    here: Mapping[str, Sequence[bytes]] | None = None
    while True:
        breaks = node.breaks
        read = await missed(node, list(member.rooms.values()), member.since)
        if member.channel.presence:
            here = await present(node, member)
        check_here(member)
        if node.breaks == breaks:
            break  # else what was read is of an epoch that is over: read again
    # From here on nothing is awaited: what is written is one piece of the client's order.
    outcome, reason = _outcome(list(read.values()))
    member.outcome = outcome
    positions = {name: end.start for name, end in read.items() if end.start is not None}
    answer(node, member, Joined(frame.ref, member.alias, body, outcome, reason, positions))
    if here is not None:
        session.send(whole(member.alias, here))
    for name, recovery in read.items():
        replay(member, member.rooms.get(name), without_presence(recovery.records))
    unpark(member, {name: recovery.end for name, recovery in read.items()})


def answer(node: "Node", member: Member, joined: Joined) -> None:
    """Tell the client that it is a member, and, where it can use that, how to go on being one."""
    session = member.session
    joined.member = member.id
    if session.resumes and session.machine.caps & Cap.ADOPT:
        if not member.token:
            member.token = node.new_token()
            node.adoptable[member.id] = member
        joined.token = f"{member.id}{SECRET}{member.token}"
    session.send(joined)


async def authorised(member: Member, frame: Join) -> object:
    """What the `join` handler says. One that takes no arguments is given none, whatever came."""
    handler = member.channel.joining
    if handler is None:
        return None
    params = NO_ARGS
    if handler.binder.takes_arguments and isinstance(frame.params, Args):
        params = frame.params
    data = handler.binder.invoke(Scope(member, member.fields, "join"), params)
    return await data if isinstance(data, Coroutine) else data


def check_here(member: Member) -> None:
    if member.has_left:
        raise Refused("left", "the membership ended before its join did")


def _outcome(recoveries: list[Recovery]) -> tuple[Outcome, str]:
    """One word for all rooms: lost if any is, recovered if any was asked for."""
    for outcome in (Outcome.LOST, Outcome.RECOVERED):
        for recovery in recoveries:
            if recovery.outcome is outcome:
                return outcome, recovery.reason
    return Outcome.FRESH, ""


async def present(node: "Node", member: Member) -> Mapping[str, Sequence[bytes]]:
    """Who is here; what is parked of comings and goings afterwards is not in it.

    What came before we ask is in the list. What comes while we wait may or may not be, so we ask
    again; in the end, twice is better than never.
    """
    name = member.room.name

    def is_change(record: Record) -> bool:
        return record.event == PRESENCE and record.room == name

    here: Mapping[str, Sequence[bytes]] = {}
    for _ in range(_LISTS):
        parked = member.parked
        assert parked is not None  # until `unpark`
        parked.forget(is_change)
        here = await node.presence.list(name)
        if not any(map(is_change, parked.records())):
            break
    return here


def without_presence(records: Iterable[Record]) -> Iterable[Record]:
    """Without who came and went: who joins is told who is here."""
    return (record for record in records if record.event != PRESENCE)
