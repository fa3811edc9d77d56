"""A relayed WebSocket: one node has the socket, another the session.

`Relay` is the sink of the socket's transport and passes on what it hears; `RelayTransport` is the
session's transport at the owner. Between them are the words of `words`.
"""

import asyncio
from collections.abc import Callable, Sequence

from anywire.brokers.local.dialogue import Dialogue
from anywire.core.admission import Admitted, Attached, admit
from anywire.core.candidate import Candidate, may_upgrade
from anywire.core.node import Node
from anywire.errors import ProtocolError
from anywire.payload import UNFRAMED, Carrier, Framed, Framing, Message, Payload
from anywire.servers.exchange import log_failure
from anywire.servers.neighbours import words
from anywire.servers.neighbours.words import FromOwner, FromStranger
from anywire.transports.base import Sink, Transport
from anywire.wires.base import Answer, Hello, Opening, Reason, Why, Wire

_Link = Dialogue[FromOwner]
_OwnerLink = Dialogue[FromStranger]


class Relay:
    """This node's end of a relayed WebSocket: the sink of its transport.

    It stands in `standing` from its attachment to its end.
    """

    __slots__ = (
        "_early",
        "_is_choked",
        "_is_full",
        "_is_paused",
        "_link",
        "_standing",
        "_transport",
        "begun",
        "subprotocol",
    )

    def __init__(self, standing: set["Relay"]) -> None:
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[words.Accepted | words.Denied] = loop.create_future()
        self.subprotocol: str | None = None
        self._link: _Link | None = None
        self._standing = standing
        self._transport: Transport | None = None
        self._early: list[FromOwner] = []
        self._is_full = False
        """The client has not taken everything."""
        self._is_paused = False
        """The owner wants to hear nothing."""
        self._is_choked = False
        """The owner has not taken everything."""

    def accepted(self, link: _Link, subprotocol: str | None) -> None:
        """The owner has a session for it."""
        self._link = link
        self.subprotocol = subprotocol
        link.choked = self._choked

    def attach(self, transport: Transport) -> None:
        """The socket stands: say what the owner said meanwhile."""
        self._transport = transport
        self._standing.add(self)
        early, self._early = self._early, []
        for word in early:
            self._say(word, transport)
        if self._link is None or self._link.is_over:
            transport.close(1012, "the owner of this session is gone")

    def abandon(self) -> None:
        """The client went away before it was accepted."""
        self._hang_up(1006, "", is_clean=False)

    def leave(self) -> None:
        """This server stops: the client comes back, to another node."""
        self._hang_up(1006, "", is_clean=False)
        if self._transport is not None:
            self._transport.close(1012, "the server stops")

    # --- what the owner says --------------------------------------------------------------------

    def take(self, link: _Link, word: FromOwner) -> bool:
        """One word of the owner."""
        if not self.begun.done():
            if not isinstance(word, words.Accepted | words.Denied):
                raise ProtocolError("neither accepted nor denied")
            self.begun.set_result(word)
        elif self._transport is None:
            self._early.append(word)
        else:
            self._say(word, self._transport)
        return False

    def lost(self, link: _Link) -> None:
        """The owner is gone: the client comes back, and finds another."""
        if not self.begun.done():
            self.begun.set_exception(ConnectionError("the owner hung up"))
        elif self._transport is not None:
            self._transport.close(1012, "the owner of this session is gone")

    def _say(self, word: FromOwner, transport: Transport) -> None:
        match word:
            case words.Said():
                said = [Payload.of(message) for message in word.messages]
                transport.write([payload.framed(transport.framing) for payload in said])
                if transport.buffered:
                    self._is_full = True
                else:
                    self._tell(words.Taken())
            case words.Beat():
                transport.beat()
            case words.Paused():
                self._is_paused = True
                self._control()
            case words.Resumed():
                self._is_paused = False
                self._control()
            case words.Closed():
                transport.close(word.code, word.reason)
            case words.Aborted():
                transport.abort()
            case _:
                raise ProtocolError(f"{type(word).__name__} is no part of a WebSocket")

    def _tell(self, word: words.FromStranger) -> None:
        if self._link is not None:
            self._link.say(word)

    def _choked(self, is_choked: bool) -> None:
        self._is_choked = is_choked
        self._control()

    def _control(self) -> None:
        """Read from the client while the owner takes what it says."""
        if self._transport is None:
            return
        if self._is_paused or self._is_choked:
            self._transport.pause()
        else:
            self._transport.resume()

    def _hang_up(self, code: int, reason: str, *, is_clean: bool) -> None:
        self._tell(words.Gone(code, reason, is_clean))
        link, self._link = self._link, None
        if link is not None:
            link.close()

    # --- what the transport tells (transports.base.Sink) ----------------------------------------

    def receive(self, message: Message, now: float) -> None:
        """A message of the client."""
        self._tell(words.Said([message]))

    def heard(self, now: float) -> None:
        """The client is alive."""
        self._tell(words.Heard())

    def writable(self) -> None:
        """The client has taken everything."""
        if self._is_full:
            self._is_full = False
            self._tell(words.Taken())

    def detached(self, transport: Transport, code: int, reason: str, *, is_clean: bool) -> None:
        """The client is gone."""
        self._standing.discard(self)
        self._hang_up(code, reason, is_clean=is_clean)


