"""SockJS as configured for one app: its paths, its options, what its requests mean.

SockJS protocol 0.3.3. Pages use it with `sockjs-client`, which chooses among the transports.
"""

import hashlib
import re
from collections.abc import Sequence

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from anywire.errors import ConfigurationError, close_reason
from anywire.limits import Deflate, Limits
from anywire.payload import Carrier
from anywire.wires.base import (
    SESSION_ID,
    Answer,
    Downlink,
    Headers,
    Hello,
    Mount,
    Opening,
    Reason,
    Role,
    Route,
    Why,
)
from anywire.wires.nameless import PART, RESERVED, join_at
from anywire.wires.pulse import Pulse
from anywire.wires.raw import RawMachine
from anywire.wires.refusal import CODES, STATUSES, answer, foreign, words
from anywire.wires.sockjs.carriers import (
    CALLBACKS,
    OLD_TRANSPORTS,
    TRANSPORTS,
    WEBSOCKET,
    Transport,
    callback_of,
    downlinks,
    htmlfile,
    jsonp,
    uplink,
)
from anywire.wires.sockjs.codec import closed
from anywire.wires.sockjs.machine import SockJsMachine
from anywire.wires.sockjs.pages import GREETING, NO_UPGRADE, Iframe, info, not_allowed

CLIENT_URL = "https://cdn.jsdelivr.net/npm/sockjs-client@1.6.1/dist/sockjs.min.js"
_STILL_OPEN = (2010, "Another connection still open")
"""HandlingClose: what the second of two requests hears that ask for one session at once."""
_VERSION = re.compile(r"[a-z0-9._-]*")
_COOKIE = re.compile(r"[!#-+\--:<-\[\]-~]{1,256}")
"""RFC 6265, 4.1.1: what may stand in a cookie."""


