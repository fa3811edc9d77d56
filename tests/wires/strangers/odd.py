"""A wire nobody asked for: one conversation over requests, odd in every way that a wire may be.

What is said is a netstring (`5:mhello,`) of one mark and the rest: `m` a text of Raw, `b` its bytes
in base64, `h` the session and its key, `x` goodbye. A poll is answered with so many of them, a
stream has one after the other; a POST brings some. A WebSocket that names the session and its key
takes over on `now`, after any number of `probe`; there each message is one, without a length.
"""

import base64
import re
from collections.abc import Sequence
from typing import Any

from anywire.body import Body
from anywire.errors import ProtocolError, close_reason
from anywire.frames import At, Beat, Bye, Frame, Join, Presence, Welcome
from anywire.payload import Carrier, Message, Payload
from anywire.wires.base import (
    SESSION_ID,
    TOKEN_ID,
    Answer,
    Codec,
    Downlink,
    Headers,
    Hello,
    Mount,
    Opening,
    Overlap,
    Reason,
    Request,
    Role,
    Route,
    Uplink,
    Verdict,
    Why,
)
from anywire.wires.pulse import Pulse
from anywire.wires.raw import RAW, Raw, RawClient, RawMachine
from anywire.wires.refusal import CODES, words

LATER = Answer(status=429, headers=[("Retry-After", "1")], body=b"later\n")
"""What a body `later` is answered with; its session goes on."""
TAKEN = Answer(status=202, headers=[("X-Odd", "taken")], body=b"thanks\n")
COOKIE = ("Set-Cookie", "odd=very")


class OddCodec:
    name = "odd"
    caps = RAW.caps

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload:
        return marked(RAW.event(alias, event, body, at))

    def presence(self, alias: str, change: Presence) -> Payload:
        return marked(RAW.presence(alias, change))


ODD = OddCodec()


class OddMachine:
    """That of Raw, with a mark before each message, a first word and a last one."""

    codec: Codec = ODD
    caps = ODD.caps
    is_single = True

    def __init__(self, hello: Hello) -> None:
        self.received = 0
        alias = hello.address or "nobody"
        pulse = Pulse(hello.limits.beat, hello.limits.beat_timeout)
        self._raw = RawMachine(
            Join(None, alias, alias), hello.limits, pulse, wall=hello.clock, beats=False
        )
        self.opened, self.heard = self._raw.opened, self._raw.heard
        self.due, self.deadline, self.tick = self._raw.due, self._raw.deadline, self._raw.tick

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        return self._raw.receive(unmarked(message), now)

    def send(self, frame: Frame) -> Sequence[Payload]:
        match frame:
            case Welcome():
                return (Payload(f"h{frame.session} {frame.token}".encode(), counted=False),)
            case Bye():
                return (goodbye(frame.code, frame.text),)
            case _:
                return [marked(payload) for payload in self._raw.send(frame)]


class OddUpgrade:
    """`probe` is answered, `now` takes over, `never` gives up."""

    def receive(self, message: Message) -> tuple[Sequence[Payload], Verdict]:
        match message:
            case "probe":
                return (Payload(b"probed", counted=False),), Verdict.WAIT
            case "now":
                return (), Verdict.SWAP
            case "never":
                return (Payload(b"as you like", counted=False),), Verdict.DROP
            case _:
                raise ProtocolError(f"neither probe nor now nor never: {message!r}")