class RelayTransport:
    """The owner's end: a WebSocket that is somewhere else. `beats`: it can be probed there."""

    __slots__ = ("_beats", "_buffered", "_is_closing", "_link", "_now", "_owner", "_sink")

    carrier = Carrier.WEBSOCKET
    framing: Framing = UNFRAMED

    def __init__(self, link: _OwnerLink, now: Callable[[], float], *, beats: bool = True) -> None:
        self._link = link
        self._now = now
        self._beats = beats
        self._sink: Sink | None = None
        self._owner: Sink | None = None
        self._buffered = 0
        self._is_closing = False

    def attach(self, sink: Sink) -> None:
        """Tell this one; to be called right after `Node.open` made the session."""
        self._owner = sink
        if not self._is_closing:
            self._sink = sink

    # --- what a session asks --------------------------------------------------------------------

    @property
    def buffered(self) -> int:
        """Bytes that the client has not taken yet."""
        return self._buffered

    def write(self, framed: Sequence[Framed]) -> None:
        """Have these said."""
        messages = [message for entry in framed for message in entry.payload.messages()]
        if messages and not self._is_closing:
            self._buffered += sum(entry.payload.size for entry in framed)
            self._link.say(words.Said(messages))

    def beat(self) -> bool:
        """Have the client probed."""
        if self._beats:
            self._link.say(words.Beat())
        return self._beats

    def pause(self) -> None:
        """Have nothing more read."""
        self._link.say(words.Paused())

    def resume(self) -> None:
        """Have it read again."""
        self._link.say(words.Resumed())

    def close(self, code: int, reason: str) -> None:
        """Have goodbye said."""
        if not self._is_closing:
            self._is_closing = True
            self._sink = None
            self._link.say(words.Closed(code, reason))

    def abort(self) -> None:
        """Have it hung up at once."""
        self._link.say(words.Aborted())

    # --- what the other node says ---------------------------------------------------------------

    def take(self, word: FromStranger) -> None:
        """One word of the node that has the socket."""
        sink = self._sink
        match word:
            case words.Said():
                for message in word.messages:
                    if self._sink is not None:
                        self._sink.receive(message, self._now())
            case words.Heard():
                if sink is not None:
                    sink.heard(self._now())
            case words.Taken():
                self._buffered = 0
                if sink is not None:
                    sink.writable()
            case words.Gone():
                self.lost(word.code, word.reason, is_clean=word.is_clean)
            case _:
                raise ProtocolError(f"{type(word).__name__} is no part of a WebSocket")

    def lost(self, code: int = 1006, reason: str = "", *, is_clean: bool = False) -> None:
        """The socket is gone, or the node that had it."""
        self._is_closing = True
        self._sink = None
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.detached(self, code, reason, is_clean=is_clean)


class RelayedSocket:
    """One WebSocket that another node has: its admission, then its session's transport."""

    __slots__ = ("_beats", "_hello", "_is_gone", "_link", "_node", "_transport", "_wire")

    def __init__(self, node: Node, wire: Wire, hello: Hello, *, beats: bool = True) -> None:
        self._beats = beats
        self._node = node
        self._wire = wire
        self._hello = hello
        self._link: _OwnerLink | None = None
        self._transport: RelayTransport | None = None
        self._is_gone = False

    def begin(self, link: _OwnerLink) -> None:
        """The conversation stands: may this client come in?"""
        self._link = link
        admission = admit(self._node, self._wire, self._hello)
        self._node.dispatcher.stepper.start(admission, self._admitted, "anywire admission")

    def take(self, link: _OwnerLink, word: FromStranger) -> bool:
        """A word about the socket."""
        if self._transport is None:
            raise ProtocolError("a word before the answer")
        self._transport.take(word)
        return False

    def lost(self) -> None:
        """The node that has the socket is gone."""
        self._is_gone = True
        if self._transport is not None:
            self._transport.lost()

    def _admitted(self, result: object, error: BaseException | None) -> None:
        link = self._link
        if link is None or self._is_gone:
            return
        if isinstance(result, Attached):
            session, upgrade = result.session, result.opening.upgrade
            if upgrade is not None and may_upgrade(session):
                transport = self._accepted(link, result.opening)
                transport.attach(Candidate(session, upgrade, transport))
                return
            why = Why(Reason.TAKEN, text="this session goes on over another connection")
            result = self._wire.refuse(self._hello, why)
        if isinstance(result, Admitted):
            transport = self._accepted(link, result.opening)
            try:
                session = self._node.open(
                    self._wire, self._hello, result.opening, result.machine, result.user, transport
                )
            except Exception as bug:
                log_failure(self._hello.path, bug)
                transport.close(1011, "internal")
                return
            transport.attach(session)
        elif isinstance(result, Answer):
            link.say(_denied(result))
        else:
            if error is not None and not isinstance(error, asyncio.CancelledError):
                log_failure(self._hello.path, error)
            link.close()

    def _accepted(self, link: _OwnerLink, opening: Opening) -> RelayTransport:
        transport = RelayTransport(link, self._node.now, beats=self._beats)
        self._transport = transport
        link.say(words.Accepted(opening.subprotocol))
        return transport


def _denied(answer: Answer) -> words.Denied:
    return words.Denied(
        answer.status,
        list(answer.headers),
        answer.body,
        answer.code,
        answer.reason,
        [message for payload in answer.payloads for message in payload.messages()],
        answer.subprotocol,
    )
