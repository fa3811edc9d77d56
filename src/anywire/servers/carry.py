"""What a carrier is given: one HTTP request and its response, whoever serves them.

The standalone server has its own (`exchange.HttpExchange`), an ASGI host another, and a request
that belongs to another worker a third. A carrier knows none of them.
"""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol

from anywire.net.head import Request
from anywire.servers.static import Reply
from anywire.wires.base import Hello, Wire


class Exchange(Protocol):
    """One request and its response. Reading and waiting are awaited, writing is not.

    Once the client is gone, reads raise Closed and writes are dropped.
    """

    is_gone: bool
    """The client is gone, or was refused."""
    has_begun: bool
    """The response has begun."""
    has_ended: bool
    """The response is whole."""
    is_kept: bool
    """It is answered later."""

    @property
    def is_full(self) -> bool:
        """The client has not taken everything written."""
        ...

    def bound(self, limit: int) -> None:
        """Refuse a body over so many bytes, by its length or while it is read: 413."""
        ...

    async def read(self) -> bytes:
        """The next part of the body; empty once it is whole. Raises Closed if it never will be."""
        ...

    async def gone(self) -> None:
        """Wait until the client is gone or the response is whole."""
        ...

    def keep(self, changed: Callable[[], None]) -> None:
        """Answer later, without a task that waits: `changed` is called when the client is gone, has
        taken everything written, or may have.
        """
        ...

    def respond(self, reply: Reply) -> None:
        """Answer with all there is to say."""
        ...

    def start(self, status: int, headers: Iterable[tuple[str | bytes, str | bytes]]) -> None:
        """Begin a response whose body follows."""
        ...

    def write(self, *parts: bytes) -> None:
        """More of the body; each part is a chunk of its own, and all leave together."""
        ...

    def end(self, data: bytes = b"") -> None:
        """The last part of the body, if there is one more, and its end."""
        ...

    async def drained(self) -> None:
        """Wait until what was written has been taken, or the client is gone."""
        ...

    def fail(self, status: int, reason: str) -> None:
        """Answer so if nothing was said yet, then hang up."""
        ...


class Served(Exchange, Protocol):
    """An exchange as the host that serves it sees it."""

    request: Request
    headers: Sequence[tuple[str, str]]
    """More headers of the response, whatever it is: what a page of another origin needs."""

    @property
    def remote(self) -> str:
        """The peer's address; empty where there is none, as over a Unix socket."""
        ...

    @property
    def is_secure(self) -> bool:
        """Whether the client came over TLS, as far as the host knows."""
        ...

    def greet(self, hello: Hello) -> None:
        """Add to the hello of this request what the host alone knows: whose it is."""
        ...


Carry = Callable[[Exchange, Wire, Hello], Coroutine[Any, Any, None]]
"""Answers requests of one carrier; it is started at once, and ends the exchange or keeps it."""


async def whole(exchange: Exchange) -> bytes:
    """All of a request's body; its exchange must be `bound`. Raises Closed, also past the bound."""
    parts: list[bytes] = []
    while part := await exchange.read():
        parts.append(part)
    return b"".join(parts)
