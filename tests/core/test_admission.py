"""Tests of anywire.core.admission."""

import asyncio
import logging

import pytest

from anywire.brokers.memory import MemoryBroker
from anywire.core.admission import Admitted, Attached, Elsewhere, admit
from anywire.core.node import SPENT, Authenticate
from anywire.core.ownership import rendezvous
from anywire.core.session import Session
from anywire.errors import Refused
from anywire.limits import Limits
from anywire.payload import Carrier
from anywire.wires.base import Answer, Cap, Hello, Identity, Machine, Opening, Role, User
from tests.core.support import FULL, Bench, TestMachine, TestTransport, TestWire, running, turns


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


async def test_who_a_request_says_that_it_is_stands_in_the_credentials() -> None:
    async def authenticate(hello: Hello) -> User | None:
        return User(str(hello.token))

    class Knowing(TestWire):
        def open(self, hello: Hello) -> Opening | Answer:
            opening = super().open(hello)
            assert isinstance(opening, Opening)
            opening.credentials = {"token": "t"}
            return opening

    assert (await admitted(Bench(authenticate=authenticate), Knowing())).user == User("t")


async def test_an_admission_that_need_not_wait_does_not() -> None:
    bench = Bench(authenticate=judged(User("ana")))
    with pytest.raises(StopIteration):
        admit(bench.node, bench.wire, bench.hello()).send(None)


async def test_a_refusal_is_said_in_the_wire_s_own_words_and_stands_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    answer = await refused(Bench(authenticate=judged(Refused("name_missing", "say ?name="))))
    assert "was refused: 'name_missing: say ?name='" in caplog.text
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


@pytest.mark.parametrize("role", [Role.UPLINK, Role.DOWNLINK, Role.CANDIDATE])
async def test_a_request_of_a_session_shows_its_newest_secret(role: Role) -> None:
    class Polled(TestWire):
        role: Role | None = None

        def open(self, hello: Hello) -> Opening | Answer:
            opening = super().open(hello)
            if self.role is not None and isinstance(opening, Opening):
                opening.role, opening.machine = self.role, None
            return opening

    bench, wire = Bench(), Polled(FULL | Cap.RESUME)
    peer = bench.connect(wire)
    bench.flush()
    again = bench.resume(peer, received=0)
    wire.role = role

    async def asked(token: str) -> object:
        return await admit(bench.node, wire, bench.hello(session=peer.session.id, token=token))

    found = await asked(again.welcome["token"])
    assert isinstance(found, Attached)
    assert (found.session, found.opening.role) == (peer.session, role)
    # The one before is good to resume with. What was on its way under it would come twice.
    older = await asked(peer.welcome["token"])
    assert isinstance(older, Answer) and older.reason.startswith("taken  a newer connection")
    wrong = await asked("guess")
    assert isinstance(wrong, Answer) and wrong.reason == "unknown  no such session"


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


# --- sessions of several requests, and of other nodes ---------------------------------------------


class Several(MemoryBroker):
    """A broker that knows of another node, and may be told what stands in the directory."""

    standing = ""

    def doors(self) -> dict[str, str]:
        return {"n1": "/1", "n2": "/2"}

    async def claim(self, mount: str, id: str, owner: str, identity: str, lease: float) -> str:
        return self.standing or await super().claim(mount, id, owner, identity, lease)


class Asking(TestWire):
    """A wire whose requests say what they want: `role`, `claimed`, `machine=no`."""

    def open(self, hello: Hello) -> Opening | Answer:
        query = hello.query
        return Opening(
            machine=None if query.get("machine") == "no" else TestMachine(self, hello.limits),
            session=query["session"],
            role=Role(query.get("role", "new")),
            token=query.get("token", ""),
            is_claimed="claimed" in query,
            auth=self.auth,
        )


def counted(authenticate: list[str]) -> Authenticate:
    """Everybody is who they say; each that was asked is listed."""

    async def who(hello: Hello) -> User | None:
        authenticate.append(hello.query.get("user", ""))
        return User(hello.query["user"]) if "user" in hello.query else None

    return who


async def ask(bench: Bench, wire: TestWire, **query: str) -> object:
    hello = bench.hello(**query)
    hello.hops = int(query.get("hops", "0"))
    return await admit(bench.node, wire, hello)


def opened(bench: Bench, wire: TestWire, found: object) -> Session:
    """The session of who was admitted."""
    assert isinstance(found, Admitted)
    return bench.node.open(
        wire, bench.hello(), found.opening, found.machine, found.user, TestTransport()
    )


