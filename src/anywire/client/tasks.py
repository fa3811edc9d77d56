"""Tasks and listeners: what the application's functions run in, and what keeps them apart from
us.
"""

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

log = logging.getLogger(__name__)

Handler = Callable[..., Any]
_MOST = 1000
"""Events that may wait for an async listener that is still busy with an earlier one."""


class Tasks:
    """Every task the client started; it ends them all."""

    __slots__ = ("_running",)

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run something to its end; what it raises is logged."""
        task = asyncio.get_running_loop().create_task(work, name=f"anywire client: {name}")
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    async def stop(self, timeout: float) -> None:  # noqa: ASYNC109
        """Cancel all but the calling task, and wait for them for at most `timeout` seconds."""
        others = self._running - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            _, late = await asyncio.wait(others, timeout=timeout)
            for task in late:
                log.warning("%s did not stop in time", task.get_name())

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)


class _Listener:
    """One handler; async ones take one event after the other, in order."""

    __slots__ = ("handler", "is_busy", "once", "waiting")

    def __init__(self, handler: Handler, *, once: bool) -> None:
        self.handler = handler
        self.once = once
        self.is_busy = False
        self.waiting: deque[tuple[Any, ...]] = deque()


class Listeners:
    """Handlers by name, sync or async. One that raises is logged and stops no other.

    `on`, `once` take the handler or are decorators; `off` takes one away, or all of a name.
    """

    __slots__ = ("_by_name", "_names", "_tasks", "_what")

    def __init__(self, tasks: Tasks, what: str, *, names: Sequence[str] | None = None) -> None:
        """`names`: the only ones there are; None: any."""
        self._names = names
        self._by_name: dict[str, tuple[_Listener, ...]] = {}
        self._tasks = tasks
        self._what = what

    def on(self, name: str, handler: Handler | None = None) -> Handler:
        """Call `handler` at each event of this name, with its arguments."""
        return self._add(name, handler, once=False)

    def once(self, name: str, handler: Handler | None = None) -> Handler:
        """Call `handler` at the next event of this name only."""
        return self._add(name, handler, once=True)

    def off(self, name: str, handler: Handler | None = None) -> None:
        """Take this handler away, or all of the name."""
        rest = tuple(one for one in self._by_name.get(name, ()) if one.handler != handler)
        if handler is None or not rest:
            self._by_name.pop(name, None)
        else:
            self._by_name[name] = rest

    def has(self, name: str) -> bool:
        """Whether anybody listens."""
        return name in self._by_name

    def tell(self, name: str, *args: Any) -> None:
        """Call everyone who listens, in the order they came."""
        for listener in self._by_name.get(name, ()):
            if listener.once:
                self._remove(name, listener)
            if listener.is_busy:
                if len(listener.waiting) >= _MOST:
                    listener.waiting.popleft()
                    log.warning(
                        "%s %r: its handler is too slow, an event is lost", self._what, name
                    )
                listener.waiting.append(args)
                continue
            try:
                result = listener.handler(*args)
            except Exception:
                log.exception("%s %r: its handler failed", self._what, name)
                continue
            if inspect.isawaitable(result):
                listener.is_busy = True
                self._tasks.start(self._run(name, listener, result), f"{self._what} {name!r}")

    def _add(self, name: str, handler: Handler | None, *, once: bool) -> Handler:
        if handler is None:
            return lambda decorated: self._add(name, decorated, once=once)
        if self._names is not None and name not in self._names:
            known = ", ".join(self._names)
            raise ValueError(f"{self._what} tells nothing called {name!r}; known: {known}")
        if not callable(handler):
            raise TypeError(f"the handler of {name!r} must be a function, not {handler!r}")
        # Tuples are replaced, never changed, so that a `tell` under way is not disturbed.
        self._by_name[name] = (*self._by_name.get(name, ()), _Listener(handler, once=once))
        return handler

    def _remove(self, name: str, listener: _Listener) -> None:
        rest = tuple(one for one in self._by_name.get(name, ()) if one is not listener)
        if rest:
            self._by_name[name] = rest
        else:
            self._by_name.pop(name, None)

    async def _run(self, name: str, listener: _Listener, result: Awaitable[Any]) -> None:
        """One task for a burst of events: they keep their order."""
        try:
            while True:
                try:
                    await result
                except Exception:
                    log.exception("%s %r: its handler failed", self._what, name)
                following = None
                while following is None:
                    if not listener.waiting:
                        return
                    following = self._step(name, listener)
                result = following
        finally:
            listener.is_busy = False

    def _step(self, name: str, listener: _Listener) -> Awaitable[Any] | None:
        try:
            result = listener.handler(*listener.waiting.popleft())
        except Exception:
            log.exception("%s %r: its handler failed", self._what, name)
            return None
        return result if inspect.isawaitable(result) else None