class Odd:
    """`at_once`: messages of an answer. `is_told`: the end in a header, or a stream's last part."""

    name = "odd"
    reserved = Raw.reserved

    def __init__(
        self,
        path: str = "/odd/{address}",
        *,
        overlap: Overlap = Overlap.REFUSE,
        at_once: int = 3,
        limit: int = 0,
        wait: float = 0.0,
        gap: float = 15.0,
        is_repeated: bool = False,
        is_alone: bool = False,
        is_told: bool = False,
        is_claimed: bool = False,
        origins: tuple[str, ...] | None = None,
    ) -> None:
        self.path = path
        self.is_alone = is_alone
        self.is_claimed = is_claimed
        self.mount = Mount(origins=origins)

        def pack(payloads: Sequence[Payload]) -> tuple[bytes, int]:
            return b"".join(map(NETSTRINGS.frame, payloads[:at_once])), len(payloads[:at_once])

        def told(code: int, reason: str) -> tuple[Headers, bytes]:
            return [("X-Odd-End", str(code))], b""

        def said(code: int, reason: str) -> tuple[Headers, bytes]:
            return (), b"end %d" % code

        shared: dict[str, Any] = {"overlap": overlap, "gap": gap, "is_repeated": is_repeated}
        self.downlinks = {
            Carrier.POLL: Downlink(
                framing=NETSTRINGS,
                headers=[("Content-Type", "text/odd")],
                pack=pack,
                wait=wait,
                idle=b"idle",
                closed=b"closed",
                farewell=told if is_told else None,
                **shared,
            ),
            Carrier.STREAM: Downlink(
                framing=NETSTRINGS,
                prelude=b"0:,",
                limit=limit,
                farewell=said if is_told else None,
                **shared,
            ),
        }

    def routes(self) -> Sequence[Route]:
        path, mount = self.path, self.mount
        return [
            Route("GET", path, Carrier.WEBSOCKET, mount),
            Route("GET", f"{path}/poll", Carrier.POLL, mount),
            Route("GET", f"{path}/stream", Carrier.STREAM, mount),
            Route("POST", f"{path}/say", Carrier.POST, mount),
        ]

    def open(self, hello: Hello) -> Opening | Answer:
        session, key = hello.query.get("session", ""), hello.query.get("key", "")
        known = bool(session and (key or self.is_claimed))
        downlink = self.downlinks.get(hello.carrier)
        if hello.carrier is Carrier.POST:
            if not known:
                return Answer(status=400, body=b"whose words are these?\n")
            uplink = Uplink(unpack=taken, taken=TAKEN, is_alone=self.is_alone)
            opening = Opening(machine=None, session=session, role=Role.UPLINK, uplink=uplink)
        elif not known:
            machine = OddMachine(hello)
            key = hello.id(TOKEN_ID)
            opening = Opening(machine=machine, session=hello.id(SESSION_ID), downlink=downlink)
        elif downlink is not None:
            opening = Opening(machine=None, session=session, role=Role.DOWNLINK, downlink=downlink)
            opening.machine = OddMachine(hello) if self.is_claimed else None
        else:
            opening = Opening(machine=None, session=session, role=Role.CANDIDATE)
            opening.upgrade = OddUpgrade()
        opening.token = key
        opening.is_claimed = self.is_claimed and known
        opening.headers = [COOKIE]
        return opening

    def refuse(self, hello: Hello, why: Why) -> Answer:
        text = words(why)
        if why.reason is Reason.ORIGIN or hello.carrier is Carrier.POST:
            return Answer(status=403, body=f"{text}\n".encode())
        code = CODES[why.reason]
        answer = Answer.accepted(code, close_reason(text), payloads=[goodbye(code, text)])
        answer.downlink = self.downlinks.get(hello.carrier)
        answer.headers = [COOKIE]
        return answer


class OddClient:
    is_single = True

    def __init__(self, alias: str) -> None:
        self._raw = RawClient(alias)
        self.caps = self._raw.caps
        self.opened, self.heard, self.due = self._raw.opened, self._raw.heard, self._raw.due
        self.deadline, self.tick = self._raw.deadline, self._raw.tick

    def opening(self) -> Request:
        return Request()

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        if isinstance(message, str) and message[:1] == "h" and " " in message:
            session, token = message[1:].split(" ", 1)
            return (Welcome(session, token, 0.0),)
        if isinstance(message, str) and message[:1] == "x":
            code, _, text = message[1:].partition(" ")
            if not (code.isascii() and code.isdigit() and len(code) == 4):
                raise ProtocolError("no code of a goodbye", code=4400)
            return (Bye(int(code), text),)
        return self._raw.receive(unmarked(message), now)

    def send(self, frame: Frame) -> Sequence[Payload]:
        return () if isinstance(frame, Beat) else [marked(one) for one in self._raw.send(frame)]


class Netstrings:
    """Each message behind its length."""

    key = ("odd", 0)

    def frame(self, payload: Payload) -> bytes:
        parts = [payload.data, *(part.data for part in payload.rest)]
        return b"".join([b"%d:%b," % (len(part), part) for part in parts])


NETSTRINGS = Netstrings()


def marked(payload: Payload) -> Payload:
    data = b"m" + payload.data if payload.is_text else b"b" + base64.b64encode(payload.data)
    return Payload(data, counted=payload.counted, volatile=payload.volatile)


def unmarked(message: Message) -> Message:
    if not isinstance(message, str) or message[:1] not in ("m", "b"):
        raise ProtocolError("a message has a mark: m or b", code=4400)
    if message[:1] == "m":
        return message[1:]
    try:
        return base64.b64decode(message[1:], validate=True)
    except ValueError as error:
        raise ProtocolError("not base64", code=4400) from error


def goodbye(code: int, text: str) -> Payload:
    return Payload(f"x{code} {text}".encode(), counted=False)


def split(body: bytes) -> list[str]:
    """The messages of a body. Raises ProtocolError (1007)."""
    messages = []
    while body:
        size, _, rest = body.partition(b":")
        count = int(size) if size.isdigit() and len(size) < 9 else -1
        if count < 0 or rest[count : count + 1] != b",":
            raise ProtocolError("no netstring", code=1007)
        messages.append(rest[:count])
        body = rest[count + 1 :]
    try:
        return [message.decode() for message in messages if message]
    except UnicodeDecodeError as error:
        raise ProtocolError("the text is no UTF-8", code=1007) from error


def taken(body: bytes) -> Sequence[Message] | Answer:
    return LATER if body == b"later" else split(body)


def heard(hello: Hello, body: bytes) -> list[Message]:
    """What a client reads of an answer."""
    found = re.sub(rb"end \d{4}$", b"", body)
    return [] if found in (b"idle", b"closed") else [*split(found)]


def written(hello: Hello, payloads: Sequence[Payload]) -> bytes:
    """What a client says, in one body."""
    return b"".join(map(NETSTRINGS.frame, payloads))
