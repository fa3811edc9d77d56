"""Tests of anywire.core.questions."""

import asyncio

from anywire.brokers.base import Ask, Question
from anywire.wires.base import Cap, Hello, Identity, User
from tests.core.support import FULL, Bench, TestWire, running, turns


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
    assert bench.node.questions.answer(Question(ask=Ask.MOVE)) is None


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
