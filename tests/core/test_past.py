"""Tests of anywire.core.past."""

from typing import Any

from anywire.limits import Limits
from tests.core.support import running, turns


async def test_the_past_of_a_room_is_told_to_who_is_in_it() -> None:
    async with running(limits=Limits(replay=3)) as bench:
        channel = bench.channel("news", history=10, presence=True)

        @channel.emits
        def moved(x: int, y: int) -> None: ...

        peer = bench.connect()
        peer.join("news")
        await peer.session.members["news"].track()
        room = bench.node.room("news")
        first = await room.publish("e", 1)
        await room.publish("e")
        await room.publish("e", 1, 2)
        await room.publish("moved", 3, 4)
        assert first is not None
        peer.news()

        async def past(since: dict[str, Any], limit: int) -> list[dict[str, Any]]:
            peer.say("Past", ref=1, alias="news", since=since, limit=limit)
            await turns(2)
            [reply] = peer.news()
            found = reply["data"]
            assert isinstance(found, list)
            return found

        told = await past({}, 2)
        assert [{k: v for k, v in one.items() if k in ("args", "data")} for one in told] == [
            {"args": [1, 2]},
            {"data": {"x": 3, "y": 4}},
        ]
        assert told[0]["epoch"] == first.epoch
        assert told[0]["time"] == bench.clock.wall()
        assert [one["offset"] for one in await past({}, 0)] == [3, 4, 5]
        assert [one["offset"] for one in await past({}, 99)] == [3, 4, 5]
        assert await past({}, -1) == []
        assert "data" not in (await past({}, 3))[0]
        since = {"positions": {"news": [first.offset + 1, first.epoch]}}
        assert [one["offset"] for one in await past(since, 99)] == [4, 5]
        assert [one["offset"] for one in await past({"time": 0.0}, 99)] == [3, 4, 5]
        assert [one["offset"] for one in await past({"last": 1}, 99)] == [5]


async def test_a_channel_without_history_has_no_past_to_tell() -> None:
    async with running() as bench:
        bench.channel("chat")
        peer = bench.connect()
        peer.join("chat")
        peer.say("Past", ref=1, alias="chat", since={}, limit=1)
        reply = peer.news()[-1]
        assert (reply["code"], reply["text"]) == ("unsupported", '"chat" keeps no history')
