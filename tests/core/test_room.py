"""Tests of anywire.core.room."""

import asyncio
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import Body
from anywire.core.gathering import Answers
from anywire.core.member import Member
from anywire.core.room import Room
from anywire.frames import Event, Position, Since
from anywire.limits import Limits
from anywire.payload import UNFRAMED, Policy
from anywire.wires.base import Cap
from tests.core.support import FULL, Bench, Boxed, Peer, TestMachine, TestWire, running, turns


def member_of(peer: Peer, alias: str = "chat:a") -> Member:
    return peer.session.members[alias]


def joined(bench: Bench, address: str = "chat:a", **options: Any) -> Peer:
    alias = options.pop("alias", address)
    peer = bench.connect(**options)
    peer.join(address, alias=alias)
    peer.news()
    return peer


def shape(room: Room) -> dict[tuple[str, str], dict[str, int]]:
    """Lanes, their divisions by framing, and how many stand in each."""
    return {
        key: {framing: len(one.members) for (framing, _), one in lane.divisions.items()}
        for key, lane in room.lanes.items()
    }


# --- lanes and divisions --------------------------------------------------------------------------


async def test_a_publication_is_encoded_once_per_lane_and_framed_once_per_division() -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        loud = TestWire(name="loud")
        one, two = Boxed("one"), Boxed("two")
        peers = []
        for wire in (bench.wire, loud):
            for alias in ("chat:a", "other"):
                for framing in (one, two):
                    peers += [
                        joined(bench, wire=wire, alias=alias, framing=framing) for _ in range(2)
                    ]
        room = bench.node.rooms["chat:a"]
        assert len(peers) == 16
        assert shape(room) == {
            (codec, alias): {"one": 2, "two": 2}
            for codec in ("test", "loud")
            for alias in ("chat:a", "other")
        }
        codecs = (bench.wire.codec, loud.codec)
        for counter in codecs:
            counter.encodes = 0
        one.frames = two.frames = 0
        await room.publish("said", "hi")
        bench.node.settle()
        assert [codec.encodes for codec in codecs] == [2, 2]  # four lanes
        assert (one.frames, two.frames) == (4, 4)  # two divisions in each
        bench.flush()
        for peer in peers:
            assert peer.heard[-1]["args"] == ["hi"]
            assert peer.heard[-1]["alias"] in ("chat:a", "other")
        shared = {id(peer.transport.writes[-1][-1]) for peer in peers}
        assert len(shared) == 8  # members of a division hold the very same frame


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.sampled_from("12")), max_size=12
    )
)
async def test_encodes_and_framings_count_lanes_and_divisions(
    members: list[tuple[str, str, str]],
) -> None:
    wires = {name: TestWire(name=name) for name in "ab"}
    framings = {name: Boxed(name) for name in "12"}
    async with running() as bench:
        bench.channel("chat:{room}")
        for codec, alias, framing in members:
            joined(bench, wire=wires[codec], alias=alias, framing=framings[framing])
        for wire in wires.values():
            wire.codec.encodes = 0
        for boxed in framings.values():
            boxed.frames = 0
        await bench.node.room("chat:a").publish("said")
        bench.node.settle()
        assert sum(wire.codec.encodes for wire in wires.values()) == len({m[:2] for m in members})
        assert sum(boxed.frames for boxed in framings.values()) == len(set(members))


async def test_an_alias_comes_back_byte_for_byte() -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        alias = '{"channel":"chat",  "room":"ä\\u00e4\\n"}'
        peer = joined(bench, alias=alias)
        await bench.node.room("chat:a").publish("said")
        [event] = peer.news()
        assert event["alias"] == alias


