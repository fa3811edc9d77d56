"""Calls and streams of a client, both ways, with their uploads: everything that is found again
by its ref.

Length: both directions share one table of refs; apart, each would need the other.
"""

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from anywire.body import NO_BODY, Args, Body
from anywire.client.clock import Clock, Timer
from anywire.client.flow import Flow
from anywire.client.line import Line, Outgoing, Place
from anywire.client.tasks import Tasks
from anywire.errors import AnywireError, CallFailed, Refused
from anywire.frames import Cancel, Data, End, Event, Frame, Item, Past, Ref, Refusal, Reply, Want

log = logging.getLogger(__name__)

Uploads = Sequence[AsyncIterable[Any]]
AHEAD = 32
"""Items of one stream that may be on their way to the server, which keeps 64."""


def value_of(data: Data | None) -> Any:
    """What a peer said as one plain value; None where it said nothing."""
    return None if data is None else data.one_value


class _Target(Protocol):
    """Where an answer goes."""

    def item(self, value: Any) -> None: ...

    def end(self, value: Any) -> None: ...

    def fail(self, error: Exception) -> None: ...


class _One:
    """One answer."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def item(self, value: Any) -> None:
        """Nobody asked for items."""

    def end(self, value: Any) -> None:
        if not self.future.done():
            self.future.set_result(value)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _Many:
    """An answer of many items."""

    __slots__ = ("flow",)

    def __init__(self) -> None:
        self.flow: Flow[Any] = Flow()

    def item(self, value: Any) -> None:
        self.flow.push(value)

    def end(self, value: Any) -> None:
        if value is not None:
            self.flow.push(value)  # a handler that returned instead of yielding
        self.flow.end()

    def fail(self, error: Exception) -> None:
        self.flow.end(error)


@dataclass(slots=True, eq=False)
class _Ask:
    """A question of ours that has no answer yet."""

    ref: Ref
    place: Place
    target: _Target
    uploads: dict[Ref, AsyncIterable[Any]] = field(default_factory=dict)
    is_sent: bool = False
    timer: Timer | None = None


class _Work:
    """Something of ours that runs for the server: an answer or an upload."""

    __slots__ = ("place", "task")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.task: asyncio.Task[None] | None = None

    def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()


class Calls:
    """All calls of one client. `timeout`: seconds a call may take, unless it says otherwise; 0:
    for ever.
    """

    __slots__ = (
        "_answers",
        "_asks",
        "_clock",
        "_inboxes",
        "_line",
        "_tasks",
        "_uploads",
        "timeout",
    )

    def __init__(self, line: Line, *, tasks: Tasks, clock: Clock, timeout: float) -> None:
        self._line = line
        self._tasks = tasks
        self._clock = clock
        self.timeout = timeout
        self._asks: dict[Ref, _Ask] = {}
        self._uploads: dict[Ref, _Work] = {}
        self._answers: dict[Ref, _Work] = {}
        self._inboxes: dict[Ref, Flow[Any]] = {}

    def __len__(self) -> int:
        return len(self._asks)

    # --- asking ---------------------------------------------------------------------------------

    async def call(
        self,
        place: Place,
        frame: Event | Past,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
        uploads: Uploads = (),
    ) -> Any:
        """The answer as a plain value; `frame` gets its ref here. Raises CallFailed, Refused,
        Closed.
        """
        target = _One()
        ask = self._ask(place, frame, target, timeout=timeout, uploads=uploads)
        try:
            if self._line.is_pressed:
                await self._line.pace()
            return await target.future
        finally:
            self._withdraw(ask)

    async def stream(
        self,
        place: Place,
        frame: Event,
        *,
        timeout: float | None,  # noqa: ASYNC109
        uploads: Uploads,
    ) -> AsyncGenerator[Any, None]:
        """The items of the answer; asked at the first step, cancelled when the loop is left."""
        target = _Many()
        ask = self._ask(
            place, frame, target, timeout=0.0 if timeout is None else timeout, uploads=uploads
        )
        try:
            async for value in target.flow:
                yield value
        finally:
            self._withdraw(ask)

    # --- hearing --------------------------------------------------------------------------------

    def receive(self, frame: Frame) -> bool:
        """An answer, an item, an end or a cancel; False when nobody here waits for its ref."""
        match frame:
            case Reply():
                return self._replied(frame.ref, frame.data, frame.code, frame.text)
            case End():
                return self._replied(frame.ref, None, frame.code, frame.text)
            case Refusal() if frame.ref is not None and frame.ref in self._asks:
                self._settled(
                    self._asks[frame.ref], Refused(*_said(frame), data=value_of(frame.data))
                )
                return True
            case Item():
                if (ask := self._asks.get(frame.ref)) is not None:
                    ask.target.item(value_of(frame.data))
                    return True
                if (inbox := self._inboxes.get(frame.ref)) is not None:
                    inbox.push(value_of(frame.data))
                    return True
            case Cancel():
                work = self._answers.get(frame.ref) or self._uploads.get(frame.ref)
                if work is not None:
                    work.stop()
                    return True
        return False

    def answer(self, place: Place, frame: Event, answerer: Callable[..., Any] | None) -> None:
        """Answer a call of the server's with what the answerer returns, yields or refuses."""
        ref = frame.ref
        assert ref is not None
        if answerer is None:
            self._reply(
                place, ref, Refused("unknown_event", f'nobody answers "{frame.event}" here')
            )
            return
        inboxes: dict[Ref, Flow[Any]] = {}
        for upload in frame.streams:
            inboxes[upload] = Flow(on_full=partial(self._say, place, Cancel(upload)))
        self._inboxes |= inboxes
        work = _Work(place)
        try:
            result = answerer(*_values(frame.args), *inboxes.values())
        except Exception as error:
            self._reply(place, ref, error)
            self._forget_inboxes(inboxes)
            return
        if frame.want is Want.REPLY and not inspect.isawaitable(result):
            self._reply(place, ref, result)
            self._forget_inboxes(inboxes)
            return
        self._answers[ref] = work
        work.task = self._tasks.start(
            self._answer(place, frame, result, inboxes), f"answer to {frame.event!r}"
        )

    # --- the end of sessions, memberships and everything -----------------------------------------

    def lost(self) -> None:
        """The session is gone: what was under way fails; what was never sent waits on."""
        self._line.drop(lambda outgoing: outgoing.is_bound)
        for inbox in self._inboxes.values():
            inbox.end(_lost())
        for work in [*self._answers.values(), *self._uploads.values()]:
            work.stop()
        for ask in list(self._asks.values()):
            if ask.is_sent:
                self._settled(ask, _lost())

    def left(self, place: Place, error: AnywireError) -> None:
        """A membership is over, and with it all that was asked or is answered there."""
        self._line.drop(lambda outgoing: outgoing.place is place)
        for work in [*self._answers.values(), *self._uploads.values()]:
            if work.place is place:
                work.stop()
        for ask in list(self._asks.values()):
            if ask.place is place:
                self._settled(ask, error)

    def end(self, error: AnywireError) -> None:
        """All is over."""
        self.lost()
        for ask in list(self._asks.values()):
            self._settled(ask, error)

    # --- inside ---------------------------------------------------------------------------------

    def _ask(
        self,
        place: Place,
        frame: Event | Past,
        target: _Target,
        *,
        timeout: float | None,
        uploads: Uploads,
    ) -> _Ask:
        line = self._line
        if line.ended is not None:
            raise line.ended
        frame.ref = ref = line.ref()
        ask = _Ask(ref, place, target)
        if uploads:
            # Names of their own: an item under a number may also belong to a call of the server's.
            ask.uploads = {f"u{ref}.{index}": values for index, values in enumerate(uploads)}
            assert isinstance(frame, Event)
            frame.streams = tuple(ask.uploads)
        what = f'"{frame.event}"' if isinstance(frame, Event) else "the question for history"
        outgoing = Outgoing(
            place,
            frame,
            sent=lambda: self._sent(ask),
            failed=lambda error: self._settled(ask, error),
        )
        self._asks[ref] = ask
        try:
            if not line.post(outgoing):
                raise CallFailed("busy", "too much waits to be sent already")
        except AnywireError:
            del self._asks[ref]
            raise
        seconds = self.timeout if timeout is None else timeout
        if seconds:
            ask.timer = self._clock.call_at(
                self._clock.now() + seconds, lambda: self._too_late(ask, what, seconds)
            )
        return ask

    def _sent(self, ask: _Ask) -> None:
        ask.is_sent = True
        for ref, values in ask.uploads.items():
            work = self._uploads[ref] = _Work(ask.place)
            work.task = self._tasks.start(self._upload(ask.place, ref, values), f"upload {ref}")

    def _too_late(self, ask: _Ask, what: str, seconds: float) -> None:
        self._withdraw(ask)
        ask.target.fail(CallFailed("timeout", f"no answer to {what} in {seconds:g} s"))

    def _withdraw(self, ask: _Ask) -> None:
        """Nobody waits for this answer any more; nothing when it came."""
        if self._asks.pop(ask.ref, None) is None:
            return
        self._finish(ask)
        if not self._line.drop(lambda outgoing: _ref_of(outgoing.frame) == ask.ref) and ask.is_sent:
            self._say(ask.place, Cancel(ask.ref))

    def _replied(self, ref: Ref, data: Data | None, code: str, text: str) -> bool:
        error = CallFailed(code, text, data=value_of(data)) if code else None
        ask = self._asks.get(ref)
        if ask is not None:
            self._settled(ask, error, data)
        elif (inbox := self._inboxes.get(ref)) is not None:
            inbox.end(error)
        else:
            return False
        return True

    def _settled(self, ask: _Ask, error: Exception | None, data: Data | None = None) -> None:
        if self._asks.pop(ask.ref, None) is None:
            return
        self._finish(ask)
        if error is None:
            ask.target.end(value_of(data))
        else:
            ask.target.fail(error)

    def _finish(self, ask: _Ask) -> None:
        if ask.timer is not None:
            ask.timer.cancel()
        for ref in ask.uploads:
            if (work := self._uploads.get(ref)) is not None:
                work.stop()

    async def _upload(self, place: Place, ref: Ref, values: AsyncIterable[Any]) -> None:
        end = End(ref)
        try:
            await self._pour(place, ref, values)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            code, text = _told(error, f"upload {ref}")
            end = End(ref, code, text)
        finally:
            del self._uploads[ref]
        self._say(place, end)

    async def _pour(self, place: Place, ref: Ref, values: AsyncIterable[Any]) -> None:
        """Say the values as items, never far ahead of what the server has: it keeps few."""
        count = 0
        async for value in values:
            await self._line.room()
            self._say(place, Item(ref, Body.of(value)))
            count += 1
            if count % AHEAD == 0:
                await self._line.arrived()

    async def _answer(
        self, place: Place, frame: Event, result: Any, inboxes: dict[Ref, Flow[Any]]
    ) -> None:
        ref = frame.ref
        assert ref is not None
        try:
            if inspect.isawaitable(result):
                result = await result
            if frame.want is Want.REPLY:
                self._reply(place, ref, result)
                return
            if isinstance(result, AsyncIterable):
                await self._pour(place, ref, result)
            else:
                self._say(place, Item(ref, Body.of(result)))
            self._say(place, End(ref))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if frame.want is Want.REPLY:
                self._reply(place, ref, error)
            else:
                self._say(place, End(ref, *_told(error, f"answer to {frame.event!r}")))
        finally:
            self._answers.pop(ref, None)
            self._forget_inboxes(inboxes)

    def _reply(self, place: Place, ref: Ref, result: Any) -> None:
        if isinstance(result, Exception):
            code, text = _told(result, "an answer")
            data = result.data if isinstance(result, Refused) else None
            body = None if data is None else Body.of(data)
            self._say(place, Reply(ref, "", body, code, text))
            return
        try:
            body = NO_BODY if result is None else Body.of(result)
        except ValueError as error:
            self._reply(place, ref, error)
            return
        self._say(place, Reply(ref, "", body))

    def _say(self, place: Place, frame: Frame) -> None:
        try:
            self._line.post(Outgoing(place, frame, is_bound=True))
        except Refused as refused:
            ref = _ref_of(frame)
            if isinstance(frame, Reply):
                self._say(place, Reply(frame.ref, "", None, refused.code, refused.text))
            elif isinstance(frame, Item) and ref is not None:
                raise

    def _forget_inboxes(self, inboxes: dict[Ref, Flow[Any]]) -> None:
        for ref, inbox in inboxes.items():
            inbox.end()
            self._inboxes.pop(ref, None)


def _lost() -> CallFailed:
    return CallFailed("lost", "the session was lost before the answer came")


def _told(error: Exception, what: str) -> tuple[str, str]:
    """What the server is told of an error; what is in a bug's message is not for the other side."""
    if isinstance(error, Refused | CallFailed):
        return error.code, error.text
    log.error("%s failed", what, exc_info=error)
    return "internal", ""


def _said(frame: Refusal) -> tuple[str, str]:
    return frame.code, frame.text


def _ref_of(frame: Frame) -> Ref | None:
    return frame.ref if isinstance(frame, Event | Past | Item | Reply | End | Cancel) else None


def _values(data: Data) -> Sequence[Any]:
    return data.values() if isinstance(data, Args) else data.values