@pytest.mark.parametrize(
    ("role", "needs_user"),
    [("resume", True), ("uplink", False), ("downlink", False), ("candidate", False)],
)
async def test_a_request_of_another_nodes_session_is_for_that_node(
    role: str, needs_user: bool
) -> None:
    asked: list[str] = []
    bench, wire = Bench(broker=Several(), authenticate=counted(asked)), Asking()
    found = await ask(bench, wire, role=role, session="n2.a")
    assert found == Elsewhere("n2", needs_user)
    assert asked == []
    assert bench.node.counters.requests == 1


async def test_what_another_node_passed_on_is_not_passed_on_again_nor_counted_again() -> None:
    bench, wire = Bench(broker=Several()), Asking()
    found = await ask(bench, wire, hops="1", role="resume", session="n2.a")
    assert isinstance(found, Admitted)
    assert bench.node.counters.requests == 0
    lost = await ask(bench, wire, hops="1", role="uplink", session="n2.a", machine="no")
    assert isinstance(lost, Answer)


async def test_a_user_whom_another_node_knows_is_not_asked_again() -> None:
    asked: list[str] = []
    bench, wire = Bench(broker=Several(), authenticate=counted(asked)), Asking()
    hello = bench.hello(role="resume", session="n1.a")
    hello.hops, hello.user = 1, User("ana")
    found = await admit(bench.node, wire, hello)
    assert isinstance(found, Admitted)
    assert (found.user, asked) == (User("ana"), [])
    hello.user = None  # its socket was handed over: nobody has asked yet
    await admit(bench.node, wire, hello)
    hello.hops, hello.user = 0, User("forged")
    await admit(bench.node, wire, hello)
    assert asked == ["", ""]


async def test_a_new_session_is_nobody_elses() -> None:
    bench, wire = Bench(broker=Several()), Asking()
    assert isinstance(await ask(bench, wire, session="n2.a"), Admitted)
    assert bench.node.counters.requests == 0


@pytest.mark.parametrize("role", ["downlink", "candidate"])
async def test_a_request_with_a_machine_opens_a_session_where_there_is_none(role: str) -> None:
    bench, wire = Bench(), Asking(FULL | Cap.RESUME)
    found = await ask(bench, wire, role=role, session="n1.a", user="ana")
    session = opened(bench, wire, found)
    assert session.id == "n1.a"
    again = await ask(bench, wire, role=role, session="n1.a", token=session.token)
    assert isinstance(again, Attached)
    assert again.session is session


@pytest.mark.parametrize("role", ["downlink", "candidate", "new"])
async def test_nobody_gets_the_place_of_a_session_by_its_id_alone(role: str) -> None:
    bench, wire = Bench(), Asking(FULL | Cap.RESUME)
    session = opened(bench, wire, await ask(bench, wire, session="n1.a"))
    for other in (wire, Asking(name="other")):
        for more in ({}, {"claimed": "1"}):
            found = await ask(bench, other, role=role, session="n1.a", token="no", **more)
            if other is wire and more:
                continue  # anonymous, under an id that an anonymous client made up: the same one
            assert isinstance(found, Answer), (role, other.name, more)
            assert found.reason.startswith("unknown")
    assert bench.node.sessions == {"n1.a": session}


async def test_a_claimed_id_is_bound_to_the_identity_that_opened_it() -> None:
    asked: list[str] = []
    bench, wire = Bench(authenticate=counted(asked)), Asking()
    found = await ask(bench, wire, role="downlink", session="s", claimed="1", user="ana")
    session = opened(bench, wire, found)
    for role in ("uplink", "downlink", "candidate"):
        found = await ask(bench, wire, role=role, session="s", claimed="1", user="ana")
        assert isinstance(found, Attached)
        assert found.session is session
        found = await ask(bench, wire, role=role, session="s", claimed="1", user="eve")
        assert isinstance(found, Answer)
        assert found.reason == "forbidden refused this session belongs to someone else"
    assert asked == ["ana", *["ana", "eve"] * 3]


async def test_an_id_that_another_identity_claimed_elsewhere_is_refused() -> None:
    bench, wire = Bench(authenticate=counted([])), Asking()
    await bench.broker.claim("test", "s", "n1", "ana", 60)
    found = await ask(bench, wire, session="s", claimed="1", user="eve")
    assert isinstance(found, Answer)
    assert found.reason == "forbidden refused this session id belongs to someone else"


