"""The exchange of an ASGI host: one request and its response, as a carrier sees them (ASGI 3.0).

Also the HTTP answer to a WebSocket's request that is refused before it is accepted, where the host
has the extension `websocket.http.response`; where it has not, the answer is the host's own 403.
"""

from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote
from uuid import UUID

from anywire.core.clock import Deadlines
from anywire.core.stepping import Stepper
from anywire.limits import Limits
from anywire.net.head import Request
from anywire.servers.asgilink import Hearing, Scope, Sending
from anywire.servers.asgisocket import AsgiSocket
from anywire.servers.exchange import AHEAD
from anywire.servers.guest import Message, Receive, Send
from anywire.servers.incoming import Incoming
from anywire.servers.static import Reply, text
from anywire.wires.base import Hello, User

_NAMES = ("pk", "id", "identity", "username")


class AsgiExchange:
    """One request and its response; made and run in the host's coroutine.

    That of a WebSocket ends with an answer, or when it is accepted: then `hearing` and `sending`
    are its transport's.
    """

    __slots__ = (
        "_incoming",
        "_is_socket",
        "_limit",
        "_may_deny",
        "_prefix",
        "_scopes",
        "_seed",
        "_silent",
        "_socket",
        "has_begun",
        "has_ended",
        "headers",
        "hearing",
        "is_gone",
        "is_kept",
        "is_secure",
        "remote",
        "request",
        "scope",
        "sending",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        stepper: Stepper,
        scopes: dict[bytes, Scope] | None = None,
    ) -> None:
        self.scope = scope
        self.request = request_of(scope)
        client = scope.get("client")
        self.remote = str(client[0]) if client else ""
        self.is_secure = scope.get("scheme") in ("https", "wss")
        self._incoming = Incoming()
        self.hearing = Hearing(receive, self._take)
        self.is_gone = False
        self.has_begun = False
        self.has_ended = False
        self.is_kept = False
        self.headers: Sequence[tuple[str, str]] = ()
        self._is_socket = scope["type"] == "websocket"
        self._prefix = "websocket.http.response" if self._is_socket else "http.response"
        extensions = scope.get("extensions") or {}
        self._may_deny = not self._is_socket or "websocket.http.response" in extensions
        self.sending = Sending(send, stepper, drained=self._incoming.wake, broken=self._cut)
        self._limit: int | None = None
        self._silent = self.request.method == "HEAD"
        self._socket: AsgiSocket | None = None
        self._scopes = {} if scopes is None else scopes
        self._seed = b""

    async def run(self) -> None:
        """Hear the client until the response is whole and taken, or the WebSocket is over."""
        try:
            await self.hearing.run()
            if self._socket is not None:
                await self._socket.last_word()
            while not (self.sending.is_idle or self.sending.is_broken):
                await self._incoming.changed()
        finally:
            if self._socket is not None:
                self._socket.finish()
            if not self.has_ended:
                self._cut()
            self._scopes.pop(self._seed, None)

    def greet(self, hello: Hello) -> None:
        """Whom the host knows, and the host's own words for who asks it (`scopes`)."""
        hello.user = user_of(self.scope)
        self._seed = hello.seed
        self._scopes[hello.seed] = self.scope

    # --- the request ----------------------------------------------------------------------------

    def bound(self, limit: int) -> None:
        """Refuse a body over so many bytes, by its length or while it is read: 413."""
        self._limit = limit
        if (self.request.length or 0) > limit or self._incoming.size > limit:
            self.fail(413, f"a body has at most {limit} bytes here")

    async def read(self) -> bytes:
        """The next part of the body; empty once it is whole. Raises Closed if it never will be."""
        data = await self._incoming.read()
        if data:
            self.hearing.resume()
        return data

    async def gone(self) -> None:
        """Wait until the client is gone or the response is whole."""
        while not (self.is_gone or self.has_ended):
            await self._incoming.changed()

    def keep(self, changed: Callable[[], None]) -> None:
        """Answer later: `changed` is called when the client is gone, or may have taken all."""
        self.is_kept = True
        self._incoming.watcher = changed

    @property
    def is_full(self) -> bool:
        """The host has not taken everything written."""
        return not self.sending.is_idle

    # --- the response ---------------------------------------------------------------------------

    def respond(self, reply: Reply) -> None:
        """Answer with all there is to say."""
        if self.has_begun or self.is_gone:
            return
        length = [] if reply.status == 304 else [("Content-Length", str(len(reply.body)))]
        self.start(reply.status, [*reply.headers, *length])
        self.end(reply.body)

    def start(self, status: int, headers: Iterable[tuple[str | bytes, str | bytes]]) -> None:
        """Begin a response whose body follows. Raises ValueError when it has begun."""
        if self.has_begun:
            raise ValueError("the response has begun")
        if self.is_gone:
            return
        self.has_begun = True
        fields = [
            (_bytes(name).lower(), _bytes(value)) for name, value in (*headers, *self.headers)
        ]
        self._silent = self._silent or status in (204, 304)
        if self._may_deny:
            self._say({"type": f"{self._prefix}.start", "status": status, "headers": fields})
        else:
            self._say({"type": "websocket.close", "code": 1008, "reason": ""})

    def write(self, *parts: bytes) -> None:
        """More of the body; the host decides what is a chunk."""
        self._body(b"".join(parts), is_last=False)

    def end(self, data: bytes = b"") -> None:
        """The last part of the body, if there is one more, and its end."""
        if self.has_ended or self.is_gone:
            return
        self._body(data, is_last=True)
        self.has_ended = True
        self._incoming.stop()
        self.hearing.leave()

    async def drained(self) -> None:
        """Wait until the host has taken what was written, or the client is gone."""
        while not (self.sending.is_idle or self.is_gone):
            await self._incoming.changed()

    def fail(self, status: int, reason: str) -> None:
        """Answer so if nothing was said yet, then hang up."""
        if self.has_ended or self.is_gone:
            return
        if self.has_begun:
            self.sending.abort()  # only an end without the last part tells the client
        else:
            self.respond(text(status, reason))
        self._cut()

    def accept(
        self,
        subprotocol: str | None,
        *,
        now: Callable[[], float],
        deadlines: Deadlines,
        limits: Limits,
    ) -> AsgiSocket:
        """Accept the WebSocket, which takes over what is heard and said."""
        self._say({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})
        self.has_begun = self.has_ended = True
        self._incoming.stop()
        self._socket = AsgiSocket(
            self.hearing, self.sending, now=now, deadlines=deadlines, limits=limits
        )
        return self._socket

    def abort(self) -> None:
        """Say nothing more, and let the host hang up."""
        self.sending.abort()
        self._cut()

    # --- inside ---------------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        kind = message["type"]
        if kind in ("http.disconnect", "websocket.disconnect"):
            self.abort()
        elif kind == "http.request" and not self._incoming.is_whole:
            incoming, data = self._incoming, message.get("body", b"")
            if data:
                incoming.feed(data)
                if self._limit is not None and incoming.size > self._limit:
                    self.bound(self._limit)
                elif incoming.unread > AHEAD:
                    self.hearing.pause()
            if not message.get("more_body", False):
                incoming.finish()

    def _body(self, data: bytes, *, is_last: bool) -> None:
        if self.has_ended or not self.has_begun or not self._may_deny:
            return
        said = b"" if self._silent else data
        if said or is_last:
            kind = f"{self._prefix}.body"
            self._say({"type": kind, "body": said, "more_body": not is_last}, len(said))

    def _say(self, message: Message, size: int = 0) -> None:
        if not self.is_gone:
            self.sending.put([(message, size)])

    def _cut(self) -> None:
        """The client is gone, or hears nothing more."""
        self.is_gone = True
        self._incoming.stop(drop=True)
        self.hearing.leave()


