"""Running: an app without a server, for as long as a test needs it."""

import weakref
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from anywire.app import Anywire
from anywire.core.clock import Deadlines
from anywire.core.node import Node
from anywire.testing.clock import Clock


class _Run:
    """How many clients hold an app that nobody else runs."""

    __slots__ = ("node", "stack", "users")

    def __init__(self, node: Node, stack: AsyncExitStack) -> None:
        self.node = node
        self.stack = stack
        self.users = 0


_RUNS: "weakref.WeakKeyDictionary[Anywire, _Run]" = weakref.WeakKeyDictionary()


@asynccontextmanager
async def running(app: Anywire, *, clock: Clock | None = None) -> AsyncIterator[Node]:
    """Run the app; with a clock, every deadline of it waits for `clock.advance`."""
    if clock is None:
        async with app.lifespan():
            node = app.node
            yield node
    else:
        deadlines = Deadlines(clock.now, clock.call_at)
        async with app.lifespan(now=clock.now, wall=clock.wall, deadlines=deadlines):
            node = app.node
            yield node


@asynccontextmanager
async def held(app: Anywire) -> AsyncIterator[Node]:
    """The running node of an app; runs it while a client holds it, if nobody else does."""
    if app.is_running and app not in _RUNS:
        yield app.node
        return
    run = _RUNS.get(app)
    if run is None:
        stack = AsyncExitStack()
        await stack.enter_async_context(app.lifespan())
        run = _RUNS[app] = _Run(app.node, stack)
    run.users += 1
    try:
        yield run.node
    finally:
        run.users -= 1
        if not run.users:
            del _RUNS[app]
            await run.stack.aclose()
