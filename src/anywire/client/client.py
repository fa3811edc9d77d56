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
from anywire.client.choosing import CarrierName, Choosing, dialers_of
from anywire.client.clock import Clock, LoopClock, Timer
from anywire.client.dial import Dialer, Link
from anywire.client.lifecycle import FINAL_CODES, REFUSED_CODES, SESSION_CODES, State
from anywire.client.line import Line, Resumption
from anywire.client.membership import Membership
from anywire.client.redial import ABNORMAL, GOODBYE, Redial
from anywire.client.tasks import Handler, Listeners, Tasks
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
    ever. `ssl`, `unix`, `proxy`, `max_message`, `compress`: see `SocketDialer`.

    `carriers`: what to connect over, tried in this order until one gets through (`choosing`); None:
    `websocket`, `events` (not with MessagePack), `stream`, `poll`. `carrier_timeout`: of one while
    another is left; `connect_timeout`: of the last one.

    `machine` speaks another wire, over WebSockets; `dialer` opens links of its own kind instead of
    `carriers`; `clock` and `random` are for tests.

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
        carriers: Sequence[CarrierName] | None = None,
        carrier_timeout: float = 5.0,
        connect_timeout: float = 10.0,
        first_timeout: float | None = None,
        timeout: float = 10.0,
        max_queue: int = 1000,
        max_queue_bytes: int = 1024 * 1024,
        max_message: int = 4 * 1024 * 1024,
        compress: bool = True,
        ssl: tls.SSLContext | None = None,
        unix: str | None = None,
        proxy: str | None = None,
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
        self._clock = clock or LoopClock()
        self._random = random
        dialers: Mapping[str, Dialer] = (
            {"": dialer}
            if dialer is not None
            else dialers_of(
                carriers,
                is_binary=format == "msgpack",
                is_own=machine is None,
                ssl=ssl,
                unix=unix,
                proxy=proxy,
                max_message=max_message,
                compress=compress,
            )
        )
        self._choosing = Choosing(
            dialers,
            prepare=self._with_credentials,
            patience=carrier_timeout,
            clock=self._clock,
            where=self._where,
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
        self._redial: Redial[Link] = Redial(
            self._dial,
            opening=self._machine.opening,
            opened=self._opened,
            failed=self._failed,
            late=self._too_late,
            let_go=self._let_go,
            told=lambda state, previous: self._listeners.tell("state", state, previous),
            resumes=lambda: self._line.has_session,
            backoff=Backoff(
                interval=reconnect_interval,
                maximum=max_reconnect_interval,
                decay=reconnect_decay,
                random=random,
            ),
            clock=self._clock,
            tasks=self._tasks,
            connect_timeout=connect_timeout + carrier_timeout * (len(dialers) - 1),
            where=self._where,
        )
        self._memberships: dict[str, Membership] = {}
        self._channels: dict[str, Channel] = {}
        self._beat: Timer | None = None
        self._refusal: Refused | None = None
        """What the server said of us on this connection, before it hung up."""

    def __repr__(self) -> str:
        return f"Client({self._where!r}, {self.state})"

    @property
    def state(self) -> State:
        """`idle`, `connecting`, `resuming`, `open`, `waiting` or `closed`."""
        return self._redial.state

    @property
    def carrier(self) -> str | None:
        """What the last connection goes over: one of `carriers`; None before the first."""
        return self._choosing.carrier

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
        self._redial.start()

    async def open(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Connect and wait until there is a session; a failed attempt is followed by the next.

        `timeout`: seconds, default: `first_timeout`; past it the client is closed. Raises Closed,
        or Refused when the server will not have us.
        """
        if self.ended is not None:
            raise self.ended
        try:
            await self._redial.opening(self._first_timeout if timeout is None else timeout)
        except (AnywireError, asyncio.CancelledError):
            await self.close()
            raise

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End for good, in every state and in bounded time: the session, every channel, every
        call under way.

        Handlers that still run are cancelled.
        """
        farewell = self._redial.farewell()
        if self._redial.link is not None and self._line.is_live:
            self._line.write(Bye(code, reason, None))
            self._line.write_now()
        self._end(Closed(code, reason), code, by_user=True)
        if farewell is not None:
            await farewell.wait()
        self._redial.abandon()
        await self._tasks.stop(GOODBYE)

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

    async def _dial(self, request: Request) -> Link:
        return await self._choosing.dial(self._url, request)

    def _failed(self, error: Exception) -> None:
        self._report(error)
        if isinstance(error, Refused):
            self._end(error, ABNORMAL)
        else:
            self._cut(ABNORMAL, str(error) or type(error).__name__)

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
        self._refusal = None
        self._line.attach(link)
        hearing = _Hearing(self, link, self._machine.opening)
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
        if link is self._redial.link:
            self._watch()
            link.start(hearing)

    def _stands(self, *, is_resumed: bool) -> None:
        """There is a session: memberships first, then what waits for them."""
        if not self._redial.stands():
            return
        if not is_resumed:
            self._calls.lost()
        for membership in list(self._memberships.values()):
            membership.live(is_resumed=is_resumed)
        self._line.flush()
        self._watch()
        self._redial.announce()

    def _too_late(self) -> None:
        if self._redial.link is None:
            self._cut(ABNORMAL, "no connection in time")
        else:
            self._cut(_PROTOCOL, "no welcome in time")

    # --- the end of connections ------------------------------------------------------------------

    def _cut(
        self, code: int, reason: str, *, retry: float | None = None, is_final: bool = False
    ) -> None:
        """The attempt or its connection is lost; come back, unless there is no sense in it."""
        if not self._redial.is_connected:
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
        self._redial.cut(code, reason, retry=retry)

    def _end(self, error: AnywireError, code: int, *, by_user: bool = False) -> None:
        if not self._redial.end(error, by_user=by_user):
            return
        dropped = self._line.end(error)
        self._redial.release(code, str(error) if not isinstance(error, Closed) else error.reason)
        for membership in self._memberships.values():
            membership.end(error)
        self._calls.end(error)
        if dropped:
            log.warning("%s: %d messages were never sent", self._where, dropped)
        self._redial.announce()

    def _let_go(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        self._line.detach()

    # --- what a link brings ----------------------------------------------------------------------

    def received(self, link: Link, message: Message) -> None:
        """A message; what an older link still brings means nothing."""
        if link is not self._redial.link:
            return
        try:
            self._take(link, self._machine.receive(message, self._clock.now()))
        except ProtocolError as error:
            self._cut(error.code, error.reason)
        except ValueError as error:
            self._cut(_PROTOCOL, f"not what this protocol allows: {error}")

    def heard(self, link: Link) -> None:
        """A sign of life."""
        if link is self._redial.link:
            self._machine.heard(self._clock.now())

    def writable(self, link: Link) -> None:
        if link is self._redial.link:
            self._line.writable()

    def closed(self, link: Link, code: int, reason: str) -> None:
        if link is self._redial.link:
            self._cut(code, reason)
        else:
            self._redial.lost(link)

    def _take(self, link: Link, frames: Sequence[Frame]) -> None:
        for frame in frames:
            self._hear(frame)
            if link is not self._redial.link:
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
        if when is not None and self._redial.link is not None:
            self._beat = self._clock.call_at(when, self._tick)

    def _tick(self) -> None:
        self._beat = None
        link = self._redial.link
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

    def _report(self, error: Exception) -> None:
        self._listeners.tell("error", error)

    def _overflowed(self, frame: Frame) -> None:
        log.warning("%s: too much waits to be sent, a message was refused", self._where)
        self._listeners.tell("overflow", frame)


class _Hearing:
    """What one link tells, under its own name."""

    __slots__ = ("_client", "_link", "_opening")

    def __init__(self, client: Client, link: Link, opening: Callable[[], Request]) -> None:
        self._client = client
        self._link = link
        self._opening = opening

    def opening(self) -> Request:
        return self._opening()

    def on_message(self, message: Message) -> None:
        self._client.received(self._link, message)

    def on_heard(self) -> None:
        self._client.heard(self._link)

    def on_writable(self) -> None:
        self._client.writable(self._link)

    def on_closed(self, code: int, reason: str) -> None:
        self._client.closed(self._link, code, reason)
