"""Several workers of one folder, in one process: their brokers, and the hub that one of them is."""

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from anywire.brokers.local import LocalBroker

WALL = 1_700_000_000.0


class Clock:
    """Unix time that a test moves."""

    def __init__(self) -> None:
        self.time = WALL

    def __call__(self) -> float:
        return self.time


class Workers:
    """Brokers that meet in one folder; whoever started first is the hub."""

    def __init__(self, folder: Path, clock: Callable[[], float], stack: AsyncExitStack) -> None:
        self.folder = folder
        self._clock = clock
        self._stack = stack

    def broker(self, node: str = "", answer: Callable[..., object] | None = None) -> LocalBroker:
        """One more, not started; stopped at the end."""
        broker = LocalBroker(self.folder, clock=self._clock)
        if node:
            broker.listen(node, answer or (lambda question: question.room), f"{node}.door")
        self._stack.push_async_callback(broker.stop)
        return broker


@asynccontextmanager
async def workers(clock: Callable[[], float] | None = None) -> AsyncIterator[Workers]:
    """A fresh folder and its workers."""
    with tempfile.TemporaryDirectory() as place:
        async with AsyncExitStack() as stack:
            yield Workers(Path(place) / "hub", clock or Clock(), stack)


async def kill_hub(broker: LocalBroker) -> None:
    """What remains of a hub whose process was killed: nothing says goodbye."""
    hub, broker._line.hub = broker._line.hub, None
    assert hub is not None, "this worker is not the hub"
    for worker in list(hub._names):
        worker.cut("killed")
    await hub.stop()
