"""A client and an app in memory under any order of cuts, outages, lost sessions and traffic.

What must hold: nothing is heard twice or out of order, nothing is lost while the session lives, a
call gets its answer or an error, and once the weather is fine the client is open, joined and has
nothing left to say.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from anywire import Anywire, Limits, Member, Own
from anywire.client import connect
from anywire.client.lifecycle import State
from anywire.errors import CallFailed
from tests.client.memory import AppDialer, FakeClock, settle

T = TypeVar("T")


class Weather(RuleBasedStateMachine):
    """One client; the app hears what it says, and says it back to the room."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.app = Anywire(wires=[Own("/ws")], limits=Limits(resume=1e6))
        self.told: list[int] = []
        self.heard: list[int] = []
        self.said = 0
        self.lossy: set[int] = set()
        """What may be lost: it was under way when the server forgot the session."""
        self.calls: list[tuple[int, asyncio.Task[Any]]] = []
        self.senders: list[asyncio.Task[None]] = []
        chat = self.app.channel("chat", history=1000)

        @chat.on("say")
        async def say(member: Member, number: int) -> int:
            self.told.append(number)
            await member.room.publish("said", number)
            return number

        self.lifespan = self.app.lifespan()
        self.do(self.lifespan.__aenter__())
        self.clock = FakeClock()
        self.dialer = AppDialer(self.app)
        self.client = connect(
            "ws://server/ws",
            dialer=self.dialer,
            clock=self.clock,
            random=lambda: 0.5,
            timeout=0,
            max_queue=100_000,
            heartbeat_interval=0,
        )
        self.chat = self.client.channel("chat", recover=True)
        self.chat.on("said", self.heard.append)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize(is_down=st.booleans())
    def begin(self, is_down: bool) -> None:
        async def begin() -> None:
            self.client.start()
            self.joining = asyncio.create_task(self.chat.join())
            await settle()

        self.dialer.is_down = is_down
        self.do(begin())

    @rule(count=st.integers(1, 100))
    def send(self, count: int) -> None:
        async def send() -> None:
            for _ in range(count):
                self.said += 1
                assert await self.chat.send("say", self.said)

        async def begin() -> None:
            self.senders.append(asyncio.create_task(send()))
            await asyncio.sleep(0)

        self.do(begin())

    @rule()
    def call(self) -> None:
        async def call() -> None:
            self.said += 1
            number = self.said
            self.calls.append((number, asyncio.create_task(self.chat.call("say", number))))
            await asyncio.sleep(0)

        self.do(call())

    @rule(turns=st.integers(0, 3))
    def turn(self, turns: int) -> None:
        async def turn() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.do(turn())

    @rule(seconds=st.sampled_from([0.1, 1.0, 40.0]))
    def pass_time(self, seconds: float) -> None:
        self.do(self.clock.pass_(seconds))

    @rule()
    def cut(self) -> None:
        async def cut() -> None:
            if self.dialer.links:
                self.dialer.link.cut()

        self.do(cut())

    @rule()
    def freeze(self) -> None:
        if self.dialer.links:
            self.dialer.link.is_frozen = True

    @rule(is_down=st.booleans())
    def change(self, is_down: bool) -> None:
        self.dialer.is_down = is_down

    @rule()
    def forget(self) -> None:
        """The server loses the session, and cuts."""

        async def forget() -> None:
            if self.dialer.sessions:
                self.lossy |= set(range(1, self.said + 1)) - set(self.told)
                self.dialer.sessions[-1].end(1006, "", is_clean=False)
                self.dialer.link.cut()

        self.do(forget())

    @invariant()
    def nothing_is_told_or_heard_twice_or_out_of_order(self) -> None:
        assert self.told == sorted(set(self.told))
        assert self.heard == sorted(set(self.heard))

    @invariant()
    def the_client_is_where_it_says(self) -> None:
        state = self.client.state
        assert state is not State.CLOSED
        assert (self.client._redial.link is not None) <= self.client._redial.is_connected
        assert self.client._line.is_live == (state is State.OPEN)
        if state is State.WAITING:
            assert self.clock.waiting

    def teardown(self) -> None:
        try:
            self.do(self.heal())
        finally:
            self.loop.close()

    async def heal(self) -> None:
        self.client.start()
        self.dialer.is_down = False
        for link in self.dialer.links:
            if link.is_frozen:
                link.cut()
        for _ in range(20):
            await self.clock.pass_(10)
        assert self.client.state is State.OPEN
        assert self.chat.state == "joined"
        assert self.client._line.waiting == 0
        assert set(range(1, self.said + 1)) - set(self.told) <= self.lossy
        assert set(self.told) - set(self.heard) == set()
        for sender in self.senders:
            await sender
        for number, task in self.calls:
            assert task.done()
            error = task.exception()
            if error is None:
                assert task.result() == number
            else:
                assert isinstance(error, CallFailed)
                assert error.code == "lost"
        await self.client.close()
        assert self.joining.done()
        assert self.clock.waiting == []
        assert not self.client._tasks
        await self.lifespan.__aexit__(None, None, None)


Weather.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestWeather = Weather.TestCase