async def test_a_member_moves_with_its_transport_and_hears_everything() -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        wire = TestWire(FULL | Cap.RESUME)
        boxed = Boxed("one")
        stays = joined(bench, wire=wire, framing=boxed)
        peer = joined(bench, wire=wire, framing=boxed)
        room = bench.node.rooms["chat:a"]
        assert shape(room) == {("test", "chat:a"): {"one": 2}}
        peer.cut()
        assert shape(room) == {("test", "chat:a"): {"one": 1, "none": 1}}
        await room.publish("said", 1)
        again = bench.resume(peer, received=len(peer.heard) - 1, framing=Boxed("two"))
        assert shape(room) == {("test", "chat:a"): {"one": 1, "two": 1}}
        await room.publish("said", 2)
        assert again.events() == [("said", [1]), ("said", [2])]
        assert stays.events() == [("said", [1]), ("said", [2])]
        again.say("codec", name="other")
        assert shape(room) == {
            ("test", "chat:a"): {"one": 1},
            ("other", "chat:a"): {"two": 1},
        }
        await room.publish("said", 3)
        assert again.news()[0]["codec"] == "other"


async def test_a_room_that_nobody_is_in_holds_nothing() -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        peer, other = joined(bench), joined(bench)
        room = bench.node.rooms["chat:a"]
        member = member_of(peer)
        peer.say("Leave", alias="chat:a")
        assert shape(room) == {("test", "chat:a"): {"none": 1}}
        room.remove(member)  # harmless
        other.say("Leave", alias="chat:a")
        room.remove(member)
        await turns()
        assert room.is_empty()
        assert shape(room) == {}
        assert not bench.node.rooms
        assert repr(room) == "Room('chat:a')"


# --- what is published ----------------------------------------------------------------------------


async def test_but_names_members_rooms_or_several_that_do_not_hear() -> None:
    async with running() as bench:
        channel = bench.channel("chat:{room}")

        @channel.join
        async def join(member: Member) -> None:
            if member.user.id in ("bo", "cy"):
                await member.enter("staff")

        peers = {name: joined(bench, user=name) for name in ("ana", "bo", "cy", "di")}
        members = {name: member_of(peer) for name, peer in peers.items()}
        room = bench.node.rooms["chat:a"]
        staff = members["bo"].rooms["chat/staff"]
        one, two = members["ana"], members["bo"]
        buts: list[Any] = [one, staff, [one, staff], (one, two), []]
        for number, but in enumerate(buts):
            await room.publish("said", number, but=but)
        heard = {name: [args[0] for _, args in peer.events()] for name, peer in peers.items()}
        assert heard == {
            "ana": [1, 4],
            "bo": [0, 4],
            "cy": [0, 3, 4],
            "di": [0, 1, 2, 3, 4],
        }


async def test_reserved_names_and_names_that_are_none_are_refused() -> None:
    async with running() as bench:
        room = bench.node.room("chat:a")
        with pytest.raises(ValueError, match='"forged" is reserved by "test"'):
            await room.publish("forged")
        with pytest.raises(ValueError, match="reserved"):
            await room.publish("presence", {"joined": {}, "left": {}})
        for name in ("", "x" * 256):
            with pytest.raises(ValueError, match="1 to 255"):
                await room.publish(name)
        with pytest.raises(ValueError, match="JSON"):
            await room.publish("said", object())


async def test_the_fields_of_an_event_that_was_declared_have_names() -> None:
    async with running() as bench:
        channel = bench.channel("chat:{room}", history=10)

        @channel.emits
        def room_message(user: str, text: str) -> None: ...

        peer = joined(bench)
        room = bench.node.room("chat:a")
        for event in ("room-message", "other"):
            await room.publish(event, "ana", "hi")
            await member_of(peer).send(event, "ana", "hi")
        machine = peer.session.machine
        assert isinstance(machine, TestMachine)
        bodies: list[object] = [record.body for record in await room.history()]
        bodies += [frame.args for frame in machine.sent if isinstance(frame, Event)]
        by_name, by_position = {"user": "ana", "text": "hi"}, ["ana", "hi"]
        values = [body.one_value for body in bodies if isinstance(body, Body)]
        assert values == [by_name, by_position] * 2
        assert peer.events() == [
            (event, ["ana", "hi"]) for event in ("room-message", "room-message", "other", "other")
        ]


