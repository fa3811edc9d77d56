"""Messages of the anywire protocol as structs, and the frames they mean.

docs/reference/protocol.md is the law. Members that hold the application's data stay `Raw`: the
binder decodes them once, into the handler's types.
"""

from typing import Annotated, Any, ClassVar

import msgspec

from anywire.body import NO_ARGS, Args, Form, Shape
from anywire.errors import ProtocolError, close_reason
from anywire.frames import (
    Ack,
    Auth,
    Beat,
    Bye,
    Cancel,
    End,
    Event,
    Frame,
    Gap,
    Item,
    Join,
    Joined,
    Leave,
    Outcome,
    Past,
    Position,
    Presence,
    Refusal,
    Reply,
    Since,
    Want,
    Welcome,
)
from anywire.limits import Limits

CLOSE_PROTOCOL = 4400
CLOSE_KIND = 1003
CLOSE_SIZE = 1009
ABSENT = msgspec.Raw()

_INT64 = msgspec.Meta(ge=-(2**63), le=2**63 - 1)
_COUNT = msgspec.Meta(ge=0, le=2**63 - 1)
_REF_BYTES = 64
Ref = Annotated[int, _INT64] | Annotated[str, msgspec.Meta(max_length=_REF_BYTES)]
Count = Annotated[int, _COUNT]


def broken(reason: str, code: int = CLOSE_PROTOCOL) -> ProtocolError:
    """The error for a peer that broke the rules, its reason cut to what a close frame holds."""
    return ProtocolError(close_reason(reason), code=code)


def is_given(raw: msgspec.Raw, form: Form) -> bool:
    """Whether a member stands there; `null` means the same as absent."""
    size = len(raw)
    if form is Form.JSON:
        return size > 0 and (size != 4 or bytes(raw) != b"null")
    return size > 1 or (size == 1 and bytes(raw) != b"\xc0")


def one_value(raw: msgspec.Raw, form: Form) -> Args | None:
    """The one value of a member, None when it is absent."""
    return Args(raw, form, Shape.ONE) if is_given(raw, form) else None


def arguments(data: msgspec.Raw, args: msgspec.Raw, form: Form) -> Args:
    """The arguments in `data` (one value) or `args` (a list). Raises ProtocolError for both."""
    if is_given(data, form):
        if is_given(args, form):
            raise broken("data and args cannot both stand in a message")
        return Args(data, form, Shape.ONE)
    if not is_given(args, form):
        return NO_ARGS
    first = memoryview(args)[0]
    is_list = first == 0x5B if form is Form.JSON else 0x90 <= first <= 0x9F or first in (0xDC, 0xDD)
    if not is_list:
        raise broken("args must be a list")
    return Args(args, form, Shape.LIST)


def check_ref(ref: int | str) -> int | str:
    """The ref, if it is short enough. Raises ProtocolError."""
    if isinstance(ref, str) and len(ref.encode()) > _REF_BYTES:
        raise broken(f"a ref has at most {_REF_BYTES} bytes")
    return ref


class PositionMember(msgspec.Struct):
    """`{"offset": 12, "epoch": "k3"}`"""

    offset: Count
    epoch: str


class SinceMember(msgspec.Struct):
    """`{"positions": {"chat:lobby": {"offset": 12, "epoch": "k3"}}}`, or `time`, or `last`."""

    positions: dict[str, PositionMember] | None = None
    time: float | None = None
    last: Count | None = None

    def since(self) -> Since:
        if self.time is not None and self.time - self.time != 0.0:
            raise broken("since.time must be a finite number")
        return Since(_positions(self.positions), self.time, self.last)


def _positions(members: dict[str, PositionMember] | None) -> dict[str, Position]:
    return {room: Position(at.offset, at.epoch) for room, at in (members or {}).items()}


def _position(offset: int | None, epoch: str | None) -> Position | None:
    return None if offset is None or epoch is None else Position(offset, epoch)


class Said(msgspec.Struct, tag_field="type"):
    """Base of all messages: what `type` says, and whether it is counted for a resume."""

    counted: ClassVar[bool] = True


class AuthSaid(Said, tag="auth"):
    counted: ClassVar[bool] = False
    ref: Ref
    credentials: msgspec.Raw

    def frame(self, form: Form, limits: Limits) -> Frame:
        return Auth(check_ref(self.ref), one_value(self.credentials, form) or NO_ARGS)


