"""SignalR as configured for one app: its hubs' paths, its options, what its requests mean.

SignalR TransportProtocols. A negotiation gives a token away and keeps nothing of it: the session
begins where the first request of its transport lands, on whatever worker.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from anywire.errors import ConfigurationError
from anywire.limits import Deflate, Limits
from anywire.payload import Carrier
from anywire.wires.base import (
    SESSION_ID,
    Answer,
    Hello,
    Mount,
    Opening,
    Reason,
    Role,
    Route,
    Why,
)
from anywire.wires.nameless import PART, join_at
from anywire.wires.refusal import STATUSES, answer, foreign, words
from anywire.wires.signalr.carriers import EVENTS, LEFT, SENT, polled
from anywire.wires.signalr.codec import PROTOCOLS
from anywire.wires.signalr.machine import Rhythm, SignalRMachine
from anywire.wires.signalr.token import Token, mint, read

TRANSPORTS = ("websockets", "events", "polling")
"""What is offered, best first."""
_OFFERS: dict[str, dict[str, object]] = {
    "websockets": {"transport": "WebSockets", "transferFormats": ["Text", "Binary"]},
    "events": {"transport": "ServerSentEvents", "transferFormats": ["Text"]},
    "polling": {"transport": "LongPolling", "transferFormats": ["Text", "Binary"]},
}
_NEGOTIATE = "/negotiate"
_FIELD = re.compile(r"\{[^}]*\}")
_OURS = frozenset(("id", "access_token", "negotiateVersion", "useStatefulReconnect", "_"))
"""What a query says to SignalR; all else is for the application."""
_STATUSES = {**STATUSES, Reason.FORBIDDEN: 401}


class SignalR:
    """ASP.NET Core SignalR: each path of `hubs` is a hub, whose clients join the address beside it.

    `{address}` in a path stands for the address, or for a part of it. The query of a connection has
    the params of its join; its access token, from header or query, is `hello.token`.

    `ping`: seconds between signs of life; `timeout`: seconds of silence after which a client is
    gone; `poll`: seconds a long poll waits; `stateful`: clients that ask for stateful reconnect get
    it, within `Limits.resume`; `transports`: what is offered of `websockets`, `events` and
    `polling`. `limits`, `origins`, `deflate`: see `Mount`.

    >>> wire = SignalR({"/chathub": "chat"})
    >>> [f"{route.method} {route.path}" for route in wire.routes()][:3]
    ['POST /chathub/negotiate', 'GET /chathub', 'GET /chathub']
    """

    __slots__ = ("_downlink", "_rhythm", "hubs", "mount", "stateful", "transports")

    name = "signalr"
    reserved = frozenset({"gap"})

    def __init__(
        self,
        hubs: Mapping[str, str] | None = None,
        *,
        ping: float = 15.0,
        timeout: float = 30.0,
        poll: float = 90.0,
        stateful: bool = True,
        transports: Sequence[str] = TRANSPORTS,
        limits: Limits | None = None,
        origins: Sequence[str] | str | None = None,
        deflate: Deflate | UnsetType | None = UNSET,
    ) -> None:
        given = {f"/signalr/{PART}": PART} if hubs is None else hubs
        if not isinstance(given, Mapping):
            raise ConfigurationError(
                f'SignalR: hubs are paths with their addresses, as in {{"/chathub": "chat"}}, not '
                f"{given!r:.80}"
            )
        self.hubs = {path.removesuffix("/"): address for path, address in given.items()}
        for path, address in self.hubs.items():
            if not address or (PART in address and PART not in path):
                raise ConfigurationError(
                    f'SignalR: the hub at "{path}" must name its address, as in '
                    f'{{"{path}": "chat"}}, or have {PART} in its path'
                )
            if _FIELD.search(path.replace(PART, "")):
                raise ConfigurationError(
                    f'SignalR: a path may hold {PART} and no other field, unlike "{path}"'
                )
        if isinstance(transports, str):
            transports = (transports,)
        unknown = [each for each in transports if each not in TRANSPORTS]
        if unknown or not transports:
            known = ", ".join(TRANSPORTS)
            raise ConfigurationError(f"SignalR: transports are some of {known}, not {unknown}")
        if poll <= 0:
            raise ConfigurationError(f"SignalR: poll ({poll:g}) is over 0")
        self.transports = tuple(each for each in TRANSPORTS if each in transports)
        self.stateful = stateful
        self.mount = Mount.of(limits=limits, origins=origins, deflate=deflate)
        self._rhythm = Rhythm(ping, timeout)
        self._downlink = polled(poll)

    def routes(self) -> Sequence[Route]:
        routes: list[Route] = []
        for hub in self.hubs:
            routes.append(Route("POST", hub + _NEGOTIATE, Carrier.REPLY, self.mount))
            # Clients that are given a URL with a slash negotiate without it, and connect with it.
            for path in (hub, f"{hub}/") if hub else ("/",):
                routes += (
                    Route("GET", path, Carrier.WEBSOCKET, self.mount),
                    Route("GET", path, Carrier.POLL, self.mount),
                    Route("POST", path, Carrier.POST, self.mount),
                    Route("DELETE", path, Carrier.POST, self.mount),
                )
        return routes

    def open(self, hello: Hello) -> Opening | Answer:
        is_reply = hello.carrier is Carrier.REPLY
        path = hello.path.removesuffix(_NEGOTIATE if is_reply else "/")
        address = self._address(path, hello.address)
        if address is None:
            return answer(404, f"no hub at this path; known: {', '.join(self.hubs)}")
        if is_reply:
            return self._negotiate(hello)
        given = hello.query.get("id")
        carrier = self._carrier(hello)
        if carrier is Carrier.WEBSOCKET and not given:
            if "websockets" not in self.transports:
                return answer(404, "this hub offers no WebSockets")
            machine = self._machine(hello, address, carrier, resumes=False)
            opening = Opening(machine=machine, session=hello.id(SESSION_ID))
        elif not given:
            return answer(400, "the connection's id is missing: negotiate first")
        else:
            token = read(given, hello.key)
            if token is None:
                return answer(404, "no such connection")
            opening = self._request(hello, address, carrier, token)
            opening.token = given
        opening.credentials = _credentials(hello)
        return opening

    def refuse(self, hello: Hello, why: Why) -> Answer:
        """By an HTTP status, also where it was to be a WebSocket."""
        if why.reason is Reason.ORIGIN:
            return foreign(why)
        return answer(_STATUSES[why.reason], words(why))

    # --- what a request means -------------------------------------------------------------------

    def _negotiate(self, hello: Hello) -> Answer:
        """Give a connection's id and token away."""
        resumes = (
            self.stateful
            and hello.limits.resume > 0
            and hello.query.get("useStatefulReconnect", "").lower() == "true"
        )
        nonce = hello.seed[:16]
        token, text = mint(nonce, now=hello.time, resumes=resumes, key=hello.key)
        version = 1 if hello.query.get("negotiateVersion", "0") not in ("", "0") else 0
        said: dict[str, object] = {
            "negotiateVersion": version,
            "connectionId": token.id if version else text,
            "availableTransports": [_OFFERS[each] for each in self.transports],
        }
        if version:
            said["connectionToken"] = text
        if resumes:
            said["useStatefulReconnect"] = True
        headers = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
        return Answer(headers=headers, body=msgspec.json.encode(said))

    def _request(self, hello: Hello, address: str, carrier: Carrier, token: Token) -> Opening:
        """A request of a connection that was negotiated."""
        opening = Opening(
            machine=None,
            session=token.id,
            is_claimed=True,
            may_begin=hello.time <= token.landing,
            carrier=carrier,
        )
        if carrier is Carrier.POST:
            opening.role = Role.UPLINK
            opening.uplink = LEFT if hello.method == "DELETE" else SENT
            return opening
        offered = {Carrier.EVENTS: "events", Carrier.POLL: "polling"}.get(carrier, "websockets")
        opening.may_begin &= offered in self.transports
        resumes = token.resumes and carrier is Carrier.WEBSOCKET
        opening.machine = self._machine(hello, address, carrier, resumes=resumes)
        if carrier is Carrier.WEBSOCKET:
            opening.role = Role.RESUME if resumes else Role.NEW
            opening.follows = resumes
        else:
            opening.role = Role.DOWNLINK
            opening.downlink = EVENTS if carrier is Carrier.EVENTS else self._downlink
        return opening

    def _machine(
        self, hello: Hello, address: str, carrier: Carrier, *, resumes: bool
    ) -> SignalRMachine:
        query = {name: value for name, value in hello.query.items() if name not in _OURS}
        polls = carrier is Carrier.POLL
        return SignalRMachine(
            join_at(address, query),
            hello.limits,
            Rhythm(0.0, 0.0) if polls else self._rhythm,
            protocols=("json",) if carrier is Carrier.EVENTS else tuple(PROTOCOLS),
            resumes=resumes and hello.limits.resume > 0,
            polls=polls,
        )

    def _carrier(self, hello: Hello) -> Carrier:
        """A GET that accepts an event stream wants one; any other one is a poll."""
        if hello.carrier is Carrier.POLL and "text/event-stream" in hello.headers.get("accept", ""):
            return Carrier.EVENTS
        return hello.carrier

    def _address(self, path: str, part: str | None) -> str | None:
        """The address of the hub at this path."""
        if path in self.hubs:
            return self.hubs[path]
        for each, address in self.hubs.items():
            if part and PART in each and each.replace(PART, part) == path:
                return address.replace(PART, part)
        return None


def _credentials(hello: Hello) -> object:
    """Browsers cannot give a WebSocket or an event stream a header."""
    token = hello.query.get("access_token")
    return {"token": token} if token else None
