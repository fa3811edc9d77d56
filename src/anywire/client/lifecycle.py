"""Lifecycle: the states of a client that comes back, and every way from one to another. Pure.

The table is the whole of it: what a state does not name changes nothing, and from every state but
`closed` the word `close` leads there.
"""

from collections.abc import Mapping
from enum import Enum, StrEnum, auto

from anywire.client.backoff import Backoff

REFUSED_CODES = frozenset((4401, 4403))
"""Close codes of a no: another attempt would end the same way (docs/reference/codes.md)."""
FINAL_CODES = REFUSED_CODES | {4409}
"""… and of a session that a newer connection goes on with: who came back would fight for it."""
SESSION_CODES = frozenset((1002, 1003, 1007, 1009, 4400))
"""Close codes after which the same session would fail again: something of it is the cause."""


class State(StrEnum):
    """Where a client is; a `str`, so that `client.state == "open"` reads well."""

    IDLE = "idle"
    CONNECTING = "connecting"
    RESUMING = "resuming"
    """Connecting, to go on with the same session."""
    OPEN = "open"
    WAITING = "waiting"
    """Until the next attempt."""
    CLOSED = "closed"
    """For good; the client remembers why."""


class Input(Enum):
    """What can happen to a client."""

    START = auto()
    RESUME = auto()
    """As START, with a session to go on with."""
    WELCOMED = auto()
    CUT = auto()
    """The attempt or the connection failed, and another attempt follows."""
    ENDED = auto()
    """… and none follows."""
    CLOSE = auto()
    """The user's word."""


_ATTEMPT: Mapping[Input, State] = {
    Input.WELCOMED: State.OPEN,
    Input.CUT: State.WAITING,
    Input.ENDED: State.CLOSED,
    Input.CLOSE: State.CLOSED,
}
TRANSITIONS: Mapping[State, Mapping[Input, State]] = {
    State.IDLE: {Input.START: State.CONNECTING, Input.CLOSE: State.CLOSED},
    State.CONNECTING: _ATTEMPT,
    State.RESUMING: _ATTEMPT,
    State.OPEN: {
        Input.CUT: State.WAITING,
        Input.ENDED: State.CLOSED,
        Input.CLOSE: State.CLOSED,
    },
    State.WAITING: {
        Input.START: State.CONNECTING,
        Input.RESUME: State.RESUMING,
        Input.CLOSE: State.CLOSED,
    },
    State.CLOSED: {},
}


class Lifecycle:
    """One client's way through the table, with the schedule of its attempts."""

    __slots__ = ("_backoff", "_opened_at", "state")

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._opened_at = 0.0
        self.state = State.IDLE

    @property
    def is_connected(self) -> bool:
        """Whether an attempt is under way or its connection stands."""
        return self.state in (State.CONNECTING, State.RESUMING, State.OPEN)

    def start(self, *, resumes: bool) -> bool:
        """Begin an attempt; False where none may begin."""
        return (resumes and self._step(Input.RESUME)) or self._step(Input.START)

    def welcomed(self, now: float) -> bool:
        """The session stands. `now`: seconds."""
        if not self._step(Input.WELCOMED):
            return False
        self._opened_at = now
        return True

    def cut(self, now: float, retry: float | None = None) -> float | None:
        """The connection is lost: seconds until the next attempt; None where there was none to
        lose.

        `retry` is when the server said to come back; it wins over our own schedule, which goes on
        counting.
        """
        was_open = self.state is State.OPEN
        if not self._step(Input.CUT):
            return None
        if was_open:
            self._backoff.ended(now - self._opened_at)
        delay = self._backoff.next()
        return delay if retry is None else max(0.0, retry)

    def end(self, *, by_user: bool) -> bool:
        """It is over for good; False when it was already."""
        return self._step(Input.CLOSE if by_user else Input.ENDED)

    def _step(self, input: Input) -> bool:
        state = TRANSITIONS[self.state].get(input)
        if state is None:
            return False
        self.state = state
        return True
