"""A path where Engine.IO is spoken: what its requests mean, and how they are refused.

Engine.IO protocol, revision 4. Errors of requests are JSON, `{"code":1,"message":"Session ID
unknown"}`, as the original says them.
"""

import re
from collections.abc import Callable, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from anywire.errors import ConfigurationError, close_reason
from anywire.limits import Deflate, Limits
from anywire.payload import Carrier
from anywire.wires.base import (
    SESSION_ID,
    TOKEN_ID,
    Answer,
    Headers,
    Hello,
    Identity,
    Machine,
    Mount,
    Opening,
    Reason,
    Role,
    Route,
    Why,
)
from anywire.wires.refusal import CODES, foreign, words
from anywire.wires.socketio.carriers import downlink, uplink
from anywire.wires.socketio.engine import Heartbeat, Probe

Make = Callable[[Hello, str, Sequence[str]], Machine]
"""The machine of a new conversation: its request, its sid, what it may upgrade to."""
TRANSPORTS = ("polling", "websocket")
REVISION = "4"
_COOKIE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ERRORS = {
    0: "Transport unknown",
    1: "Session ID unknown",
    2: "Bad handshake method",
    3: "Bad request",
    4: "Forbidden",
    5: "Unsupported protocol version",
}
_STATUS = {
    Reason.UNKNOWN: (400, 1),
    Reason.OWNER_GONE: (400, 1),
    Reason.TAKEN: (400, 3),
    Reason.FORBIDDEN: (403, 4),
    Reason.FAILED: (500, 3),
}


class EngineMount:
    """Options and requests of one path. `heartbeat`, `cookie` and the others: see `SocketIO`."""

    __slots__ = ("cookie", "heartbeat", "mount", "path", "transports")

    def __init__(
        self,
        path: str,
        *,
        heartbeat: Heartbeat,
        cookie: str | None = None,
        transports: Sequence[str] = TRANSPORTS,
        limits: Limits | None = None,
        origins: Sequence[str] | str | None = None,
        deflate: Deflate | UnsetType | None = UNSET,
    ) -> None:
        known = [name for name in TRANSPORTS if name in transports]
        if len(known) != len(set(transports)) or not known:
            raise ConfigurationError(
                f"transports are of {', '.join(TRANSPORTS)}, not {', '.join(transports) or 'none'}"
            )
        if cookie is not None and _COOKIE.fullmatch(cookie) is None:
            raise ConfigurationError(f'"{cookie}" cannot be the name of a cookie')
        if round(heartbeat.interval * 1000) < 1 or round(heartbeat.timeout * 1000) < 1:
            raise ConfigurationError("ping and ping_timeout are at least a millisecond")
        self.path = path.rstrip("/")
        self.heartbeat = heartbeat
        self.cookie = cookie
        self.transports = known
        self.mount = Mount.of(limits=limits, origins=origins, deflate=deflate)

    def routes(self) -> Sequence[Route]:
        """The path with a slash at its end, as clients write it, and without."""
        routes: list[Route] = []
        for path in (f"{self.path}/", *([self.path] if self.path else ())):
            routes += (
                Route("GET", path, Carrier.POLL, self.mount),
                Route("POST", path, Carrier.POST, self.mount),
                Route("GET", path, Carrier.WEBSOCKET, self.mount),
                Route("*", path, Carrier.REPLY, self.mount),
            )
        return routes

    def open(self, hello: Hello, make: Make, identity: Identity) -> Opening | Answer:
        """What a request means."""
        query = hello.query
        transport, sid = query.get("transport", ""), query.get("sid")
        if transport not in self.transports:
            return _error(0)
        if (transport == "websocket") is not (hello.carrier is Carrier.WEBSOCKET):
            return _error(3)
        if hello.carrier is Carrier.REPLY:
            return _error(3 if sid else 2)
        if query.get("EIO") != REVISION:
            return _error(5 if sid is None else 3)
        if sid is None:
            return self._new(hello, make, identity)
        session, _, token = sid.rpartition(".")
        if not session or not token:
            return _error(1)
        match hello.carrier:
            case Carrier.WEBSOCKET:
                role = Role.CANDIDATE
            case Carrier.POST:
                role = Role.UPLINK
            case _:
                role = Role.DOWNLINK
        return Opening(
            machine=None,
            session=session,
            role=role,
            token=token,
            downlink=downlink(self.heartbeat) if role is Role.DOWNLINK else None,
            uplink=uplink(hello.headers.get("content-type", "")) if role is Role.UPLINK else None,
            upgrade=Probe() if role is Role.CANDIDATE else None,
        )

    def _new(self, hello: Hello, make: Make, identity: Identity) -> Opening | Answer:
        if hello.carrier is Carrier.POST:
            return _error(2)
        session, token = hello.id(SESSION_ID), hello.id(TOKEN_ID).rpartition(".")[2]
        sid = f"{session}.{token}"
        is_poll = hello.carrier is Carrier.POLL
        upgrades = ["websocket"] if is_poll and "websocket" in self.transports else []
        return Opening(
            machine=make(hello, sid, upgrades),
            session=session,
            token=token,
            auth=identity,
            downlink=downlink(self.heartbeat) if is_poll else None,
            headers=self._set_cookie(sid),
        )

    def refuse(self, hello: Hello, why: Why) -> Answer:
        """A WebSocket that comes for a session which has one is let in and hung up, as the original
        does; all else is an HTTP answer.
        """
        if why.reason is Reason.ORIGIN:
            return foreign(why)
        if hello.carrier is Carrier.WEBSOCKET and why.reason is Reason.TAKEN:
            return Answer.accepted(CODES[why.reason], close_reason(words(why)))
        status, code = _STATUS.get(why.reason, (503, 3))
        text = words(why) if why.reason is Reason.FORBIDDEN else _ERRORS[code]
        return _error(code, status=status, text=text)

    def _set_cookie(self, sid: str) -> Headers:
        if self.cookie is None:
            return ()
        return (("Set-Cookie", f"{self.cookie}={sid}; Path=/; HttpOnly; SameSite=Lax"),)


def _error(code: int, *, status: int = 400, text: str = "") -> Answer:
    body = msgspec.json.encode({"code": code, "message": text or _ERRORS[code]})
    return Answer(status=status, headers=(("Content-Type", "application/json"),), body=body)
