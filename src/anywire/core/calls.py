"""Calls: what we asked a client and are waiting for, by ref and deadline."""

import asyncio
from collections.abc import Callable

from anywire.core.clock import Deadline, Deadlines
from anywire.errors import CallFailed
from anywire.frames import Ref, Reply


class Call:
    """One question under way."""

    __slots__ = ("deadline", "future")

    def __init__(self, future: "asyncio.Future[Reply]") -> None:
        self.future = future
        self.deadline: Deadline | None = None


class Calls:
    """The calls of one session to its client, at most `bound` at once; refs count from 1."""

    __slots__ = ("_bound", "_deadlines", "_next", "_now", "_waiting")

    def __init__(self, deadlines: Deadlines, now: Callable[[], float], bound: int) -> None:
        self._deadlines = deadlines
        self._now = now
        self._bound = bound
        self._next = 0
        self._waiting: dict[Ref, Call] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def open(self, timeout: float) -> tuple[Ref, "asyncio.Future[Reply]"]:
        """A new ref and the future of its answer; fails with CallFailed `timeout`, `lost` or
        `busy`.
        """
        if len(self._waiting) >= self._bound:
            raise CallFailed("busy", f"{self._bound} calls are waiting for this client already")
        self._next += 1
        ref = self._next
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        call = self._waiting[ref] = Call(future)
        when = self._now() + timeout
        call.deadline = self._deadlines.at(when, lambda: self._expire(ref, timeout))
        future.add_done_callback(lambda _: self.close(ref))
        return ref, future

    def answer(self, reply: Reply) -> bool:
        """Hand an answer to who waits for it; false when nobody does (late, or never asked)."""
        call = self._waiting.get(reply.ref)
        if call is None or call.future.done():
            return False
        call.future.set_result(reply)
        return True

    def close(self, ref: Ref) -> None:
        """Wait no more."""
        call = self._waiting.pop(ref, None)
        if call is not None and call.deadline is not None:
            self._deadlines.cancel(call.deadline)

    def lose(self) -> None:
        """The client is gone: every waiting call fails with `lost`."""
        for call in list(self._waiting.values()):
            if not call.future.done():
                call.future.set_exception(CallFailed("lost", "the client is gone"))

    def _expire(self, ref: Ref, timeout: float) -> None:
        call = self._waiting.get(ref)
        if call is not None and not call.future.done():
            call.deadline = None
            call.future.set_exception(CallFailed("timeout", f"no answer within {timeout:g} s"))
