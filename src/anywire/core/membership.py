"""Membership: how members come and go. A membership begins with its join and ends with its leave,
and one alias of a session has one at a time: the next begins when the last has left.
"""

import logging
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING

import msgspec

from anywire.body import NO_ARGS, Args
from anywire.core import streaming
from anywire.core.adoption import adopted, go_on
from anywire.core.binding import Scope
from anywire.core.channel import Left
from anywire.core.entering import absent, dismiss
from anywire.core.joining import join
from anywire.core.member import Member
from anywire.core.turn import data_of, drop_event, refusal
from anywire.errors import Refused, as_text
from anywire.frames import Event, Join, Leave, Past, Refusal, Reply
from anywire.limits import is_too_long
from anywire.payload import Payload

if TYPE_CHECKING:
    from anywire.core.node import Node
    from anywire.core.session import Session

log = logging.getLogger(__name__)


class Memberships:
    """Joins and leaves of one node's sessions."""

    __slots__ = ("_leaving", "_node")

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._leaving: dict[tuple[str, str], Member] = {}
        """By session and alias: the last member that has left and is not gone yet."""

    def join(self, session: "Session", frame: Join) -> None:
        """Ask the channel, then make a member; the answer is a Joined or a Refusal."""
        alias = frame.alias
        if frame.parts is not None:
            frame.address, rest = self._node.channels.fill(frame.address, frame.parts)
            frame.params = Args(msgspec.Raw(msgspec.json.encode(rest))) if rest else NO_ARGS
        is_taken = alias in session.members or (session.id, alias) in self._leaving
        may_adopt = bool(frame.token) and not is_taken and not session.has_ended
        found = adopted(self._node, session, frame) if may_adopt else None
        if found is not None:
            self._go_on(session, frame, *found)
            return
        try:
            member = self._member(session, frame)
        except Refused as refused:
            self._refuse(session, frame, refused)
            return

        def begin() -> None:
            def done(_: object, error: BaseException | None) -> None:
                if error is None:
                    member.is_held = False
                    self._node.dispatcher.advance(member)
                else:
                    self._fail(member, frame, error)

            name = f"anywire join {frame.address}"
            self._node.dispatcher.stepper.start(join(self._node, member, frame), done, name)

        old = session.members.get(alias)
        if old is not None:
            self.finish(old, Left("replaced", "joined again", clean=True), tell=False)
        session.members[alias] = member
        before = self._leaving.get((session.id, alias))
        if before is None:
            begin()
        else:
            before.successor = begin

    def _go_on(
        self, session: "Session", frame: Join, member: Member, missed: Sequence[Payload]
    ) -> None:
        """A membership of another session goes on here; a refusal ends it, without a leave."""

        def done(_: object, error: BaseException | None) -> None:
            if error is not None:
                self._fail(member, frame, error)
                return
            member.is_held = False
            if not session.is_attached:  # gone again, perhaps before this began
                self.lose(member, Left(1006, "the client is gone", clean=False))
            self._node.dispatcher.advance(member)

        def begin() -> None:
            member.is_told = False
            member.is_held = True  # as with every join, what it says waits for the answer
            going = go_on(self._node, member, frame, missed)
            self._node.dispatcher.stepper.start(going, done, f"anywire join {frame.address}")

        self.lose(member, Left(4409, "replaced by a newer connection", clean=False))
        if member.is_leaving:
            member.successor = begin  # joins and leaves take turns
        else:
            begin()

    def leave(self, session: "Session", frame: Leave) -> None:
        """The client ends a membership; harmless for one that is not."""
        member = session.members.get(frame.alias)
        if member is not None:
            self.finish(member, Left(frame.code or "left", frame.text, clean=True), tell=False)
        if frame.ref is not None:
            session.send(Leave(frame.alias, frame.ref))

    def finish(self, member: Member, left: Left, *, tell: bool) -> None:
        """Stop delivery and streams at once; `leave` runs after the events that wait."""
        if member.has_left:
            return
        member.has_left = True
        member.left = left
        session = member.session
        if member.token:
            self._node.adoptable.pop(member.id, None)
        for room in member.rooms.values():
            room.remove(member)
        del session.members[member.alias]
        streaming.stop(member)
        absent(self._node, member)
        if member.queue is None:
            member.queue = deque()
        member.queue.append(left)
        if tell:
            session.send(Leave(member.alias, None, as_text(str(left.code)), as_text(left.text)))
        self._leaving[session.id, member.alias] = member
        self._node.dispatcher.advance(member)
        if tell and session.machine.is_single and not session.has_ended:
            session.close(4403, left.text or "the membership has ended")

    def lose(self, member: Member, left: Left) -> None:
        """The client is gone, and may go on with its membership in another session: `leave` runs,
        and everything else stays as it is.
        """
        if member.is_told or member.is_leaving or member.has_left:
            return
        member.is_leaving = True
        member.left = left
        absent(self._node, member)
        if member.queue is None:
            member.queue = deque()
        member.queue.append(left)
        self._node.dispatcher.advance(member)

    def strand(self, session: "Session", left: Left) -> None:
        """The client is gone, and comes back to this session: who cannot tell then what it missed
        has left.
        """
        for member in list(session.members.values()):
            if not member.strand_all():
                self.finish(member, left, tell=True)

    def end(self, session: "Session", left: Left) -> None:
        """The session is over: its members leave, its uploads and calls are lost."""
        for member in list(session.members.values()):
            self.finish(member, left, tell=False)
        for inbox in list((session.inboxes or {}).values()):
            inbox.end("lost", "the client is gone")
        if session.calls is not None:
            session.calls.lose()

    def run_leave(self, member: Member, left: Left) -> None:
        """The last turn of a member: its `leave` handler, then its rooms forget it."""
        member.is_held = True

        def done(_: object, error: BaseException | None) -> None:
            if error is not None:  # nobody waits for it; a bug is in the log
                refusal(error, f'leave of "{member.channel.pattern}"')
            member.is_leaving = False
            if member.has_left:
                dismiss(self._node, member)
            self._gone(member)
            self._node.dispatcher.advance(member)

        handler = None if member.is_told else member.channel.leaving
        member.is_told = True
        if handler is None:
            done(None, None)
            return
        scope = Scope(member, member.fields, "leave", left=left)
        try:
            result = handler.binder.invoke(scope, NO_ARGS)
        except Exception as error:
            done(None, error)
            return
        if isinstance(result, Coroutine):
            name = f"anywire leave {member.address}"
            self._node.dispatcher.stepper.start(result, done, name, is_handler=True)
        else:
            done(None, None)

    def _member(self, session: "Session", frame: Join) -> Member:
        """The member that a join asks for. Raises Refused."""
        limits = session.hello.limits
        if session.has_ended:
            raise Refused("left", "the session has ended")
        if not session.may_join(self._node.now()):
            raise Refused("rate", f"at most {limits.joins} joins per second")
        if frame.alias not in session.members and len(session.members) >= limits.members:
            raise Refused("busy", f"a session may be joined to {limits.members} addresses")
        for name in (frame.address, frame.alias):
            if is_too_long(name, limits.name):
                raise Refused("invalid", f"an address has at most {limits.name} bytes")
        channel, fields = self._node.channels.find(frame.address)
        return Member(
            session,
            channel,
            address=frame.address,
            alias=frame.alias,
            fields=fields,
            since=frame.since,
        )

    def _fail(self, member: Member, frame: Join, error: BaseException) -> None:
        """The join was refused: what waited for it is, too, and nothing of the member is left."""
        session = member.session
        was_over = member.has_left
        if session.members.get(member.alias) is member:
            del session.members[member.alias]
        if member.token:  # it was to go on here, and is over
            self._node.adoptable.pop(member.id, None)
        member.has_left = True
        member.parked = None
        waiting, member.queue = member.queue, None
        why = Refused("unknown_address", "the join was refused")
        for work in waiting or ():
            match work:
                case Event():
                    drop_event(member, work, why)
                case Past():
                    session.send(Reply(work.ref, work.alias, None, why.code, why.text))
                case _:
                    pass
        dismiss(self._node, member)
        refused = refusal(error, f'join of "{member.channel.pattern}"')
        if frame.ref is not None or not was_over:  # else its client left, or was told
            self._refuse(session, frame, refused)
        self._gone(member)

    def _refuse(self, session: "Session", frame: Join, refused: Refused) -> None:
        log.info("%r: the join of %.200r was refused: %.300r", session, frame.address, str(refused))
        refusal_frame = Refusal(
            frame.ref, frame.alias, refused.code, refused.text, data_of(refused)
        )
        session.send(refusal_frame)
        if session.machine.is_single and not session.has_ended:
            session.close(4403, refused.text or refused.code)

    def _gone(self, member: Member) -> None:
        """Nothing of this member runs any more: who waits for its alias may begin."""
        member.is_held = False
        key = (member.session.id, member.alias)
        if self._leaving.get(key) is member:
            del self._leaving[key]
        begin, member.successor = member.successor, None
        if begin is not None:
            begin()
