"""A request that another node brought: the owner's exchange, as a carrier sees it (`carry.py`)."""

import asyncio
from collections.abc import Callable, Iterable

from anywire.brokers.local.dialogue import Dialogue
from anywire.core.node import Node
from anywire.errors import Closed, ProtocolError
from anywire.servers.carry import Carry
from anywire.servers.exchange import log_failure
from anywire.servers.incoming import Incoming
from anywire.servers.neighbours import words
from anywire.servers.neighbours.words import FromStranger
from anywire.servers.static import Reply
from anywire.wires.base import Hello, Wire

_Link = Dialogue[FromStranger]


class BroughtRequest:
    """One request that was brought: the exchange its carrier sees (`carry.Exchange`)."""

    __slots__ = (
        "_carry",
        "_hello",
        "_incoming",
        "_is_taken",
        "_limit",
        "_link",
        "_node",
        "_wire",
        "has_begun",
        "has_ended",
        "is_gone",
        "is_kept",
    )

    def __init__(self, node: Node, wire: Wire, hello: Hello, carry: Carry) -> None:
        self._node = node
        self._wire = wire
        self._hello = hello
        self._carry = carry
        self._link: _Link | None = None
        self._incoming = Incoming()
        self._limit = hello.limits.body
        self._is_taken = True
        self.is_gone = False
        self.has_begun = False
        self.has_ended = False
        self.is_kept = False

    # --- what the other node does ---------------------------------------------------------------

    def begin(self, link: _Link) -> None:
        """The conversation stands: have the request answered."""
        self._link = link

        def done(_: object, error: BaseException | None) -> None:
            if error is not None and not isinstance(error, Closed | asyncio.CancelledError):
                id = log_failure(self._hello.path, error)
                self.fail(500, f"internal error {id}")
            elif not self.has_ended and not self.is_kept:
                self.fail(503 if error is not None else 500, "internal error: no answer")

        stepper = self._node.dispatcher.stepper
        name = f"anywire {self._hello.carrier.value}"
        stepper.start(self._carry(self, self._wire, self._hello), done, name)

    def take(self, link: _Link, word: FromStranger) -> bool:
        """A part of the body, or that the client has taken what was written."""
        match word:
            case words.Part():
                self._incoming.feed(word.data)
                self._check()
            case words.End():
                self._incoming.finish()
            case words.Taken():
                self._is_taken = True
                self._incoming.wake()
            case _:
                raise ProtocolError(f"{type(word).__name__} is no part of a request")
        return False

    def lost(self) -> None:
        """The client is gone, or the node that has it."""
        self.is_gone = True
        self._incoming.stop()

    # --- what a carrier does --------------------------------------------------------------------

    def bound(self, limit: int) -> None:
        """Refuse a body over so many bytes: 413."""
        self._limit = limit
        self._check()

    async def read(self) -> bytes:
        """The next part of the body; empty once it is whole."""
        return await self._incoming.read()

    async def gone(self) -> None:
        """Wait until the client is gone or the response is whole."""
        while not (self.is_gone or self.has_ended):
            await self._incoming.changed()

    def keep(self, changed: Callable[[], None]) -> None:
        """Answer later: `changed` is called when the client is gone, or may have taken all."""
        self.is_kept = True
        self._incoming.watcher = changed

    @property
    def is_full(self) -> bool:
        """The client has not taken everything written."""
        return not self._is_taken

    def respond(self, reply: Reply) -> None:
        """Answer with all there is to say."""
        if not self.has_begun:
            self.has_begun = True
            self._say(words.Responded(reply.status, list(reply.headers), reply.body))
            self._end()

    def start(self, status: int, headers: Iterable[tuple[str | bytes, str | bytes]]) -> None:
        """Begin a response whose body follows."""
        if self.has_begun:
            raise ValueError("the response has begun")
        self.has_begun = True
        self._say(words.Started(status, [(_text(name), _text(value)) for name, value in headers]))

    def write(self, *parts: bytes) -> None:
        """More of the body, part by part as the other node is to write it."""
        for part in parts:
            if part and not self.has_ended:
                self._is_taken = False
                self._say(words.Part(part))

    def end(self, data: bytes = b"") -> None:
        """The last part of the body, and its end."""
        if not self.has_ended:
            self.write(data)
            self._say(words.End())
            self._end()

    async def drained(self) -> None:
        """Wait until the client has taken what was written, or is gone."""
        while not (self._is_taken or self.is_gone):
            await self._incoming.changed()

    def fail(self, status: int, reason: str) -> None:
        """Answer so if nothing was said yet, then hang up."""
        if not self.has_ended:
            self.has_begun = True
            self._say(words.Broken(status, reason))
            self._end()

    def _check(self) -> None:
        """Refuse what came of the body, if it is too much."""
        if self._incoming.size > self._limit:
            self._incoming.stop(drop=True)
            self.fail(413, f"a body has at most {self._limit} bytes here")

    def _say(self, word: words.FromOwner) -> None:
        if self._link is not None and not self.is_gone:
            self._link.say(word)

    def _end(self) -> None:
        self.has_ended = True
        self._incoming.stop()


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
