"""Threshold: a session whose peer has yet to prove, in a frame, who it is.

Credentials are taken, a beat, and a goodbye; what comes behind credentials waits while they are
judged; all else is refused, and so is more than `Limits.early_bytes`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from anywire.errors import ProtocolError
from anywire.frames import Auth, Beat, Bye, Frame
from anywire.payload import Message

if TYPE_CHECKING:
    from anywire.core.session import Session


class Threshold:
    """Where a session stands until it is admitted: then nothing is left of it."""

    __slots__ = ("_behind", "implicit")

    def __init__(self) -> None:
        self.implicit: Sequence[Frame] = ()
        """What the machine began with: taken once the session is admitted."""
        self._behind: list[Message | Frame] | None = None
        """What came behind the credentials, while they are judged."""

    def admits(self, session: "Session", message: Message) -> bool:
        """Whether a message may be read now: it ends the session if it is too large, and waits if
        credentials are judged.
        """
        limit = session.hello.limits.early_bytes
        behind = self._behind
        kept = sum(len(one) for one in behind or () if isinstance(one, str | bytes))
        if kept + len(message) > limit:
            session.close(1009, f"over {limit} bytes before authentication")
            return False
        if behind is not None:
            behind.append(message)
        return behind is None

    def sift(self, session: "Session", frames: Sequence[Frame]) -> Sequence[Frame]:
        """Take what may be said here, and keep what waits; returns what may be taken as ever,
        because the session was admitted meanwhile.
        """
        was_shown = False
        for index, frame in enumerate(frames):
            if session.is_admitted or session.has_ended:
                return frames[index:]
            if self._behind is not None:
                self._behind.append(frame)
            elif was_shown:  # and refused at once: so is what came with the credentials
                break
            elif isinstance(frame, Auth | Beat | Bye):
                session.take(frame)
                was_shown = isinstance(frame, Auth)
            else:
                raise ProtocolError("say who you are first", code=4401)
        return ()

    def judge(self, session: "Session") -> None:
        """Credentials were shown: what comes waits, and reading is paused."""
        assert session.transport is not None  # it said this
        self._behind = []
        session.transport.pause()

    def behind(self) -> Sequence[Message | Frame]:
        """What waited, in its order; from now on nothing does."""
        waited, self._behind = self._behind or (), None
        return waited

    def turn_away(self, session: "Session") -> None:
        """The peer is not who it said, and may say it anew: hear what came behind that."""
        waited = self.behind()
        if session.has_ended:
            return
        assert session.transport is not None  # who is detached before this has ended
        session.transport.resume()
        for one in waited:
            if isinstance(one, str | bytes):  # frames came with the credentials: refused with them
                session.receive(one, session.node.now())
