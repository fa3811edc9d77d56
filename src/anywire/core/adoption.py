"""Adoption: a membership that lost its session goes on in another one of the same identity.

For wires whose clients come back with a new session and the secret of each membership
(`Cap.ADOPT`). Its rooms and state stay as they are, and what it missed is said again; but to the
application it leaves when its client is gone, and joins when it comes back: rights are checked each
time. In this order: out of the lanes and parked, so that nothing is lost from here on; `leave`, if
it has not run; `join`; the answer; what was missed; what was parked; live.
"""

import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from anywire.body import Body
from anywire.core import streaming
from anywire.core.joining import SECRET, answer, authorised, check_here, present
from anywire.core.parking import park, unpark
from anywire.core.presence import whole
from anywire.frames import Join, Joined, Outcome
from anywire.payload import Payload
from anywire.wires.base import Adopting

if TYPE_CHECKING:
    from anywire.core.member import Member
    from anywire.core.node import Node
    from anywire.core.session import Session


def adopted(
    node: "Node", session: "Session", frame: Join
) -> "tuple[Member, Sequence[Payload]] | None":
    """The membership that a join shows the secret of, now this session's, and what it missed.

    None: there is none any more, it is somebody else's, or what it missed is not known.
    """
    node.settle()  # what was published before is in the tail
    id, _, token = frame.token.partition(SECRET)
    member = node.adoptable.get(id)
    given = token.encode(errors="replace")
    if member is None or not hmac.compare_digest(given, member.token.encode()):
        return None
    old = member.session
    is_its = member.alias == frame.alias and old.wire is session.wire
    if (
        not is_its
        or old is session
        or not old.user.is_same(session.user)
        or member.parked is not None
    ):
        return None
    outbox = old.outbox
    tail = [framed.payload for framed in outbox.tail()]
    machine = cast(Adopting, session.machine)  # the cap says so
    missed = machine.missed(tail, frame.alias, frame.mark, is_whole=outbox.is_whole)
    if missed is None:
        return None
    _move(member, old, session)
    return member, missed


def _move(member: "Member", old: "Session", session: "Session") -> None:
    """Out of the lanes of the old session, and parked; the old one ends with its last member."""
    streaming.stop(member)
    park(member)
    member.keep_id()
    del old.members[member.alias]
    member.session = session
    session.members[member.alias] = member
    if not old.members:
        transport = old.transport
        old.end(4409, "replaced by a newer connection", is_clean=False)
        if transport is not None:
            transport.close(4409, "replaced by a newer connection")


async def go_on(node: "Node", member: "Member", frame: Join, missed: Sequence[Payload]) -> None:
    """The rest of a join that goes on with a membership. Raises what the `join` handler raises."""
    check_here(member)
    member.outcome = Outcome.RECOVERED  # for the handler to see
    data = await authorised(member, frame)
    check_here(member)
    here = await present(node, member) if member.channel.presence else None
    check_here(member)
    # From here on nothing is awaited: what is written is one piece of the client's order.
    body = None if data is None else Body.of(data)
    answer(node, member, Joined(frame.ref, member.alias, body, Outcome.RECOVERED))
    session = member.session
    session.repeat(missed)
    if here is not None:
        session.send(whole(member.alias, here))
    ends, member.behind = member.behind, {}
    unpark(member, ends)
