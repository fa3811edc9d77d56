"""Redial: a link that comes back; attempts, their deadlines, the waits between them, the end.

It owns what there is once at a time: the attempt or the link, and the timer. What may happen when
is the table in `lifecycle`; what is said over a link, and which end is final, is its owner's.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from anywire.client.backoff import Backoff
from anywire.client.clock import Clock, Timer
from anywire.client.dial import Link
from anywire.client.lifecycle import Lifecycle, State
from anywire.client.tasks import Tasks
from anywire.errors import AnywireError, Closed
from anywire.wires.base import Request

log = logging.getLogger(__name__)

ABNORMAL = 1006
GOODBYE = 3.0
"""Seconds that a closing handshake may take."""
L = TypeVar("L", bound=Link)


class Farewell(Generic[L]):
    """A link that is being closed, and who waits until it is gone."""

    __slots__ = ("_gone", "link")

    def __init__(self, link: L) -> None:
        self.link = link
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def gone(self) -> None:
        """The link told its end."""
        if not self._gone.done():
            self._gone.set_result(None)

    async def wait(self) -> None:
        """Until the link is gone, for `GOODBYE` seconds at most; then it is."""
        try:
            await asyncio.wait([self._gone], timeout=GOODBYE)
        finally:
            self.link.abort()


class Redial(Generic[L]):
    """The way to one server, as long as its owner wants one.

    `opening` says what an attempt asks for, `dial` is the attempt; `opened` has its link, `failed`
    what it raised; `late`: within `connect_timeout` seconds there was no link, or no `stands`.
    `let_go` is called before the link or the attempt is given up, `told` with a new state and the
    one before. The owner answers with `stands`, `cut` or `end`. `where` is the address as a log may
    have it; `resumes`: whether the next link goes on with something.
    """

    __slots__ = (
        "_attempt",
        "_clock",
        "_connect_timeout",
        "_dial",
        "_failed",
        "_farewell",
        "_given_up",
        "_late",
        "_let_go",
        "_lifecycle",
        "_opened",
        "_openers",
        "_opening",
        "_resumes",
        "_tasks",
        "_timer",
        "_told",
        "_told_state",
        "_trouble",
        "_where",
        "ended",
        "link",
    )

    def __init__(
        self,
        dial: Callable[[Request], Awaitable[L]],
        *,
        opening: Callable[[], Request] = Request,
        opened: Callable[[L], None],
        failed: Callable[[Exception], None],
        late: Callable[[], None],
        let_go: Callable[[], None],
        told: Callable[[State, State], None],
        resumes: Callable[[], bool] = lambda: False,
        backoff: Backoff,
        clock: Clock,
        tasks: Tasks,
        connect_timeout: float,
        where: str,
    ) -> None:
        self._dial = dial
        self._opening = opening
        self._opened = opened
        self._failed = failed
        self._late = late
        self._let_go = let_go
        self._told = told
        self._resumes = resumes
        self._lifecycle = Lifecycle(backoff)
        self._clock = clock
        self._tasks = tasks
        self._connect_timeout = connect_timeout
        self._where = where
        self._attempt: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        """The one timer of an attempt (its deadline) and of waiting."""
        self._trouble = "nothing was tried yet"
        self._told_state = State.IDLE
        self._openers: list[asyncio.Future[None]] = []
        self._farewell: Farewell[L] | None = None
        self._given_up: L | None = None
        self.link: L | None = None
        self.ended: AnywireError | None = None
        """Why there will be no link any more."""

    @property
    def state(self) -> State:
        return self._lifecycle.state

    @property
    def is_connected(self) -> bool:
        """Whether an attempt is under way or its link stands."""
        return self._lifecycle.is_connected

    # --- attempts --------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect; nothing when that was done."""
        if self.state is State.IDLE:
            self._begin()

    async def opening(self, seconds: float | None) -> None:
        """Begin, and wait for `stands`, through failed attempts too; `seconds`: None for ever.

        Raises Closed when that takes longer, or what `end` was given.
        """
        self.start()
        if self.ended is not None:
            raise self.ended
        if self.state is State.OPEN:
            return
        opener = asyncio.get_running_loop().create_future()
        self._openers.append(opener)
        timer = None
        if seconds is not None:
            timer = self._clock.call_at(
                self._clock.now() + seconds, lambda: self._give_up(opener, seconds)
            )
        try:
            await opener
        finally:
            if timer is not None:
                timer.cancel()

    def stands(self) -> bool:
        """What the link is for stands; False where it cannot. `announce` makes it known."""
        if not self._lifecycle.welcomed(self._clock.now()):
            return False
        self._set_timer(None)
        return True

    def announce(self) -> None:
        """Tell who waits for it, and who listens, in which state this is now."""
        state, previous = self.state, self._told_state
        if state is State.OPEN or self.ended is not None:
            openers, self._openers = self._openers, []
            for opener in openers:
                if not opener.done():
                    if self.ended is None:
                        opener.set_result(None)
                    else:
                        opener.set_exception(self.ended)
        if state is not previous:
            self._told_state = state
            self._told(state, previous)

    # --- ends ------------------------------------------------------------------------------------

    def cut(self, code: int, reason: str, *, retry: float | None = None) -> None:
        """The attempt or its link is lost: the next one comes, after `retry` seconds if the server
        said so.
        """
        delay = self._lifecycle.cut(self._clock.now(), retry)
        if delay is None:
            return
        self._trouble = reason or f"close code {code}"
        log.warning("%s: %s (%d); next attempt in %.1f s", self._where, self._trouble, code, delay)
        self.release(code, reason)
        self._set_timer(delay, self._begin)
        self.announce()

    def end(self, error: AnywireError, *, by_user: bool = False) -> bool:
        """No link will follow; False when that is so already. `release` and `announce` are the
        owner's to call.
        """
        if not self._lifecycle.end(by_user=by_user):
            return False
        self._set_timer(None)
        self.ended = error
        if not by_user:
            log.warning("%s: closed for good: %.200r", self._where, str(error))
        return True

    def release(self, code: int, reason: str) -> None:
        """Let go of the link without waiting for it: a dead one would answer after minutes."""
        link, self.link = self.link, None
        attempt, self._attempt = self._attempt, None
        self._let_go()
        if attempt is not None and attempt is not asyncio.current_task():
            attempt.cancel()
        if link is not None:
            self._given_up = link
            link.close(code, reason)

    def abandon(self) -> None:
        """Hang up on the link that was let go of last: its server may not have done so yet."""
        if self._given_up is not None:
            self._given_up.abort()
            self._given_up = None

    def farewell(self) -> Farewell[L] | None:
        """The link that is there, for who is about to end and waits until it is gone."""
        if self.link is not None:
            self._farewell = Farewell(self.link)
        return self._farewell

    def lost(self, link: L) -> bool:
        """A link that was let go of told its end; True when the farewell waits for it."""
        if self._farewell is None or self._farewell.link is not link:
            return False
        self._farewell.gone()
        return True

    # --- inside ----------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Begin an attempt; its deadline covers everything up to `stands`."""
        if not self._lifecycle.start(resumes=self._resumes()):
            return
        request = self._opening()
        self._set_timer(self._connect_timeout, self._late)
        self._attempt = self._tasks.start(self._try(request), "attempt")
        self.announce()

    async def _try(self, request: Request) -> None:
        me = asyncio.current_task()
        try:
            link = await self._dial(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if self._attempt is me:
                if not isinstance(error, OSError | AnywireError):
                    log.exception("an attempt to connect to %s failed", self._where)
                self._failed(error)
            return
        if self._attempt is not me:
            link.abort()
            return
        self._attempt = None
        self.link = link
        self._opened(link)

    def _give_up(self, opener: asyncio.Future[None], seconds: float) -> None:
        """The first connection took too long; whoever waits for it decides what follows."""
        if not opener.done():
            text = f"no connection to {self._where} within {seconds:g} s: {self._trouble}"
            opener.set_exception(Closed(ABNORMAL, text))

    def _set_timer(self, seconds: float | None, callback: Callable[[], None] | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None and callback is not None:
            self._timer = self._clock.call_at(self._clock.now() + seconds, callback)
