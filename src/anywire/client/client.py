"""Client: a session with a server over a connection that comes back; channels stay joined,
nothing is lost that can be kept.

It drives a client machine over links that a dialer opens. All of it happens in one event loop;
time, randomness and the network are given, so that tests own them. What may happen when is the
table in `lifecycle`.

Length: every way into a connection and out of one stands here side by side.
"""

import asyncio
import inspect
import logging
import random as chance
import ssl as tls
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

from anywire.client.backoff import Backoff
from anywire.client.calls import Calls, value_of
from anywire.client.channel import Channel, hear, see
from anywire.client.clock import Clock, LoopClock, Timer
from anywire.client.dial import Dialer, Link
from anywire.client.lifecycle import FINAL_CODES, REFUSED_CODES, SESSION_CODES, Lifecycle, State
from anywire.client.line import Line, Resumption
from anywire.client.membership import Membership
from anywire.client.tasks import Handler, Listeners, Tasks
from anywire.client.websocket import SocketDialer
from anywire.errors import AnywireError, Closed, ProtocolError, Refused
from anywire.frames import (
    Ack,
    Beat,
    Bye,
    Event,
    Frame,
    Gap,
    Joined,
    Leave,
    Presence,
    Refusal,
    Welcome,
)
from anywire.limits import Limits
from anywire.net.handshake import parse_url
from anywire.payload import Message, Payload
from anywire.wires.anywire import OwnClient
from anywire.wires.base import Client as Machine
from anywire.wires.base import Request

log = logging.getLogger(__name__)

Token = str | Callable[[], str | Awaitable[str]]
FORMATS = {"json": "anywire.json.1", "msgpack": "anywire.msgpack.1"}
GOODBYE = 3.0
"""Seconds a `close` may take."""
_ABNORMAL = 1006
_PROTOCOL = 4400
_SILENT = 4410