class JoinSaid(Said, tag="join"):
    address: str
    ref: Ref | None = None
    params: msgspec.Raw = ABSENT
    since: SinceMember | None = None

    def frame(self, form: Form, limits: Limits) -> Frame:
        return Join(
            ref=None if self.ref is None else check_ref(self.ref),
            address=self.address,
            alias=self.address,
            params=one_value(self.params, form) or NO_ARGS,
            since=None if self.since is None else self.since.since(),
        )


class PastSaid(Said, tag="past"):
    ref: Ref
    address: str
    since: SinceMember | None = None
    limit: Count | None = None

    def frame(self, form: Form, limits: Limits) -> Frame:
        since = Since() if self.since is None else self.since.since()
        limit = limits.replay if self.limit is None else min(self.limit, limits.replay)
        return Past(check_ref(self.ref), self.address, since, limit)


class LeaveSaid(Said, tag="leave"):
    address: str
    ref: Ref | None = None
    code: str | None = None
    text: str | None = None

    def frame(self, form: Form, limits: Limits) -> Frame:
        ref = None if self.ref is None else check_ref(self.ref)
        return Leave(self.address, ref, self.code or "", self.text or "")


class EventSaid(Said, tag="event"):
    address: str
    event: str
    data: msgspec.Raw = ABSENT
    args: msgspec.Raw = ABSENT
    id: str | None = None
    volatile: bool | None = None

    def frame(self, form: Form, limits: Limits) -> Event:
        return Event(
            self.address,
            self.event,
            arguments(self.data, self.args, form),
            volatile=bool(self.volatile),
            id=self.id,
        )


class CallSaid(Said, tag="call"):
    ref: Ref
    address: str
    event: str
    data: msgspec.Raw = ABSENT
    args: msgspec.Raw = ABSENT
    stream: bool | None = None
    uploads: list[Ref] | None = None
    id: str | None = None

    def frame(self, form: Form, limits: Limits) -> Event:
        uploads = self.uploads or ()
        if len(uploads) > limits.streams:
            raise broken(f"a call has at most {limits.streams} uploads")
        return Event(
            self.address,
            self.event,
            arguments(self.data, self.args, form),
            ref=check_ref(self.ref),
            want=Want.STREAM if self.stream else Want.REPLY,
            streams=tuple(check_ref(ref) for ref in uploads),
            id=self.id,
        )


class PublicationSaid(EventSaid, tag="event"):
    """An event as a client hears it."""

    room: str | None = None
    offset: Count | None = None
    epoch: str | None = None

    def frame(self, form: Form, limits: Limits) -> Event:
        event = EventSaid.frame(self, form, limits)
        event.position = _position(self.offset, self.epoch)
        event.room = self.room
        return event


class QuestionSaid(CallSaid, tag="call"):
    """A call as a client hears it; one to many members tells its room and place like an event."""

    room: str | None = None
    offset: Count | None = None
    epoch: str | None = None

    def frame(self, form: Form, limits: Limits) -> Event:
        event = CallSaid.frame(self, form, limits)
        event.position = _position(self.offset, self.epoch)
        event.room = self.room
        return event


class ReplySaid(Said, tag="reply"):
    ref: Ref
    data: msgspec.Raw = ABSENT
    args: msgspec.Raw = ABSENT
    code: str | None = None
    text: str | None = None

    def frame(self, form: Form, limits: Limits) -> Frame:
        data: Args | None = arguments(self.data, self.args, form)
        if self.code and data is NO_ARGS:
            data = None
        return Reply(check_ref(self.ref), "", data, self.code or "", self.text or "")


class ItemSaid(Said, tag="item"):
    ref: Ref
    data: msgspec.Raw = ABSENT

    def frame(self, form: Form, limits: Limits) -> Frame:
        value = one_value(self.data, form) or Args(b"null", Form.JSON, Shape.ONE)
        return Item(check_ref(self.ref), value)


class EndSaid(Said, tag="end"):
    ref: Ref
    code: str | None = None
    text: str | None = None

    def frame(self, form: Form, limits: Limits) -> Frame:
        return End(check_ref(self.ref), self.code or "", self.text or "")


