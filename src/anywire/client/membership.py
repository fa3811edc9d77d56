"""Membership: a client joined to an address, over every cut: its states, its positions, its
joins again.

Sans-I/O but for the futures of those who wait for a join or a leave.
"""

import asyncio
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Protocol

from anywire.body import NO_ARGS, Body
from anywire.client.calls import Calls, value_of
from anywire.client.clock import Clock, Timer
from anywire.client.line import Line
from anywire.errors import AnywireError, Closed, Refused
from anywire.frames import Gap, Join, Joined, Leave, Outcome, Position, Ref, Refusal, Since

JOIN_AGAIN = 0.5
"""Seconds, at least, before a join that was refused for its rate is tried again."""


class Stage(StrEnum):
    """Where a membership is."""

    IDLE = "idle"
    JOINING = "joining"
    JOINED = "joined"
    LEAVING = "leaving"
    LEFT = "left"
    """By our own word, the server's, or since the join was refused."""


class Face(Protocol):
    """Who shows a membership to the application."""

    def told(self, name: str, *args: Any) -> None:
        """`joined`, `recovered`, `lost`, `gap`, `refused` or `left` happened to the membership."""
        ...

    def over(self, error: AnywireError | None) -> None:
        """Nothing more will be heard until the next join."""
        ...


