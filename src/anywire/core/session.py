"""Session: one client, whatever carries it right now.

It stands between a machine (what is said), an outbox (what waits), and a transport (how it
travels), and hands frames to the dispatcher. Everything here is synchronous: no await between
socket and handler, none between publish and socket. A session outlives its transport only where the
conversation says `Cap.RESUME`, `Cap.ADOPT` or `Cap.CATCH_UP`, for `Limits.resume` seconds.

Length: machine, outbox, transport and deadlines of one client change together; taken apart, each
part would reach into the others.
"""

import hmac
import logging
from collections.abc import Callable, Sequence
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, cast

import msgspec

from anywire.core.threshold import Threshold
from anywire.errors import ProtocolError
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
    Leave,
    Past,
    Presence,
    Ref,
    Reply,
    Welcome,
)
from anywire.payload import UNFRAMED, Framed, Framing, Message, Payload
from anywire.transports.base import Transport, Yielding
from anywire.wires.base import (
    TOKEN_ID,
    Cap,
    Codec,
    Following,
    Hello,
    Identity,
    Machine,
    Opening,
    Role,
    User,
    Wire,
)

if TYPE_CHECKING:
    from anywire.core.calls import Calls
    from anywire.core.candidate import Candidate
    from anywire.core.clock import Deadline
    from anywire.core.member import Member
    from anywire.core.node import Node
    from anywire.core.room import Room
    from anywire.core.stream import Inbox, Stream

log = logging.getLogger(__name__)

FLUSH_BYTES = 64 * 1024
"""What one connection is handed per loop turn."""
_RESUMES = Cap.RESUME | Cap.ADOPT | Cap.CATCH_UP
_GOODBYES = (1000, 1001, 1005)
"""Close codes of a client that means it; 1005 is a close frame without a code (RFC 6455, 7.1.5)."""


@cache
def _half(bound: int) -> int:
    """One number for all sessions: an int of its own costs 32 bytes."""
    return bound // 2


class Side(Enum):
    """Which way a tapped message went."""

    IN = "in"
    OUT = "out"


class Tapped(msgspec.Struct, frozen=True):
    """One message as a tap sees it: raw, and, for what came in, as the frames it meant."""

    side: Side
    message: Message
    frames: Sequence[Frame] = ()