async def test_what_was_declared_otherwise_fails_where_it_is_said_and_reaches_nobody() -> None:
    async with running() as bench:
        channel = bench.channel("chat:{room}", history=10)

        @channel.emits
        def said(user: str, text: str) -> None: ...

        peer = joined(bench)
        member = member_of(peer)
        for values in (("ana",), ("ana", 5), ("ana", "hi", "ho")):
            with pytest.raises(ValueError, match='event "said"'):
                await bench.node.room("chat:a").publish("said", *values)
            with pytest.raises(ValueError, match='event "said"'):
                await member.send("said", *values)
            with pytest.raises(ValueError, match='event "said"'):
                await member.call("said", *values)
        assert peer.events() == []
        assert await bench.node.room("chat:a").history() == []


async def test_an_id_makes_a_publication_come_once() -> None:
    async with running() as bench:
        bench.channel("chat:{room}", history=10)
        peer = joined(bench)
        room = bench.node.room("chat:a")
        first = await room.publish("paid", 1, id="order-17")
        again = await room.publish("paid", 1, id="order-17")
        other = await room.publish("paid", 2, id="order-18")
        assert first == again != other
        assert peer.events() == [("paid", [1]), ("paid", [2])]


async def test_a_volatile_publication_has_no_place_and_gives_way() -> None:
    async with running() as bench:
        bench.channel("chat:{room}", history=10)
        peer = joined(bench)
        room = bench.node.room("chat:a")
        assert await room.publish("typing", volatile=True) is None
        assert await room.publish("said", 1) is not None
        bench.flush()
        assert [payload.volatile for payload in peer.transport.payloads[-2:]] == [True, False]
        assert [one["event"] for one in peer.news()] == ["typing", "said"]
        peer.transport.is_stuck = True
        await room.publish("said", 2)
        bench.flush()
        await room.publish("typing", volatile=True)
        await room.publish("said", 3)
        peer.unstick()
        assert [one["args"] for one in peer.news()] == [[2], [3]]


async def test_history_is_what_was_kept_without_who_came_and_went() -> None:
    async with running() as bench:
        bench.channel("chat:{room}", history=3, presence=True)
        peer = joined(bench)
        room = bench.node.room("chat:a")
        await room.publish("said", 0)
        await member_of(peer).track(on="phone")
        positions = [await room.publish("said", number) for number in (1, 2)]
        assert [record.body.one_value for record in await room.history()] == [1, 2]
        assert [record.body.one_value for record in await room.history(limit=1)] == [2]
        assert isinstance(positions[0], Position)
        since = Since(positions={"chat:a": positions[0]})
        assert [record.body.one_value for record in await room.history(since=since)] == [2]


async def test_a_room_of_no_channel_can_be_published_to() -> None:
    async with running() as bench:
        assert await bench.node.room("nowhere").publish("said") is None
        assert bench.node.room("nowhere").channel is None


async def test_each_channels_policy_is_on_its_payloads() -> None:
    async with running() as bench:
        bench.channel("chat:{room}", policy=Policy.DROP_OLDEST)
        bench.channel("desk")
        bench.channel("own")
        peer = joined(bench)
        peer.join("desk")
        await bench.node.room("chat:a").publish("said")
        await bench.node.room("desk").publish("said")
        await member_of(peer).send("said")
        bench.flush()
        said = [(p.policy, p.room) for p in peer.transport.payloads if b'"said"' in p.data]
        assert said == [(Policy.DROP_OLDEST, "chat:a"), (None, "desk"), (None, None)]


async def test_a_slow_member_of_a_room_that_drops_hears_how_much_it_missed() -> None:
    async with running(limits=Limits(outbox=1000)) as bench:
        bench.channel("chat:{room}", policy=Policy.DROP_OLDEST)
        peer = joined(bench)
        peer.transport.is_stuck = True
        await bench.node.room("chat:a").publish("said", "first")
        bench.flush()
        for number in range(20):
            await bench.node.room("chat:a").publish("said", number, "x" * 100)
        peer.unstick()
        news = peer.news()
        gaps = [one["lost"] for one in news if one["t"] == "Gap"]
        numbers = [one["args"][0] for one in news if one["t"] == "Event"]
        assert numbers[0] == "first"
        assert numbers[1:] == list(range(gaps[0], 20))
        assert peer.transport.closed is None


