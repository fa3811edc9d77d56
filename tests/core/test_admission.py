"""Tests of anywire.core.admission."""

import asyncio
import logging

import pytest

from anywire.core.admission import Admitted, admit
from anywire.core.node import Authenticate
from anywire.errors import Refused
from anywire.limits import Limits
from anywire.wires.base import Answer, Hello, Identity, Machine, Opening, Role, User
from tests.core.support import Bench, TestTransport, TestWire, turns


def judged(verdict: User | Exception | None) -> Authenticate:
    async def authenticate(hello: Hello) -> User | None:
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    return authenticate


async def admitted(bench: Bench, wire: TestWire | None = None) -> Admitted:
    found = await admit(bench.node, wire or bench.wire, bench.hello())
    assert isinstance(found, Admitted)
    return found


async def refused(bench: Bench, wire: TestWire | None = None) -> Answer:
    found = await admit(bench.node, wire or bench.wire, bench.hello())
    assert isinstance(found, Answer)
    return found


async def test_who_is_known_comes_in_as_that_user() -> None:
    bench = Bench(authenticate=judged(User("ana")))
    one = await admitted(bench)
    assert one.user == User("ana")
    assert one.opening.machine is one.machine


async def test_without_authenticate_everybody_is_anonymous_under_an_id_of_their_own() -> None:
    for authenticate in (None, judged(None)):
        bench = Bench(authenticate=authenticate)
        users = [(await admitted(bench)).user for _ in range(3)]
        assert all(user.is_anonymous for user in users)
        assert len({user.id for user in users}) == 3


async def test_without_authenticate_the_user_that_the_host_knows_is_taken() -> None:
    bench = Bench()
    hello = Hello(seed=b"s" * 32, user=User("ana"))
    found = await admit(bench.node, bench.wire, hello)
    assert isinstance(found, Admitted)
    assert found.user == User("ana")


async def test_an_admission_that_need_not_wait_does_not() -> None:
    bench = Bench(authenticate=judged(User("ana")))
    with pytest.raises(StopIteration):
        admit(bench.node, bench.wire, bench.hello()).send(None)


async def test_a_refusal_is_said_in_the_wire_s_own_words() -> None:
    answer = await refused(Bench(authenticate=judged(Refused("name_missing", "say ?name="))))
    assert (answer.code, answer.reason) == (4401, "forbidden name_missing say ?name=")


async def test_a_bug_in_authenticate_is_internal_and_stands_in_the_log_under_its_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    answer = await refused(Bench(authenticate=judged(KeyError("secret"))))
    assert answer.code == 1013
    assert answer.reason.startswith("failed internal the server failed")
    [record] = caplog.records
    assert record.getMessage().split()[-1] == answer.reason.split()[-1]
    assert record.exc_info is not None
    assert "secret" not in answer.reason


async def test_an_authentication_that_takes_too_long_is_refused() -> None:
    async def never(hello: Hello) -> User:
        await asyncio.Event().wait()
        raise AssertionError

    answer = await refused(Bench(authenticate=never, limits=Limits(authentication=0.0)))
    assert answer.reason == "forbidden timeout authentication took too long"


async def test_credentials_in_a_frame_are_not_asked_for_before() -> None:
    asked: list[Hello] = []

    async def authenticate(hello: Hello) -> User:
        asked.append(hello)
        return User("ana")

    one = await admitted(Bench(authenticate=authenticate), TestWire(auth=Identity.FRAME))
    assert one.user.is_anonymous
    assert asked == []


async def test_a_plain_answer_of_the_wire_is_passed_on() -> None:
    bench = Bench()
    bench.wire.opens = False
    assert (await refused(bench)).status == 404


async def test_an_opening_without_a_machine_is_refused_as_unknown() -> None:
    class Homeless(TestWire):
        def open(self, hello: Hello) -> Opening | Answer:
            machine: Machine | None = None
            return Opening(machine=machine, session="s")

    assert (await refused(Bench(), Homeless())).reason == "unknown  no such session"


@pytest.mark.parametrize("role", [Role.CANDIDATE, Role.UPLINK])
async def test_a_role_that_the_core_does_not_know_is_refused(role: Role) -> None:
    class Upgrading(TestWire):
        def open(self, hello: Hello) -> Opening | Answer:
            opening = super().open(hello)
            assert isinstance(opening, Opening)
            opening.role = role
            return opening

    assert (await refused(Bench(), Upgrading())).reason == "unknown  no such session"


async def test_a_node_that_stops_lets_nobody_in() -> None:
    bench = Bench()
    await bench.node.stop()
    assert (await refused(bench)).reason == "stopping  the server stops"


async def test_who_was_let_in_before_the_stop_and_comes_after_it_is_sent_away() -> None:
    bench = Bench()
    one = await admitted(bench)
    await bench.node.stop()
    transport = TestTransport()
    session = bench.node.open(
        bench.wire, bench.hello(), one.opening, one.machine, one.user, transport
    )
    assert transport.closed == (1001, "the server stops")
    assert session.has_ended
    await turns(1)
    assert bench.node.sessions == {}
