"""Phoenix Channels as configured for one app: its paths, who asks, how it says no."""

import base64
import binascii
import re
from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from anywire.errors import ConfigurationError
from anywire.limits import Deflate, Limits
from anywire.payload import Carrier
from anywire.wires.base import (
    SESSION_ID,
    TOKEN_ID,
    Answer,
    Hello,
    Mount,
    Opening,
    Reason,
    Role,
    Route,
    Why,
)
from anywire.wires.phoenix import carriers
from anywire.wires.phoenix.carriers import FORBIDDEN, GONE, downlink, refused, uplink
from anywire.wires.phoenix.codec import FIRST, RESERVED, SECOND, PhoenixCodec
from anywire.wires.phoenix.machine import PhoenixMachine
from anywire.wires.refusal import CODES, STATUSES, answer, chosen, foreign, words

PROTOCOL = "phoenix"
BEARER = "base64url.bearer.phx."
"""What a subprotocol begins with that is a token: `base64url.bearer.phx.c2VjcmV0`."""
AUTH_HEADER, POLL_HEADER = "x-phoenix-authtoken", "x-phoenix-longpoll-token"
MARK = "phx.poll."
"""What the token of a session on polls begins with: an application's own may stand in its place, as
the parameter `token`.
"""
GAP = 1.5
"""How long a client has for its next poll, in times that a poll may wait."""
_VERSION = re.compile(r"([12])\.[0-9]{1,9}(?:\.[0-9]{1,9})?")
_STATUSES = {Reason.FORBIDDEN: 403, Reason.UNKNOWN: 410, Reason.OWNER_GONE: 410}
"""In the body of a poll's answer; after any other a client tries again, which 500 makes it do."""


class Phoenix:
    """Phoenix Channels at `path`, for the npm package `phoenix` and its like: serializers 2.0.0 and
    1.0.0, over WebSockets and long polls.

    A topic is an address, behind `prefix`. A token that the client shows (`authToken`) is
    `hello.token`, its parameters are `hello.query`. `timeout`: seconds without a message, after
    which a WebSocket is closed; `longpoll`: seconds that a poll waits (None: no long polls);
    who does not poll again in one and a half times as many is gone.
    `limits`, `origins`, `deflate`: see `Mount`.

    >>> wire = Phoenix("/socket")
    >>> sorted({route.path for route in wire.routes()})
    ['/socket/longpoll', '/socket/websocket']
    """

    __slots__ = ("_mount", "longpoll", "path", "prefix", "timeout")

    name = "phoenix"
    reserved = RESERVED

    def __init__(
        self,
        path: str = "/socket",
        *,
        prefix: str = "",
        timeout: float = 60.0,
        longpoll: float | None = 10.0,
        limits: Limits | None = None,
        origins: Sequence[str] | str | None = None,
        deflate: Deflate | UnsetType | None = UNSET,
    ) -> None:
        if timeout <= 0 or (longpoll is not None and longpoll <= 0):
            raise ConfigurationError("Phoenix: timeout and longpoll are over 0 seconds")
        self.path = path.rstrip("/")
        self.prefix = prefix
        self.timeout = timeout
        self.longpoll = longpoll
        self._mount = Mount.of(limits=limits, origins=origins, deflate=deflate)

    def routes(self) -> Sequence[Route]:
        routes = [Route("GET", f"{self.path}/websocket", Carrier.WEBSOCKET, self._mount)]
        if self.longpoll is not None:
            path = f"{self.path}/longpoll"
            routes += (
                Route("GET", path, Carrier.POLL, self._mount),
                Route("POST", path, Carrier.POST, self._mount),
                Route("*", path, Carrier.REPLY, self._mount),
            )
        return routes

    def open(self, hello: Hello) -> Opening | Answer:
        match hello.carrier:
            case Carrier.WEBSOCKET:
                return self._socket(hello)
            case Carrier.POLL | Carrier.POST if self.longpoll is not None:
                return self._request(hello, self.longpoll)
            case _:
                return answer(400, "a long poll is a GET, and a POST for what is said")

    def refuse(self, hello: Hello, why: Why) -> Answer:
        """A WebSocket is refused by its status, a poll by the status in a body."""
        if hello.carrier is Carrier.WEBSOCKET:
            if why.reason is Reason.ORIGIN:
                return foreign(why)
            return answer(STATUSES[why.reason], words(why))
        if why.reason is Reason.ORIGIN:
            return Answer(status=403, headers=carriers.HEADERS, body=FORBIDDEN.body)
        return refused(_STATUSES.get(why.reason, 500), CODES[why.reason])

    def _socket(self, hello: Hello) -> Opening | Answer:
        codec = _codec(hello)
        if codec is None:
            return answer(403, f'no serializer has the version "{hello.query["vsn"]:.20}"')
        shown = [one for one in hello.subprotocols if one.startswith(BEARER)]
        credentials = None
        if len(shown) == 1:
            token = _decoded(shown[0].removeprefix(BEARER))
            if token is None:
                return answer(403, "the token in the subprotocol is no base64 of a text")
            credentials = {"token": token}
        return Opening(
            machine=PhoenixMachine(codec, hello.limits, prefix=self.prefix, timeout=self.timeout),
            session=hello.id(SESSION_ID),
            subprotocol=chosen(hello, (PROTOCOL,)),
            credentials=credentials,
        )

    def _request(self, hello: Hello, wait: float) -> Opening | Answer:
        token = hello.headers.get(POLL_HEADER) or hello.query.get("token", "")
        session, _, secret = token.removeprefix(MARK).rpartition(".")
        gap = GAP * wait
        if token.startswith(MARK) and session and secret:
            is_poll = hello.carrier is Carrier.POLL
            kind = hello.headers.get("content-type", "")
            return Opening(
                machine=None,
                session=session,
                token=secret,
                role=Role.DOWNLINK if is_poll else Role.UPLINK,
                downlink=downlink(token, wait=wait, gap=gap) if is_poll else None,
                uplink=None if is_poll else uplink(kind),
            )
        if hello.carrier is Carrier.POST:
            return GONE
        return self._polled(hello, wait, gap)

    def _polled(self, hello: Hello, wait: float, gap: float) -> Opening | Answer:
        """A session on polls: its first answer is its token."""
        codec = _codec(hello)
        if codec is None:
            return FORBIDDEN
        session, secret = hello.id(SESSION_ID), hello.id(TOKEN_ID).rpartition(".")[2]
        token = f"{MARK}{session}.{secret}"
        machine = PhoenixMachine(
            codec,
            hello.limits,
            prefix=self.prefix,
            timeout=0.0,  # who does not poll is gone
            greeting=carriers.answer(410, token),
        )
        header = hello.headers.get(AUTH_HEADER)
        return Opening(
            machine=machine,
            session=session,
            token=secret,
            credentials=None if header is None else {"token": header},
            downlink=downlink(token, wait=wait, gap=gap),
        )


def _codec(hello: Hello) -> PhoenixCodec | None:
    """The serializer that the client speaks; who does not say speaks the first."""
    found = _VERSION.fullmatch(hello.query.get("vsn", "1.0.0"))
    if found is None:
        return None
    return FIRST if found[1] == "1" else SECOND


def _decoded(text: str) -> str | None:
    """The text in base64 of either alphabet, without padding; None for what is none."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        return base64.b64decode(padded.translate(_STANDARD), validate=True).decode()
    except (binascii.Error, UnicodeError):
        return None


_STANDARD = bytes.maketrans(b"-_", b"+/")
