"""The server's end of a Phoenix conversation: topics over one socket.

Phoenix.Socket and Phoenix.Channel. A topic is an address; to be joined to it is to be a member
there, under the ref of the join. What is said under an earlier join is not heard.
"""

from collections.abc import Sequence

from anywire.body import Body
from anywire.frames import (
    Bye,
    Event,
    Frame,
    Gap,
    Join,
    Joined,
    Leave,
    Presence,
    Ref,
    Refusal,
    Reply,
    Want,
    Welcome,
)
from anywire.limits import Limits
from anywire.payload import Message, Payload
from anywire.wires.base import Codec
from anywire.wires.phoenix.codec import FAILED, OK, Asked, PhoenixCodec, problem
from anywire.wires.phoenix.messages import CLOSE, ERROR, HEARTBEAT, HOME, JOIN, LEAVE, Push

UNMATCHED = Body.of({"reason": "unmatched topic"})
CRASHED = Body.of({"reason": "join crashed"})
FAILURE = Body.of({"reason": "channel_crash"}).inline_one


class PhoenixMachine:
    """One socket. `prefix`: what stands before topics in addresses; `timeout`: seconds without a
    message after which the client is gone (0: its carrier tells); `greeting`: what is said once
    the session stands.
    """

    __slots__ = (
        "_codec",
        "_due",
        "_greeting",
        "_limits",
        "_prefix",
        "_timeout",
        "_topics",
        "_until",
        "caps",
        "codec",
        "received",
    )

    is_single = False

    def __init__(
        self,
        codec: PhoenixCodec,
        limits: Limits,
        *,
        prefix: str = "",
        timeout: float = 60.0,
        greeting: bytes = b"",
    ) -> None:
        self.codec: Codec = codec
        self.caps = codec.caps
        self.received = 0
        self._codec = codec
        self._limits = limits
        self._prefix = prefix
        self._timeout = timeout
        self._greeting = greeting
        self._topics: dict[str, Asked] = {}
        """Those it is joined to, or asked for, each with its join."""
        self._due: list[Payload] | None = None
        self._until: float | None = None

    # --- in -------------------------------------------------------------------------------------

    def opened(self, now: float) -> Sequence[Frame]:
        self.heard(now)
        return ()

    def heard(self, now: float) -> None:
        if self._timeout > 0:
            self._until = now + self._timeout

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        self.heard(now)
        said = self._codec.read(message, self._limits)
        topic, event = said.topic, said.event
        if topic == HOME and event == HEARTBEAT:
            self._answer(Asked.of(said.ref, None), topic, OK)
            return ()
        join = self._topics.get(topic)
        if event == JOIN:
            return self._joining(said, join)
        if join is None:
            if event == LEAVE:
                self._answer(Asked.of(said.ref, said.join_ref), topic, OK)
            else:
                self._answer(Asked.of(said.ref, None), topic, FAILED, UNMATCHED)
            return ()
        if said.join_ref is not None and said.join_ref != join.join_ref:
            return ()  # it was on its way when the topic was joined anew
        asked = Asked.of(said.ref, join.join_ref)
        if event == LEAVE:
            return (Leave(topic, asked),)
        if said.ref is None:
            return (Event(topic, event, said.args),)
        return (Event(topic, event, said.args, asked, Want.REPLY),)

    def _joining(self, said: Push, before: Asked | None) -> Sequence[Frame]:
        """A join; one of a topic that is joined ends what was there."""
        topic = said.topic
        asked = Asked.of(said.ref, said.join_ref)
        self._topics[topic] = asked
        join = Join(asked, f"{self._prefix}{topic}", topic, said.args)
        if before is None:
            return (join,)
        self._say(self._closed(topic, before, CLOSE))
        return (Leave(topic, code="replaced", text="joined again"), join)

    # --- out ------------------------------------------------------------------------------------

    def send(self, frame: Frame) -> Sequence[Payload]:
        match frame:
            case Reply():
                return (self._replied(frame),)
            case Event():
                join_ref = self._join_ref(frame.alias)
                body = frame.args.body()
                volatile = frame.volatile
                return (
                    self._codec.push(join_ref, frame.alias, frame.event, body, volatile=volatile),
                )
            case Joined():
                data = None if frame.data is None else frame.data.body()
                asked = self._asked(frame.ref, frame.alias)
                return (self._codec.reply(asked, frame.alias, OK, data),)
            case Refusal(alias=str() as alias):
                return self._refused(frame, alias)
            case Presence():
                return (self._codec.present(self._join_ref(frame.alias), frame.alias, frame),)
            case Leave():
                return self._left(frame)
            case Gap():
                about = Body.of({"lost": frame.lost})
                join_ref = self._join_ref(frame.alias)
                return (self._codec.push(join_ref, frame.alias, "gap", about),)
            case Welcome() if self._greeting:
                return (Payload(self._greeting, counted=False),)
            case _:
                return ()

    def _replied(self, frame: Reply) -> Payload:
        asked = self._asked(frame.ref, frame.alias)
        if frame.code == "unknown_address":  # its join was refused meanwhile
            return self._unmatched(asked, frame.alias)
        if frame.code:
            about = problem(frame.code, frame.text, frame.data)
            return self._codec.reply(asked, frame.alias, FAILED, about)
        data = None if frame.data is None else frame.data.body()
        return self._codec.reply(asked, frame.alias, OK, data)

    def _refused(self, frame: Refusal, alias: str) -> Sequence[Payload]:
        """A join that was refused, or an event that asked for no answer."""
        if frame.ref is None:
            if frame.event is None:
                return ()
            about: dict[str, object] = {"event": frame.event, "code": frame.code}
            about["text"] = frame.text
            if frame.data is not None:
                about["data"] = frame.data.one_value
            return (self._codec.push(self._join_ref(alias), alias, "error", Body.of(about)),)
        asked = self._asked(frame.ref, alias)
        if self._topics.get(alias) is asked:
            del self._topics[alias]
        if frame.code == "unknown_address":
            return (self._unmatched(asked, alias),)
        is_crash = frame.code == "internal"  # of which its client hears nothing more
        why = CRASHED if is_crash else problem(frame.code, frame.text, frame.data)
        return (self._codec.reply(asked, alias, FAILED, why),)

    def _left(self, frame: Leave) -> Sequence[Payload]:
        """The end of a membership: as the client asked, or by the server, which may have failed."""
        alias = frame.alias
        said: list[Payload] = []
        if frame.ref is not None:
            said.append(self._codec.reply(self._asked(frame.ref, alias), alias, OK, None))
        join = self._topics.pop(alias, None)
        if join is not None:
            is_failure = frame.ref is None and frame.code == "internal"
            said.append(self._closed(alias, join, ERROR if is_failure else CLOSE))
        return said

    def due(self) -> Sequence[Payload]:
        if self._due is None:
            return ()
        due, self._due = self._due, None
        return due

    # --- time -----------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        return self._until

    def tick(self, now: float) -> Sequence[Frame]:
        if self._until is None or now < self._until:
            return ()
        self._until = None
        return (Bye(4410, "nothing heard in time"),)

    # --- inside ---------------------------------------------------------------------------------

    def _join_ref(self, alias: str) -> Ref | None:
        join = self._topics.get(alias)
        return None if join is None else join.join_ref

    def _asked(self, ref: Ref | None, alias: str) -> Asked:
        """What a ref of the core's stands for: what a message of the client had, mostly."""
        return ref if isinstance(ref, Asked) else Asked.of(ref, self._join_ref(alias))

    def _unmatched(self, asked: Asked, alias: str) -> Payload:
        return self._codec.reply(Asked.of(asked.ref, None), alias, FAILED, UNMATCHED)

    def _closed(self, alias: str, join: Asked, event: str) -> Payload:
        """A membership has ended; its join's ref stands in the place of the message's, too."""
        payload = FAILURE if event == ERROR else b"{}"
        return self._codec.say(join.join_ref, join.join_ref, alias, event, payload)

    def _answer(self, asked: Asked, topic: str, status: str, body: Body | None = None) -> None:
        self._say(self._codec.reply(asked, topic, status, body))

    def _say(self, payload: Payload) -> None:
        payload.counted = False
        self._due = [payload] if self._due is None else [*self._due, payload]
