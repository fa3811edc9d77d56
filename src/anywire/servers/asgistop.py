"""The signals that stop an ASGI host, heard before the host hears them.

ASGI's own word for a stop, the end of the lifespan, comes when hosts have closed every WebSocket
already, each with a code of its own or none. So our sessions are sent away (1001, and when to come
back) first, and then the host's handler is called.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from types import FrameType
from typing import Any

from anywire.core.stepping import Stepper

Handler = Callable[[int, FrameType | None], Any]
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Stands before a host's handlers from `hear` to `forget`.

    `told` is awaited after the first signal and must end in bounded time; a second signal goes to
    the host at once. Where the host handles no signals, or serves outside of the main thread,
    nothing is changed.
    """

    __slots__ = ("_before", "_is_told", "_loop", "_stepper", "_told")

    def __init__(self, told: Callable[[], Coroutine[Any, Any, None]], stepper: Stepper) -> None:
        self._told = told
        self._stepper = stepper
        self._before: dict[int, tuple[Handler, Handler]] = {}  # our handler, and the one before
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_told = False

    def hear(self) -> None:
        """Stand before the handlers of now; called in the loop that serves."""
        if self._before or threading.current_thread() is not threading.main_thread():
            return
        self._loop = asyncio.get_running_loop()
        self._is_told = False
        for number in SIGNALS:
            before = signal.getsignal(number)
            if callable(before) and before is not signal.default_int_handler:
                handle = partial(self._heard, before)
                self._before[number] = (handle, before)
                signal.signal(number, handle)

    def forget(self) -> None:
        """Put the host's handlers back, where nobody else has changed them."""
        self._is_told = True  # another app may have taken our place, and calls us as the one before
        hooked, self._before = self._before, {}
        for number, (handle, before) in hooked.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, before)

    def _heard(self, before: Handler, number: int, frame: FrameType | None) -> None:
        if self._is_told or self._loop is None or self._loop.is_closed():
            before(number, frame)
            return
        self._is_told = True
        self._loop.call_soon_threadsafe(self._tell, number, before)

    def _tell(self, number: int, before: Handler) -> None:
        def done(_: object, error: BaseException | None) -> None:
            before(number, None)

        self._stepper.start(self._told(), done, "anywire farewell")
