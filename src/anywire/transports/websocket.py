"""The WebSocket as a transport (RFC 6455): a net `Connection` between a socket and a session. HOT

It is the protocol object that a host gives the socket to (the methods are asyncio's, whose
transports are `Writer`s), so a message costs no call between the two. Nothing waits here; an idle
one owns no task, no timer and no buffer.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

from anywire.core.clock import Deadline, Deadlines
from anywire.errors import close_reason
from anywire.limits import Limits
from anywire.net.connection import Close, Connection, State
from anywire.net.deflate import PerMessageDeflate
from anywire.net.rfc6455 import is_close_code
from anywire.payload import UNFRAMED, Carrier, Framed, Framing, Message
from anywire.transports.base import Sink, Transport

OPEN = State.OPEN


class Writer(Protocol):
    """What a host gives to write to; an `asyncio.Transport` is one, and must have `high=0`."""

    def write(self, data: bytes) -> None: ...

    def get_write_buffer_size(self) -> int: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def can_write_eof(self) -> bool: ...

    def write_eof(self) -> None: ...

    def close(self) -> None:
        """Hang up once everything written has been taken."""
        ...

    def abort(self) -> None: ...


class _Nobody:
    """The sink before a session is attached, and after the last word."""

    __slots__ = ()

    def receive(self, message: Message, now: float) -> None: ...

    def heard(self, now: float) -> None: ...

    def writable(self) -> None: ...

    def detached(self, transport: Transport, code: int, reason: str, *, is_clean: bool) -> None: ...


_NOBODY = _Nobody()


class WebSocketTransport(asyncio.BufferedProtocol):
    """One open WebSocket, a server's end. `lost` is called when its socket is gone.

    `buffer` is what the host reads into, one for all its connections of one loop: it is copied from
    before anything else happens. asyncio's own way allocates 256 KiB for each read, which was
    measured to cost ten times the read itself.

    Life: open; then `close` or the peer's close frame, after which its sink hears no message; then
    the socket's end, waited for `Limits.closing` seconds. `detached` is told once, at the latest
    when the socket ends.
    """

    __slots__ = (
        "_buffer",
        "_connection",
        "_deadline",
        "_deadlines",
        "_is_full",
        "_is_paused",
        "_key",
        "_limits",
        "_lost",
        "_now",
        "_owner",
        "_sink",
        "_writer",
        "framing",
    )

    carrier = Carrier.WEBSOCKET

    def __init__(
        self,
        writer: Writer,
        *,
        buffer: memoryview,
        now: Callable[[], float],
        deadlines: Deadlines,
        limits: Limits,
        max_size: int | None = None,
        deflate: PerMessageDeflate | None = None,
        lost: Callable[[Writer], None] | None = None,
    ) -> None:
        self._writer = writer
        self._buffer = buffer
        self._now = now
        self._deadlines = deadlines
        self._limits = limits
        self._lost = lost
        self._connection = Connection(
            write=writer.write,
            max_size=limits.message if max_size is None else max_size,
            max_fragments=limits.fragments,
            deflate=deflate,
        )
        self.framing: Framing = self._connection.framing
        # No entry has this key where the connection frames by itself (a kept deflate window).
        self._key = ("", 0) if self.framing is UNFRAMED else self.framing.key
        self._sink: Sink = _NOBODY
        self._owner: Sink | None = None
        self._deadline: Deadline | None = None
        self._is_full = False
        self._is_paused = False

    def attach(self, sink: Sink) -> None:
        """Tell this one from now on; to be called right after `Node.open` made the session."""
        self._owner = sink
        if self._connection.state is OPEN:
            self._sink = sink

    # --- what a session asks --------------------------------------------------------------------

    @property
    def buffered(self) -> int:
        """Bytes that were written and that the kernel has not taken yet."""
        return self._writer.get_write_buffer_size() if self._is_full else 0

    def write(self, framed: Sequence[Framed]) -> None:
        """Write the entries as one; those of another framing are framed anew."""
        connection = self._connection
        if connection.state is not OPEN:
            return
        key = self._key
        frames = [
            entry.data if entry.key is key and entry.data is not None else self._framed(entry)
            for entry in framed
        ]
        if frames:
            connection.write_framed(frames)

    def beat(self) -> bool:
        """Ask the peer for a sign of life: a ping."""
        self._connection.ping()
        return True

    def pause(self) -> None:
        """Stop reading; what was read already is still delivered."""
        if not self._is_paused and self._connection.state is OPEN:
            self._is_paused = True
            self._writer.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._is_paused:
            self._is_paused = False
            self._writer.resume_reading()

    def close(self, code: int, reason: str) -> None:
        """Begin the close handshake; hang up when the peer has answered, or is late with it."""
        connection = self._connection
        if connection.state is not OPEN:
            return
        connection.close(code if is_close_code(code) else 1011, close_reason(reason))
        self._sink = _NOBODY
        self.resume()
        self._hang_up_later()

    def abort(self) -> None:
        """Hang up at once."""
        self._writer.abort()

    # --- what the socket tells (asyncio.BufferedProtocol)---------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing to do: the writer was known before."""

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes from the peer are in the buffer."""
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Bytes from the peer: whole messages go to the sink."""
        now = self._now()
        events = self._connection.receive(data)
        sink = self._sink
        if self._is_full and self._writer.get_write_buffer_size() > self._limits.outbox:
            self.abort()  # it makes us answer pings, and never reads the answers
        if not events:
            sink.heard(now)
        for event in events:
            kind = type(event)
            if kind is str or kind is bytes:
                sink.receive(event, now)  # type: ignore[arg-type]
            elif kind is Close:
                self._closed(event)  # type: ignore[arg-type]
            else:
                sink.heard(now)

    def eof_received(self) -> bool:
        """The peer sends no more; without a close frame the connection is lost."""
        self._end()
        if self._is_full:
            self._hang_up_later()
        return False  # the host closes, once what was written has been taken

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone."""
        if self._deadline is not None:
            self._deadlines.cancel(self._deadline)
            self._deadline = None
        self._end()
        if self._lost is not None:
            self._lost(self._writer)

    def pause_writing(self) -> None:
        """The kernel has not taken everything."""
        self._is_full = True

    def resume_writing(self) -> None:
        """The kernel has taken everything."""
        self._is_full = False
        self._sink.writable()

    # --- inside ---------------------------------------------------------------------------------

    def _framed(self, entry: Framed) -> bytes:
        if self.framing is not UNFRAMED:
            data = entry.payload.framed(self.framing).data
            if data is not None:
                return data
        return self._connection.frame(entry.payload)

    def _closed(self, close: Close) -> None:
        if close.clean:
            # RFC 6455, 7.1.1: the server closes first, after both close frames.
            self._writer.close()
            if self._is_full:
                self._hang_up_later()
        else:
            # We broke off: the peer may still be sending. Hanging up before it has read our close
            # frame would reset the connection and take the reason with it.
            self.resume()
            if self._writer.can_write_eof():
                with contextlib.suppress(OSError):  # the peer may have reset it already
                    self._writer.write_eof()
            self._hang_up_later()
        self._tell(close)

    def _end(self) -> None:
        for event in self._connection.eof():
            if isinstance(event, Close):
                self._tell(event)

    def _tell(self, close: Close) -> None:
        self._sink = _NOBODY
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.detached(self, close.code, close.reason, is_clean=close.clean)

    def _hang_up_later(self) -> None:
        if self._deadline is None:
            when = self._now() + self._limits.closing
            self._deadline = self._deadlines.at(when, self.abort)
