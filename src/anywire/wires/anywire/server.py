"""The anywire protocol as configured for one app: its path, its subprotocols, its refusals.

docs/reference/protocol.md, Opening. The conversations are in `machine` and `plain`.
"""

from collections.abc import Sequence

from anywire.body import Body
from anywire.errors import close_reason
from anywire.frames import Bye, Frame, Refusal
from anywire.payload import Carrier, Message, Payload
from anywire.wires.anywire.codec import SUBPROTOCOLS, write
from anywire.wires.anywire.machine import OwnMachine
from anywire.wires.anywire.plain import PLAIN, PlainMachine
from anywire.wires.base import (
    SESSION_ID,
    Answer,
    Hello,
    Machine,
    Opening,
    Reason,
    Role,
    Route,
    Why,
)
from anywire.wires.pulse import Pulse
from anywire.wires.refusal import CODES, answer, chosen, count, foreign, no_route, words

RETRY = 1.0
"""Seconds after which a client that was refused for want of room may come back."""
_STAY_AWAY = (Reason.FORBIDDEN, Reason.TAKEN)
_ID_CHARS = 128


class Own:
    """Our own wire at `path`; clients without a subprotocol are plain members at `home`.

    `home` None: they have to join. `beat`: seconds of silence before a probe; None: `Limits.beat`.

    >>> wire = Own("/ws", home="chat")
    >>> [route.path for route in wire.routes()]
    ['/ws']
    """

    __slots__ = ("beat", "home", "path")

    name = "anywire"
    reserved = frozenset({"error", "gap", "ping", "pong", "reply"})
    idle: Payload | None = None

    def __init__(
        self, path: str = "/ws", *, home: str | None = None, beat: float | None = None
    ) -> None:
        self.path = path
        self.home = home
        self.beat = beat

    def routes(self) -> Sequence[Route]:
        return (Route("GET", self.path, Carrier.WEBSOCKET),)

    def open(self, hello: Hello) -> Opening | Answer:
        subprotocol = chosen(hello, SUBPROTOCOLS)
        if subprotocol is None and hello.subprotocols:
            known = ", ".join(SUBPROTOCOLS)
            return answer(
                400, f"none of the offered subprotocols is known here; known: {known}, or none"
            )
        limits = hello.limits
        pulse = Pulse(limits.beat if self.beat is None else self.beat, limits.beat_timeout)
        id = hello.id(SESSION_ID)
        if subprotocol is None:
            plain = PlainMachine(self.home, limits, pulse, wall=hello.clock, session=id)
            return Opening(machine=plain, session=id)
        machine = OwnMachine(SUBPROTOCOLS[subprotocol], limits, pulse, wall=hello.clock)
        resume = _resume(hello, machine) if limits.resume > 0 else None
        if resume is None:
            return Opening(machine=machine, session=id, subprotocol=subprotocol)
        resume.subprotocol = subprotocol
        return resume

    def refuse(self, hello: Hello, why: Why) -> Answer:
        """An upgrade and a close, as browsers see no HTTP status; a foreign origin gets none."""
        reason = why.reason
        if reason is Reason.ORIGIN:
            return foreign(why)
        text = words(why)
        subprotocol = chosen(hello, SUBPROTOCOLS)
        frames: list[Frame] = []
        if reason is Reason.FORBIDDEN:
            data = None if why.data is None else Body.of(why.data)
            frames.append(Refusal(None, None, why.code or "refused", why.text, data))
        frames.append(Bye(CODES[reason], text, None if reason in _STAY_AWAY else RETRY))
        if subprotocol is None:
            payloads = [payload for frame in frames for payload in PLAIN.say(frame)]
        else:
            payloads = [write(frame, SUBPROTOCOLS[subprotocol]) for frame in frames]
        return Answer.accepted(
            CODES[reason],
            close_reason(text),
            payloads=payloads,
            subprotocol=subprotocol,
        )

    def pack(self, carrier: Carrier, payloads: Sequence[Payload]) -> bytes:
        raise no_route(self.name, carrier)

    def unpack(self, carrier: Carrier, body: bytes) -> Sequence[Message]:
        raise no_route(self.name, carrier)


def _resume(hello: Hello, machine: Machine) -> Opening | None:
    """What the query says of the session to go on with; None if any of it is malformed."""
    query = hello.query
    session, token, received = (query.get(name, "") for name in ("session", "resume", "received"))
    if not (0 < len(session) <= _ID_CHARS and 0 < len(token) <= _ID_CHARS):
        return None
    if (known := count(received)) is None:
        return None
    return Opening(machine=machine, session=session, role=Role.RESUME, token=token, received=known)
