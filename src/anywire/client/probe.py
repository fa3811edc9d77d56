"""Probe: is the peer there, and how far away; heartbeats and pings over a WebSocket's link."""

import asyncio
from collections.abc import Callable
from typing import Literal

from anywire.client.clock import Clock, Timer
from anywire.client.dial import WebSocketLink
from anywire.errors import AnywireError
from anywire.frames import Bye
from anywire.payload import Payload
from anywire.wires.pulse import Pulse

Kind = Literal["ping", "json"]
_JSON = '{"type":"ping"}'


class Probe:
    """Asks a peer that was silent for `interval` seconds (0: never), and calls `silent` after
    `timeout` more; measures pings. `kind`: by a ping of WebSocket, or by `{"type":"ping"}`.

    `stopwatch` measures them, in seconds: the time of an event loop may be coarser than a ping.
    `is_deaf` says that nothing is read from the link now, so that silence means nothing.
    """

    __slots__ = (
        "_clock",
        "_count",
        "_interval",
        "_is_deaf",
        "_kind",
        "_link",
        "_pings",
        "_pulse",
        "_silent",
        "_stopwatch",
        "_timeout",
        "_timer",
    )

    def __init__(
        self,
        kind: Kind,
        *,
        interval: float,
        timeout: float,
        clock: Clock,
        stopwatch: Callable[[], float],
        silent: Callable[[int, str], None],
        is_deaf: Callable[[], bool],
    ) -> None:
        self._kind = kind
        self._interval = interval
        self._timeout = timeout
        self._clock = clock
        self._stopwatch = stopwatch
        self._silent = silent
        self._is_deaf = is_deaf
        self._link: WebSocketLink | None = None
        self._pulse = Pulse(interval, timeout)
        self._timer: Timer | None = None
        self._pings: dict[bytes, tuple[float, asyncio.Future[float]]] = {}
        self._count = 0

    def attach(self, link: WebSocketLink) -> None:
        """Watch over this link."""
        self._link = link
        self._pulse = Pulse(self._interval, self._timeout)
        self._pulse.heard(self._clock.now())
        self._watch()

    def detach(self, error: AnywireError) -> None:
        """The link is gone, and with it the pings under way."""
        self._link = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for _, pong in self._pings.values():
            if not pong.done():
                pong.set_exception(error)

    def heard(self) -> None:
        """A sign of life."""
        self._pulse.heard(self._clock.now())

    def ponged(self, data: bytes) -> None:
        """A pong came. It answers earlier pings too: a peer may answer only the newest of several
        (RFC 6455, 5.5.3).
        """
        if data not in self._pings:
            return
        now = self._stopwatch()
        for asked, (sent, pong) in self._pings.items():
            if not pong.done():
                pong.set_result(now - sent)
            if asked == data:
                return

    async def ping(self) -> float | None:
        """Seconds until the pong to a new ping; None where no ping can be sent.

        Raises what `detach` was given.
        """
        self._count += 1
        data = self._count.to_bytes(8, "big")
        if self._link is None or not self._link.ping(data):
            return None
        pong: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._pings[data] = self._stopwatch(), pong
        try:
            return await pong
        finally:
            del self._pings[data]

    def _watch(self) -> None:
        """Set the timer for the next tick. Later deadlines move it only when it fires."""
        when = self._pulse.deadline()
        self._timer = None if when is None else self._clock.call_at(when, self._tick)

    def _tick(self) -> None:
        link = self._link
        assert link is not None  # `detach` cancels the timer
        now = self._clock.now()
        if self._is_deaf():
            self._pulse.heard(now)
        for frame in self._pulse.tick(now):
            if isinstance(frame, Bye):
                self._timer = None
                self._silent(frame.code, frame.text)
                return
            if self._kind == "json":
                link.write([Payload.of(_JSON)])
            else:
                link.ping()
        self._watch()
