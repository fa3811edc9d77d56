"""One conversation between a worker and its hub, either end: frames in, frames out.

What is said in one loop turn leaves as one write. Nothing here waits.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar, cast

import msgspec

from anywire.brokers.local.words import Framer, FromHub, FromWorker, frame
from anywire.errors import ProtocolError

log = logging.getLogger(__name__)

BACKLOG = 64 * 1024 * 1024
"""Bytes that may wait for the other end; past it, it is cut, and must come back and catch up."""

Heard = TypeVar("Heard")


class Talk(asyncio.Protocol, Generic[Heard]):
    """The socket's protocol. `take` is given every word in order; where it returns true, the next
    word waits for the next loop turn, so that who awaits an answer acts before what came after it.
    """

    __slots__ = (
        "_decode",
        "_framer",
        "_frames",
        "_is_waiting",
        "_lost",
        "_out",
        "_take",
        "_transport",
    )

    def __init__(
        self,
        decode: Callable[[bytes], Heard],
        take: "Callable[[Talk[Heard], Heard], bool]",
        lost: "Callable[[Talk[Heard]], None]",
    ) -> None:
        self._decode = decode
        self._take = take
        self._lost = lost
        self._framer = Framer()
        self._frames: deque[bytes] = deque()
        self._out: list[bytes] = []
        self._is_waiting = False
        self._transport: asyncio.Transport | None = None

    def say(self, word: FromWorker | FromHub) -> None:
        """Say one word. Raises ValueError or TypeError for one that cannot travel."""
        self.write(frame(word))

    def write(self, data: bytes) -> None:
        """Say a word that is framed already; dropped once the other end is gone."""
        if self._transport is None:
            return
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(data)

    def cut(self, why: str) -> None:
        """End the conversation."""
        if self._transport is not None:
            log.warning("a connection between workers was cut: %s", why)
            self._transport.abort()

    def close(self) -> None:
        """Hang up after what was said."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket stands."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of the other end."""
        try:
            self._frames += self._framer.receive(data)
        except ProtocolError as error:
            self.cut(error.reason)
            return
        if not self._is_waiting:
            self._run()

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
            except msgspec.DecodeError as error:
                frames.clear()
                self.cut(f"not a word of this version: {error}")
                return
            try:
                must_wait = self._take(self, word)
            except ProtocolError as error:
                frames.clear()
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