async def test_a_claimed_session_has_one_connection() -> None:
    bench, wire = Bench(authenticate=counted([])), Asking()
    session = opened(bench, wire, await ask(bench, wire, session="s", claimed="1", user="ana"))
    found = await ask(bench, wire, session="s", claimed="1", user="ana")
    assert isinstance(found, Answer)
    assert found.reason == "taken  this session has a connection"
    assert bench.node.sessions == {"s": session}


async def test_first_requests_of_one_id_that_race_make_one_session() -> None:
    go = asyncio.Event()

    async def slow(hello: Hello) -> User:
        await go.wait()
        return User(hello.query["user"])

    bench, wire = Bench(authenticate=slow), Asking()
    query = {"role": "downlink", "session": "s", "claimed": "1"}

    async def come(user: str) -> object:
        """As a carrier does: nothing runs between who may come in and its session."""
        found = await ask(bench, wire, user=user, **query)
        return opened(bench, wire, found) if isinstance(found, Admitted) else found

    coming = [asyncio.create_task(come(user)) for user in ("ana", "ana", "eve")]
    await turns()
    go.set()
    session, second, third = await asyncio.gather(*coming)
    assert isinstance(second, Attached)
    assert second.session is session
    assert isinstance(third, Answer)
    assert bench.node.sessions == {"s": session}


async def test_who_lost_a_race_with_another_node_is_sent_there_with_the_user_it_has() -> None:
    asked: list[str] = []
    broker = Several()
    bench, wire = Bench(broker=broker, authenticate=counted(asked)), Asking()
    mine = next(f"s{n}" for n in range(99) if rendezvous(("n1", "n2"), f"test s{n}") == "n1")
    broker.standing = "n2"
    query = {"role": "downlink", "session": mine, "claimed": "1", "user": "ana"}
    assert await ask(bench, wire, **query) == Elsewhere("n2", True, User("ana"))
    assert asked == ["ana"]
    busy = await ask(bench, wire, hops="1", **query)
    assert isinstance(busy, Answer)
    assert busy.reason == "busy  another node opens it; try again"


async def test_a_claimed_id_of_another_node_is_for_that_node_and_needs_a_user() -> None:
    bench, wire = Bench(broker=Several()), Asking()
    await MemoryBroker.claim(bench.broker, "test", "s", "n2", "", 60)
    found = await ask(bench, wire, role="uplink", session="s", claimed="1", machine="no")
    assert found == Elsewhere("n2", needs_user=True)


async def test_an_uplink_with_a_machine_opens_nothing() -> None:
    for more in ({}, {"claimed": "1"}):
        found = await ask(Bench(), Asking(), role="uplink", session="s", **more)
        assert isinstance(found, Answer)
        assert found.reason == "unknown  no such session"


async def test_who_will_say_who_it_is_claims_its_id_as_nobody() -> None:
    bench, wire = Bench(), Asking(auth=Identity.FRAME)
    found = await ask(bench, wire, session="s", claimed="1")
    assert isinstance(found, Admitted)
    assert found.user.is_anonymous
    assert await bench.broker.owner("test", "s") == "n1"


# --- sessions whose ids were given away before ----------------------------------------------------


class Landing(Asking):
    """A wire that gives ids and secrets away before there is a session: `late`, `keeps`."""

    def open(self, hello: Hello) -> Opening | Answer:
        opening = super().open(hello)
        assert isinstance(opening, Opening)
        opening.may_begin = "late" not in hello.query
        opening.follows = "keeps" in hello.query
        opening.carrier = Carrier(hello.query.get("carrier", "websocket"))
        return opening


GIVEN = {"session": "s", "claimed": "1", "token": "secret"}


def elsewhere() -> str:
    """An id that rendezvous hashing would give to the other node."""
    return next(f"s{n}" for n in range(99) if rendezvous(("n1", "n2"), f"test s{n}") == "n2")


@pytest.mark.parametrize("role", ["new", "resume", "downlink"])
async def test_a_session_whose_id_was_given_away_begins_where_its_first_request_lands(
    role: str,
) -> None:
    bench, wire = Bench(broker=Several(), authenticate=counted([])), Landing()
    id = elsewhere()
    hello = bench.hello(**{**GIVEN, "session": id, "role": role, "carrier": "events"})
    found = await admit(bench.node, wire, hello)
    assert hello.carrier is Carrier.EVENTS, "as the wire says, not the route"
    session = opened(bench, wire, found)
    assert (session.id, session.token) == (id, "secret")
    assert await bench.broker.owner("test", id) == "n1"


async def test_what_brings_messages_begins_no_session() -> None:
    for more in ({"machine": "no"}, {"role": "uplink"}):
        bench, wire = Bench(), Landing()
        assert await is_unknown(bench, wire, **GIVEN, **more)
        assert await bench.broker.owner("test", "s") is None


