"""Seat: what a worker has from its supervisor: its number, its sockets, and the line between them.

The line is a stream of words, one a line. The worker says `ready SECONDS` (which its stop may take)
or `failed`; the supervisor says `speak`. Its end means that the other side is gone. Other versions
may sit at the other end, after an upgrade and a reload: what is not understood is a failure.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

import msgspec

from anywire.brokers.choice import HUB
from anywire.errors import ConfigurationError

log = logging.getLogger(__name__)

VARIABLE = "ANYWIRE_WORKER"
READY = b"ready"
FAILED = b"failed"
SPEAK = b"speak\n"


class Given(msgspec.Struct, frozen=True):
    """What a worker inherits, as its environment says it; files are descriptors."""

    number: int
    sockets: tuple[int, ...]
    line: int


@dataclass(slots=True)
class Seat:
    """One worker's place, from within."""

    number: int
    """From 1."""
    sockets: list[socket.socket]
    """They listen already."""
    _line: socket.socket
    hub: str = ""
    """The folder in which the workers meet."""
    _is_ready: bool = False

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> "Seat | None":
        """The seat this process was given, or None.

        It is taken out of the environment, and its files are closed on exec: what the application
        starts is no worker.
        """
        text = environ.pop(VARIABLE, None)
        if text is None:
            return None
        hub = environ.pop(HUB, "")
        try:
            given = msgspec.json.decode(text, type=Given)
            sockets = list(map(_inherited, given.sockets))
            return cls(given.number, sockets, _inherited(given.line), hub)
        except (msgspec.MsgspecError, OSError) as error:
            raise ConfigurationError(
                f"{VARIABLE} is for the workers that anywire starts, unset it: {error}"
            ) from error

    def ready(self, stop: float) -> None:
        """Tell that this worker serves, and how long its stop may take."""
        self._is_ready = True
        self._say(READY + f" {stop}\n".encode())

    def failed(self) -> None:
        """Tell that it cannot start; returns when the reason may be printed.

        When all workers fail for one reason, one of them is let speak and the others are ended
        while they wait here.
        """
        if self._is_ready:
            return
        self._say(FAILED + b"\n")
        with contextlib.suppress(OSError):
            self._line.recv(len(SPEAK))

    def watch(self) -> None:
        """Have it logged when the supervisor is gone. The worker goes on."""
        self._line.setblocking(False)
        asyncio.get_running_loop().add_reader(self._line, self._read)

    def leave(self) -> None:
        """Watch no longer."""
        asyncio.get_running_loop().remove_reader(self._line)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            if self._line.recv(1024):
                return
        self.leave()
        log.warning(
            "the supervisor is gone: worker %d goes on, but nobody replaces it; SIGTERM stops it",
            self.number,
        )

    def _say(self, words: bytes) -> None:
        with contextlib.suppress(OSError):  # nobody listens: `watch` tells
            self._line.sendall(words)


def _inherited(number: int) -> socket.socket:
    one = socket.socket(fileno=number)
    one.set_inheritable(False)
    return one