class Session:
    """One client. Made by `Node.open`; ended by its client, its transport, the application or a
    deadline.
    """

    __slots__ = (
        "__weakref__",
        "_beat",
        "_expiry",
        "_is_strained",
        "_joins",
        "_joins_since",
        "_mark",
        "_old_token",
        "_probed",
        "calls",
        "can_reply",
        "can_stream",
        "candidate",
        "codec",
        "framing",
        "has_ended",
        "hello",
        "id",
        "inboxes",
        "is_held",
        "machine",
        "members",
        "node",
        "outbox",
        "resumes",
        "serial",
        "state",
        "streams",
        "tap",
        "threshold",
        "token",
        "transport",
        "user",
        "waiters",
        "wire",
    )

    def __init__(
        self, node: "Node", wire: Wire, hello: Hello, opening: Opening, machine: Machine, user: User
    ) -> None:
        limits = hello.limits
        resumes = bool(machine.caps & _RESUMES) and limits.resume > 0
        counts = resumes and not machine.caps & Cap.CATCH_UP
        self.node = node
        self.wire = wire
        self.hello = hello
        self.id = opening.session
        self.user = user
        self.machine = machine
        self.codec: Codec = machine.codec
        self._read_caps()
        self.outbox = node.make_outbox(
            bound=limits.outbox,
            kept_bytes=limits.kept_bytes if counts else 0,
            kept_messages=limits.kept_messages if counts else 0,
        )
        self._mark = _half(limits.outbox)
        self.transport: Transport | None = None
        self.candidate: Candidate | None = None
        """A second transport that may take over."""
        self.framing: Framing = UNFRAMED
        self.members: dict[str, Member] = {}
        self.serial = 0
        """Members this session ever had: the next one's number."""
        self.resumes = resumes
        """It outlives a transport that was cut."""
        # Else its client made it up.
        own = opening.token if opening.role is Role.NEW or opening.is_claimed else ""
        self.token = own or (hello.id(TOKEN_ID) if resumes else "")
        self._old_token = ""
        self._probed = 0
        """Counted entries before the last probe in the wire's own words: who answers has them."""
        self.threshold = None if opening.auth is Identity.HELLO else Threshold()
        """There until the peer has proved who it is."""
        self.is_held = False
        """Nothing is written until the peer has said what it has (a resume without a count)."""
        self.has_ended = False
        self._is_strained = False
        """Reading is paused: more waits for this peer than it should."""
        self.tap: Callable[[Tapped], None] | None = None
        self.calls: Calls | None = None
        self.streams: dict[Ref, Stream] | None = None
        self.inboxes: dict[Ref, Inbox] | None = None
        self.waiters: list[Callable[[], None]] | None = None
        """Called once when the outbox is under its mark again, or the session has ended."""
        self.state: dict[str, object] | None = None
        self._beat: Deadline | None = None
        self._expiry: Deadline | None = None
        self._joins = float(limits.joins)
        self._joins_since = 0.0

    def __repr__(self) -> str:
        return f"Session({self.id!r}, {self.wire.name}, user={self.user.id!r})"

    @property
    def is_admitted(self) -> bool:
        """Whether the peer has proved who it is, or need not."""
        return self.threshold is None

    @property
    def is_attached(self) -> bool:
        """Whether a transport is there to write to."""
        return self.transport is not None

    @property
    def is_adrift(self) -> bool:
        """Whether its client is cut, and will say itself where it stands in rooms with history."""
        return self.transport is None and bool(self.machine.caps & Cap.CATCH_UP)

    @property
    def is_over_mark(self) -> bool:
        """Whether so much waits that senders who can wait should."""
        return self.outbox.waiting > self._mark

    # --- what a transport tells -----------------------------------------------------------------

    def receive(self, message: Message, now: float) -> None:
        """Take one whole message from the peer; `now` is loop time in seconds."""
        threshold = self.threshold
        if self.has_ended or (threshold is not None and not threshold.admits(self, message)):
            return
        machine = self.machine
        try:
            frames = machine.receive(message, now)
        except ProtocolError as error:
            if self.tap is not None:
                self.tap(Tapped(Side.IN, message))
            self._break(error)
            return
        if self.tap is not None:
            self.tap(Tapped(Side.IN, message, frames))
        if self._old_token:
            self._old_token = ""  # the peer has the new one: this message came under it
        if machine.codec is not self.codec:
            self._move(self.framing, machine.codec)
            self._read_caps()
        for payload in machine.due():  # a handshake's answer comes before what the frames bring
            self.enqueue(payload)
        try:
            if threshold is not None:
                frames = threshold.sift(self, frames)
            for frame in frames:
                if type(frame) is Event:
                    self.node.dispatcher.event(self, frame)
                elif self.has_ended:
                    return
                else:
                    self.take(frame)
        except ProtocolError as error:
            self._break(error)
            return
        if self.outbox.waiting > self._mark:
            self._strain()

    def heard(self, now: float) -> None:
        """The peer is alive, though no message came."""
        self.machine.heard(now)

    def writable(self) -> None:
        """The transport has taken everything that was handed to it."""
        self.outbox.is_blocked = False
        if self._is_strained:
            self.machine.heard(self.node.now())  # we do not read, but the peer does
        if self.outbox.waiting:
            self.node.mark(self)
        self._wake()

    def detached(self, transport: Transport, code: int, reason: str, *, is_clean: bool) -> None:
        """A transport is gone: wait for a resume if this conversation can, else end."""
        if transport is not self.transport:
            return  # replaced before it ended
        self._unlink()
        if self.has_ended:
            return
        # Who leaves with memberships that may go on elsewhere has not left those.
        goodbye = is_clean and code in _GOODBYES and not self.machine.caps & Cap.ADOPT
        has_begun = self.members or not (self.machine.is_single or self.machine.caps & Cap.ADOPT)
        may_wait = self.resumes and has_begun
        if not may_wait or not self.is_admitted or goodbye or self.node.is_stopping:
            self.end(code, reason, is_clean=is_clean)
        else:
            self._lose(code, reason, is_clean=is_clean)
            if self.has_ended:
                return
            window = self.hello.limits.resume
            self._expiry = self.node.deadlines.at(self.node.now() + window, self._expire)
            self.node.let_wait(self)

    # --- what the core says ---------------------------------------------------------------------

    def begin(self, transport: Transport, now: float) -> None:
        """Attach the first transport, welcome the peer, take the wire's implicit join."""
        self._link(transport)
        threshold = self.threshold
        if threshold is None:
            self.send(self._welcome())
        else:
            patience = self.hello.limits.authentication
            self._expiry = self.node.deadlines.at(now + patience, self._unauthenticated)
        frames = self.machine.opened(now)
        if threshold is None:
            self._take_all(frames)
        else:
            threshold.implicit = frames
            self._write_due()
        self._watch(now)

    def resume(self, transport: Transport, machine: Machine, opening: Opening, now: float) -> bool:
        """Go on over a new transport; false when what the peer lacks is not kept any more: it ends.

        The new machine's welcome is written before everything kept; nothing kept is written before
        the peer's count is known, from the opening or from an `Ack`.
        """
        old = self.transport
        if old is not None:
            self._unlink()
            old.close(4409, "replaced by a newer connection")
            if self.is_adrift:
                self._lose(4409, "replaced by a newer connection", is_clean=False)
        if self.has_ended:
            return False
        if opening.received is not None and not self.outbox.rewind(opening.received):
            self.end(4410, "what was missing is not kept any more", is_clean=False)
            return False
        self._cancel_expiry()
        if self.machine.caps & Cap.CATCH_UP:
            self.outbox.drop_uncounted()
        machine.received = self.machine.received
        frames: Sequence[Frame] = ()
        if opening.follows:
            frames = cast(Following, machine).follow(self.machine, now)  # the opening says so
        self.machine = machine
        if not opening.is_claimed:
            # The one it showed, not the last one given: a peer may be cut twice before it hears.
            self._old_token, self.token = opening.token, self.node.new_token()
        self._read_caps()
        self._link(transport)
        machine.heard(now)
        welcome = machine.send(self._welcome(resumed=True))
        self._write_now(transport, [*welcome, *machine.due()])
        self.is_held = opening.received is None
        if self.outbox.waiting:
            self.node.mark(self)
        self._watch(now)
        self._take_all(frames)
        return True

    def swap(self, transport: Transport) -> None:
        """Go on over another transport, which takes over from the one there is: an upgrade."""
        old = self.transport
        assert old is not None  # a candidate for a session without one is hung up
        rest: list[Framed] = []
        if isinstance(old, Yielding):
            rest += old.rest()
        self._cancel_beat()
        self._link(transport)  # at once: it has never been without one
        old.close(1000, "the session goes on elsewhere")
        if rest:
            transport.write(rest)
        self.outbox.is_blocked = False
        if self.outbox.waiting:
            self.node.mark(self)
        self._watch(self.node.now())

    def rewind(self, count: int) -> bool:
        """The peer has this many counted messages: what else was written is written again.

        False: it is not kept any more, or was never written.
        """
        if not self.outbox.rewind(count):
            return False
        if self.outbox.waiting:
            self.node.mark(self)
        return True

    def accepts(self, token: str) -> bool:
        """Whether this is the secret, or the one before it while the peer may not have heard the
        new one.
        """
        given = token.encode(errors="replace")
        return bool(self.token) and (
            hmac.compare_digest(given, self.token.encode()) or self.is_replaced(token)
        )

    def is_replaced(self, token: str) -> bool:
        """Whether this is the secret before the present one: good for a resume only."""
        given = token.encode(errors="replace")
        return bool(self._old_token) and hmac.compare_digest(given, self._old_token.encode())

    def admit(self, user: User) -> None:
        """The peer has proved who it is: let the conversation begin."""
        if self.has_ended:
            return
        threshold, self.threshold = self.threshold, None
        assert threshold is not None  # who is admitted already is not judged
        assert self.transport is not None  # who is detached before this has ended
        self.user = user
        self.node.enlist(self)
        self._cancel_expiry()
        self.send(self._welcome())
        self.transport.resume()
        now = self.node.now()
        if self._beat is None:
            self._watch(now)
        self._take_all(threshold.implicit)
        for one in threshold.behind():
            if isinstance(one, str | bytes):
                self.receive(one, now)
            else:
                self._take_all((one,))

    def send(self, frame: Frame) -> None:
        """Say one frame to this client, in order with everything else; dropped once the session has
        ended.
        """
        if self.has_ended:
            return
        try:
            payloads = self.machine.send(frame)
        except ProtocolError as error:
            self._break(error)
            return
        node = self.node
        if node.run:
            node.settle()  # what was published before is heard before
        for payload in payloads:
            if self.outbox.put(payload.framed(self.framing)):
                node.mark(self)

    def enqueue(self, payload: Payload) -> None:
        """Append a payload for this client alone to its outbox, to be written in this loop turn."""
        if self.node.run:
            self.node.settle()
        if self.outbox.put(payload.framed(self.framing)):
            self.node.mark(self)

    def repeat(self, payloads: Sequence[Payload]) -> None:
        """Append what another session of this client had said, or was to say, to an answer that
        waits: the session is marked already.
        """
        framed = [payload.framed(self.framing) for payload in payloads]
        self.outbox.allow(sum(entry.size for entry in framed))
        for entry in framed:
            self.outbox.put(entry)

    def flush(self) -> bool:
        """Hand what waits to the transport; true when more could follow in the next turn. Called
        once per loop turn.
        """
        outbox = self.outbox
        transport = self.transport
        if self.has_ended:
            outbox.clear()  # put by who did not know yet
            return False
        if outbox.is_overflown:
            if transport is None or outbox.is_blocked or self.is_held:
                self.give_up()
                return False
            outbox.is_overflown = False  # much was said at once: let us see how fast it reads
        if transport is None or outbox.is_blocked or self.is_held or not outbox.waiting:
            return False
        framed = outbox.take(FLUSH_BYTES)
        has_more = outbox.waiting > 0
        if outbox.has_dropped:  # told after the take: there is room for it now
            for room, lost in outbox.lost().items():
                self._tell_gap(room, lost)
        if self.tap is not None:
            self._tap_out([entry.payload for entry in framed])
        transport.write(framed)
        if transport.buffered:
            outbox.is_blocked = True
            return False
        if self.waiters is not None or self._is_strained:
            self._wake()
        return has_more

    def close(self, code: int, text: str = "", *, retry: float | None = None) -> None:
        """Say what waits, then goodbye in the wire's way; hang up, end.

        `retry`: when to come back (seconds); None: stay away.
        """
        if self.has_ended:
            return
        self.node.settle()
        transport = self.transport
        outbox = self.outbox
        if transport is not None:
            if outbox.waiting and not self.is_held and not outbox.is_overflown:
                waiting = outbox.take(outbox.waiting)
                self._write_now(transport, [entry.payload for entry in waiting])
            try:
                self._write_now(transport, self.machine.send(Bye(code, text, retry)))
            except ProtocolError:
                pass  # the machine is done: the close code says it all
        self.end(code, text, is_clean=True)
        if transport is not None:
            transport.close(code, text)

    def give_up(self) -> None:
        """Too much waits for this client."""
        if not self.has_ended:
            log.info("session %s is too slow: more waits for it than may", self.id)
            self.close(4408, "too slow", retry=0.0)

    def left(self, code: int, text: str) -> None:
        """The peer says goodbye; memberships that may go on elsewhere wait for that."""
        transport = self.transport
        if transport is None or not self.resumes or not self.machine.caps & Cap.ADOPT:
            self.close(code, text)
            return
        self._write_now(transport, self.machine.send(Bye(code, text)))
        self.detached(transport, code, text, is_clean=False)
        transport.close(code, text)

    def abort(self, code: int, text: str) -> None:
        """End without a word and hang up at once."""
        transport = self.transport
        self.end(code, text, is_clean=False)
        if transport is not None:
            transport.abort()

    def end(self, code: int, text: str, *, is_clean: bool) -> None:
        """The session is over: every membership ends, every waiting call fails with `lost`."""
        if self.has_ended:
            return
        self.has_ended = True
        if self.candidate is not None:
            self.candidate.drop()
        self._cancel_beat()
        self._cancel_expiry()
        self.node.dispatcher.end(self, code, text, is_clean=is_clean)
        self.node.forget(self)
        self.outbox.clear()
        self._wake()

    def may_join(self, now: float) -> bool:
        """Take one from the bucket of joins: `Limits.joins` per second, a burst of as many."""
        rate = self.hello.limits.joins
        self._joins = min(float(rate), self._joins + (now - self._joins_since) * rate)
        self._joins_since = now
        if self._joins < 1.0:
            return False
        self._joins -= 1.0
        return True

    def when_under_mark(self, wake: Callable[[], None]) -> None:
        """Call `wake` once, when less waits or the session has ended."""
        if self.waiters is None:
            self.waiters = []
        self.waiters.append(wake)

    def take(self, frame: Frame) -> None:
        """Take one frame of the peer's. `receive` hands over each `Event` itself: it is faster."""
        dispatcher = self.node.dispatcher
        match frame:
            case Event():
                dispatcher.event(self, frame)
            case Item():
                dispatcher.item(self, frame)
            case Reply():
                dispatcher.reply(self, frame)
            case Ack():
                self._acked(frame.seq)
            case Beat():
                if frame.is_answer:
                    self._answered()
                    return
                self.send(Beat(frame.echo, is_answer=True))
            case Join():
                dispatcher.join(self, frame)
            case Leave():
                dispatcher.leave(self, frame)
            case End():
                dispatcher.end_upload(self, frame)
            case Cancel():
                dispatcher.cancel(self, frame.ref)
            case Past():
                dispatcher.past(self, frame)
            case Presence():
                dispatcher.presence(self, frame)
            case Auth():
                dispatcher.authenticate(self, frame)
            case Bye():
                self.left(1000 if frame.code < 1000 else frame.code, frame.text)
            case _:
                raise ProtocolError(f"a client does not send {type(frame).__name__}", code=4400)

    # --- inside ---------------------------------------------------------------------------------

    def _answered(self) -> None:
        """The peer has answered a probe of its wire: it has what was written before."""
        outbox = self.outbox
        heard = self._probed - outbox.skipped  # what was dropped since may have stood behind it
        if heard > outbox.acked and self.machine.caps & Cap.ADOPT:
            outbox.ack(min(heard, outbox.written))

    def _acked(self, count: int) -> None:
        if self.is_held:
            if not self.outbox.rewind(count):
                self.close(4400, "what is missing is not kept any more", retry=0.0)
                return
            self.is_held = False
            if self.outbox.waiting:
                self.node.mark(self)
        elif count > self.outbox.acked and not self.outbox.ack(count):
            # A lower count is an older word: of requests, one overtakes the other.
            raise ProtocolError("acknowledges what was never sent", code=4400)

    def _take_all(self, frames: Sequence[Frame]) -> None:
        try:
            for frame in frames:
                if self.has_ended:
                    return
                self.take(frame)
        except ProtocolError as error:
            self._break(error)
            return
        self._write_due()

    def _break(self, error: ProtocolError) -> None:
        """The peer broke the rules of its protocol."""
        log.debug("session %s: %s", self.id, error)
        self._write_due()
        self.close(error.code, error.reason, retry=1.0)

    def _welcome(self, *, resumed: bool = False) -> Welcome:
        limits = self.hello.limits
        return Welcome(
            session=self.id,
            token=self.token or None,
            beat=limits.beat,
            resumed=resumed,
            received=self.machine.received,
            acked=self.outbox.acked,
            limits={"message": limits.message, "resume": limits.resume if self.resumes else 0},
        )

    def _read_caps(self) -> None:
        self.can_reply = bool(self.machine.caps & Cap.REPLY)
        self.can_stream = bool(self.machine.caps & Cap.STREAM)

    def _link(self, transport: Transport) -> None:
        self.node.detached.pop(self, None)
        self.transport = transport
        self._is_strained = False
        self.is_held = False
        self._move(transport.framing, self.codec)

    def _unlink(self) -> None:
        self.transport = None
        self._cancel_beat()
        self._move(UNFRAMED, self.codec)

    def _lose(self, code: int, text: str, *, is_clean: bool) -> None:
        """The session goes on without a transport: its memberships do what its wire can do with
        them. A `leave` handler may end it.
        """
        if self.machine.caps & Cap.ADOPT:
            self.node.dispatcher.lose(self, code, text, is_clean=is_clean)
        elif self.machine.caps & Cap.CATCH_UP:
            self.outbox.clear()  # as if it had been on its way
            self._wake()
            self.node.dispatcher.strand(self, code, text, is_clean=is_clean)
            if not self.members:
                self.end(code, text, is_clean=is_clean)

    def _cancel_beat(self) -> None:
        if self._beat is not None:
            self.node.deadlines.cancel(self._beat)
            self._beat = None

    def _cancel_expiry(self) -> None:
        if self._expiry is not None:
            self.node.deadlines.cancel(self._expiry)
            self._expiry = None

    def _strain(self) -> None:
        """More waits than should: read nothing more from this peer before it has taken that.

        Not while its count is awaited: that is to be read. One message that is larger than an
        outbox does not make its peer a slow one.
        """
        outbox = self.outbox
        if outbox.is_overflown and (outbox.is_blocked or outbox.is_too_full):
            self.give_up()
        elif self.transport is not None and not self.is_held and not self._is_strained:
            self._is_strained = True
            self.transport.pause()

    def _move(self, framing: Framing, codec: Codec) -> None:
        """Move to the lanes and divisions of another framing or codec, for all that is broadcast
        from now on.
        """
        placed: list[tuple[Room, Member]] = []
        if framing.key != self.framing.key or codec is not self.codec or self.is_adrift:
            members = self.members.values()
            placed = [(room, member) for member in members for room in member.delivered()]
        for room, member in placed:
            room.remove(member)
        self.framing, self.codec = framing, codec
        for room, member in placed:
            room.add(member)

    def _write_due(self) -> None:
        if not self.has_ended:
            for payload in self.machine.due():
                self.enqueue(payload)

    def _write_now(self, transport: Transport, payloads: Sequence[Payload]) -> None:
        """Write past everything that waits, uncounted: a welcome on a resume, the last words."""
        if not payloads:
            return
        if self.tap is not None:
            self._tap_out(payloads)
        transport.write([payload.framed(self.framing) for payload in payloads])

    def _tap_out(self, payloads: Sequence[Payload]) -> None:
        assert self.tap is not None
        for payload in payloads:
            for message in payload.messages():
                self.tap(Tapped(Side.OUT, message))

    def _tell_gap(self, room: str, lost: int) -> None:
        for member in list(self.members.values()):
            if room in member.rooms:
                self.send(Gap(member.alias, lost))

    def _watch(self, now: float) -> None:
        """Set the deadline for the machine's next tick."""
        when = self.machine.deadline()
        if when is not None and not self.has_ended and self.transport is not None:
            self._beat = self.node.deadlines.at(max(when, now), self._tick)

    def _tick(self) -> None:
        self._beat = None
        now = self.node.now()
        when = self.machine.deadline()
        if when is not None and when > now:  # it was heard of since the deadline was set
            self._watch(now)
            return
        transport = self.transport
        assert transport is not None  # without one there is no beat
        try:
            frames = self.machine.tick(now)
        except ProtocolError as error:
            self._break(error)
            return
        for frame in frames:
            if isinstance(frame, Bye):
                self._silent(transport, frame)
                return
            if isinstance(frame, Beat) and (frame.is_own or not transport.beat()):
                self._probed = self.outbox.counted
                if not self._ask(frame):
                    self.machine.heard(now)  # nobody can ask it: its silence says nothing
        self._write_due()
        self._watch(now)

    def _ask(self, beat: Beat) -> bool:
        """Ask for a sign of life in the wire's words; false when it has none."""
        payloads = self.machine.send(beat)
        for payload in payloads:
            self.enqueue(payload)
        return bool(payloads)

    def _silent(self, transport: Transport, bye: Bye) -> None:
        """The peer has not been heard of for too long: its transport is cut, the session may be
        resumed.
        """
        self.detached(transport, bye.code, bye.text, is_clean=False)
        transport.close(bye.code, bye.text)
        transport.abort()

    def _expire(self) -> None:
        self._expiry = None
        self.end(4410, "not resumed in time", is_clean=False)

    def _unauthenticated(self) -> None:
        self._expiry = None
        self.close(4401, "not authenticated in time")

    def _wake(self) -> None:
        if self.is_over_mark and not self.has_ended:
            return
        if self._is_strained and self.transport is not None:
            self._is_strained = False
            self.transport.resume()
        if self.waiters is not None:
            waiters, self.waiters = self.waiters, None
            for wake in waiters:
                wake()
