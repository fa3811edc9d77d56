"""Dispatch: which handler runs when.  HOT

A member's messages are handled one after another, beginning with its join and ending with its
leave, up to the start of streaming; `parallel=n` handlers do not hold those behind them. Replies,
items, ends, cancels and acks never wait in that order. Nothing is awaited between a message and the
first step of its handler.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from inspect import isawaitable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from anywire.body import NO_ARGS, Args, Body
from anywire.core import streaming
from anywire.core.channel import Left
from anywire.core.member import Member
from anywire.core.membership import Memberships
from anywire.core.past import past
from anywire.core.presence import PRESENCE
from anywire.core.restoring import Restoring, restore
from anywire.core.stepping import Stepper
from anywire.core.stream import Stream
from anywire.core.turn import (
    Later,
    Turn,
    args_of,
    close_inboxes,
    data_of,
    drop_event,
    refusal,
    refuse_event,
)
from anywire.errors import Refused
from anywire.frames import (
    Auth,
    End,
    Event,
    Item,
    Join,
    Leave,
    Past,
    Presence,
    Ref,
    Refusal,
    Reply,
    Want,
)
from anywire.limits import is_too_long

if TYPE_CHECKING:
    from anywire.core.node import Node
    from anywire.core.session import Session

__all__ = ["Dispatcher", "Later"]

log = logging.getLogger(__name__)


class Dispatcher:
    """Hands frames to handlers; one per node."""

    __slots__ = ("_memberships", "_node", "stepper")

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._memberships = Memberships(node)
        self.stepper = Stepper()

    # --- events ---------------------------------------------------------------------------------

    def event(self, session: "Session", frame: Event) -> None:
        """Run the handler of an event now, or when its turn comes."""
        member = session.members.get(frame.alias)
        if member is None:
            refuse_event(session, frame, _not_joined(frame.alias))
            return
        if session.streams and not session.can_stream and streaming.is_cancel(session, frame):
            return
        if frame.streams:
            try:
                future = asyncio.get_running_loop().create_future
                streaming.open_inboxes(member, frame, future)
            except Refused as refused:
                refuse_event(session, frame, refused)
                return
        if not member.is_held and not member.queue and self._start(member, frame):
            return
        if self._wait(member, frame):
            return
        drop_event(member, frame, Refused("busy", "too many events wait; send fewer at once"))
        member.overflows += 1
        if member.overflows > session.hello.limits.calls:
            log.info("session %s is closed: too many events of %r wait", session.id, member)
            session.close(4429, "too many events wait for their handlers", retry=1.0)

    def advance(self, member: Member) -> None:
        """Start what waits at the head of the queue, as far as the order allows."""
        queue = member.queue
        if not queue or member.is_advancing:
            return  # the loop below, further up in the stack, goes on
        member.is_advancing = True
        try:
            while queue and not member.is_held:
                work = queue.popleft()
                if isinstance(work, Event):
                    if not self._start(member, work):
                        queue.appendleft(work)
                        return
                    member.overflows = 0
                elif isinstance(work, Past):
                    self._past(member, work)
                elif member.running:
                    queue.appendleft(work)
                    return  # the leave comes last
                else:
                    self._memberships.run_leave(member, work)
        finally:
            member.is_advancing = False

    def _wait(self, member: Member, work: Event | Past) -> bool:
        """Put it into the member's queue; false when that is full."""
        if member.queue is None:
            member.queue = deque()
        if len(member.queue) >= member.session.hello.limits.waiting_events:
            return False
        member.queue.append(work)
        return True

    def _start(self, member: Member, frame: Event) -> bool:
        """Run the handler of an event; false when as many of it run as may."""
        channel = member.channel
        handler = channel.handlers.get(frame.event)
        if handler is None:
            try:
                handler = channel.find(frame.event)
                if is_too_long(frame.event, member.session.hello.limits.name):
                    raise Refused("invalid", "the event's name is too long")
            except Refused as refused:
                drop_event(member, frame, refused)
                return True
        streams = member.session.streams
        if streams and frame.ref is not None:
            limit = member.session.hello.limits.calls
            if len(streams) >= limit:
                drop_event(member, frame, _under_way(limit))
                return True
        binder = handler.binder
        turn = Turn(member, frame, handler)
        if turn.is_ordered:
            member.is_held = True
        else:
            running = member.running
            if running is None:
                running = member.running = {}
            count = running.get(handler, 0)
            if count >= handler.parallel:
                return False
            running[handler] = count + 1
        try:
            if binder.is_stream or frame.want is Want.STREAM:
                streaming.check(turn)
            if binder.uploads:
                turn.uploads = streaming.uploads(turn)
            if handler.guards:
                result: Any = self._guarded(turn)
            else:
                args = frame.args
                result = binder.invoke(turn, args if type(args) is Args else NO_ARGS)
            if binder.is_stream:
                result = streaming.begin(turn, result)
        except Exception as error:
            turn.done(None, error)
            return True
        if type(result) is not CoroutineType and not isinstance(result, Coroutine):
            turn.done(result, None)
            return True
        task = self.stepper.start(result, turn.done, frame.event, is_handler=True)
        if binder.uploads:
            turn.release()
        if task is not None and frame.ref is not None:
            self._keep(turn, frame.ref, task)
        return True

    def _keep(self, turn: Turn, ref: Ref, task: "asyncio.Task[None]") -> None:
        """Let what still runs be cancelled by its client."""
        session = turn.member.session
        stream = turn.stream
        if stream is None:
            if ref in (session.streams or ()):
                return  # the same ref twice: the first one keeps it
            stream = turn.stream = Stream(turn.member)
            streaming.register(session, ref, stream)
        stream.task = task
        if stream.event is not None and turn.member.has_left:
            task.cancel()  # it has ended its own membership

    async def _guarded(self, turn: Turn) -> object:
        for guard in turn.handler.guards:
            verdict = guard(turn.member)
            if isawaitable(verdict):
                verdict = await verdict
            if verdict is False:
                raise Refused("refused", f'"{turn.event}" is not allowed')
        result = turn.handler.binder.invoke(turn, args_of(turn.frame))
        return await result if isawaitable(result) else result

    # --- what never waits in the order of events ------------------------------------------------

    def cancel(self, session: "Session", ref: Ref) -> None:
        """The client wants no more under this ref; unknown ones are ignored."""
        stream = (session.streams or {}).get(ref)
        if stream is not None:
            stream.cancel()
            return
        for member in session.members.values():
            for work in member.queue or ():
                if isinstance(work, Event) and work.ref == ref:
                    assert member.queue is not None
                    member.queue.remove(work)  # it has had no turn, and gets none
                    close_inboxes(member, work)
                    return

    def item(self, session: "Session", frame: Item) -> None:
        """One value of an upload; after its end, and under refs never named, ignored."""
        inbox = (session.inboxes or {}).get(frame.ref)
        if inbox is not None and isinstance(frame.data, Args) and not inbox.put(frame.data):
            session.send(End(frame.ref, "busy", "the upload is too far ahead of its handler"))

    def end_upload(self, session: "Session", frame: End) -> None:
        """The last word of an upload."""
        inbox = (session.inboxes or {}).get(frame.ref)
        if inbox is not None:
            inbox.end(frame.code, frame.text)

    def reply(self, session: "Session", frame: Reply) -> None:
        """The client's answer to a call of ours; late and unasked ones are ignored."""
        if session.calls is None or not session.calls.answer(frame):
            self._node.questions.answered(session, frame)

    # --- questions ------------------------------------------------------------------------------

    def past(self, session: "Session", frame: Past) -> None:
        """The client asks for what was published at an address; it must be joined first."""
        member = session.members.get(frame.alias)
        if member is None:
            _refuse_past(session, frame, _not_joined(frame.alias))
        elif member.lacking():
            self._restore(member, frame)
        elif member.parked is None:
            self._past(member, frame)
        elif not self._wait(member, frame):
            _refuse_past(session, frame, Refused("busy", "too many events wait"))

    def _past(self, member: Member, frame: Past) -> None:
        session = member.session
        stream = Stream(member)
        limit = session.hello.limits.calls
        if len(session.streams or ()) >= limit:
            _refuse_past(session, frame, _under_way(limit))
            return

        def done(body: object, error: BaseException | None) -> None:
            if session.streams is not None and session.streams.get(frame.ref) is stream:
                del session.streams[frame.ref]
            if error is None:
                assert isinstance(body, Body)
                session.send(Reply(frame.ref, frame.alias, body))
            elif not stream.is_cancelled:
                where = f'history of "{member.channel.pattern}"'
                _refuse_past(session, frame, refusal(error, where))

        found = past(self._node, member, frame.since, frame.limit)
        stream.task = self.stepper.start(found, done, "anywire past")
        if stream.task is not None and frame.ref not in (session.streams or ()):
            streaming.register(session, frame.ref, stream)

    def _restore(self, member: Member, frame: Past) -> None:
        """One reading at a time: a cut has made it nobody's, or it is for what was asked first."""
        session = member.session
        if member.restoring is not None:
            if member.restoring.asked is None:
                member.restoring.asked = frame
            else:
                _refuse_past(session, frame, Refused("busy", "it is being read"))
            return
        restoring = member.restoring = Restoring(frame)

        def done(_: object, error: BaseException | None) -> None:
            member.restoring = None
            asked = restoring.asked
            if asked is None:
                pass  # the client was cut again, and will ask again
            elif error is None:
                session.send(Reply(asked.ref, asked.alias))
            else:
                where = f'history of "{member.channel.pattern}"'
                _refuse_past(session, asked, refusal(error, where))
            self.advance(member)  # what was asked while nothing was lacking any more

        self.stepper.start(restore(self._node, member, restoring), done, "anywire restore")

    def presence(self, session: "Session", frame: Presence) -> None:
        """The client asks who is present at an address; the answer is the whole of it."""
        member = session.members.get(frame.alias)
        ref = f"{PRESENCE} {frame.alias}"
        if member is None:
            refused = _not_joined(frame.alias)
        elif not member.channel.presence:
            refused = Refused("unsupported", f'"{member.channel.pattern}" has no presence')
        elif ref in (session.streams or ()):
            return  # one answer is for all who ask meanwhile
        elif len(session.streams or ()) >= session.hello.limits.calls:
            refused = _under_way(session.hello.limits.calls)
        else:
            self._present(member, ref)
            return
        session.send(Refusal(None, frame.alias, refused.code, refused.text, event=PRESENCE))

    def _present(self, member: Member, ref: Ref) -> None:
        session = member.session
        stream = Stream(member)

        def done(_: object, error: BaseException | None) -> None:
            if session.streams is not None and session.streams.get(ref) is stream:
                del session.streams[ref]
            if error is not None and not stream.is_cancelled:
                told = refusal(error, f'presence of "{member.channel.pattern}"')
                session.send(Refusal(None, member.alias, told.code, told.text, event=PRESENCE))

        told = self._node.attendance.tell(member)
        stream.task = self.stepper.start(told, done, "anywire presence")
        if stream.task is not None:
            streaming.register(session, ref, stream)

    def authenticate(self, session: "Session", frame: Auth) -> None:
        """Credentials in a frame: reading is paused until they are judged."""
        threshold = session.threshold
        if threshold is None:
            if frame.ref is not None:
                text = "credentials cannot be changed; open a new connection"
                session.send(Refusal(frame.ref, None, "unsupported", text))
            return
        threshold.judge(session)

        def judged(user: Any, error: BaseException | None) -> None:
            if error is None:
                session.admit(user)
                return
            refused = refusal(error, "authenticate")
            session.send(Refusal(frame.ref, None, refused.code, refused.text, data_of(refused)))
            if frame.is_final:
                session.close(4401, refused.text or refused.code)
            else:
                threshold.turn_away(session)

        try:
            credentials = frame.credentials.value() if isinstance(frame.credentials, Args) else None
        except ValueError as error:
            judged(None, Refused("invalid", str(error)))
            return
        found = self._node.authenticated(session.hello, credentials)
        self.stepper.start(found, judged, "anywire authenticate")

    # --- joins and leaves -----------------------------------------------------------------------

    def join(self, session: "Session", frame: Join) -> None:
        """See `Memberships.join`."""
        self._memberships.join(session, frame)

    def leave(self, session: "Session", frame: Leave) -> None:
        """See `Memberships.leave`."""
        self._memberships.leave(session, frame)

    def finish(self, member: Member, left: Left, *, tell: bool) -> None:
        """See `Memberships.finish`."""
        self._memberships.finish(member, left, tell=tell)

    def lose(self, session: "Session", code: int, text: str, *, is_clean: bool) -> None:
        """The client is gone; its memberships may go on in another session."""
        for member in list(session.members.values()):
            self._memberships.lose(member, Left(code, text, clean=is_clean))

    def strand(self, session: "Session", code: int, text: str, *, is_clean: bool) -> None:
        """The client is gone; when it is back, it catches up where there is history."""
        self._memberships.strand(session, Left(code, text, clean=is_clean))

    def end(self, session: "Session", code: int, text: str, *, is_clean: bool) -> None:
        """The session is over."""
        self._memberships.end(session, Left(code, text, clean=is_clean))


def _not_joined(alias: str) -> Refused:
    return Refused("unknown_address", f'join "{alias:.80}" first')


def _under_way(limit: int) -> Refused:
    return Refused("busy", f"{limit} answers are under way")


def _refuse_past(session: "Session", frame: Past, refused: Refused) -> None:
    data = data_of(refused)
    session.send(Reply(frame.ref, frame.alias, data, refused.code, refused.text))