class SockJS:
    """SockJS below `path`, for pages that use `sockjs-client`; raw WebSockets at `path`/websocket.

    A message is the event `message` at the address that the path names, or that `to` does; other
    events travel as with `Raw`.

    `websocket`: offer WebSockets. `jsessionid`: set that cookie, for load balancers that go by it.
    `heartbeat`: seconds between signs of life; `timeout`: seconds after which a client is gone that
    sends no request; `response_limit`: bytes after which a stream begins anew. `limits`, `origins`,
    `deflate`: see `Mount`.

    `old_browsers`: offer `htmlfile`, `jsonp` and the iframe page, too, for browsers without CORS
    (Internet Explorer to 9). A risk: by them a page of any origin can include what the server says
    as a script, whatever `origins` are, as such browsers do not tell theirs, and names that the
    page chose become part of that script, which is where cross-site scripting begins. With them
    goes `client_url`, the client that the iframe page loads; it must be of the pages' own version.

    >>> wire = SockJS("/echo", to="echo")
    >>> [f"{route.method} {route.path}" for route in wire.routes()][:3]
    ['GET /echo/', 'GET /echo/info', 'GET /echo']
    """

    __slots__ = (
        "_downlinks",
        "_iframe",
        "_transports",
        "heartbeat",
        "jsessionid",
        "mount",
        "path",
        "response_limit",
        "timeout",
        "to",
        "websocket",
    )

    name = "sockjs"
    reserved = RESERVED

    def __init__(
        self,
        path: str = f"/sockjs/{PART}",
        *,
        to: str = PART,
        websocket: bool = True,
        jsessionid: bool = False,
        old_browsers: bool = False,
        client_url: str = CLIENT_URL,
        heartbeat: float = 25.0,
        timeout: float = 5.0,
        response_limit: int = 128 * 1024,
        limits: Limits | None = None,
        origins: Sequence[str] | str | None = None,
        deflate: Deflate | UnsetType | None = UNSET,
    ) -> None:
        self.path = path.rstrip("/")
        self.to = to
        if PART in self.path.removesuffix(PART) or (PART in to and PART not in path):
            raise ConfigurationError(
                f'SockJS: the path "{path}" must end with {PART}, '
                f'or name its address: SockJS("{path}", to="echo")'
            )
        if not client_url.startswith(("/", "https://", "http://")):
            raise ConfigurationError(f'SockJS: "{client_url}" is no URL of a script')
        if timeout <= 0 or response_limit < 1:
            raise ConfigurationError(
                f"SockJS: timeout ({timeout:g}) and response_limit ({response_limit}) are over 0"
            )
        self.websocket = websocket
        self.jsessionid = jsessionid
        self.heartbeat = heartbeat
        self.timeout = timeout
        self.response_limit = response_limit
        self.mount = Mount.of(limits=limits, origins=origins, deflate=deflate)
        offered = [*TRANSPORTS]
        if websocket:
            offered.append(WEBSOCKET)
        if old_browsers:
            offered += OLD_TRANSPORTS
        self._transports = {transport.name: transport for transport in offered}
        self._downlinks = downlinks(timeout, response_limit)
        self._iframe = Iframe(client_url) if old_browsers else None

    def routes(self) -> Sequence[Route]:
        base, mount = self.path, self.mount
        pages = [f"{base}/", f"{base}/info", *([base] if base else ())]
        if self._iframe is not None:
            pages += (f"{base}/iframe.html", f"{base}/iframe{{version}}.html")
        routes = [Route("GET", page, Carrier.REPLY, mount) for page in pages]
        below = f"{base}/{{server}}/{{session}}"
        paths = [(f"{below}/{name}", transport) for name, transport in self._transports.items()]
        if self.websocket:
            paths.append((f"{base}/{WEBSOCKET.name}", WEBSOCKET))
        # Framed as SockJS: the raw one is for programs, and none of them is that old.
        old = replace(mount, hixie=self._iframe is not None)
        for path, transport in paths:
            is_old = transport is WEBSOCKET and path.startswith(below)
            options = old if is_old else mount
            routes.append(Route(transport.method, path, transport.carrier, options))
            if transport is WEBSOCKET:
                routes.append(Route("GET", path, Carrier.REPLY, mount))
            routes.append(Route("*", path, Carrier.REPLY, mount))
        return routes

    def open(self, hello: Hello) -> Opening | Answer:
        address = self._address(hello)
        rest = self._below(hello)
        if address is None or rest is None:
            return answer(404, f"no address at this path; known: {self.path}")
        if "session" in hello.parts:
            return self._session(hello, address)
        return self._page(hello, address, rest)

    def refuse(self, hello: Hello, why: Why) -> Answer:
        """In a close frame, which a page can read, unlike an HTTP status. A foreign origin gets a
        status, and so does a request that asks for no frames.
        """
        if why.reason is Reason.ORIGIN:
            return foreign(why)
        code, text = CODES[why.reason], words(why)
        if hello.carrier in (Carrier.POST, Carrier.REPLY):
            return answer(STATUSES[why.reason], text)
        if hello.carrier is Carrier.WEBSOCKET:
            payloads = (closed(code, text),) if "session" in hello.parts else ()
            return Answer.accepted(code, close_reason(text), payloads=payloads)
        downlink = self._downlink(hello)
        if isinstance(downlink, Answer):
            return downlink
        if why.reason is Reason.TAKEN:
            code, text = _STILL_OPEN
        refused = Answer.accepted(code, text, payloads=(closed(code, text),), downlink=downlink)
        refused.headers = self._cookie(hello)
        return refused

    # --- what a request means -------------------------------------------------------------------

    def _page(self, hello: Hello, address: str, rest: str) -> Opening | Answer:
        """A path without a session."""
        if rest in ("", "/"):
            return GREETING
        if rest == "/info":
            return info(hello, has_websocket=self.websocket, needs_cookie=self.jsessionid)
        if rest == f"/{WEBSOCKET.name}" and self.websocket:
            if hello.carrier is Carrier.REPLY:
                return _wrong_method(hello, WEBSOCKET)
            machine = RawMachine(
                join_at(address, hello.query),
                hello.limits,
                Pulse(self.heartbeat, hello.limits.beat_timeout),
                wall=hello.clock,
                beats=False,
            )
            return Opening(machine=machine, session=hello.id(SESSION_ID))
        version = "" if rest == "/iframe.html" else hello.parts.get("version")
        if self._iframe is None or version is None or _VERSION.fullmatch(version) is None:
            return answer(404, "nothing is here")
        return self._iframe.answer(hello)

    def _session(self, hello: Hello, address: str) -> Opening | Answer:
        """A path of a session: `/<server>/<session>/<transport>`; its names are the client's."""
        server, session = hello.parts.get("server", ""), hello.parts["session"]
        transport = self._transports.get(_last(hello))
        if transport is None or "." in server or "." in session:
            return answer(404, "nothing is here")
        if hello.carrier is Carrier.REPLY:
            return _wrong_method(hello, transport)
        limits = hello.limits
        if transport is WEBSOCKET:
            # "Websocket": the connection is the session; another may have the same name.
            pulse = Pulse(self.heartbeat, limits.beat_timeout)
            join = join_at(address, hello.query)
            machine = SockJsMachine(join, limits, self.heartbeat, pulse=pulse)
            return Opening(machine=machine, session=hello.id(SESSION_ID))
        opening = Opening(
            machine=None,
            session=self._id(address, session),
            is_claimed=True,
            headers=self._cookie(hello),
        )
        if transport.carrier is Carrier.POST:
            opening.role = Role.UPLINK
            opening.uplink = uplink(transport.name, hello.headers.get("content-type", ""), limits)
            return opening
        downlink = self._downlink(hello)
        if isinstance(downlink, Answer):
            return downlink
        opening.role, opening.downlink = Role.DOWNLINK, downlink
        added = ("t", *CALLBACKS) if transport in OLD_TRANSPORTS else ("t",)
        query = {name: value for name, value in hello.query.items() if name not in added}
        opening.machine = SockJsMachine(join_at(address, query), limits, self.heartbeat)
        return opening

    def _downlink(self, hello: Hello) -> Downlink | Answer:
        """How this request is answered, which asks for what a session says."""
        name = _last(hello)
        if name in self._downlinks:
            return self._downlinks[name]
        callback = callback_of(hello.query)
        if isinstance(callback, Answer):
            return callback
        if name == "jsonp":
            return jsonp(callback, self.timeout)
        return htmlfile(callback, self.timeout, self.response_limit)

    def _address(self, hello: Hello) -> str | None:
        """The address that this request's path stands for."""
        if PART not in self.path:
            return self.to
        return self.to.replace(PART, hello.address) if hello.address else None

    def _below(self, hello: Hello) -> str | None:
        """What the path says below ours."""
        base = self.path.replace(PART, hello.address or "")
        return hello.path[len(base) :] if hello.path.startswith(base) else None

    def _id(self, address: str, session: str) -> str:
        """The public id of a session: who reads it cannot speak in that session's name."""
        key = "\0".join((self.path, address, session)).encode()
        return hashlib.blake2b(key, digest_size=16, person=b"anywire.sockjs").hexdigest()

    def _cookie(self, hello: Hello) -> Headers:
        """The cookie that balancers look for: what the client has, or any value."""
        if not self.jsessionid:
            return ()
        value = hello.cookies.get("JSESSIONID", "")
        if _COOKIE.fullmatch(value) is None:
            value = "dummy"
        return (("Set-Cookie", f"JSESSIONID={value}; Path=/"),)


def _last(hello: Hello) -> str:
    """The last part of the path."""
    return hello.path.rpartition("/")[2]


def _wrong_method(hello: Hello, transport: Transport) -> Answer:
    """A plain request where a WebSocket is, or a method that the path does not take."""
    if transport is WEBSOCKET and hello.method == transport.method:
        return NO_UPGRADE
    return not_allowed(transport.method)