def request_of(scope: Scope) -> Request:
    """The request as our own server would have read it, below the mount's `root_path`."""
    path = path_of(scope)
    raw_path = scope.get("raw_path") or quote(scope["path"]).encode()
    query: bytes = scope.get("query_string", b"")
    headers = [(name.lower(), value) for name, value in scope["headers"]]
    fields = dict(headers)
    length = fields.get(b"content-length", b"0" if b"transfer-encoding" not in fields else b"")
    return Request(
        method=scope.get("method", "GET"),
        target=raw_path + (b"?" + query if query else b""),
        path=path,
        raw_path=raw_path,
        query=query,
        headers=headers,
        version=scope.get("http_version", "1.1"),
        keep_alive=True,
        upgrade=scope["type"] == "websocket",
        length=int(length) if length.isdigit() else None,
    )


def path_of(scope: Scope) -> str:
    """The path below where we are mounted; hosts that strip the prefix and those that do not."""
    path: str = scope["path"]
    if path.endswith("/") and scope.get("raw_path") and not scope["raw_path"].endswith(b"/"):
        path = path[:-1]  # a framework's own way of writing it
    root: str = scope.get("root_path", "").rstrip("/")
    if root and (path == root or path.startswith(f"{root}/")):
        path = path[len(root) :]
    return path or "/"


def user_of(scope: Scope) -> User | None:
    """Whom the framework's own authentication found: `scope["user"]`, by a name that is its alone.

    Taken are `pk`, `id`, `identity` and `username`, in this order; a user who `is_authenticated` is
    not, or has none of them, is nobody.
    """
    known = scope.get("user")
    if known is None or not getattr(known, "is_authenticated", True):
        return None
    for name in _NAMES:
        try:
            id = getattr(known, name, None)
        except NotImplementedError:  # Starlette's users may leave a part out
            continue
        if isinstance(id, str | int | UUID) and str(id):
            return User(str(id))
    return None


def _bytes(value: str | bytes) -> bytes:
    return value.encode("latin-1") if isinstance(value, str) else value
