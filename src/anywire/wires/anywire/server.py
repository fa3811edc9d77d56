"""The anywire protocol as configured for one app: its path, its subprotocols, its refusals.

docs/reference/protocol.md, Opening. The conversations are in `machine` and `plain`.
"""

from collections.abc import Sequence

import msgspec

from anywire.body import Body, Form
from anywire.errors import close_reason
from anywire.frames import Bye, Frame, Refusal
from anywire.payload import Carrier
from anywire.wires.anywire.bodies import CODE, TAKEN, downlink, unpack
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
    Uplink,
    Why,
)
from anywire.wires.pulse import Pulse
from anywire.wires.refusal import CODES, STATUSES, answer, chosen, count, foreign, words

SUBPROTOCOL = "anywire.json.1"
"""What requests speak where their query does not say `protocol`."""
RETRY = 1.0
"""Seconds after which a client that was refused for want of room may come back."""
OWNERLESS = 0.25
"""Seconds after which one may whose session's owner is gone: by then all workers know."""
_STAY_AWAY = (Reason.FORBIDDEN, Reason.TAKEN)
_ID_CHARS = 128


class Own:
    """Our own wire at `path`; clients without a subprotocol are plain members at `home`.

    `home` None: they have to join. `beat`: seconds of silence before a probe; None: `Limits.beat`.
    Where WebSockets do not get through, the same goes over HTTP requests to paths below it.

    >>> wire = Own("/ws", home="chat")
    >>> [f"{route.method} {route.path}" for route in wire.routes()][:5]
    ['GET /ws', 'GET /ws/events', 'POST /ws/events', 'GET /ws/stream', 'POST /ws/stream']
    """

    __slots__ = ("beat", "home", "path")

    name = "anywire"
    reserved = frozenset({"error", "gap", "ping", "pong", "reply"})

    def __init__(
        self, path: str = "/ws", *, home: str | None = None, beat: float | None = None
    ) -> None:
        self.path = path
        self.home = home
        self.beat = beat

    def routes(self) -> Sequence[Route]:
        below = self.path.rstrip("/")
        routes = [Route("GET", self.path, Carrier.WEBSOCKET)]
        for carrier in (Carrier.EVENTS, Carrier.STREAM, Carrier.POLL):
            path = f"{below}/{carrier.value}"
            routes += (Route("GET", path, carrier), Route("POST", path, Carrier.POST))
        return routes

    def open(self, hello: Hello) -> Opening | Answer:
        if hello.carrier is not Carrier.WEBSOCKET:
            return self._request(hello)
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
        if hello.carrier is not Carrier.WEBSOCKET:
            return _status(why, text)
        subprotocol = chosen(hello, SUBPROTOCOLS)
        frames: list[Frame] = []
        if reason is Reason.FORBIDDEN:
            data = None if why.data is None else Body.of(why.data)
            frames.append(Refusal(None, None, why.code or "refused", why.text, data))
        retry = OWNERLESS if reason is Reason.OWNER_GONE else RETRY
        frames.append(Bye(CODES[reason], text, None if reason in _STAY_AWAY else retry))
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

    def _request(self, hello: Hello) -> Opening | Answer:
        """A request for what a session says, or with messages for it."""
        limits = hello.limits
        subprotocol = hello.query.get("protocol", SUBPROTOCOL)
        if subprotocol not in SUBPROTOCOLS:
            known = ", ".join(SUBPROTOCOLS)
            return answer(400, f"protocol is not known here; known: {known}")
        if limits.resume <= 0:
            return answer(400, "requests need sessions that can be resumed (Limits.resume)")
        if hello.carrier is Carrier.POST:
            return _post(hello)
        codec = SUBPROTOCOLS[subprotocol]
        is_binary = codec.form is Form.MSGPACK
        if is_binary and hello.carrier is Carrier.EVENTS:
            return answer(400, f"an event stream holds text: it speaks {SUBPROTOCOL}")
        said = downlink(hello.carrier, is_binary=is_binary, wait=limits.poll, gap=limits.poll_gap)
        pulse = Pulse(limits.beat if self.beat is None else self.beat, limits.beat_timeout)
        machine = OwnMachine(codec, limits, pulse, wall=hello.clock)
        query = hello.query
        if "session" not in query:
            return Opening(machine=machine, session=hello.id(SESSION_ID), downlink=said)
        if "received" in query:
            resume = _resume(hello, machine)
            if resume is None:
                return answer(400, "session, resume or received is malformed")
            resume.downlink = said
            return resume
        session, token = _secret(hello)
        received = count(query["ack"]) if "ack" in query else None
        if not session or (received is None and "ack" in query):
            return answer(400, "session, resume or ack is malformed")
        return Opening(
            machine=None,
            session=session,
            role=Role.DOWNLINK,
            token=token,
            received=received,
            downlink=said,
        )


def _post(hello: Hello) -> Opening | Answer:
    """Messages for a session; `from` numbers them."""
    session, token = _secret(hello)
    first = count(hello.query["from"]) if "from" in hello.query else None
    if not session or (first is None and "from" in hello.query):
        return answer(400, "session, resume or from is malformed")
    return Opening(
        machine=None,
        session=session,
        role=Role.UPLINK,
        token=token,
        uplink=Uplink(unpack=unpack, taken=TAKEN, first=first),
    )


def _resume(hello: Hello, machine: Machine) -> Opening | None:
    """What the query says of the session to go on with; None if any of it is malformed."""
    session, token = _secret(hello)
    known = count(hello.query.get("received", ""))
    if not session or known is None:
        return None
    return Opening(machine=machine, session=session, role=Role.RESUME, token=token, received=known)


def _secret(hello: Hello) -> tuple[str, str]:
    """The session that the query names, and the secret of it; both empty if either is malformed."""
    session, token = hello.query.get("session", ""), hello.query.get("resume", "")
    if 0 < len(session) <= _ID_CHARS and 0 < len(token) <= _ID_CHARS:
        return session, token
    return "", ""


def _status(why: Why, text: str) -> Answer:
    """A refusal where there is no close code: an HTTP status, and the same words."""
    refused = answer(STATUSES[why.reason], text)
    code = why.code or why.reason.value
    return msgspec.structs.replace(refused, headers=[*refused.headers, (CODE, code)])
