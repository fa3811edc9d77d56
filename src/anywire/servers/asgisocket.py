"""The WebSocket of an ASGI host as a transport (ASGI 3.0, WebSocket).

The host frames, compresses, pings and closes; here are messages, their bounds and their order. What
is lost by that against our own server stands in docs/howto/asgi-hosts.md.
"""

import asyncio
from collections.abc import Callable, Sequence

from anywire.core.clock import Deadline, Deadlines
from anywire.errors import close_reason
from anywire.limits import Limits
from anywire.net.rfc6455 import is_close_code
from anywire.payload import UNFRAMED, Carrier, Framed, Framing
from anywire.servers.asgilink import Hearing, Sending
from anywire.servers.guest import Message
from anywire.transports.base import Sink

_LOST = (1006, "", False)


class AsgiSocket:
    """One open WebSocket, accepted already; it takes over both ends of the host's connection.

    Life: open; then `close`, the host's `websocket.disconnect`, or an abort; then over, at the
    latest `Limits.closing` seconds after `close`. `detached` is told once.
    """

    __slots__ = (
        "_deadline",
        "_deadlines",
        "_end",
        "_has_said_goodbye",
        "_hearing",
        "_is_closing",
        "_is_over",
        "_limits",
        "_max_size",
        "_now",
        "_owner",
        "_sending",
        "_sink",
        "_waiter",
        "framing",
    )

    carrier = Carrier.WEBSOCKET

    def __init__(
        self,
        hearing: Hearing,
        sending: Sending,
        *,
        now: Callable[[], float],
        deadlines: Deadlines,
        limits: Limits,
        max_size: int | None = None,
    ) -> None:
        self.framing: Framing = UNFRAMED
        self._hearing = hearing
        self._sending = sending
        self._now = now
        self._deadlines = deadlines
        self._limits = limits
        self._max_size = limits.message if max_size is None else max_size
        self._sink: Sink | None = None
        self._owner: Sink | None = None
        self._deadline: Deadline | None = None
        self._end = _LOST
        self._is_closing = False
        self._is_over = False
        self._has_said_goodbye = False
        self._waiter: asyncio.Future[None] | None = None
        hearing.take = self.take
        sending.drained, sending.broken = self._drained, self._broken
        if sending.is_broken:
            self._broken()

    def attach(self, sink: Sink) -> None:
        """Tell this one from now on; to be called right after `Node.open` made the session."""
        self._owner = sink
        if self._is_over:
            self._tell()
        elif not self._is_closing:
            self._sink = sink

    # --- what a session asks --------------------------------------------------------------------

    @property
    def buffered(self) -> int:
        """Bytes that were written and that the host has not taken yet."""
        return self._sending.size

    def write(self, framed: Sequence[Framed]) -> None:
        """Hand the messages of these entries to the host, one by one."""
        if self._is_closing or self._is_over:
            return
        said: list[tuple[Message, int]] = []
        for entry in framed:
            size = entry.size
            for message in entry.payload.messages():
                kind = "text" if isinstance(message, str) else "bytes"
                said.append(({"type": "websocket.send", kind: message}, size))
                size = 0
        self._sending.put(said)

    def beat(self) -> bool:
        """There is none: ASGI has no pings."""
        return False

    def pause(self) -> None:
        """Take no message until `resume`; the host stops reading once its own queue is full."""
        if not self._is_closing:
            self._hearing.pause()

    def resume(self) -> None:
        """Take messages again."""
        self._hearing.resume()

    def close(self, code: int, reason: str) -> None:
        """Have the host close once it has taken everything; who is late with that is cut."""
        if self._is_closing or self._is_over:
            return
        code, reason = (code if is_close_code(code) else 1011), close_reason(reason)
        self._end = (code, reason, True)
        self._leave()

    def abort(self) -> None:
        """Leave without a word: the host hangs up on who has returned."""
        self._is_closing = True
        self._end = _LOST
        self.finish()

    # --- what the host tells --------------------------------------------------------------------

    def take(self, message: Message) -> None:
        """One message of the host's `receive`."""
        kind = message["type"]
        if kind == "websocket.receive":
            self._receive(message)
        elif kind == "websocket.disconnect":
            if not self._is_closing:
                self._end = _end(message)
            self.finish()

    async def last_word(self) -> None:
        """Nothing more is heard: have the host take what waits, and close."""
        if self._is_closing and not self._is_over and not self._has_said_goodbye:
            self._say_goodbye()
        while not (self._is_over or self._sending.is_idle or self._sending.is_broken):
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def finish(self) -> None:
        """It is over, whatever was said: the host's coroutine ends."""
        if self._is_over:
            return
        self._is_over = True
        self._sink = None
        if self._deadline is not None:
            self._deadlines.cancel(self._deadline)
            self._deadline = None
        self._sending.abort()
        self._hearing.leave()
        self._wake()
        self._tell()

    # --- inside ---------------------------------------------------------------------------------

    def _receive(self, message: Message) -> None:
        sink = self._sink
        if sink is None:
            return
        said = message.get("text")
        if said is None:
            said = message.get("bytes") or b""
        limit = self._max_size
        size = len(said)
        if isinstance(said, str) and 4 * size > limit and not said.isascii():
            size = len(said.encode(errors="replace"))
        if size > limit:
            self._end = (1009, f"a message has at most {limit} bytes", False)
            self._leave()
            self._tell()
        else:
            sink.receive(said, self._now())

    def _leave(self) -> None:
        """Hear nothing more, then say goodbye: some hosts lose a close said while they are asked
        for the next message.
        """
        self._is_closing = True
        self._sink = None
        self._hang_up_later()
        if not self._hearing.leave():
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        self._has_said_goodbye = True
        code, reason, _ = self._end
        self._sending.put([({"type": "websocket.close", "code": code, "reason": reason}, 0)])

    def _hang_up_later(self) -> None:
        if self._deadline is None:
            when = self._now() + self._limits.closing
            self._deadline = self._deadlines.at(when, self._late)

    def _late(self) -> None:
        self._deadline = None
        if not self._sending.is_idle:
            self._end = _LOST
        self.finish()

    def _drained(self) -> None:
        self._wake()
        if self._sink is not None:
            self._sink.writable()

    def _broken(self) -> None:
        """The host takes nothing more; why, it says in `receive`, if it says so in time."""
        self._wake()
        if not self._is_closing:
            self._sink = None
            self._hearing.resume()
            self._hang_up_later()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _tell(self) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            code, reason, is_clean = self._end
            owner.detached(self, code, reason, is_clean=is_clean)


def _end(message: Message) -> tuple[int, str, bool]:
    """How the peer has left: code, reason, whether it said so.

    Hosts tell a connection that was cut as 1006, and some as 1005 without a reason.
    """
    code, reason = message.get("code", 1005), message.get("reason")
    if code == 1006 or (code == 1005 and reason is None):
        return _LOST
    return code, reason or "", True
