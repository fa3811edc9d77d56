"""What a transport is: one physical way to a client, owned by exactly one session.

It carries payloads and knows no protocol. Towards the session it calls `receive`, `heard`,
`writable` and `detached` (see `Sink`); nothing it is asked to do ever waits.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from anywire.payload import Carrier, Framed, Framing, Message


class Transport(Protocol):
    """One open connection, stream or poll."""

    carrier: Carrier
    framing: Framing

    def attach(self, sink: "Sink") -> None:
        """Tell this one from now on."""
        ...

    @property
    def buffered(self) -> int:
        """Bytes that were written and that the kernel has not taken yet."""
        ...

    def write(self, framed: Sequence[Framed]) -> None:
        """Hand over entries, in order, as one write; never waits."""
        ...

    def beat(self) -> bool:
        """Send the carrier's own probe: WebSocket ping, comment of an event stream.

        False: it has none.
        """
        ...

    def pause(self) -> None:
        """Stop reading from the peer until `resume`."""
        ...

    def resume(self) -> None: ...

    def close(self, code: int, reason: str) -> None:
        """Say goodbye in the carrier's way after what was written, then hang up."""
        ...

    def abort(self) -> None:
        """Hang up at once."""
        ...


@runtime_checkable
class Yielding(Protocol):
    """A transport that another one can take over from while the session goes on."""

    def release(self) -> None:
        """Let no request of the client wait: it is about to go on elsewhere."""
        ...

    def rest(self) -> Sequence[Framed]:
        """What was written and will not be said here any more."""
        ...

    def retain(self) -> None:
        """Go on as before: it is not."""
        ...


class Sink(Protocol):
    """What a transport tells: a session implements it."""

    def receive(self, message: Message, now: float) -> None:
        """A whole message came in. `now`: loop time in seconds."""
        ...

    def heard(self, now: float) -> None:
        """The peer is alive: bytes that are no message (a pong, a part of a message)."""
        ...

    def writable(self) -> None:
        """Everything written has been taken: `buffered` is 0 again."""
        ...

    def detached(self, transport: Transport, code: int, reason: str, *, is_clean: bool) -> None:
        """The transport is gone, for good; called once."""
        ...
