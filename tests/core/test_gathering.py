"""Tests of anywire.core.gathering."""

import asyncio

import msgspec

from anywire.body import Args, Form, Shape
from anywire.core.gathering import Gathering
from anywire.core.member import Member
from anywire.frames import Reply
from anywire.wires.base import Cap
from tests.core.support import FULL, Bench, Peer, TestWire, running, turns


def joined(bench: Bench, *aliases: str, wire: TestWire | None = None) -> tuple[Peer, list[Member]]:
    peer = bench.connect(wire)
    for alias in aliases or ("desk",):
        peer.join("desk", alias=alias)
    peer.news()
    return peer, list(peer.session.members.values())


async def test_answers_come_in_their_order_and_the_last_one_ends_the_waiting() -> None:
    async with running() as bench:
        bench.channel("desk")
        (ana, one), (bo, two) = joined(bench), joined(bench)
        gathering = Gathering([*one, *two])
        waiting = asyncio.ensure_future(gathering.wait(5))
        await turns()
        for peer, value in ((bo, "B"), (ana, "A")):
            assert not waiting.done()
            body = Args(msgspec.json.encode(value))
            gathering.take(peer.session, Reply("r", "desk", body))
            gathering.take(peer.session, Reply("r", "desk", body))  # twice is once
            await turns()
        answers = await waiting
        assert (answers.values, answers.missing, answers.unable) == (["B", "A"], [], [])


async def test_who_answers_nothing_an_error_or_what_cannot_be_read_is_missing() -> None:
    async with running() as bench:
        bench.channel("desk")
        people = [joined(bench) for _ in range(4)]
        gathering = Gathering([member for _, members in people for member in members])
        broken = Args(msgspec.msgpack.encode({1: 2}), Form.MSGPACK, Shape.ONE)
        replies = (Reply("r", "desk", None), Reply("r", "desk", code="no"))
        for (peer, _), reply in zip(people, (*replies, Reply("r", "desk", broken)), strict=False):
            gathering.take(peer.session, reply)
        answers = await gathering.wait(0)
        assert answers.values == [None]
        assert answers.missing == [members[0].id for _, members in people[1:]]


async def test_a_room_of_nobody_has_nothing_to_wait_for() -> None:
    answers = await Gathering([]).wait(5)
    assert (answers.values, answers.missing, answers.unable) == ([], [], [])


async def test_an_answer_that_comes_before_the_waiting_counts() -> None:
    async with running() as bench:
        bench.channel("desk")
        peer, members = joined(bench)
        gathering = Gathering(members)
        gathering.take(peer.session, Reply("r", "desk", Args(b"1")))
        assert (await gathering.wait(5)).values == [1]


async def test_members_of_one_session_answer_for_themselves() -> None:
    async with running() as bench:
        bench.channel("desk")
        peer, members = joined(bench, "a", "b")
        stranger, _ = joined(bench)
        gathering = Gathering(members)
        for reply in (
            Reply("r", "b", Args(b'"B"')),
            Reply("r", "", Args(b'"A"')),  # a wire that does not say which membership answers
            Reply("r", "", Args(b'"?"')),
        ):
            gathering.take(stranger.session, Reply("r", "desk", Args(b'"not asked"')))
            gathering.take(peer.session, reply)
        answers = await gathering.wait(5)
        assert (answers.values, answers.missing) == (["B", "A"], [])


async def test_wires_without_calls_are_unable() -> None:
    async with running() as bench:
        bench.channel("desk")
        _, able = joined(bench)
        _, unable = joined(bench, wire=TestWire(FULL & ~Cap.CALL, name="deaf"))
        answers = await Gathering([*able, *unable]).wait(0)
        assert answers.unable == [unable[0].id]
        assert answers.missing == [able[0].id]