class CancelSaid(Said, tag="cancel"):
    ref: Ref

    def frame(self, form: Form, limits: Limits) -> Frame:
        return Cancel(check_ref(self.ref))


class AckSaid(Said, tag="ack"):
    counted: ClassVar[bool] = False
    received: Count

    def frame(self, form: Form, limits: Limits) -> Frame:
        return Ack(self.received)


class BeatSaid(Said, tag="beat"):
    counted: ClassVar[bool] = False

    def frame(self, form: Form, limits: Limits) -> Frame:
        return Beat(is_answer=True)  # a machine answers by itself: nobody behind it has to


class PingSaid(Said, tag="ping"):
    counted: ClassVar[bool] = False
    echo: msgspec.Raw = ABSENT

    def frame(self, form: Form, limits: Limits) -> Frame:
        return Beat(is_answer=True)


class PongSaid(Said, tag="pong"):
    counted: ClassVar[bool] = False
    timestamp: float
    echo: Any = None

    def frame(self, form: Form, limits: Limits) -> Frame:
        return Beat(self.echo if isinstance(self.echo, str) else None, is_answer=True)


class ByeSaid(Said, tag="bye"):
    counted: ClassVar[bool] = False
    code: Annotated[int, msgspec.Meta(ge=1000, le=4999)]
    text: str | None = None
    retry: float | None = None

    def frame(self, form: Form, limits: Limits) -> Frame:
        return Bye(self.code, self.text or "", self.retry)


class WelcomeSaid(Said, tag="welcome"):
    counted: ClassVar[bool] = False
    session: str
    beat: float
    token: str | None = None
    resumed: bool | None = None
    received: Count | None = None
    limits: dict[str, float] | None = None

    def frame(self, form: Form, limits: Limits) -> Frame:
        return Welcome(
            session=self.session,
            token=self.token,
            beat=self.beat,
            resumed=bool(self.resumed),
            received=self.received or 0,
            limits=self.limits or {},
        )


class JoinedSaid(Said, tag="joined"):
    address: str
    outcome: Outcome
    ref: Ref | None = None
    data: msgspec.Raw = ABSENT
    reason: str | None = None
    positions: dict[str, PositionMember] | None = None

    def frame(self, form: Form, limits: Limits) -> Frame:
        return Joined(
            ref=self.ref,
            alias=self.address,
            data=one_value(self.data, form),
            outcome=self.outcome,
            reason=self.reason or "",
            positions=_positions(self.positions),
        )


class RefusedSaid(Said, tag="refused"):
    code: str
    ref: Ref | None = None
    address: str | None = None
    event: str | None = None
    text: str | None = None
    data: msgspec.Raw = ABSENT

    def frame(self, form: Form, limits: Limits) -> Frame:
        return Refusal(
            ref=self.ref,
            alias=self.address,
            code=self.code,
            text=self.text or "",
            data=one_value(self.data, form),
            event=self.event,
        )


class PresenceSaid(Said, tag="presence"):
    address: str
    joined: dict[str, list[Any]] | None = None
    left: dict[str, list[Any]] | None = None
    whole: bool | None = None
    offset: Count | None = None
    epoch: str | None = None

    def frame(self, form: Form, limits: Limits) -> Frame:
        return Presence(
            alias=self.address,
            joined=self.joined or {},
            left=self.left or {},
            whole=bool(self.whole),
            position=_position(self.offset, self.epoch),
        )


class GapSaid(Said, tag="gap"):
    address: str
    lost: Count
    offset: Count | None = None
    epoch: str | None = None

    def frame(self, form: Form, limits: Limits) -> Frame:
        return Gap(self.address, self.lost, _position(self.offset, self.epoch))


FromClient = (
    EventSaid | CallSaid | JoinSaid | LeaveSaid | ReplySaid | ItemSaid | EndSaid | CancelSaid
    | PastSaid | AuthSaid | AckSaid | BeatSaid | PingSaid | PongSaid | ByeSaid
)  # fmt: skip
FromServer = (
    PublicationSaid | QuestionSaid | WelcomeSaid | JoinedSaid | RefusedSaid | LeaveSaid | ReplySaid
    | ItemSaid | EndSaid | CancelSaid | PresenceSaid | GapSaid | AckSaid | BeatSaid | PingSaid
    | PongSaid | ByeSaid
)  # fmt: skip