async def test_a_full_outbox_changes_nothing_while_members_are_walked() -> None:
    async with running(limits=Limits(outbox=500)) as bench:
        bench.channel("chat:{room}")
        peers = [joined(bench) for _ in range(6)]
        for peer in peers[::2]:
            peer.transport.is_stuck = True
        room = bench.node.rooms["chat:a"]
        await room.publish("said", "first")
        bench.flush()
        for number in range(8):
            await room.publish("said", number, "x" * 100)
            bench.node.settle()
            assert shape(room) == {("test", "chat:a"): {"none": 6}}
            for peer in peers[1::2]:
                peer.session.flush()
        bench.flush()
        assert shape(room) == {("test", "chat:a"): {"none": 3}}
        for peer in peers[::2]:
            assert peer.transport.closed == (4408, "too slow")
        for peer in peers[1::2]:
            assert [args[0] for _, args in peer.events()] == ["first", *range(8)]


async def test_who_is_away_for_a_resume_is_closed_too_when_too_much_waits() -> None:
    async with running(limits=Limits(outbox=500)) as bench:
        bench.channel("chat:{room}")
        peer = joined(bench, wire=TestWire(FULL | Cap.RESUME))
        peer.cut()
        assert bench.node.sessions
        for _ in range(8):
            await bench.node.room("chat:a").publish("said", "x" * 100)
        bench.flush()
        assert not bench.node.sessions


# --- asking, counting, ending ---------------------------------------------------------------------


async def test_count_and_kick_mean_everybody_here() -> None:
    async with running() as bench:
        channel = bench.channel("chat:{room}")
        left: list[str] = []

        @channel.leave
        async def leave(member: Member) -> None:
            left.append(member.user.id)

        room = bench.node.room("chat:a")
        assert await room.count() == 0
        assert await room.kick("nobody") == 0
        peers = [joined(bench, user=name) for name in ("ana", "bo")]
        assert await room.count() == 2
        assert await room.kick("closing time") == 2
        for peer in peers:
            [told] = peer.news()
            assert (told["t"], told["code"], told["text"]) == ("Leave", "kicked", "closing time")
        assert left == ["ana", "bo"]
        assert await room.count() == 0


@pytest.mark.parametrize("stay", [False, True])
async def test_everybody_in_a_room_moves_to_another_one(stay: bool) -> None:
    async with running() as bench:
        channel = bench.channel("chat:{room}")

        @channel.join
        async def join(member: Member) -> None:
            await member.enter("lobby")

        peers = [joined(bench, user=name) for name in ("ana", "bo")]
        lobby, game = (bench.node.room(f"chat/{name}") for name in ("lobby", "game"))
        assert await lobby.move(game, stay=stay) == 2
        assert (await lobby.count(), await game.count()) == (2 if stay else 0, 2)
        await lobby.publish("lobby")
        await game.publish("game")
        for peer in peers:
            heard = [event for event, _ in peer.events()]
            assert heard == (["lobby", "game"] if stay else ["game"])
            assert set(member_of(peer).rooms) >= {"chat:a", "chat/game"}
        assert await bench.node.room("nobody").move(game) == 0