class Membership:
    """One per address and client. `params` go along with every join; `recover` asks for what was
    missed.
    """

    __slots__ = (
        "_asked",
        "_calls",
        "_clock",
        "_face",
        "_joining",
        "_leaving",
        "_line",
        "_params",
        "_positions",
        "_random",
        "_recover",
        "_timer",
        "address",
        "stage",
        "welcome",
    )

    def __init__(
        self,
        address: str,
        *,
        line: Line,
        calls: Calls,
        clock: Clock,
        random: Callable[[], float],
        params: object,
        recover: bool,
    ) -> None:
        self.address = address
        self._line = line
        self._calls = calls
        self._clock = clock
        self._random = random
        self._params = NO_ARGS if params is None else Body.of(params)
        self._recover = recover
        self._positions: dict[str, Position] = {}
        self._asked: Ref | None = None
        """The ref of the join or leave that the server has and we wait for."""
        self._joining: list[asyncio.Future[Any]] = []
        self._leaving: list[asyncio.Future[None]] = []
        self._timer: Timer | None = None
        self._face: Face | None = None
        self.stage = Stage.IDLE
        self.welcome: Any = None
        """What the last join was answered."""

    @property
    def is_joined(self) -> bool:
        return self.stage is Stage.JOINED

    @property
    def positions(self) -> Mapping[str, Position]:
        """The newest place heard, by room."""
        return self._positions

    def show(self, face: Face) -> None:
        """Say who is told what happens; called once, before anything does."""
        self._face = face

    # --- what the application wants --------------------------------------------------------------

    async def join(self) -> Any:
        """Become a member, and stay one over every cut. Raises Refused, Closed."""
        if self._line.ended is not None:
            raise self._line.ended
        if self.stage is Stage.JOINED:
            return self.welcome
        if self.stage is not Stage.JOINING:
            self.stage = Stage.JOINING
            self._positions.clear()
            _settle(self._leaving)
            self._ask_to_join()
            if self.stage is not Stage.JOINING:
                return self.welcome
        return await _wait(self._joining)

    async def leave(self) -> None:
        """End the membership; what waits to be sent is dropped. Returns when the server has
        heard it.
        """
        if self.stage is not Stage.LEAVING:
            is_known = self.stage is Stage.JOINED or self._asked is not None
            self._over(Refused("left", f'"{self.address}" was left'), "")
            if not is_known or self._line.ended is not None or self._line.machine.is_single:
                return
            self.stage = Stage.LEAVING
            self._ask_to_leave()
        await _wait(self._leaving)

    def check(self) -> None:
        """Raise what keeps the application from saying something here."""
        if self._line.ended is not None:
            raise self._line.ended
        if self.stage in (Stage.LEAVING, Stage.LEFT):
            raise Refused("left", f'"{self.address}" was left; join it again first')

    # --- what the client tells -------------------------------------------------------------------

    def is_asked(self, ref: Ref | None) -> bool:
        """Whether this is the ref of our join or leave."""
        return ref is not None and ref == self._asked

    def live(self, *, is_resumed: bool) -> None:
        """The session goes on, or a new one began and every membership with it."""
        if not is_resumed:
            self._asked = None
            if self.stage is Stage.LEAVING:
                self.stage = Stage.LEFT
                _settle(self._leaving)
            elif self.stage is Stage.JOINED:
                self.stage = Stage.JOINING
        if self._asked is None:
            if self.stage is Stage.JOINING:
                self._ask_to_join()
            elif self.stage is Stage.LEAVING:
                self._ask_to_leave()

    def end(self, error: AnywireError) -> None:
        """The client is closed."""
        is_quiet = isinstance(error, Closed) and error.code == 1000
        self._over(error, "" if is_quiet else "closed")

    def joined(self, frame: Joined) -> None:
        """The answer to a join; one that is not ours any more means nothing."""
        if self.stage is not Stage.JOINING or not self.is_asked(frame.ref):
            return
        if frame.outcome is not Outcome.RECOVERED or frame.positions:
            self._positions = dict(frame.positions)
        self._stand(value_of(frame.data), frame.outcome, frame.reason)

    def refused(self, frame: Refusal) -> None:
        """A join, a leave or an event of ours was refused."""
        error = Refused(frame.code, frame.text, data=value_of(frame.data))
        if self.is_asked(frame.ref):
            self._asked = None
            if self.stage is Stage.LEAVING:
                self.stage = Stage.LEFT
                _settle(self._leaving)
                return
            if frame.code == "rate":
                # Many channels that come back at once: each tries again until there is room.
                delay = JOIN_AGAIN * (1 + self._random())
                self._timer = self._clock.call_at(self._clock.now() + delay, self._ask_to_join)
                return
            self._over(error, frame.code)
        self._tell("refused", error, frame.event)

    def left(self, frame: Leave) -> None:
        """The answer to our leave (it bears our ref), or the server's own word."""
        if frame.ref is not None:
            if self.stage is Stage.LEAVING and self.is_asked(frame.ref):
                self._asked = None
                self.stage = Stage.LEFT
                _settle(self._leaving)
        elif self.stage is Stage.LEAVING:
            self.stage = Stage.LEFT
            _settle(self._leaving)
        elif self.stage is Stage.JOINED:
            code = frame.code or "left"
            self._over(Refused(code, frame.text or f'the server ended "{self.address}"'), code)

    def gap(self, frame: Gap) -> None:
        """Publications that will not come: we were too slow."""
        self._tell("gap", frame.lost)

    def is_news(self, room: str, position: Position | None) -> bool:
        """Whether a publication was not heard before; its place is remembered."""
        if position is None:
            return True
        known = self._positions.get(room)
        if known is not None and known.epoch == position.epoch and position.offset <= known.offset:
            return False
        self._positions[room] = position
        return True

    # --- inside ----------------------------------------------------------------------------------

    def _ask_to_join(self) -> None:
        self._asked = None
        if self.stage is not Stage.JOINING or not self._line.is_live:
            return
        if self._line.machine.is_single:
            self._stand(
                None, Outcome.FRESH, ""
            )  # the one membership there is came with the connection
            return
        self._asked = self._line.ref()
        since = Since(dict(self._positions)) if self._recover and self._positions else None
        self._line.write(Join(self._asked, self.address, self.address, self._params, since))

    def _ask_to_leave(self) -> None:
        self._asked = None
        if self._line.is_live:
            self._asked = self._line.ref()
            self._line.write(Leave(self.address, self._asked))

    def _stand(self, welcome: Any, outcome: Outcome, reason: str) -> None:
        self._asked = None
        self.stage = Stage.JOINED
        self.welcome = welcome
        _settle(self._joining, welcome)
        self._line.flush()
        self._tell("joined", welcome)
        if outcome is Outcome.RECOVERED:
            self._tell("recovered")
        elif outcome is Outcome.LOST:
            self._tell("lost", reason)

    def _over(self, error: AnywireError, code: str) -> None:
        """Nobody waits for this membership any more."""
        was = self.stage
        self._asked = None
        self.stage = Stage.LEFT
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._calls.left(self, error)
        for waiter in self._joining:
            if not waiter.done():
                waiter.set_exception(error)
        self._joining.clear()
        _settle(self._leaving)
        if self._face is not None:
            self._face.over(error if code else None)
        if was not in (Stage.IDLE, Stage.LEFT):
            self._tell("left", error)

    def _tell(self, name: str, *args: Any) -> None:
        if self._face is not None:
            self._face.told(name, *args)


async def _wait(waiters: list[asyncio.Future[Any]]) -> Any:
    """Wait beside the others; one who gives up disturbs none of them."""
    waiter = asyncio.get_running_loop().create_future()
    waiters.append(waiter)
    return await waiter


def _settle(waiters: list[asyncio.Future[Any]], result: Any = None) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(result)
    waiters.clear()
