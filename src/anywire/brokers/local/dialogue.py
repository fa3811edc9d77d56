"""One conversation between a worker and its hub, either end: frames in, frames out.

What is said in one loop turn leaves as one write. Nothing here waits.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar, cast

import msgspec

from anywire.brokers.local.words import Framer, frame
from anywire.errors import ProtocolError

log = logging.getLogger(__name__)

BACKLOG = 64 * 1024 * 1024
"""Bytes that may wait for the other end; past it, it is cut, and must come back and catch up."""

NO_WORD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for bytes that are none of its words."""

_READ = 16 * 1024
"""Bytes read in one call. asyncio's own way allocates 256 KiB for each, which costs more than the
read; and a relayed WebSocket has a conversation of its own."""

Heard = TypeVar("Heard")


class Dialogue(asyncio.BufferedProtocol, Generic[Heard]):
    """The socket's protocol. `take` is given every word in order; where it returns true, the next
    word waits for the next loop turn, so that who awaits an answer acts before what came after it.
    `first`: bytes that a word may have before `trust`.
    """

    __slots__ = (
        "_buffer",
        "_decode",
        "_framer",
        "_frames",
        "_is_waiting",
        "_lost",
        "_out",
        "_take",
        "_transport",
        "choked",
    )

    def __init__(
        self,
        decode: Callable[[bytes], Heard],
        take: "Callable[[Dialogue[Heard], Heard], bool]",
        lost: "Callable[[Dialogue[Heard]], None]",
        *,
        first: int | None = None,
    ) -> None:
        self._buffer = memoryview(bytearray(_READ))
        self._decode = decode
        self._take = take
        self._lost = lost
        self._framer = Framer(first)
        self._frames: deque[bytes] = deque()
        self._out: list[bytes] = []
        self._is_waiting = False
        self._transport: asyncio.Transport | None = None
        self.choked: Callable[[bool], None] | None = None
        """Told when the other end has not taken what was said, and when it has."""

    @property
    def is_over(self) -> bool:
        """Whether the other end is gone."""
        return self._transport is None

    def say(self, word: msgspec.Struct) -> None:
        """Say one word. Raises ValueError or TypeError for one that cannot travel."""
        self.write(frame(word))

    def write(self, data: bytes) -> None:
        """Say a word that is framed already; dropped once the other end is gone, or we hang up."""
        if self._transport is None or self._transport.is_closing():
            return
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(data)

    def trust(self) -> None:
        """The other end has shown who it is: its words may be long."""
        self._framer.longest = None

    def cut(self, why: str) -> None:
        """End the conversation; what was read and not taken yet is not taken any more."""
        self._frames.clear()
        if self._transport is not None:
            log.warning("a connection between workers was cut: %s", why)
            self._transport.abort()

    def close(self) -> None:
        """Hang up after what was said."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    # --- what the socket tells (asyncio.BufferedProtocol) ---------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket stands."""
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes of the other end are in the buffer."""
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Bytes of the other end."""
        try:
            self._frames += self._framer.receive(data)
        except ProtocolError as error:
            self.cut(error.reason)
            return
        if not self._is_waiting:
            self._run()

    def pause_writing(self) -> None:
        """The other end is slower than we are."""
        if self.choked is not None:
            self.choked(True)

    def resume_writing(self) -> None:
        """It has caught up."""
        if self.choked is not None:
            self.choked(False)

    def connection_lost(self, error: Exception | None) -> None:
        """The other end is gone: what it said before is heard first."""
        self._is_waiting = False
        self._run(to_the_end=True)
        self._transport = None
        self._out.clear()
        self._lost(self)

    def _run(self, *, to_the_end: bool = False) -> None:
        self._is_waiting = False
        frames = self._frames
        while frames and self._transport is not None:
            try:
                word = self._decode(frames.popleft())
            except NO_WORD as error:  # what it says may quote the other end
                self.cut(f"not a word of this version ({type(error).__name__})")
                return
            try:
                must_wait = self._take(self, word)
            except ProtocolError as error:
                self.cut(error.reason)
                return
            if must_wait and frames and not to_the_end:
                self._is_waiting = True
                asyncio.get_running_loop().call_soon(self._continue)
                return

    def _continue(self) -> None:
        if self._is_waiting:
            self._run()

    def _flush(self) -> None:
        if self._out and self._transport is not None:
            data = b"".join(self._out)
            self._out.clear()
            self._transport.write(data)
            if self._transport.get_write_buffer_size() > BACKLOG:
                self.cut(f"more than {BACKLOG} bytes wait for it")
