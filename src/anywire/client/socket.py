"""Socket: a WebSocket to any server, that comes back; for scripts, tests and other protocols.

The brother of the browser's `RobustSocket`, under Python's names: back-off with full jitter, a
heartbeat, a bounded queue for what is sent meanwhile, a `close` that is final. It knows no protocol
above RFC 6455; `Client` does.

Length: a third of it says what each option and property means.
"""

import asyncio
import logging
import random as chance
import ssl as tls
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import msgspec

from anywire.client.backoff import Backoff
from anywire.client.clock import Clock, LoopClock
from anywire.client.dial import WebSocketDialer, WebSocketLink
from anywire.client.inbox import Inbox
from anywire.client.lifecycle import FINAL_CODES, REFUSED_CODES, State
from anywire.client.probe import Kind, Probe
from anywire.client.queue import Queue
from anywire.client.redial import ABNORMAL, GOODBYE, Redial
from anywire.client.tasks import Handler, Listeners, Tasks
from anywire.client.websocket import SocketDialer
from anywire.errors import AnywireError, Closed, Refused
from anywire.net.handshake import parse_url
from anywire.payload import Message, Payload
from anywire.wires.base import Request

log = logging.getLogger(__name__)

_CLEAN = (1000, 1001)


class Socket:
    """A WebSocket to one URL; begins with `open`, or with `async with`.

    All times are seconds. `headers`: a mapping, or pairs where a name stands twice. `json`: what is
    sent, unless it is `str` or `bytes`, travels as JSON; text that is JSON is received as its
    value, and answers to a heartbeat (`{"type": "pong"}`) are left out.

    `reconnect`: a lost connection comes back, after a random part of `min(max_reconnect_interval,
    reconnect_interval * reconnect_decay ** attempt)`; one that lasted `min_uptime` begins the count
    anew. Without it the first error is raised, and the first close is the end. `first_timeout`: of
    the first connection; None: it is tried for ever. After `heartbeat_interval` of silence (0:
    never) the peer is asked for a sign of life, and given up after `heartbeat_timeout` more;
    `heartbeat`: by a `ping` of WebSocket, by `json` (`{"type": "ping"}`), or None.

    `max_queue` and `max_queue_bytes` bound what waits for a connection. Past them a `send` is
    refused (`when_full="refuse"`), waits, or gives up the oldest (`drop_oldest`). `max_unread` and
    `max_unread_bytes` bound what waits to be received: past them nothing more is read from the
    network until it was. The other options: see `SocketDialer`. `dialer`, `clock` and `random` are
    for tests.

    >>> from anywire.client import open_socket
    >>> async def main() -> None:
    ...     async with open_socket("ws://127.0.0.1:8000/raw/echo") as socket:
    ...         await socket.send("hello")
    ...         print(await socket.receive(timeout=5))

    Raises ValueError for a URL or an option that cannot be.
    """

    def __init__(
        self,
        url: str,
        *,
        subprotocols: Sequence[str] = (),
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        origin: str | None = None,
        json: bool = False,
        reconnect: bool = True,
        reconnect_interval: float = 1.0,
        max_reconnect_interval: float = 30.0,
        reconnect_decay: float = 1.5,
        min_uptime: float = 5.0,
        heartbeat: Kind | None = "ping",
        heartbeat_interval: float = 30.0,
        heartbeat_timeout: float = 5.0,
        connect_timeout: float = 10.0,
        first_timeout: float | None = None,
        max_queue: int = 1000,
        max_queue_bytes: int = 1024 * 1024,
        when_full: Literal["refuse", "wait", "drop_oldest"] = "refuse",
        max_unread: int = 1000,
        max_unread_bytes: int = 4 * 1024 * 1024,
        max_message: int = 4 * 1024 * 1024,
        compress: bool = True,
        ssl: tls.SSLContext | None = None,
        server_hostname: str | None = None,
        unix: str | None = None,
        proxy: str | None = None,
        max_redirects: int = 0,
        dialer: WebSocketDialer | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] = chance.random,
    ) -> None:
        target = parse_url(url)
        if ssl is not None and not target.is_secure and not max_redirects:
            raise ValueError("ssl is given, but the URL is not secure: it must begin with wss://")
        if isinstance(subprotocols, str):
            raise ValueError("subprotocols is a list of names, not one name")
        if heartbeat not in ("ping", "json", None):
            raise ValueError(f"heartbeat must be ping, json or None, not {heartbeat!r}")
        if when_full not in ("refuse", "wait", "drop_oldest"):
            raise ValueError(f"when_full must be refuse, wait or drop_oldest, not {when_full!r}")
        self._url = url
        self._where = f"{target.scheme}://{target.authority}{urlsplit(url).path}"  # fit for a log
        self._subprotocols = tuple(subprotocols)
        self._is_json = json
        self._comes_back = reconnect
        self._swallows_pongs = json or heartbeat == "json"
        self._first_timeout = first_timeout
        self._when_full = when_full
        stopwatch = time.perf_counter if clock is None else clock.now
        clock = clock or LoopClock()
        self._dialer = dialer or SocketDialer(
            ssl=ssl,
            server_hostname=server_hostname,
            unix=unix,
            max_message=max_message,
            compress=compress,
            headers=headers,
            origin=origin,
            proxy=proxy,
            max_redirects=max_redirects,
        )
        self._tasks = Tasks()
        self._listeners = Listeners(self._tasks, "socket", names=("state", "overflow", "error"))
        self._redial: Redial[WebSocketLink] = Redial(
            lambda request: self._dialer.dial(self._url, request),
            opening=lambda: Request(subprotocols=self._subprotocols),
            opened=self._opened,
            failed=self._failed,
            late=lambda: self._cut(ABNORMAL, "no connection in time"),
            let_go=self._let_go,
            told=lambda state, previous: self._listeners.tell("state", state, previous),
            backoff=Backoff(
                interval=reconnect_interval,
                maximum=max_reconnect_interval,
                decay=reconnect_decay,
                min_uptime=min_uptime,
                random=random,
            ),
            clock=clock,
            tasks=self._tasks,
            connect_timeout=connect_timeout,
            where=self._where,
        )
        self._queue: Queue[Payload] = Queue(most=max_queue, most_bytes=max_queue_bytes)
        self._inbox = Inbox(most=max_unread, most_bytes=max_unread_bytes)
        self._probe = Probe(
            heartbeat or "ping",
            interval=heartbeat_interval if heartbeat is not None else 0.0,
            timeout=heartbeat_timeout,
            clock=clock,
            stopwatch=stopwatch,
            silent=self._give_up,
            is_deaf=lambda: self._inbox.is_paused,
        )
        self._last: WebSocketLink | None = None
        """The newest link, also when it is gone."""
        self._end_of_link: tuple[int, str, bool] | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        return f"Socket({self._where!r}, {self.state})"

    # --- what it is ------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """`idle`, `connecting`, `open`, `waiting` or `closed`."""
        return self._redial.state

    @property
    def ended(self) -> AnywireError | None:
        """Why the socket is closed: Closed or Refused."""
        return self._redial.ended

    @property
    def url(self) -> str:
        """Where the newest connection leads, after redirects, or is to lead."""
        return self._where if self._last is None else self._last.url

    @property
    def subprotocol(self) -> str | None:
        """What the server chose."""
        return None if self._last is None else self._last.subprotocol

    @property
    def extensions(self) -> str:
        """What was agreed, as the server says it; empty: none."""
        return "" if self._last is None else self._last.extensions

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the server's answer to the newest handshake, by name in lower case."""
        return {} if self._last is None else self._last.headers

    @property
    def close_code(self) -> int | None:
        """Of the newest connection that ended: the peer's, ours if it gave none, 1006 if it broke;
        None while none has ended.
        """
        return None if self._end_of_link is None else self._end_of_link[0]

    @property
    def close_reason(self) -> str:
        return "" if self._end_of_link is None else self._end_of_link[1]

    @property
    def was_clean(self) -> bool:
        """Whether the newest connection that ended did so with a whole closing handshake."""
        return self._end_of_link is not None and self._end_of_link[2]

    @property
    def waiting(self) -> int:
        """Messages that wait for a connection."""
        return len(self._queue)

    # --- the connection --------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def start(self) -> None:
        """Begin to connect, without waiting for it; nothing when that was done."""
        self._redial.start()

    async def open(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Connect and wait until that is done.

        `timeout`: seconds, default: `first_timeout`; past it the socket is closed. Raises Closed;
        Refused when the server will not have us (401, 403); and without `reconnect` what the
        attempt raised: OSError, HandshakeError, ProxyError.
        """
        if self.ended is not None:
            raise self.ended
        try:
            await self._redial.opening(self._first_timeout if timeout is None else timeout)
        except Closed as closed:
            await self.close()
            if isinstance(closed.__cause__, Exception):
                raise closed.__cause__ from None
            raise
        except (AnywireError, asyncio.CancelledError):
            await self.close()
            raise

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End for good, in every state and in bounded time; what waits to be sent is dropped.

        What was received is still there to be read. Raises ValueError for a code other than 1000 or
        3000 to 4999, or a reason over 123 bytes.
        """
        if code != 1000 and not 3000 <= code <= 4999:
            raise ValueError(f"close code {code}; may be 1000, or 3000 to 4999")
        if len(reason.encode()) > 123:
            raise ValueError("a close reason has at most 123 bytes of UTF-8")
        farewell = self._redial.farewell()
        self._end(Closed(code, reason), code, by_user=True)
        if farewell is not None:
            await farewell.wait()
        self._redial.abandon()
        await self._tasks.stop(GOODBYE)

    def reconnect(self) -> None:
        """Give the present connection up, and go on as if it had been lost."""
        self._give_up(1000, "given up")

    def on(self, event: str, handler: Handler | None = None) -> Handler:
        """Call `handler` when something happens to the socket; also a decorator.

        `state` (state, previous), `overflow` (the message that was refused or given up), `error`
        (why an attempt failed).
        """
        return self._listeners.on(event, handler)

    def off(self, event: str, handler: Handler | None = None) -> None:
        """Take one handler away, or all of this name."""
        self._listeners.off(event, handler)

    # --- messages --------------------------------------------------------------------------------

    async def send(self, message: Any) -> bool:
        """Send a message, or keep it until there is a connection; False when it was refused.

        Waits while the connection is slower than we are. What a connection took that is then lost
        is not sent again. Raises Closed or Refused once the socket is closed, TypeError for what
        can be no message.
        """
        payload = self._payload(message)
        while True:
            if self.ended is not None:
                raise self.ended
            link = self._redial.link
            if link is not None and self.state is State.OPEN:
                if not link.is_blocked:
                    link.write([payload])
                    return True
            elif self._put(payload):
                return True
            elif self._when_full != "wait":
                log.warning("%s: too much waits to be sent, a message was refused", self._where)
                self._listeners.tell("overflow", message)
                return False
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    async def receive(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """The next message: `str` for text, `bytes` for binary; with `json` the value of the text.

        Raises TimeoutError after `timeout` seconds, and no message is lost by that; Closed or
        Refused once the socket is closed and everything was read.
        """
        try:
            async with asyncio.timeout(timeout):
                return await anext(self)
        except StopAsyncIteration:
            assert self.ended is not None
            raise self.ended from None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        """Ends after `close`, and without `reconnect` after a close with 1000 or 1001; raises
        Closed or Refused after any other end.
        """
        was_paused = self._inbox.is_paused
        message = await self._inbox.next()
        if was_paused and not self._inbox.is_paused:
            self._probe.heard()  # silence counts from now on
        return message

    async def ping(self, timeout: float | None = None) -> float:  # noqa: ASYNC109
        """Ping the server; the seconds until its pong came.

        Raises TimeoutError after `timeout` seconds, and Closed when there is no connection, or it
        is lost meanwhile.
        """
        async with asyncio.timeout(timeout):
            seconds = await self._probe.ping()
        if seconds is None:
            raise self.ended or Closed(ABNORMAL, "there is no connection to ping")
        return seconds

    # --- attempts and ends -----------------------------------------------------------------------

    def _opened(self, link: WebSocketLink) -> None:
        self._last = link
        if not self._redial.stands():
            return
        self._inbox.attach(link)
        # Before anyone hears of the connection: what was sent first goes first.
        link.write(self._queue.take())
        self._probe.attach(link)
        self._wake()
        self._redial.announce()
        if link is self._redial.link:
            link.start(_Hearing(self, link))

    def _failed(self, error: Exception) -> None:
        self._listeners.tell("error", error)
        if isinstance(error, Refused):
            self._end(error, ABNORMAL)
            return
        text = str(error) or type(error).__name__
        if self._comes_back:
            self._cut(ABNORMAL, text)
        else:
            closed = Closed(ABNORMAL, text)
            closed.__cause__ = error
            self._end(closed, ABNORMAL)

    def _cut(self, code: int, reason: str) -> None:
        """The attempt or its connection is lost; come back, unless that is not wanted."""
        if not self._redial.is_connected:
            return
        if code in REFUSED_CODES:
            self._end(Refused("refused", reason), code)
        elif code in FINAL_CODES or not self._comes_back:
            self._end(Closed(code, reason), code)
        else:
            self._redial.cut(code, reason)

    def _end(self, error: AnywireError, code: int, *, by_user: bool = False) -> None:
        if not self._redial.end(error, by_user=by_user):
            return
        if dropped := len(self._queue.take()):
            log.warning("%s: %d messages were never sent", self._where, dropped)
        self._redial.release(code, error.reason if isinstance(error, Closed) else "")
        is_quiet = by_user or (isinstance(error, Closed) and error.code in _CLEAN)
        self._inbox.end(None if is_quiet else error)
        self._redial.announce()

    def _let_go(self) -> None:
        self._inbox.attach(None)
        self._probe.detach(self.ended or Closed(ABNORMAL, "the connection was lost"))
        self._wake()

    # --- what a link brings ----------------------------------------------------------------------

    def received(self, link: WebSocketLink, message: Message) -> None:
        """A message; what an older link still brings means nothing."""
        if link is not self._redial.link:
            return
        self._probe.heard()
        value: Any = message
        if self._swallows_pongs:
            parsed = _parsed(message)
            if isinstance(parsed, dict) and parsed.get("type") == "pong":
                return
            if self._is_json:
                value = parsed
        self._inbox.push(value, len(message))

    def heard(self, link: WebSocketLink) -> None:
        """A sign of life."""
        if link is self._redial.link:
            self._probe.heard()

    def ponged(self, data: bytes) -> None:
        """A pong; pings are told apart by their content, so it may come from an older link."""
        self._probe.ponged(data)

    def writable(self) -> None:
        self._wake()

    def closed(self, link: WebSocketLink, code: int, reason: str) -> None:
        """A link is gone: the present one, or that which `close` waits for."""
        is_present = link is self._redial.link
        if is_present or self._redial.lost(link):
            self._end_of_link = code, reason, link.was_clean
        if is_present:
            self._cut(code, reason)

    def _give_up(self, code: int, reason: str) -> None:
        """End the connection without waiting for the peer's goodbye."""
        if self._redial.link is not None:
            self._end_of_link = code, reason, False
        self._cut(code, reason)

    # --- inside ----------------------------------------------------------------------------------

    def _payload(self, message: Any) -> Payload:
        if isinstance(message, str | bytes):
            return Payload.of(message)
        if isinstance(message, bytearray | memoryview):
            return Payload.of(bytes(message))
        if self._is_json:
            return Payload(msgspec.json.encode(message))
        kind = type(message).__name__
        raise TypeError(f"a message is str or bytes, not {kind}; with json=True it may be anything")

    def _put(self, payload: Payload) -> bool:
        """Keep it until there is a connection; False: there is no room."""
        if self._queue.put(payload, payload.size):
            return True
        if self._when_full != "drop_oldest" or payload.size > self._queue.most_bytes:
            return False
        while len(self._queue):
            (oldest,) = self._queue.pop().messages()
            self._listeners.tell("overflow", oldest)
            if self._queue.put(payload, payload.size):
                return True
        return False

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class _Hearing:
    """What one link tells, under its own name."""

    __slots__ = ("_link", "_socket")

    def __init__(self, socket: Socket, link: WebSocketLink) -> None:
        self._socket = socket
        self._link = link

    def on_message(self, message: Message) -> None:
        self._socket.received(self._link, message)

    def on_heard(self) -> None:
        self._socket.heard(self._link)

    def on_ping(self, data: bytes) -> None:
        """It is answered already."""

    def on_pong(self, data: bytes) -> None:
        self._socket.ponged(data)

    def on_writable(self) -> None:
        self._socket.writable()

    def on_closed(self, code: int, reason: str) -> None:
        self._socket.closed(self._link, code, reason)


def _parsed(message: Message) -> Any:
    """The value of a text that is JSON; everything else as it is."""
    if isinstance(message, str):
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(message)
    return message
