"""Candidate: a second transport of a session, from its opening until it takes over or is dropped.

While it may take over, the session goes on over the first one, on which no request of the client
waits. A client asks for the change when its last request was answered: so all that was said on the
first is there before anything is said on the second, which begins with what nobody asked for.
"""

from typing import TYPE_CHECKING

from anywire.errors import ProtocolError
from anywire.payload import Message
from anywire.transports.base import Transport, Yielding
from anywire.wires.base import Upgrade, Verdict

if TYPE_CHECKING:
    from anywire.core.session import Session

PATIENCE = 10.0
"""Seconds that a candidate has to take over."""


class Candidate:
    """The sink of the second transport; hands it to the session when it takes over."""

    __slots__ = (
        "_deadline",
        "_first",
        "_is_over",
        "_session",
        "_transport",
        "_upgrade",
    )

    def __init__(self, session: "Session", upgrade: Upgrade, transport: Transport) -> None:
        self._session = session
        self._upgrade = upgrade
        self._transport = transport
        self._first = session.transport
        self._is_over = False
        session.candidate = self
        node = session.node
        self._deadline = node.deadlines.at(node.now() + PATIENCE, self.drop)

    def receive(self, message: Message, now: float) -> None:
        """A message on the second transport; once it has taken over, the session's."""
        session, transport = self._session, self._transport
        if session.transport is transport:
            session.receive(message, now)  # it came in one piece with the word to take over
            return
        if self._is_over:
            return
        if session.has_ended or session.transport is not self._first:
            self.drop()
            return
        try:
            said, verdict = self._upgrade.receive(message)
        except ProtocolError:
            said, verdict = (), Verdict.DROP
        if said:
            transport.write([payload.framed(transport.framing) for payload in said])
        if verdict is Verdict.WAIT:
            if isinstance(self._first, Yielding):
                self._first.release()
        elif verdict is Verdict.SWAP:
            self._finish()
            session.swap(transport)
            transport.attach(session)
        else:
            self.drop()

    def heard(self, now: float) -> None:
        """Nothing follows from it yet."""

    def writable(self) -> None:
        """Nothing waits yet."""

    def detached(self, transport: Transport, code: int, reason: str, *, is_clean: bool) -> None:
        """It is gone before it has taken over, or it is the session's now."""
        if self._session.transport is transport:
            self._session.detached(transport, code, reason, is_clean=is_clean)
        elif not self._is_over:
            self.drop()

    def drop(self) -> None:
        """Hang up; the first transport goes on."""
        self._finish()
        if isinstance(self._first, Yielding):
            self._first.retain()
        self._transport.close(1000, "")

    def _finish(self) -> None:
        self._is_over = True
        self._session.candidate = None
        self._session.node.deadlines.cancel(self._deadline)


def may_upgrade(session: "Session") -> bool:
    """Whether another transport can take over from this session's, and none is about to."""
    return isinstance(session.transport, Yielding) and session.candidate is None
