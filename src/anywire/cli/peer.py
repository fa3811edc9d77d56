"""Peer: the link to one client of `anywire talk --listen`: a server's end of a WebSocket.

It is what `client.websocket` is for the other end, and for one connection only: messages as they
are, pings and pongs told, no beats, so that a client may be silent as long as it likes.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from anywire.client.dial import Receiver, Watcher
from anywire.errors import close_reason
from anywire.net.connection import Close, Connection, Ping, State
from anywire.net.deflate import PerMessageDeflate
from anywire.net.rfc6455 import is_close_code
from anywire.payload import Payload

CLOSING = 2.0
"""Seconds a client has to answer our close frame and to hang up."""


class Peer(asyncio.Protocol):
    """A link over a socket whose handshake is done. `lost` is called when the socket is gone."""

    __slots__ = (
        "_closing",
        "_connection",
        "_early",
        "_has_ended",
        "_is_lost",
        "_lost",
        "_receiver",
        "_transport",
        "_watcher",
        "is_blocked",
        "subprotocol",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        subprotocol: str | None,
        deflate: PerMessageDeflate | None,
        max_message: int,
        lost: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._connection = Connection(
            write=transport.write, max_size=max_message, max_fragments=1 << 20, deflate=deflate
        )
        self._lost = lost
        self._receiver: Receiver | None = None
        self._watcher: Watcher | None = None
        self._early: list[bytes] = []
        self._has_ended = False
        self._is_lost = False
        self._closing: asyncio.TimerHandle | None = None
        self.subprotocol = subprotocol
        self.is_blocked = False

    # --- as a link ------------------------------------------------------------------------------

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._watcher = receiver if isinstance(receiver, Watcher) else None
        early, self._early = self._early, []
        for data in early:
            self.data_received(data)
        if self._is_lost:
            self._cut()

    def write(self, payloads: Sequence[Payload]) -> None:
        connection = self._connection
        connection.write_framed([connection.frame(payload) for payload in payloads])

    def beat(self) -> bool:
        return self.ping()

    def ping(self, data: bytes = b"") -> bool:
        self._connection.ping(data)
        return self._connection.state is State.OPEN

    def pong(self, data: bytes = b"") -> bool:
        self._connection.pong(data)
        return self._connection.state is State.OPEN

    def close(self, code: int, reason: str) -> None:
        self._connection.close(code if is_close_code(code) else 1000, close_reason(reason))
        self._hang_up_later()

    def abort(self) -> None:
        self._transport.abort()

    # --- as an asyncio protocol -----------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is None:
            self._early.append(data)
            return
        if self._has_ended:
            return
        events = self._connection.receive(data)
        if not events:
            receiver.on_heard()
        for event in events:
            if isinstance(event, str | bytes):
                receiver.on_message(event)
            elif isinstance(event, Close):
                self._hang_up(event)
                self._end(event.code, event.reason)
            else:
                receiver.on_heard()
                if self._watcher is None:
                    continue
                tell = self._watcher.on_ping if isinstance(event, Ping) else self._watcher.on_pong
                tell(event.data)

    def pause_writing(self) -> None:
        self.is_blocked = True

    def resume_writing(self) -> None:
        self.is_blocked = False
        if self._receiver is not None:
            self._receiver.on_writable()

    def connection_lost(self, error: Exception | None) -> None:
        self._is_lost = True
        if self._closing is not None:
            self._closing.cancel()
        self._lost()
        if self._receiver is not None:  # else `start` tells it, after what came before
            self._cut()

    # --- inside ---------------------------------------------------------------------------------

    def _hang_up(self, close: Close) -> None:
        """RFC 6455, 7.1.1: the server closes first, after both close frames."""
        if close.clean or not self._transport.can_write_eof():
            self._transport.close()
        else:
            # It may still be sending: hanging up before it has read our close frame would reset
            # the connection and take the reason with it.
            with contextlib.suppress(OSError):  # the peer may have reset it already
                self._transport.write_eof()
        self._hang_up_later()

    def _hang_up_later(self) -> None:
        if self._closing is None and not self._is_lost:
            self._closing = asyncio.get_running_loop().call_later(CLOSING, self.abort)

    def _cut(self) -> None:
        for event in self._connection.eof():
            if isinstance(event, Close):
                self._end(event.code, "the connection was lost")

    def _end(self, code: int, reason: str) -> None:
        assert self._receiver is not None
        self._has_ended = True
        self._receiver.on_closed(code, reason)
