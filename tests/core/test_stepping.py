"""Tests of anywire.core.stepping."""

import asyncio
import contextvars
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from anywire.core.stepping import Stepper
from tests.core.support import turns

place: contextvars.ContextVar[str] = contextvars.ContextVar("place", default="outside")


class Run:
    """One coroutine under a stepper, and what it was said to have ended with."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, object], stepper: Stepper | None = None
    ) -> None:
        self.ends: list[tuple[object, BaseException | None]] = []
        self._is_over = asyncio.Event()
        self.stepper = stepper or Stepper()
        self.task = self.stepper.start(coroutine, self._done, "the run")

    def _done(self, value: object, error: BaseException | None) -> None:
        self.ends.append((value, error))
        self._is_over.set()

    async def end(self) -> object:
        """Wait for the end; its value, or its error raised."""
        await self._is_over.wait()
        [(value, error)] = self.ends
        if error is not None:
            raise error
        return value


def my_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def test_a_coroutine_that_does_not_suspend_is_over_at_once_and_never_a_task() -> None:
    async def quick() -> int:
        return 7

    before = asyncio.all_tasks()
    run = Run(quick())
    assert run.task is None
    assert run.ends == [(7, None)]
    assert asyncio.all_tasks() == before
    assert not run.stepper.tasks


async def test_an_error_before_the_first_suspension_is_told() -> None:
    async def broken() -> None:
        raise KeyError("x")

    run = Run(broken())
    assert run.task is None
    with pytest.raises(KeyError):
        await run.end()


async def test_a_cancellation_raised_in_the_first_step_is_told() -> None:
    async def gives_up() -> None:
        raise asyncio.CancelledError

    run = Run(gives_up())
    assert run.task is None
    with pytest.raises(asyncio.CancelledError):
        await run.end()


async def test_an_exit_of_the_process_is_not_kept_from_it() -> None:
    async def exits() -> None:
        raise SystemExit(3)

    outer = my_task()
    with pytest.raises(SystemExit):
        Run(exits())
    assert asyncio.current_task() is outer


async def test_a_coroutine_that_suspends_goes_on_as_a_named_task_that_is_kept() -> None:
    async def slow() -> int:
        await asyncio.sleep(0)
        return 7

    run = Run(slow())
    assert run.task is not None
    assert run.task.get_name() == "the run"
    assert run.stepper.tasks == {run.task}
    assert run.task in asyncio.all_tasks()
    assert await run.end() == 7
    await turns(2)
    assert not run.stepper.tasks


async def test_an_error_after_a_suspension_is_told_and_is_not_the_task_s_own() -> None:
    async def broken() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    run = Run(broken())
    with pytest.raises(KeyError):
        await run.end()
    assert run.task is not None
    await asyncio.wait([run.task])
    assert run.task.exception() is None


async def test_an_exit_after_a_suspension_is_not_taken_for_an_end() -> None:
    class Stop(BaseException):
        pass

    async def exits() -> None:
        await asyncio.sleep(0)
        raise Stop

    run = Run(exits())
    assert run.task is not None
    with pytest.raises(Stop):
        await run.task
    assert run.ends == []


async def test_the_first_step_is_in_the_very_task_that_goes_on() -> None:
    seen: list[asyncio.Task[Any]] = []

    async def looks() -> None:
        seen.append(my_task())
        await asyncio.sleep(0)
        seen.append(my_task())

    run = Run(looks())
    await run.end()
    assert seen == [run.task, run.task]


async def test_the_current_task_of_a_first_step_answers_what_tasks_are_asked() -> None:
    def ask() -> list[object]:
        task = my_task()
        return [
            task.get_name(),
            task.get_loop(),
            getattr(task.get_coro(), "__name__", ""),
            "asks" in repr(task),
            task.done(),
            task.cancelled(),
            task.cancelling(),
            task.uncancel(),
        ]

    async def asks() -> list[list[object]]:
        first = ask()
        await asyncio.sleep(0)
        return [first, ask()]

    expected = ["the run", asyncio.get_running_loop(), "asks", True, False, False, 0, 0]
    assert await Run(asks()).end() == [expected, expected]


async def test_the_current_task_is_a_weak_key_that_goes_when_the_coroutine_does() -> None:
    known: weakref.WeakKeyDictionary[asyncio.Task[Any], str] = weakref.WeakKeyDictionary()

    async def quick() -> None:
        known[my_task()] = "here"

    async def slow() -> str:
        known[my_task()] = "here"
        await asyncio.sleep(0)
        return known[my_task()]

    Run(quick())
    gc.collect()
    assert not known
    assert await Run(slow()).end() == "here"


async def test_the_caller_s_own_task_is_the_current_one_again() -> None:
    async def slow() -> None:
        await asyncio.sleep(0)

    outer = my_task()
    run = Run(slow())
    assert my_task() is outer
    await run.end()
    assert my_task() is outer


async def test_the_end_is_told_outside_of_the_step() -> None:
    current: list[object] = []

    async def quick() -> None: ...

    Stepper().start(quick(), lambda _, __: current.append(asyncio.current_task()), "x")
    assert current == [my_task()]


async def test_a_start_from_a_callback_of_the_loop_has_no_task_around_it() -> None:
    async def looks() -> object:
        return asyncio.current_task()

    runs: list[Run] = []
    asyncio.get_running_loop().call_soon(lambda: runs.append(Run(looks())))
    await asyncio.sleep(0)
    assert isinstance(await runs[0].end(), asyncio.Task)
    assert asyncio.current_task() is not None


async def test_starts_nest() -> None:
    stepper = Stepper()
    order: list[str] = []

    async def inner() -> None:
        order.append("inner")
        await asyncio.sleep(0)
        order.append("inner again")

    async def middle() -> None:
        mine = my_task()
        run = Run(inner(), stepper)
        assert my_task() is mine
        order.append("middle")
        await run.end()
        order.append("middle again")

    run = Run(middle(), stepper)
    assert order == ["inner", "middle"]
    await run.end()
    assert order == ["inner", "middle", "inner again", "middle again"]


async def test_context_variables_are_kept_over_a_suspension_and_seen_by_nobody_else() -> None:
    async def one(name: str) -> list[str]:
        seen = [place.get()]
        place.set(name)
        await asyncio.sleep(0)
        return [*seen, place.get()]

    async def quick() -> None:
        place.set("quick")

    a, _, b = Run(one("a")), Run(quick()), Run(one("b"))
    assert await a.end() == ["outside", "a"]
    assert await b.end() == ["outside", "b"]
    assert place.get() == "outside"


async def test_a_context_variable_can_be_reset_after_a_suspension() -> None:
    async def visits() -> str:
        token = place.set("inside")
        await asyncio.sleep(0)
        place.reset(token)
        return place.get()

    assert await Run(visits()).end() == "outside"


# --- timeouts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [-1.0, 0.0, 0.002])
async def test_a_timeout_entered_in_the_first_step_fires_after_the_suspension(delay: float) -> None:
    async def waits() -> str:
        try:
            async with asyncio.timeout(delay):
                await asyncio.Event().wait()
        except TimeoutError:
            assert my_task().cancelling() == 0
            await asyncio.sleep(0)  # nothing is left over that would cancel this
            return "in time"
        return "never"

    assert await Run(waits()).end() == "in time"


async def test_a_timeout_that_is_not_reached_cancels_nothing() -> None:
    async def waits() -> str:
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "done"

    assert await Run(waits()).end() == "done"


async def test_a_cancellation_inside_of_a_timeout_stays_a_cancellation() -> None:
    async def waits() -> None:
        async with asyncio.timeout(10):
            await asyncio.Event().wait()

    run = Run(waits())
    assert run.task is not None
    run.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run.end()


async def test_wait_for_works_in_the_first_step() -> None:
    async def waits() -> str:
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        except TimeoutError:
            return "in time"
        return "never"

    assert await Run(waits()).end() == "in time"


# --- task groups ----------------------------------------------------------------------------------


async def test_a_task_group_of_the_first_step_waits_for_its_children() -> None:
    async def child(n: int) -> int:
        await asyncio.sleep(0)
        return n

    async def parent() -> int:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(child(n)) for n in range(3)]
        return sum(task.result() for task in tasks)

    assert await Run(parent()).end() == 3


async def test_an_empty_task_group_needs_no_task() -> None:
    async def parent() -> str:
        async with asyncio.TaskGroup():
            pass
        return "done"

    run = Run(parent())
    assert run.task is None
    assert await run.end() == "done"


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_child_that_fails_cancels_the_parent_of_its_group(is_first: bool) -> None:
    async def child() -> None:
        if not is_first:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        raise KeyError("child")

    async def parent() -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                await asyncio.Event().wait()
        except ExceptionGroup as errors:
            assert [type(error) for error in errors.exceptions] == [KeyError]
            assert my_task().cancelling() == 0
            await asyncio.sleep(0)
            return "failed well"
        return "never"

    assert await Run(parent()).end() == "failed well"


async def test_an_error_in_the_body_of_a_group_cancels_its_children() -> None:
    cancelled: list[str] = []

    async def child() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("child")
            raise

    async def parent() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(child())
            await asyncio.sleep(0)
            raise KeyError("parent")

    with pytest.raises(ExceptionGroup):
        await Run(parent()).end()
    assert cancelled == ["child"]


# --- cancellation ---------------------------------------------------------------------------------


async def test_a_task_that_cancels_itself_in_its_first_step_is_cancelled_where_it_waits() -> None:
    async def leaves() -> str:
        my_task().cancel()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return f"cancelled, {my_task().cancelling()}"
        return "never"

    assert await Run(leaves()).end() == "cancelled, 1"


async def test_a_cancellation_taken_back_in_the_first_step_is_thrown_and_not_counted() -> None:
    async def wavers() -> str:
        my_task().cancel()
        my_task().uncancel()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return f"cancelled, {my_task().cancelling()}"
        return "never"

    async def as_a_task() -> str:
        return await asyncio.create_task(wavers())

    assert await Run(wavers()).end() == await as_a_task()


@pytest.mark.parametrize("times", [1, 2])
async def test_a_cancellation_before_the_task_began_reaches_the_coroutine(times: int) -> None:
    async def waits() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # it may still wait
            return f"cancelled, {my_task().cancelling()}"
        return "never"

    run = Run(waits())
    assert run.task is not None
    for _ in range(times):
        run.task.cancel()
    assert await run.end() == f"cancelled, {times}"


async def test_a_cancelled_coroutine_that_lets_it_through_ends_with_it() -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    run = Run(waits())
    assert run.task is not None
    run.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run.end()
    await turns(1)
    assert run.task.cancelled()


async def test_a_coroutine_cancelled_while_it_yields_to_the_loop_hears_it() -> None:
    async def yields() -> str:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return "cancelled"
        return "never"

    run = Run(yields())
    assert run.task is not None
    run.task.cancel()
    assert await run.end() == "cancelled"


async def test_a_cancellation_waits_for_the_child_it_cancels() -> None:
    order: list[str] = []

    async def child() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            order.append("child")
            raise

    async def parent(task: asyncio.Task[None]) -> None:
        try:
            await task
        except asyncio.CancelledError:
            order.append("parent")
            raise

    task = asyncio.create_task(child())
    await turns(1)
    run = Run(parent(task))
    assert run.task is not None
    run.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run.end()
    assert order == ["child", "parent"]


async def test_a_cancellation_after_the_future_was_done_is_heard_all_the_same() -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def waits() -> str:
        try:
            return await future
        except asyncio.CancelledError:
            return "cancelled"

    run = Run(waits())
    assert run.task is not None
    future.set_result("answer")
    run.task.cancel()
    assert await run.end() == "cancelled"
    assert await future == "answer"


async def test_a_coroutine_may_swallow_its_cancellation_and_go_on() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            my_task().uncancel()
        await asyncio.sleep(0)
        return "still here"

    run = Run(stubborn())
    assert run.task is not None
    run.task.cancel()
    assert await run.end() == "still here"


async def test_an_error_while_being_cancelled_is_told() -> None:
    async def clumsy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise KeyError("x")

    run = Run(clumsy())
    assert run.task is not None
    run.task.cancel()
    with pytest.raises(KeyError):
        await run.end()


async def test_a_generator_that_the_coroutine_reads_is_closed_on_its_way_out() -> None:
    closed: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            closed.append("numbers")

    async def reads() -> None:
        generator = numbers()
        try:
            async for _ in generator:
                pass
        finally:
            await generator.aclose()  # type: ignore[attr-defined]

    run = Run(reads())
    assert run.task is not None
    run.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run.end()
    assert closed == ["numbers"]


async def test_a_future_that_fails_raises_in_the_coroutine() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def waits() -> None:
        await future

    run = Run(waits())
    future.set_exception(KeyError("x"))
    with pytest.raises(KeyError):
        await run.end()


async def test_two_that_begin_to_wait_for_one_future_in_one_turn_both_go_on() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait() -> int:
        return await future

    runs = [Run(wait()) for _ in range(3)]
    outside = asyncio.ensure_future(wait())
    future.set_result(7)
    assert [await run.end() for run in runs] == [7, 7, 7]
    assert await outside == 7


async def test_who_is_cancelled_before_it_began_cancels_the_future_that_others_wait_for() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait() -> int:
        return await future

    one, two = Run(wait()), Run(wait())
    assert one.task is not None
    one.task.cancel()
    for run in (one, two):
        with pytest.raises(asyncio.CancelledError):
            await run.end()
    assert future.cancelled()


def test_a_loop_that_closes_in_between_closes_the_coroutine() -> None:
    closed: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            closed.append("closed")

    async def main() -> asyncio.Task[None] | None:
        return Run(waits()).task

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, __: None)
    task = loop.run_until_complete(main())
    loop.close()
    assert task is not None
    coroutine = task._coro  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        coroutine.__await__()
    coroutine.close()
    assert closed == ["closed"]


# --- stop -----------------------------------------------------------------------------------------


async def test_stop_cancels_what_runs_and_waits_for_its_end() -> None:
    stepper = Stepper()
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("one")

    runs = [Run(waits(), stepper) for _ in range(3)]
    await stepper.stop()
    assert ended == ["one"] * 3
    assert all(isinstance(run.ends[0][1], asyncio.CancelledError) for run in runs)


async def test_stop_cancels_what_the_end_of_another_starts() -> None:
    stepper = Stepper()
    started: list[int] = []

    async def waits() -> None:
        await asyncio.Event().wait()

    def again(left: int) -> Callable[[object, BaseException | None], None]:
        def done(_: object, error: BaseException | None) -> None:
            assert isinstance(error, asyncio.CancelledError)
            started.append(left)
            if left:
                stepper.start(waits(), again(left - 1), "again")

        return done

    stepper.start(waits(), again(2), "first")
    await stepper.stop()
    assert started == [2, 1, 0]
    assert not stepper.tasks


async def test_stop_waits_for_who_swallows_the_cancellation() -> None:
    stepper = Stepper()

    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "my way"

    run = Run(stubborn(), stepper)
    await stepper.stop()
    assert run.ends == [("my way", None)]


async def test_stop_cancels_each_once_however_long_it_takes_to_end() -> None:
    stepper = Stepper()
    ended: list[str] = []

    async def quick() -> None:
        await asyncio.Event().wait()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await turns(5)
            ended.append("slow")

    runs = [Run(quick(), stepper), Run(slow(), stepper)]
    await turns(1)
    await stepper.stop()
    assert ended == ["slow"]
    assert all(run.ends for run in runs)


async def test_stop_lets_handlers_end_by_themselves_for_a_while_and_nothing_else() -> None:
    stepper = Stepper()
    ended: dict[str, BaseException | None] = {}

    async def runs(turns_left: int) -> None:
        await turns(turns_left)

    def start(name: str, turns_left: int, *, is_handler: bool) -> None:
        def done(_: object, error: BaseException | None) -> None:
            ended[name] = error

        stepper.start(runs(turns_left), done, name, is_handler=is_handler)

    start("handler", 5, is_handler=True)
    start("endless", 1_000_000_000, is_handler=True)
    start("other", 5, is_handler=False)
    await stepper.stop(0.05)
    assert list(ended) == ["other", "handler", "endless"]
    assert ended["handler"] is None
    assert isinstance(ended["other"], asyncio.CancelledError)
    assert isinstance(ended["endless"], asyncio.CancelledError)


async def test_stop_of_a_stepper_that_runs_nothing_returns() -> None:
    await Stepper().stop()
