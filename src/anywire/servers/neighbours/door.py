"""Door: where a node takes requests and sockets of its sessions that reached another node.

A Unix socket in the workers' private folder. The first word shows the key and says what is brought
(see `words`); a descriptor comes beside it, so that word is read from the bare socket.
"""

import asyncio
import contextlib
import hmac
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from anywire.brokers.local.dialogue import NO_WORD, Dialogue
from anywire.brokers.local.words import Framer
from anywire.core.node import Node
from anywire.errors import ProtocolError
from anywire.payload import Carrier
from anywire.servers.carry import Carry
from anywire.servers.neighbours import words
from anywire.servers.neighbours.relay import RelayedSocket
from anywire.servers.neighbours.request import BroughtRequest
from anywire.servers.neighbours.words import FromStranger
from anywire.servers.routes import Found, Routes
from anywire.wires.base import Hello, Wire

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds for the first word."""
FIRST = 256 * 1024
"""Bytes that the first word may always have: a head, and what was read behind it. More only as far
as a body may (`Limits.body`): until it is read we do not know who brings it."""
_READ = 64 * 1024
_BACKLOG = 1024
_PAUSE = 1.0
"""Seconds for which nobody is let in when that failed: most likely there are no descriptors."""

_Link = Dialogue[FromStranger]
Adopt = Callable[[socket.socket, bytes], None]


class _Visit(msgspec.Struct, eq=False):
    """Somebody whose first word is not whole yet."""

    until: asyncio.TimerHandle
    read: bytearray
    descriptors: list[int]


class Door:
    """The door of one node at `path`. `adopt` is set by a server that can be given sockets."""

    __slots__ = (
        "_carriers",
        "_key",
        "_links",
        "_node",
        "_path",
        "_reading",
        "_routes",
        "_socket",
        "adopt",
    )

    def __init__(
        self,
        node: Node,
        path: str,
        key: bytes,
        *,
        wires: Sequence[Wire],
        carriers: Mapping[Carrier, Carry],
    ) -> None:
        self._node = node
        self._path = path
        self._key = key
        self._routes = Routes(wires)
        self._carriers = carriers
        self._socket: socket.socket | None = None
        self._reading: dict[socket.socket, _Visit] = {}
        self._links: set[_Link] = set()
        self.adopt: Adopt | None = None

    def open(self) -> None:
        """Listen."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._socket = listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.setblocking(False)
        listener.bind(self._path)
        os.chmod(self._path, 0o600)
        listener.listen(_BACKLOG)
        self._let_in()

    def close(self) -> None:
        """Take nothing more, and hang up on who is here."""
        listener, self._socket = self._socket, None
        if listener is None:
            return
        asyncio.get_running_loop().remove_reader(listener.fileno())
        listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        for visitor in list(self._reading):
            self._dismiss(visitor)
        for link in list(self._links):
            link.close()

    # --- the first word -------------------------------------------------------------------------

    def _let_in(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        assert self._socket is not None  # it is what became readable
        loop = asyncio.get_running_loop()
        while True:
            try:
                visitor, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                log.warning("nobody is let in at the door of this node for now: %s", error)
                loop.remove_reader(self._socket.fileno())
                loop.call_later(_PAUSE, self._let_in)
                return
            visitor.setblocking(False)
            until = loop.call_later(PATIENCE, self._dismiss, visitor)
            self._reading[visitor] = _Visit(until, bytearray(), [])
            loop.add_reader(visitor.fileno(), self._read, visitor)

    def _read(self, visitor: socket.socket) -> None:
        visit = self._reading[visitor]
        read = visit.read
        try:
            data, descriptors, _, _ = socket.recv_fds(visitor, _READ, 1)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        visit.descriptors += descriptors
        read += data
        size = 4 + int.from_bytes(read[:4], "big") if len(read) >= 4 else 4
        is_whole = len(read) >= size
        is_bounded = size <= max(FIRST, self._node.limits.body) and len(visit.descriptors) < 2
        if data and is_bounded and not is_whole:
            return
        self._release(visitor)
        try:
            if not (is_bounded and is_whole):
                raise ProtocolError("it hung up, or brought too much")
            self._enter(visitor, bytes(read), visit.descriptors)
        except ProtocolError as error:
            _sent_away(visitor, error.reason)
        except NO_WORD as error:  # what it says may quote the visitor
            _sent_away(visitor, f"no word of this version ({type(error).__name__})")
        finally:
            _close(visit.descriptors)  # whoever took one has emptied the list

    def _release(self, visitor: socket.socket) -> _Visit:
        visit = self._reading.pop(visitor)
        visit.until.cancel()
        asyncio.get_running_loop().remove_reader(visitor.fileno())
        return visit

    def _dismiss(self, visitor: socket.socket) -> None:
        _close(self._release(visitor).descriptors)
        visitor.close()

    def _enter(self, visitor: socket.socket, data: bytes, descriptors: list[int]) -> None:
        first = Framer().receive(data)[0]
        word = words.from_stranger(first)
        if not isinstance(word, words.Handed | words.Brought | words.Relayed):
            raise ProtocolError(f"{type(word).__name__} is no first word")
        if word.version != words.VERSION or not hmac.compare_digest(word.key, self._key):
            raise ProtocolError("it does not know the key")
        if isinstance(word, words.Handed):
            self._take_over(visitor, word, descriptors)
            return
        guest = self._relayed(word) if isinstance(word, words.Relayed) else self._brought(word)
        self._node.spawn(self._talk(visitor, guest, data[4 + len(first) :]), "anywire door")

    def _take_over(self, visitor: socket.socket, word: words.Handed, given: list[int]) -> None:
        """Take a socket. Who gave it has given up where it cannot be told so: it serves it itself,
        and two must not.
        """
        if self.adopt is None or len(given) != 1:
            raise ProtocolError("there is no socket, or nobody to take it")
        try:
            sock = socket.socket(fileno=given[0])
        except OSError as error:
            raise ProtocolError("what it gave is no socket") from error
        given.clear()
        try:
            visitor.send(b"\x01")
        except OSError as error:
            sock.close()
            raise ProtocolError("it has given up") from error
        visitor.close()
        self.adopt(sock, word.data)

    async def _talk(
        self, visitor: socket.socket, guest: BroughtRequest | RelayedSocket, behind: bytes
    ) -> None:
        def lost(link: _Link) -> None:
            self._links.discard(link)
            guest.lost()

        link = Dialogue(words.from_stranger, guest.take, lost)
        link.data_received(behind)  # taken once the conversation stands, before what follows
        try:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(lambda: link, visitor)
        except BaseException:
            visitor.close()
            raise
        if self._socket is None or link.is_over:
            link.close()
            return
        self._links.add(link)
        guest.begin(link)
        link.data_received(b"")

    # --- what is brought ------------------------------------------------------------------------

    def _hello(self, packed: bytes) -> tuple[Found, Hello]:
        """The hello as if it had reached us first, and whose it is."""
        hello = msgspec.msgpack.decode(packed, type=Hello)
        is_upgrade = hello.carrier is Carrier.WEBSOCKET
        found = self._routes.find(hello.method, hello.path, is_upgrade=is_upgrade)
        if found is None:
            raise ProtocolError("nobody has that path here")
        node = self._node
        return found, replace(
            hello,
            sign=node.id,
            key=node.key,
            clock=node.wall() - node.now(),
            limits=found.route.mount.limits or node.limits,
            hops=hello.hops + 1,
        )

    def _brought(self, word: words.Brought) -> BroughtRequest:
        found, hello = self._hello(word.hello)
        carry = self._carriers.get(found.route.carrier)
        if carry is None:
            raise ProtocolError(f"nothing here carries {found.route.carrier.value}")
        return BroughtRequest(self._node, found.wire, hello, carry)

    def _relayed(self, word: words.Relayed) -> RelayedSocket:
        found, hello = self._hello(word.hello)
        return RelayedSocket(self._node, found.wire, hello, beats=word.beats)


def _sent_away(visitor: socket.socket, why: str) -> None:
    log.warning("somebody at the door of this node was sent away: %s", why)
    visitor.close()


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
