"""Clock: where the client's time comes from, so that a test can move it."""

import asyncio
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """Something that is to happen once."""

    def cancel(self) -> object: ...


class Clock(Protocol):
    """Time in seconds from an arbitrary beginning, never going back."""

    def now(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Have `callback` called once at `when`, or soon if that is past; never inside this
        call.
        """
        ...


class LoopClock:
    """The time of the running event loop."""

    __slots__ = ()

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_at(when, callback)
