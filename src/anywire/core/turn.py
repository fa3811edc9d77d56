"""Turn: one event on its way through its handler, and what its client is told in the end.  HOT"""

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from anywire.body import NO_ARGS, NO_BODY, Args, Body
from anywire.core.channel import MESSAGE, Handler
from anywire.core.member import Member
from anywire.core.stream import Stream
from anywire.errors import CallFailed, Refused
from anywire.frames import End, Event, Refusal, Reply, Want

if TYPE_CHECKING:
    from anywire.core.session import Session

log = logging.getLogger(__name__)


class Later:
    """An answer that comes after the handler has returned: `later: Later` as a parameter."""

    __slots__ = ("_turn",)

    def __init__(self, turn: "Turn") -> None:
        self._turn = turn

    @property
    def is_awaited(self) -> bool:
        """Whether the client asked for an answer."""
        frame = self._turn.frame
        return frame.want is Want.REPLY and frame.ref is not None

    def answer(self, *values: object) -> None:
        """Answer now; only the first answer or refusal counts. Several values are the arguments of
        an acknowledgement where a wire has such, else one list.
        """
        self._turn.answer(*values)

    def refuse(self, code: str, text: str = "", *, data: object = None) -> None:
        """Answer with an error. Raises ValueError for data that JSON cannot hold."""
        self._turn.refuse(Refused(code, text, data=data))


class Turn:
    """One event of a member; also the source its handler's parameters are taken from."""

    __slots__ = (
        "frame",
        "handler",
        "is_answered",
        "is_later",
        "is_ordered",
        "is_released",
        "is_streaming",
        "member",
        "stream",
        "uploads",
    )

    def __init__(self, member: Member, frame: Event, handler: Handler) -> None:
        self.member = member
        self.uploads: Sequence[object] = ()
        self.frame = frame
        self.handler = handler
        self.is_ordered = handler.parallel == 1
        self.is_released = False
        self.is_answered = False
        self.is_later = False
        self.is_streaming = False
        """Items were sent under its ref, so an error is their end."""
        self.stream: Stream | None = None

    @property
    def path(self) -> Mapping[str, str]:
        """The fields of the member's address."""
        return self.member.fields

    @property
    def event(self) -> str:
        return self.frame.event

    @property
    def left(self) -> None:
        """Nothing: this is no leave."""

    @property
    def later(self) -> Later:
        """Asked for by a handler that answers itself: what it returns is not sent then."""
        self.is_later = True
        return Later(self)

    def done(self, value: object, error: BaseException | None) -> None:
        """The handler has ended."""
        try:
            if error is not None:
                self.fail(error)
            elif not self.is_later:
                self.answer(*(() if value is None else (value,)))
        finally:
            if self.stream is not None or self.frame.streams:
                self.close()
            self.release()

    def answer(self, *values: object) -> None:
        """Send the handler's values where somebody waits for them."""
        if self.is_answered:
            return
        frame = self.frame
        session = self.member.session
        is_asked = frame.want is Want.REPLY and frame.ref is not None
        if not is_asked and (not values or frame.event != MESSAGE or session.can_reply):
            return
        try:
            body = Body.of(*values) if values else NO_BODY
        except ValueError as error:
            self.fail(error)
            return
        if is_asked and frame.ref is not None:
            self.is_answered = True
            session.send(Reply(frame.ref, frame.alias, body))
        else:  # a wire without answers: what `message` returns is a message
            session.send(Event(frame.alias, MESSAGE, body))

    def refuse(self, refused: Refused) -> None:
        """Tell the client no: as the answer if it waits for one, else beside its event's name."""
        if self.is_answered:
            return
        frame = self.frame
        if self.is_streaming and frame.ref is not None:
            self.member.session.send(End(frame.ref, refused.code, refused.text))
        else:
            refuse_event(self.member.session, frame, refused)
        self.is_answered = True

    def fail(self, error: BaseException) -> None:
        """Tell the client what the handler raised; nothing if the client has cancelled it."""
        if isinstance(error, asyncio.CancelledError) and self.stream and self.stream.is_cancelled:
            return
        self.refuse(refusal(error, f'"{self.event}" on "{self.member.channel.pattern}"'))

    def release(self) -> None:
        """Let the member's next message have its turn; only the first call counts."""
        if self.is_released:
            return
        self.is_released = True
        member = self.member
        if self.is_ordered:
            member.is_held = False
        else:
            running = member.running
            assert running is not None
            running[self.handler] -= 1
            if not running[self.handler]:
                del running[self.handler]
        if member.queue:
            member.session.node.dispatcher.advance(member)

    def close(self) -> None:
        """Nothing more comes or goes under this event's refs."""
        frame = self.frame
        if self.stream is not None:
            streams = self.stream.session.streams
            assert streams is not None and frame.ref is not None
            del streams[frame.ref]
        if frame.streams:
            close_inboxes(self.member, frame)


def args_of(frame: Event) -> Args:
    """What came with an event; a machine hands events over with the peer's own text."""
    return frame.args if isinstance(frame.args, Args) else NO_ARGS


def refuse_event(session: "Session", frame: Event, refused: Refused) -> None:
    """Tell the client no, about one event. Raises ValueError for data that JSON cannot hold."""
    log.debug("%r: the event %.80r was refused: %.300r", session, frame.event, str(refused))
    data = data_of(refused)
    if frame.want is not Want.NOTHING and frame.ref is not None:
        session.send(Reply(frame.ref, frame.alias, data, refused.code, refused.text))
    else:
        session.send(
            Refusal(None, frame.alias, refused.code, refused.text, data, event=frame.event)
        )


def drop_event(member: Member, frame: Event, refused: Refused) -> None:
    """Refuse an event that has had no turn, and its uploads."""
    close_inboxes(member, frame)
    refuse_event(member.session, frame, refused)


def close_inboxes(member: Member, frame: Event) -> None:
    """Take no more items of this event's uploads."""
    for ref in frame.streams:
        (member.session.inboxes or {}).pop(ref, None)
        (member.inboxes or {}).pop(ref, None)


def data_of(refused: Refused) -> Body | None:
    """The data of a refusal, as it goes out."""
    return None if refused.data is None else Body.of(refused.data)


def refusal(error: BaseException, where: str) -> Refused:
    """What a client is told of an error. A bug is logged, under an id that the client hears too."""
    if isinstance(error, asyncio.CancelledError):
        return Refused("lost", "it was stopped before it could answer")
    if isinstance(error, Refused | CallFailed):
        refused = Refused(error.code, error.text, data=error.data)
        try:
            data_of(refused)
            return refused
        except ValueError as wrong:  # a refusal that cannot be sent is a bug of its own
            error = wrong
    id = secrets.token_hex(4)
    log.error("%s failed, told as internal %s", where, id, exc_info=error)
    text = f"the server failed; its log has the cause under {id}"
    return Refused("internal", text, data={"id": id})