async def is_unknown(bench: Bench, wire: TestWire, **query: str) -> bool:
    found = await ask(bench, wire, **query)
    return isinstance(found, Answer) and found.reason == "unknown  no such session"


async def test_who_comes_too_late_finds_a_session_and_begins_none() -> None:
    bench, wire = Bench(), Landing(FULL | Cap.RESUME)
    for role in ("new", "resume", "downlink"):
        assert await is_unknown(bench, wire, **GIVEN, late="1", role=role)
    assert await bench.broker.owner("test", "s") is None
    session = opened(bench, wire, await ask(bench, wire, **GIVEN, role="downlink"))
    found = await ask(bench, wire, **GIVEN, late="1", role="downlink")
    assert isinstance(found, Attached) and found.session is session
    assert isinstance(await ask(bench, wire, **GIVEN, late="1", role="resume"), Admitted)
    taken = await ask(bench, wire, **GIVEN, late="1", role="new")
    assert isinstance(taken, Answer) and taken.reason == "taken  this session has a connection"


async def test_what_comes_for_a_session_that_has_ended_begins_no_other_for_a_while() -> None:
    async with running() as bench:
        wire = Landing()
        opened(bench, wire, await ask(bench, wire, **GIVEN)).close(1000)
        for role in ("new", "resume", "downlink", "uplink"):
            assert await is_unknown(bench, wire, **GIVEN, role=role)
        bench.clock.move(SPENT)
        assert isinstance(await ask(bench, wire, **GIVEN), Admitted)


async def test_a_session_that_began_without_a_welcome_is_resumed_with_the_same_secret() -> None:
    bench, wire = Bench(authenticate=counted([])), Landing(FULL | Cap.RESUME)
    query = {**GIVEN, "role": "resume", "keeps": "1", "user": "ana"}
    session = opened(bench, wire, await ask(bench, wire, **query))
    first = session.transport
    session.machine.receive('{"t":"codec","name":"loud"}', 0.0)
    session.codec = session.machine.codec
    assert opened(bench, wire, await ask(bench, wire, **query)) is session
    assert isinstance(first, TestTransport)
    assert first.closed == (4409, "replaced by a newer connection")
    assert session.codec.name == session.machine.codec.name == "loud"
    assert session.accepts("secret") and not session.is_replaced("secret")
    assert opened(bench, wire, await ask(bench, wire, **query)) is session


async def test_who_shows_another_secret_or_is_somebody_else_resumes_nothing() -> None:
    bench, wire = Bench(authenticate=counted([])), Landing(FULL | Cap.RESUME)
    query = {**GIVEN, "role": "resume", "keeps": "1", "user": "ana"}
    session = opened(bench, wire, await ask(bench, wire, **query))
    for wrong in ({"token": "guess"}, {"user": "eve"}):
        assert await is_unknown(bench, wire, **{**query, **wrong})
    assert await is_unknown(bench, Landing(FULL | Cap.RESUME, name="other"), **query)
    assert bench.node.sessions == {"s": session} and session.transport is not None


async def test_first_requests_that_race_for_a_given_id_make_one_session() -> None:
    """The directory takes its time: the second one asked before the first had a session."""

    class Slow(MemoryBroker):
        async def claim(self, mount: str, id: str, owner: str, identity: str, lease: float) -> str:
            await turns(3)
            return await super().claim(mount, id, owner, "", lease)

    for role in ("new", "resume"):
        bench = Bench(broker=Slow(), authenticate=counted([]))
        wire = Landing(FULL | Cap.RESUME)

        async def come(bench: Bench, wire: TestWire, user: str, role: str) -> object:
            found = await ask(bench, wire, **GIVEN, role=role, user=user)
            return opened(bench, wire, found) if isinstance(found, Admitted) else found

        coming = [come(bench, wire, user, role) for user in ("ana", "eve")]
        session, second = await asyncio.gather(*coming)
        assert isinstance(second, Answer) and second.reason == "unknown  no such session"
        assert bench.node.sessions == {"s": session}


async def test_a_request_of_a_given_id_that_another_node_has_is_for_that_node() -> None:
    bench, wire = Bench(broker=Several()), Landing()
    await MemoryBroker.claim(bench.broker, "test", "s", "n2", "", 60)
    for role, needs_user in (("new", False), ("resume", True), ("uplink", False)):
        assert await ask(bench, wire, **GIVEN, role=role) == Elsewhere("n2", needs_user)
