"""Lifecycle: the table has no dead ends, and a client that follows it is where it says it is."""

from itertools import pairwise

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from anywire.client.backoff import Backoff
from anywire.client.lifecycle import TRANSITIONS, Input, Lifecycle, State


def reachable(start: State) -> set[State]:
    found = {start}
    left = [start]
    while left:
        for state in TRANSITIONS[left.pop()].values():
            if state not in found:
                found.add(state)
                left.append(state)
    return found


def test_every_state_has_its_row() -> None:
    assert set(TRANSITIONS) == set(State)


@pytest.mark.parametrize("state", [state for state in State if state is not State.CLOSED])
def test_from_every_state_but_closed_there_is_a_way_to_open_and_to_closed(state: State) -> None:
    assert {State.OPEN, State.CLOSED} <= reachable(state)
    assert TRANSITIONS[state][Input.CLOSE] is State.CLOSED


def test_closed_is_final() -> None:
    assert TRANSITIONS[State.CLOSED] == {}


def test_every_input_and_every_state_is_of_use() -> None:
    assert {input for row in TRANSITIONS.values() for input in row} == set(Input)
    assert reachable(State.IDLE) == set(State)


class Life(RuleBasedStateMachine):
    """Any inputs in any order, beside a plain account of what they must lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.opened = 0.0
        self.bound = 1.0
        self.states = [State.IDLE]
        backoff = Backoff(interval=1.0, maximum=8.0, decay=2.0, random=lambda: 1.0)
        self.life = Lifecycle(backoff)

    @rule(resumes=st.booleans())
    def start(self, resumes: bool) -> None:
        may = self.life.state in (State.IDLE, State.WAITING)
        from_waiting = self.life.state is State.WAITING
        assert self.life.start(resumes=resumes) == may
        if may:
            assert self.life.state is (
                State.RESUMING if resumes and from_waiting else State.CONNECTING
            )

    @rule()
    def welcomed(self) -> None:
        may = self.life.state in (State.CONNECTING, State.RESUMING)
        assert self.life.welcomed(self.now) == may
        if may:
            self.opened = self.now

    @rule(retry=st.none() | st.floats(-1, 100))
    def cut(self, retry: float | None) -> None:
        was = self.life.state
        was_connected = self.life.is_connected
        delay = self.life.cut(self.now, retry)
        assert (delay is not None) == was_connected
        if delay is None:
            return
        assert self.life.state is State.WAITING
        if was is State.OPEN and self.now - self.opened >= 5.0:
            self.bound = 1.0
        assert delay == (self.bound if retry is None else max(0.0, retry))
        self.bound = min(8.0, self.bound * 2)

    @rule(by_user=st.booleans())
    @precondition(lambda self: self.life.state is not State.IDLE)
    def end(self, by_user: bool) -> None:
        may = self.life.state is not State.CLOSED
        may = may and (by_user or self.life.is_connected)
        assert self.life.end(by_user=by_user) == may

    @rule(seconds=st.floats(0, 10))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def every_step_is_in_the_table(self) -> None:
        if self.life.state is not self.states[-1]:
            self.states.append(self.life.state)
        for before, after in pairwise(self.states):
            assert after in TRANSITIONS[before].values()


TestLife = Life.TestCase


def test_a_state_is_also_its_name() -> None:
    assert str(State.OPEN) == "open"
    assert f"{State.WAITING}" == "waiting"