async def test_a_room_answers_a_call_as_far_as_it_can() -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        deaf = TestWire(FULL & ~Cap.CALL, name="deaf")
        ana, bo, cy, di = (joined(bench, user=name) for name in ("ana", "bo", "cy", "di"))
        eve = joined(bench, user="eve", wire=deaf)
        room = bench.node.room("chat:a")
        call = asyncio.ensure_future(room.call("question", 1, timeout=0.01))
        await turns()
        for peer, fields in ((ana, {"data": "A"}), (bo, {"data": "B"}), (cy, {"code": "busy"})):
            [question] = peer.news()
            assert (question["event"], question["args"]) == ("question", [1])
            peer.say("Reply", ref=question["ref"], alias="chat:a", **fields)
        [event] = eve.news()
        assert "ref" not in event
        answers = await call
        assert isinstance(answers, Answers)
        assert answers.values == ["A", "B"]
        assert set(answers.missing) == {member_of(cy).id, member_of(di).id}
        assert answers.unable == [member_of(eve).id]
        assert await bench.node.room("empty").call("question") is not None


async def test_members_are_listed_in_order_with_the_parked_last() -> None:
    async with running() as bench:
        channel = bench.channel("chat:{room}")
        gate = asyncio.Event()

        @channel.join
        async def join(member: Member) -> None:
            if member.user.id == "late":
                await member.enter(member.room)
                await gate.wait()

        late = bench.connect(user="late")
        late.join("chat:a")
        joined(bench, user="ana")
        joined(bench, user="bo")
        names = [member.user.id for member in bench.node.rooms["chat:a"].members()]
        assert names == ["ana", "bo", "late"]
        gate.set()
        await turns()


async def test_random_comings_and_goings_leave_every_lane_right() -> None:
    random = Random(7)
    async with running(limits=Limits(joins=10_000)) as bench:
        bench.channel("chat:{room}")
        wires = [TestWire(FULL | Cap.RESUME, name=name) for name in "ab"]
        framings = [Boxed("one"), Boxed("two"), UNFRAMED]
        peers: list[Peer] = []
        for _ in range(300):
            match random.choice(["open", "open", "leave", "join", "codec", "cut", "resume"]):
                case "open":
                    wire, framing = random.choice(wires), random.choice(framings)
                    peers.append(joined(bench, wire=wire, framing=framing))
                case "leave" if peers:
                    random.choice(peers).say("Leave", alias="chat:a")
                case "join" if peers:
                    random.choice(peers).join("chat:a")
                case "codec" if peers:
                    random.choice(peers).say("codec", name=random.choice("ab"))
                case "cut" if peers:
                    random.choice(peers).cut()
                case "resume" if peers:
                    at = random.randrange(len(peers))
                    peer = peers[at]
                    bench.flush()
                    if not peer.session.is_attached and not peer.session.has_ended:
                        received = peer.session.outbox.written
                        framing = random.choice(framings)
                        peers[at] = bench.resume(peer, received=received, framing=framing)
            await turns(2)
            expected: dict[tuple[str, str], dict[str, int]] = {}
            for session in bench.node.sessions.values():
                if "chat:a" in session.members:
                    lane = expected.setdefault((session.codec.name, "chat:a"), {})
                    lane[session.framing.key[0]] = lane.get(session.framing.key[0], 0) + 1
            room = bench.node.rooms.get("chat:a")
            assert (shape(room) if room else {}) == expected


# --- runs: publications that follow each other within a loop turn ---------------------------------


def entries(peer: Peer) -> list[int]:
    """How many messages each entry holds that was handed to the transport."""
    return [len(list(payload.messages())) for payload in peer.transport.payloads]


async def test_a_burst_is_one_entry_per_member_encoded_once_per_lane() -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        boxed = Boxed()
        peers = [joined(bench, framing=boxed) for _ in range(3)]
        bench.flush()
        before = [entries(peer) for peer in peers]
        bench.wire.codec.encodes = boxed.frames = 0
        for number in range(16):
            await bench.node.room("chat:a").publish("said", number)
        bench.flush()
        assert bench.wire.codec.encodes == 16  # one lane
        assert boxed.frames == 1  # one division
        for peer, was in zip(peers, before, strict=True):
            assert entries(peer)[len(was) :] == [16]