class Client:
    """A client of one server; begins with `open`, or with `async with`.

    All times are seconds. `token` travels as `Authorization: Bearer`; a function is asked for a
    fresh one before each attempt. `format`: `json` or `msgpack`. The next attempt waits a random
    part of `min(max_reconnect_interval, reconnect_interval * reconnect_decay ** attempt)`. After
    `heartbeat_interval` of silence the server is asked for a sign of life, and given up after
    `heartbeat_timeout` more. `max_queue` and `max_queue_bytes` bound what waits to be sent.
    `timeout`: of calls; 0: none. `first_timeout`: of the first connection; None: it is tried for
    ever. `ssl`, `unix`, `max_message`, `compress`: see `SocketDialer`.

    `machine` speaks another wire; `dialer`, `clock` and `random` are for tests.

    Raises ValueError for a URL or an option that cannot be.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token | None = None,
        headers: Mapping[str, str] | None = None,
        format: Literal["json", "msgpack"] = "json",
        reconnect_interval: float = 1.0,
        max_reconnect_interval: float = 30.0,
        reconnect_decay: float = 1.5,
        heartbeat_interval: float = 30.0,
        heartbeat_timeout: float = 5.0,
        connect_timeout: float = 10.0,
        first_timeout: float | None = None,
        timeout: float = 10.0,
        max_queue: int = 1000,
        max_queue_bytes: int = 1024 * 1024,
        max_message: int = 4 * 1024 * 1024,
        compress: bool = True,
        ssl: tls.SSLContext | None = None,
        unix: str | None = None,
        machine: Machine | None = None,
        dialer: Dialer | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] = chance.random,
    ) -> None:
        target = parse_url(url)
        if format not in FORMATS:
            raise ValueError(f"format must be json or msgpack, not {format!r}")
        if ssl is not None and not target.is_secure:
            raise ValueError("ssl is given, but the URL is not secure: it must begin with wss://")
        if token is not None and "authorization" in map(str.lower, headers or ()):
            raise ValueError("token travels as the header Authorization: give one of the two")
        self._url = url
        self._where = f"{target.scheme}://{target.authority}{urlsplit(url).path}"  # fit for a log
        self._token = token
        self._headers = dict(headers or {})
        self._first_timeout = first_timeout
        self._connect_timeout = connect_timeout
        self._clock = clock or LoopClock()
        self._random = random
        self._dialer = dialer or SocketDialer(
            ssl=ssl, unix=unix, max_message=max_message, compress=compress
        )
        self._machine = machine or OwnClient(
            FORMATS[format],
            beat=heartbeat_interval,
            beat_timeout=heartbeat_timeout,
            limits=Limits(message=max_message),
        )
        self._tasks = Tasks()
        self._listeners = Listeners(self._tasks, "client", names=("state", "overflow", "error"))
        self._line = Line(
            self._machine,
            soon=lambda flush: asyncio.get_running_loop().call_soon(flush),
            max_queue=max_queue,
            max_queue_bytes=max_queue_bytes,
            overflowed=self._overflowed,
        )
        self._calls = Calls(self._line, tasks=self._tasks, clock=self._clock, timeout=timeout)
        self._lifecycle = Lifecycle(
            Backoff(
                interval=reconnect_interval,
                maximum=max_reconnect_interval,
                decay=reconnect_decay,
                random=random,
            )
        )
        self._memberships: dict[str, Membership] = {}
        self._channels: dict[str, Channel] = {}
        self._link: Link | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        """The one timer of an attempt (its deadline) and of waiting."""
        self._beat: Timer | None = None
        self._refusal: Refused | None = None
        """What the server said of us on this connection, before it hung up."""
        self._trouble = "nothing was tried yet"
        self._told = State.IDLE
        self._openers: list[asyncio.Future[None]] = []
        self._farewell: tuple[Link, asyncio.Future[None]] | None = None
        """The link that a `close` waits for."""

    def __repr__(self) -> str:
        return f"Client({self._where!r}, {self.state})"

    @property
    def state(self) -> State:
        """`idle`, `connecting`, `resuming`, `open`, `waiting` or `closed`."""
        return self._lifecycle.state

    @property
    def ended(self) -> AnywireError | None:
        """Why the client is closed: Closed or Refused."""
        return self._line.ended

    @property
    def limits(self) -> Mapping[str, float]:
        """What the server says of its limits; empty before the first session."""
        return self._line.limits

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
        if self.state is State.IDLE:
            self._dial()

    async def open(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Connect and wait until there is a session; a failed attempt is followed by the next.

        `timeout`: seconds, default: `first_timeout`; past it the client is closed. Raises Closed,
        or Refused when the server will not have us.
        """
        self.start()
        if self.ended is not None:
            raise self.ended
        if self.state is State.OPEN:
            return
        opener = asyncio.get_running_loop().create_future()
        self._openers.append(opener)
        seconds = self._first_timeout if timeout is None else timeout
        timer = None
        if seconds is not None:
            timer = self._clock.call_at(
                self._clock.now() + seconds, lambda: self._give_up(opener, seconds)
            )
        try:
            await opener
        except (AnywireError, asyncio.CancelledError):
            await self.close()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End for good, in every state and in bounded time: the session, every channel, every
        call under way.

        Handlers that still run are cancelled.
        """
        link = self._link
        if link is not None and self._line.is_live:
            self._line.write(Bye(code, reason, None))
            self._line.write_now()
        hung_up = asyncio.get_running_loop().create_future()
        if link is not None:
            self._farewell = (link, hung_up)
        self._end(Closed(code, reason), code, by_user=True)
        try:
            if link is not None:
                await asyncio.wait([hung_up], timeout=GOODBYE)
            await self._tasks.stop(GOODBYE)
        finally:
            if link is not None:
                link.abort()

    def on(self, event: str, handler: Handler | None = None) -> Handler:
        """Call `handler` when something happens to the client; also a decorator.

        `state` (state, previous), `overflow` (the frame that was refused: too much waits to be
        sent), `error` (what no call or join could tell: a failed attempt, a refusal, the reason of
        the end).
        """
        return self._listeners.on(event, handler)

    def off(self, event: str, handler: Handler | None = None) -> None:
        """Take one handler away, or all of this name."""
        self._listeners.off(event, handler)

    def channel(self, address: str, *, recover: bool = False, params: object = None) -> Channel:
        """The channel at an address: one object per address, with the options of the first time.

        `params` go along with each join; with `recover` what was missed is asked for whenever it is
        joined again.
        """
        channel = self._channels.get(address)
        if channel is None:
            membership = Membership(
                address,
                line=self._line,
                calls=self._calls,
                clock=self._clock,
                random=self._random,
                params=params,
                recover=recover,
            )
            channel = Channel(
                membership, line=self._line, calls=self._calls, tasks=self._tasks, clock=self._clock
            )
            self._memberships[address] = membership
            self._channels[address] = channel
        return channel

    # --- attempts --------------------------------------------------------------------------------

    def _dial(self) -> None:
        """Begin an attempt; its deadline covers the handshake and the welcome."""
        if not self._lifecycle.start(resumes=self._line.has_session):
            return
        request = self._machine.opening()
        self._set_timer(self._connect_timeout, self._too_late)
        self._attempt = self._tasks.start(self._try(request), "attempt")
        self._changed()

    async def _try(self, request: Request) -> None:
        me = asyncio.current_task()
        try:
            link = await self._dialer.dial(self._url, await self._with_credentials(request))
        except Refused as refused:
            if self._attempt is me:
                self._report(refused)
                self._end(refused, _ABNORMAL)
            return
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if self._attempt is me:
                expected = isinstance(error, OSError | AnywireError)
                if not expected:
                    log.exception("an attempt to connect to %s failed", self._where)
                self._report(error)
                self._cut(_ABNORMAL, str(error) or type(error).__name__)
            return
        if self._attempt is not me:
            link.abort()
            return
        self._attempt = None
        self._opened(link)

    async def _with_credentials(self, request: Request) -> Request:
        headers = {**request.headers, **self._headers}
        if self._token is not None:
            token = self._token() if callable(self._token) else self._token
            if inspect.isawaitable(token):
                token = await token
            headers["Authorization"] = f"Bearer {token}"
        return Request(subprotocols=request.subprotocols, query=request.query, headers=headers)

    def _opened(self, link: Link) -> None:
        """The link stands: let the machine begin, then hear what came."""
        self._link = link
        self._refusal = None
        self._line.attach(link)
        hearing = _Hearing(self, link)
        now = self._clock.now()
        try:
            frames = self._machine.opened(link.subprotocol, now)
        except ProtocolError as error:
            self._cut(error.code, error.reason)
            return
        if self._machine.is_single:
            # One implicit membership is all there is: such a wire has no welcome.
            self._line.begin()
            self._stands(is_resumed=False)
        self._take(link, frames)
        if link is self._link:
            self._watch()
            link.start(hearing)

    def _stands(self, *, is_resumed: bool) -> None:
        """There is a session: memberships first, then what waits for them."""
        if not self._lifecycle.welcomed(self._clock.now()):
            return
        self._set_timer(None)
        if not is_resumed:
            self._calls.lost()
        for membership in list(self._memberships.values()):
            membership.live(is_resumed=is_resumed)
        self._line.flush()
        openers, self._openers = self._openers, []
        for opener in openers:
            if not opener.done():
                opener.set_result(None)
        self._watch()
        self._changed()

    def _too_late(self) -> None:
        if self._link is None:
            self._cut(_ABNORMAL, "no connection in time")
        else:
            self._cut(_PROTOCOL, "no welcome in time")

    def _give_up(self, opener: asyncio.Future[None], seconds: float) -> None:
        """The first connection took too long; whoever waits for it closes the client."""
        if not opener.done():
            text = f"no connection to {self._where} within {seconds:g} s: {self._trouble}"
            opener.set_exception(Closed(_ABNORMAL, text))

    # --- the end of connections ------------------------------------------------------------------

    def _cut(
        self, code: int, reason: str, *, retry: float | None = None, is_final: bool = False
    ) -> None:
        """The attempt or its connection is lost; come back, unless there is no sense in it."""
        if not self._lifecycle.is_connected:
            return
        if code in SESSION_CODES:
            self._line.forget()
        if is_final or code in FINAL_CODES:
            error: AnywireError = Closed(code, reason)
            if self._refusal is not None:
                error = self._refusal
            elif code in REFUSED_CODES:
                error = Refused("refused", reason)
            self._report(error)
            self._end(error, code)
            return
        delay = self._lifecycle.cut(self._clock.now(), retry)
        assert delay is not None  # it was connected
        self._trouble = reason or f"close code {code}"
        log.warning("%s: %s (%d); next attempt in %.1f s", self._where, self._trouble, code, delay)
        self._release(code, reason)
        self._set_timer(delay, self._dial)
        self._changed()

    def _end(self, error: AnywireError, code: int, *, by_user: bool = False) -> None:
        if not self._lifecycle.end(by_user=by_user):
            return
        self._set_timer(None)
        dropped = self._line.end(error)
        self._release(code, str(error) if not isinstance(error, Closed) else error.reason)
        for membership in self._memberships.values():
            membership.end(error)
        self._calls.end(error)
        if not by_user:
            log.warning("%s: closed for good: %.200r", self._where, str(error))
        if dropped:
            log.warning("%s: %d messages were never sent", self._where, dropped)
        openers, self._openers = self._openers, []
        for opener in openers:
            if not opener.done():
                opener.set_exception(error)
        self._changed()

    def _release(self, code: int, reason: str) -> None:
        """Let go of the link without waiting for it: a dead one would answer after minutes."""
        link, self._link = self._link, None
        attempt, self._attempt = self._attempt, None
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        self._line.detach()
        if attempt is not None and attempt is not asyncio.current_task():
            attempt.cancel()
        if link is not None:
            link.close(code, reason)

    # --- what a link brings ----------------------------------------------------------------------

    def received(self, link: Link, message: Message) -> None:
        """A message; what an older link still brings means nothing."""
        if link is not self._link:
            return
        try:
            self._take(link, self._machine.receive(message, self._clock.now()))
        except ProtocolError as error:
            self._cut(error.code, error.reason)
        except ValueError as error:
            self._cut(_PROTOCOL, f"not what this protocol allows: {error}")

    def heard(self, link: Link) -> None:
        """A sign of life."""
        if link is self._link:
            self._machine.heard(self._clock.now())

    def writable(self, link: Link) -> None:
        if link is self._link:
            self._line.writable()

    def closed(self, link: Link, code: int, reason: str) -> None:
        if link is self._link:
            self._cut(code, reason)
        elif self._farewell is not None and self._farewell[0] is link:
            if not self._farewell[1].done():
                self._farewell[1].set_result(None)

    def _take(self, link: Link, frames: Sequence[Frame]) -> None:
        for frame in frames:
            self._hear(frame)
            if link is not self._link:
                return
        self._put_due()

    def _hear(self, frame: Frame) -> None:
        match frame:
            case Event():
                for channel in self._at(frame.alias):
                    hear(channel, frame)
            case Presence():
                for channel in self._at(frame.alias):
                    see(channel, frame)
            case Joined():
                if (membership := self._memberships.get(frame.alias)) is not None:
                    membership.joined(frame)
            case Leave():
                if (membership := self._memberships.get(frame.alias)) is not None:
                    membership.left(frame)
            case Gap():
                if (membership := self._memberships.get(frame.alias)) is not None:
                    membership.gap(frame)
            case Refusal():
                self._refused(frame)
            case Welcome():
                self._welcomed(frame)
            case Ack():
                if not self._line.acked(frame.seq):
                    raise ProtocolError("acknowledges what was never sent", code=_PROTOCOL)
            case Bye():
                self._cut(frame.code, frame.text, retry=frame.retry, is_final=frame.retry is None)
            case Beat():
                pass
            case _:
                self._calls.receive(frame)

    def _at(self, alias: str) -> Sequence[Channel]:
        """The channels an alias means: with one implicit membership, all there are."""
        if self._machine.is_single:
            return list(self._channels.values())
        channel = self._channels.get(alias)
        return () if channel is None else (channel,)

    def _welcomed(self, welcome: Welcome) -> None:
        what = self._line.welcomed(welcome)
        if what is Resumption.BROKEN:
            self._line.forget()
            self._cut(1000, "what is missing is not kept any more", retry=0.0)
            return
        self._stands(is_resumed=what is Resumption.RESUMED)

    def _refused(self, frame: Refusal) -> None:
        if frame.ref is not None and self._calls.receive(frame):
            return
        for membership in self._memberships.values():
            if membership.is_asked(frame.ref) or membership.address == frame.alias:
                membership.refused(frame)
                return
        error = Refused(frame.code, frame.text, data=value_of(frame.data))
        if frame.ref is None and frame.alias is None and frame.event is None:
            self._refusal = error  # of the session: its end follows
        else:
            self._report(error)

    # --- heartbeat -------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Set the timer for the machine's next tick. Later deadlines move it only when it fires."""
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        when = self._machine.deadline()
        if when is not None and self._link is not None:
            self._beat = self._clock.call_at(when, self._tick)

    def _tick(self) -> None:
        self._beat = None
        link = self._link
        if link is None:
            return
        for frame in self._machine.tick(self._clock.now()):
            if isinstance(frame, Bye):
                self._cut(_SILENT, frame.text)
                return
            if isinstance(frame, Beat) and not link.beat():
                self._line.write(frame)
        self._put_due()
        self._watch()

    # --- inside ----------------------------------------------------------------------------------

    def _put_due(self) -> None:
        due: Sequence[Payload] = self._machine.due()
        if due:
            self._line.put(due)

    def _set_timer(self, seconds: float | None, callback: Callable[[], None] | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None and callback is not None:
            self._timer = self._clock.call_at(self._clock.now() + seconds, callback)

    def _changed(self) -> None:
        state, previous = self.state, self._told
        if state is not previous:
            self._told = state
            self._listeners.tell("state", state, previous)

    def _report(self, error: Exception) -> None:
        self._listeners.tell("error", error)

    def _overflowed(self, frame: Frame) -> None:
        log.warning("%s: too much waits to be sent, a message was refused", self._where)
        self._listeners.tell("overflow", frame)


class _Hearing:
    """What one link tells, under its own name."""

    __slots__ = ("_client", "_link")

    def __init__(self, client: Client, link: Link) -> None:
        self._client = client
        self._link = link

    def on_message(self, message: Message) -> None:
        self._client.received(self._link, message)

    def on_heard(self) -> None:
        self._client.heard(self._link)

    def on_writable(self) -> None:
        self._client.writable(self._link)

    def on_closed(self, code: int, reason: str) -> None:
        self._client.closed(self._link, code, reason)
