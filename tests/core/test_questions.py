"""Tests of anywire.core.questions."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from anywire.brokers.base import Ask, Found, Question
from anywire.brokers.memory import MemoryBroker
from anywire.core.member import Member
from anywire.limits import Limits
from anywire.wires.base import Cap, Hello, Identity, User
from tests.brokers.local.workers import workers
from tests.core.guest import Guest, io
from tests.core.support import FULL, Bench, Peer, TestWire, running, turns


async def test_a_user_known_by_frame_can_be_closed_like_any_other() -> None:
    async def authenticate(hello: Hello) -> User:
        return User("ana")

    async with running(authenticate=authenticate) as bench:
        peer = bench.connect(TestWire(auth=Identity.FRAME))
        assert await bench.node.questions.close_user("", "") == 0
        peer.say("Auth")
        assert await bench.node.questions.close_user("ana", "revoked") == 1
        assert peer.transport.closed == (4403, "revoked")


async def test_closing_a_user_closes_each_of_their_sessions_for_good() -> None:
    async with running() as bench:
        ana = [bench.connect(user="ana") for _ in range(2)]
        away = bench.connect(TestWire(FULL | Cap.RESUME), user="ana")
        away.cut()
        bo = bench.connect(user="bo")
        assert await bench.node.questions.close_user("ana", "") == 3
        for peer in ana:
            assert peer.transport.closed == (4403, "closed by the server")
            assert peer.heard[-1]["retry"] is None
        assert away.session.has_ended
        assert bo.transport.closed is None
        assert await bench.node.questions.close_user("nobody", "") == 0


async def test_who_is_closed_may_be_told_when_to_come_back() -> None:
    async with running() as bench:
        ana = bench.connect(user="ana")
        assert await bench.node.questions.close_user("ana", "moved", 0.5) == 1
        assert ana.transport.closed == (4403, "moved")
        assert ana.heard[-1]["retry"] == 0.5


async def test_members_are_counted_and_sent_out_by_room() -> None:
    async with running() as bench:
        bench.channel("chat")
        peers = [bench.connect() for _ in range(3)]
        for peer in peers:
            peer.join("chat")
        assert await bench.node.questions.count("chat") == 3
        assert await bench.node.questions.count("nowhere") == 0
        assert await bench.node.questions.kick("chat", "closed") == 3
        assert await bench.node.questions.kick("chat", "closed") == 0
        for peer in peers:
            leave = peer.news()[-1]
            assert (leave["t"], leave["code"], leave["text"]) == ("Leave", "kicked", "closed")
            assert peer.session.members == {}
            assert peer.transport.closed is None


async def test_a_question_of_a_newer_node_has_no_answer() -> None:
    bench = Bench()
    assert bench.node.questions.answer(Question(ask=Ask.REACH_USER)) is None


async def test_who_is_away_is_not_counted_and_not_asked_and_is_sent_out_all_the_same() -> None:
    async with running() as bench:
        bench.channel("desk")
        here, away = (Guest(bench, io(bench)) for _ in range(2))
        for guest in (here, away):
            guest.join()
            guest.hear()
        room = bench.node.room("desk")
        away.cut()
        assert await room.count() == 1
        asking = asyncio.create_task(room.call("question"))
        await turns()
        [(_, [event])] = here.events()
        assert event == "question"
        ref = str(here.transport.payloads[-1].data[2:18].decode())
        here.say(f'43{ref}["yes"]')
        answers = await asking
        assert (answers.values, answers.missing, answers.unable) == (["yes"], [], [])
        away.connect()
        away.join()
        away.hear()
        assert await room.count() == 2
        away.cut()
        assert await room.kick() == 2
        assert await room.count() == 0
        assert not away.session.members


async def test_who_is_away_has_moved_when_it_is_back() -> None:
    async with running() as bench:
        bench.channel("desk")
        guest = Guest(bench, io(bench))
        guest.join()
        guest.hear()
        await guest.member().enter("lobby")
        guest.cut()
        lobby, game = (bench.node.room(f"desk/{name}") for name in ("lobby", "game"))
        assert await lobby.move(game) == 1
        await lobby.publish("lobby")
        await game.publish("game")
        guest.connect()
        guest.join()
        assert guest.said() == [["game"]]
        assert set(guest.member().rooms) == {"desk", "desk/game"}


async def test_nobody_leaves_the_room_of_their_own_address_by_moving() -> None:
    async with running() as bench:
        bench.channel("chat")
        peer = bench.connect()
        peer.join("chat")
        room, game = bench.node.room("chat"), bench.node.room("game")
        assert await room.move(game) == 1
        [member] = peer.session.members.values()
        assert set(member.rooms) == {"chat", "game"}
        assert await game.move(game) == 1
        assert set(member.rooms) == {"chat", "game"}, "a move to where one is changes nothing"
        assert await game.move(room) == 1
        assert set(member.rooms) == {"chat"}


async def test_who_may_not_enter_stays_where_it_is(caplog: pytest.LogCaptureFixture) -> None:
    async with running(limits=Limits(members=2)) as bench:
        bench.channel("chat")
        peers = [bench.connect() for _ in range(3)]
        lobby, game = bench.node.room("lobby"), bench.node.room("game")
        members: list[Member] = []
        for peer in peers:
            peer.join("chat")
            members += peer.session.members.values()
        for member in members:
            await member.enter(lobby)
        await members[2].exit(lobby)
        await members[2].enter(game)
        # Each is in as many rooms as may be: there is no way from one to the other.
        assert await lobby.move(game) == 0
        assert caplog.text.count("did not enter game: a member may be in 2 rooms") == 2
        assert [set(member.rooms) for member in members] == [
            {"chat", "lobby"},
            {"chat", "lobby"},
            {"chat", "game"},
        ]


async def test_a_room_on_two_nodes_moves_as_one() -> None:
    async with workers() as team:
        benches = [Bench(broker=team.broker()) for _ in range(2)]
        try:
            for number, bench in enumerate(benches):
                bench.node.id = f"n{number}"
                bench.channel("chat")
                await bench.node.start()
            await until(lambda: all(len(bench.node.nodes.doors()) == 2 for bench in benches))
            peers: list[Peer] = []
            members: list[Member] = []
            for bench in benches:
                peer = bench.connect()
                peer.join("chat")
                await until(peer.news)
                members += peer.session.members.values()
                await members[-1].enter("lobby")
                peers.append(peer)
            lobby, game = (benches[0].node.room(f"chat/{name}") for name in ("lobby", "game"))
            assert await lobby.move(game, stay=True) == 2
            assert await benches[1].node.room("chat/lobby").count() == 2
            assert await lobby.move(game) == 2
            assert [set(member.rooms) for member in members] == [{"chat", "chat/game"}] * 2
            assert await lobby.count() == 0
            await lobby.publish("lobby")
            await game.publish("game")
            for peer in peers:
                heard = await until(peer.events)
                assert heard == [("game", [])]
        finally:
            for bench in reversed(benches):
                await bench.node.stop()


async def test_a_broadcast_that_is_acknowledged_gathers_what_was_answered() -> None:
    async with running() as bench:
        bench.channel("chat")
        peers = [bench.connect() for _ in range(2)]
        for peer in peers:
            peer.join("chat")
            peer.news()
        room = bench.node.room("chat")
        asking = asyncio.create_task(room.call("question", 1))
        await turns(2)
        for n, peer in enumerate(peers):
            [event] = peer.news()
            peer.say("Reply", ref=event["ref"], alias="chat", data=n)
        answers = await asking
        assert answers.values == [0, 1]
        peers[0].say("Reply", ref="unasked", alias="chat", data=1)
        assert (await bench.node.room("nowhere").call("question")).values == []


async def test_a_room_on_two_nodes_answers_as_one() -> None:
    async with workers() as team:
        benches = [Bench(broker=team.broker()) for _ in range(2)]
        peers: list[Peer] = []
        try:
            for number, bench in enumerate(benches):
                bench.node.id = f"n{number}"
                bench.channel("chat")
                await bench.node.start()
            await until(lambda: all(len(bench.node.nodes.doors()) == 2 for bench in benches))
            for bench in benches:
                peer = bench.connect()
                peer.join("chat")
                await until(peer.news)
                peers.append(peer)
            deaf = benches[1].connect(TestWire(FULL & ~Cap.CALL, name="deaf"))
            deaf.join("chat")
            await until(deaf.news)
            asking = asyncio.create_task(benches[0].node.room("chat").call("question", 1))
            for n, peer in enumerate(peers):
                [event] = await until(peer.news)
                peer.say("Reply", ref=event["ref"], alias="chat", data=n)
            answers = await asking
            assert sorted(answers.values) == [0, 1]  # type: ignore[type-var]
            assert len(answers.unable) == 1
            assert answers.missing == []
            assert await benches[1].node.questions.count("chat") == 3
            benches[1].node.counters.forwarded += 7
            counted = await benches[0].node.questions.counters()
            assert {one["node"]: one["forwarded"] for one in counted} == {"n0": 0, "n1": 7}
        finally:
            for bench in reversed(benches):
                await bench.node.stop()


async def test_who_does_not_answer_an_acknowledged_broadcast_in_time_is_missing() -> None:
    async with running() as bench:
        bench.channel("chat")
        peer = bench.connect()
        peer.join("chat")
        [member] = peer.session.members.values()
        answers = await bench.node.room("chat").call("question", timeout=0.0)
        assert (answers.values, answers.missing) == ([], [member.id])
        [event] = [one for one in peer.news() if one.get("event") == "question"]
        peer.say("Reply", ref=event["ref"], alias="chat", data="late")


async def test_a_node_that_does_not_answer_a_broadcast_is_missing() -> None:
    class Absent(MemoryBroker):
        async def ask(self, nodes: object, question: Question, timeout: float) -> Found:  # noqa: ASYNC109
            return Found([([1], ["m1"], ["m2"])], ["n2"])

    async with running(broker=Absent()) as bench:
        answers = await bench.node.room("chat").call("question")
        assert (answers.values, answers.missing, answers.unable) == ([1], ["m1", "n2"], ["m2"])


async def test_a_broadcast_that_cannot_be_delivered_leaves_nothing_waiting() -> None:
    async with running() as bench:
        question = Question(ask=Ask.ANSWERS, room="chat", ref="r", record=b"junk")
        with pytest.raises(ValueError):
            bench.node.questions.answer(question)
        assert bench.node.questions._gathering == {}


async def until(condition: Callable[[], Any]) -> Any:
    """Let the loop turn until it holds; five seconds are too many."""
    async with asyncio.timeout(5):
        while not (found := condition()):
            await asyncio.to_thread(int)
    return found