async def test_whatever_is_said_between_two_publications_is_heard_between_them() -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        ana, bo = joined(bench), joined(bench)
        room = bench.node.room("chat:a")
        await room.publish("said", 1)
        await room.publish("said", 2)
        await ana.session.members["chat:a"].send("aside")
        await room.publish("said", 3)
        late = joined(bench)
        await room.publish("said", 4)
        assert ana.events() == [
            ("said", [1]), ("said", [2]), ("aside", []), ("said", [3]), ("said", [4])
        ]  # fmt: skip
        assert bo.events() == [("said", [n]) for n in (1, 2, 3, 4)]
        assert late.events() == [("said", [4])]


async def test_two_rooms_and_what_some_do_not_hear_keep_their_order() -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        peer = joined(bench)
        member = peer.session.members["chat:a"]
        other = await member.enter("other")
        room = bench.node.room("chat:a")
        for number in range(2):
            await room.publish("said", number)
        await other.publish("elsewhere", 2)
        await room.publish("said", 3, but=member)
        await room.publish("said", 4, volatile=True)
        await room.publish("said", 5)
        assert [args[0] for _, args in peer.events()] == [0, 1, 2, 4, 5]


async def test_a_member_that_leaves_after_a_publication_has_heard_it() -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        peer = joined(bench)
        room = bench.node.room("chat:a")
        await room.publish("said", 1)
        await room.publish("said", 2)
        await peer.session.members["chat:a"].leave()
        await room.publish("said", 3)
        assert peer.events() == [("said", [1]), ("said", [2])]


async def test_a_session_that_may_resume_gets_a_run_one_by_one_because_it_counts() -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        peer = joined(bench, wire=TestWire(FULL | Cap.RESUME))
        bench.flush()
        written = peer.session.outbox.written
        for number in range(5):
            await bench.node.room("chat:a").publish("said", number)
        bench.flush()
        assert peer.session.outbox.written == written + 5
        assert peer.events()[-5:] == [("said", [n]) for n in range(5)]


async def test_a_run_has_a_bound_in_messages_and_in_bytes() -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        peer = joined(bench)
        bench.flush()
        before = len(entries(peer))
        room = bench.node.room("chat:a")
        for number in range(70):
            await room.publish("said", number)
        bench.flush()
        assert entries(peer)[before:] == [64, 6]
        before = len(entries(peer))
        for _ in range(3):
            await room.publish("said", "x" * 12_000)
        bench.flush()
        assert entries(peer)[before:] == [1, 1, 1]


async def test_a_room_that_drops_the_oldest_drops_single_publications() -> None:
    async with running() as bench:
        bench.channel("chat:{room}", policy=Policy.DROP_OLDEST)
        peer = joined(bench)
        bench.flush()
        before = len(entries(peer))
        for number in range(3):
            await bench.node.room("chat:a").publish("said", number)
        bench.flush()
        assert entries(peer)[before:] == [1, 1, 1]


# --- a codec that fails ---------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3])
async def test_what_one_codec_cannot_say_hurts_that_lane_alone(
    count: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        mute = TestWire(name="mute")
        ana, bo = joined(bench), joined(bench, wire=mute)

        def fails(*_: object) -> None:
            raise ValueError("no words for it")

        mute.codec.event = fails  # type: ignore[method-assign, assignment]
        for number in range(count):
            await bench.node.room("chat:a").publish("said", number)
        bench.node.flush()
        assert ana.events() == [("said", [number]) for number in range(count)]
        assert bo.events() == []
        assert caplog.text.count("mute cannot say") == count
        await bo.session.members["chat:a"].session.node.room("chat:a").publish("said", "more")
        assert ana.events() == [("said", ["more"])]


async def test_the_loop_writes_again_after_a_run_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        ana = joined(bench)

        def fails(*_: object) -> None:
            raise RuntimeError("a bug of ours")

        with monkeypatch.context() as broken:
            broken.setattr(Room, "fan_out_run", fails)
            await bench.node.room("chat:a").publish("said", 1)
            with pytest.raises(RuntimeError):
                bench.node.flush()
        await bench.node.room("chat:a").publish("said", 2)
        await turns(2)
        assert bench.node.dirty == []
        assert ana.events() == [("said", [2])]
