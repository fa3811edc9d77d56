"""Flushing: what was put into outboxes during one turn of the loop is written at its end.  HOT

One joined write per connection and turn, at most so many connections per turn. Publications of one
room that follow each other wait for the same moment; see
docs/decisions/0017-runs-of-publications.md.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from anywire.frames import At, Record

if TYPE_CHECKING:
    from anywire.core.room import Room
    from anywire.core.session import Session

log = logging.getLogger(__name__)

FLUSH_SESSIONS = 256
"""Connections served per loop turn; then the loop gets its turn."""
RUN = 64
"""Publications that are put together at most."""


class Flushing:
    """Sessions and publications that wait for the end of the turn; one per node."""

    __slots__ = ("_call_soon", "_is_scheduled", "_room", "dirty", "run")

    def __init__(self) -> None:
        self.dirty: list[Session] = []
        """Sessions with something to write; who appends calls `schedule`. Always this list."""
        self.run: list[tuple[Record, At]] = []
        """Publications of one room that wait for `settle`; mostly empty. Always this list."""
        self._room: Room | None = None
        self._is_scheduled = False
        self._call_soon: Callable[[Callable[[], None]], object] | None = None

    def mark(self, session: "Session") -> None:
        """This session has something to write: it will be flushed once in this turn of the loop."""
        self.dirty.append(session)
        if not self._is_scheduled:
            self.schedule()

    def schedule(self) -> None:
        """Flush the dirty sessions at the end of this loop turn."""
        if not self._is_scheduled:
            self._is_scheduled = True
            if self._call_soon is None:  # asked once: it costs a system call
                self._call_soon = asyncio.get_running_loop().call_soon
            self._call_soon(self.flush)

    def flush(self) -> None:
        """One joined write per dirty connection, at most so many connections per turn."""
        self._is_scheduled = False  # first: whatever fails below, the next turn writes again
        self.settle()
        dirty = self.dirty
        batch = dict.fromkeys(dirty[:FLUSH_SESSIONS])  # a put and its transport may both mark one
        del dirty[:FLUSH_SESSIONS]
        for session in batch:
            try:
                if session.flush():
                    dirty.append(session)
            except Exception:
                log.exception("flushing %r failed; it is closed", session)
                session.abort(1011, "internal error")
        if dirty:
            self.schedule()

    def hold(self, room: "Room", record: Record, at: At) -> None:
        """Let a publication wait for those that follow it in this room within this turn."""
        if self._room is not room or len(self.run) >= RUN:
            self.settle()
            self._room = room
        self.run.append((record, at))
        if not self._is_scheduled:
            self.schedule()

    def settle(self) -> None:
        """Put the run of publications that waits into its room's outboxes.

        Publications of one room that follow each other within a loop turn are put together, as one
        entry per member. Whatever else is said, or changes who hears them, settles the run first:
        so every member hears everything in the order in which it happened.
        """
        room = self._room
        if room is not None:
            self._room = None
            run = self.run.copy()
            self.run.clear()
            room.fan_out_run(run)
