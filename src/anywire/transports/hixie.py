"""The WebSocket of 2010 as a transport (`net/hixie.py`): text between a socket and a session.

It is the protocol object that a host gives the socket to. Nothing is said before the client has
proved that it speaks this: what is written meanwhile waits.
"""

import asyncio
from collections.abc import Callable, Sequence

from anywire.core.clock import Deadline, Deadlines
from anywire.errors import ProtocolError
from anywire.limits import Limits
from anywire.net.hixie import CLOSE, NONCE, Challenge, Reader, framed
from anywire.payload import UNFRAMED, Carrier, Framed, Framing
from anywire.transports.base import Sink
from anywire.transports.websocket import Writer


class HixieTransport(asyncio.Protocol):
    """One open connection. `lost` is called when its socket is gone."""

    carrier = Carrier.WEBSOCKET
    framing: Framing = UNFRAMED

    def __init__(
        self,
        writer: Writer,
        challenge: Challenge,
        *,
        now: Callable[[], float],
        deadlines: Deadlines,
        limits: Limits,
        lost: Callable[[Writer], None],
    ) -> None:
        self._writer = writer
        self._challenge = challenge
        self._now = now
        self._deadlines = deadlines
        self._closing = limits.closing
        self._lost = lost
        self._reader = Reader(limits.message)
        self._nonce: bytes | None = b""
        """What has come of it; None: the client has proved itself."""
        self._waiting: list[bytes] = []
        self._sink: Sink | None = None
        self._is_full = False
        self._is_closing = False
        when = now() + limits.handshake
        self._deadline: Deadline = deadlines.at(when, self.abort)

    def attach(self, sink: Sink) -> None:
        """Tell this one from now on."""
        self._sink = sink

    # --- what a session asks --------------------------------------------------------------------

    @property
    def buffered(self) -> int:
        """Bytes that were written and that the kernel has not taken yet."""
        if self._waiting:
            return sum(map(len, self._waiting))
        return self._writer.get_write_buffer_size() if self._is_full else 0

    def write(self, framed_entries: Sequence[Framed]) -> None:
        """Write the entries as one; what is no text cannot be said."""
        said = [
            framed(message.encode())
            for entry in framed_entries
            for message in entry.payload.messages()
            if isinstance(message, str)
        ]
        self._say(b"".join(said))

    def beat(self) -> bool:
        """There is no ping."""
        return False

    def pause(self) -> None:
        """Stop reading."""
        self._writer.pause_reading()

    def resume(self) -> None:
        """Read again."""
        self._writer.resume_reading()

    def close(self, code: int, reason: str) -> None:
        """Say goodbye, which has no code here, and hang up."""
        if not self._is_closing:
            self._hang_up()

    def abort(self) -> None:
        """Hang up at once."""
        self._writer.abort()

    # --- what the socket tells (asyncio.Protocol) -----------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes of the handshake, then frames."""
        if self._nonce is not None:
            nonce = self._nonce + data
            self._nonce, data = nonce[:NONCE], nonce[NONCE:]
            if len(self._nonce) < NONCE:
                return
            waiting, self._waiting = self._waiting, []
            self._writer.write(self._challenge.proof(self._nonce) + b"".join(waiting))
            self._nonce = None
            self._deadlines.cancel(self._deadline)
            if waiting and self._sink is not None and not self._is_full:
                self._sink.writable()
        try:
            for message in self._reader.receive(data):
                if message is None:
                    self._hang_up()
                    self._end(1005, is_clean=True)
                elif self._sink is not None:
                    self._sink.receive(message, self._now())
        except ProtocolError as error:
            self._hang_up()
            self._end(error.code, is_clean=False)

    def eof_received(self) -> bool:
        """The client sends no more."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone."""
        self._deadlines.cancel(self._deadline)
        self._end(1006, is_clean=False)
        self._lost(self._writer)

    def pause_writing(self) -> None:
        """The kernel has not taken everything."""
        self._is_full = True

    def resume_writing(self) -> None:
        """The kernel has taken everything."""
        self._is_full = False
        if self._sink is not None:
            self._sink.writable()

    # --- inside ---------------------------------------------------------------------------------

    def _say(self, data: bytes) -> None:
        if self._is_closing or not data:
            return
        if self._nonce is None:
            self._writer.write(data)
        else:
            self._waiting.append(data)

    def _hang_up(self) -> None:
        """Say goodbye; a client that does not take it is cut."""
        self._say(CLOSE)
        self._is_closing = True
        self._writer.close()
        self._deadlines.cancel(self._deadline)
        self._deadline = self._deadlines.at(self._now() + self._closing, self.abort)

    def _end(self, code: int, *, is_clean: bool) -> None:
        self._is_closing = True
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.detached(self, code, "", is_clean=is_clean)
