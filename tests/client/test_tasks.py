"""Tasks and listeners: the application's functions run in order, and hurt nobody but themselves."""

import asyncio
from typing import Any

import pytest

from anywire.client import tasks as module
from anywire.client.tasks import Listeners, Tasks
from tests.client.memory import settle


def made() -> tuple[Listeners, Tasks]:
    tasks = Tasks()
    return Listeners(tasks, "event"), tasks


async def test_handlers_are_called_in_the_order_they_came() -> None:
    listeners, tasks = made()
    heard: list[Any] = []
    listeners.on("a", lambda value: heard.append((1, value)))

    @listeners.on("a")
    def second(value: int) -> None:
        heard.append((2, value))

    @listeners.once("a")
    def third(value: int) -> None:
        heard.append((3, value))

    listeners.tell("a", 5)
    listeners.tell("a", 6)
    listeners.tell("b", 7)
    assert heard == [(1, 5), (2, 5), (3, 5), (1, 6), (2, 6)]
    listeners.off("a", second)
    listeners.tell("a", 8)
    assert heard[-1] == (1, 8)
    assert listeners.has("a")
    listeners.off("a")
    listeners.off("a")
    assert not listeners.has("a")
    assert not tasks


async def test_a_once_handler_that_was_the_only_one_leaves_nothing() -> None:
    listeners, _ = made()
    listeners.once("a", lambda: None)
    listeners.tell("a")
    assert not listeners.has("a")


async def test_an_async_handler_takes_one_event_after_the_other_in_one_task() -> None:
    listeners, tasks = made()
    heard: list[int] = []
    gate = asyncio.Event()

    @listeners.on("a")
    async def slow(value: int) -> None:
        await gate.wait()
        await asyncio.sleep(0)
        heard.append(value)

    for value in range(5):
        listeners.tell("a", value)
    assert len(tasks) == 1
    await settle()
    assert heard == []
    gate.set()
    await settle()
    assert heard == [0, 1, 2, 3, 4]
    assert not tasks
    listeners.tell("a", 5)
    await settle()
    assert heard[-1] == 5


async def test_a_handler_that_raises_is_logged_and_stops_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    listeners, _ = made()
    heard: list[int] = []
    gate = asyncio.Event()

    def failing(value: int) -> None:
        raise RuntimeError(f"sync {value}")

    def mixed(value: int) -> Any:
        """Async at first, then sync, then failing, then async again."""
        if value == 1:
            heard.append(value)
            return None
        if value == 2:
            raise RuntimeError("mixed 2")
        return wait(value)

    async def wait(value: int) -> None:
        await gate.wait()
        heard.append(value)
        raise RuntimeError(f"async {value}")

    listeners.on("a", failing)
    listeners.on("a", mixed)
    for value in range(4):
        listeners.tell("a", value)
    gate.set()
    await settle()
    assert heard == [0, 1, 3]
    for text in ("sync 0", "sync 3", "mixed 2", "async 0", "async 3"):
        assert text in caplog.text


async def test_a_handler_that_is_too_slow_loses_the_oldest(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    listeners, _ = made()
    heard: list[int] = []
    gate = asyncio.Event()

    @listeners.on("a")
    async def slow(value: int) -> None:
        await gate.wait()
        heard.append(value)

    for value in range(5):
        listeners.tell("a", value)
    gate.set()
    await settle()
    assert heard == [0, 3, 4]
    assert "too slow" in caplog.text


async def test_what_is_no_function_or_no_known_name_is_refused() -> None:
    listeners, tasks = made()
    with pytest.raises(TypeError, match="must be a function, not 5"):
        listeners.on("a", 5)  # type: ignore[arg-type]
    known = Listeners(tasks, "client", names=("state",))
    with pytest.raises(ValueError, match="tells nothing called 'stat'; known: state"):
        known.on("stat", print)


async def test_stop_ends_everything_but_the_task_that_asks() -> None:
    tasks = Tasks()
    ended: list[str] = []

    async def forever(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def stopper() -> None:
        await tasks.stop(1)
        ended.append("stopper")

    tasks.start(forever("a"), "a")
    tasks.start(forever("b"), "b")
    await settle()
    tasks.start(stopper(), "stopper")
    await settle()
    assert sorted(ended) == ["a", "b", "stopper"]
    assert not tasks


async def test_a_task_that_will_not_stop_is_named_and_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks = Tasks()
    gate = asyncio.Event()

    async def stubborn() -> None:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue

    task = tasks.start(stubborn(), "stubborn")
    await settle()
    await tasks.stop(0.01)
    assert "anywire client: stubborn did not stop in time" in caplog.text
    gate.set()
    await task


async def test_what_a_task_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks()

    async def failing() -> None:
        raise RuntimeError("a bug")

    tasks.start(failing(), "failing")
    await settle()
    assert "a bug" in caplog.text
