"""What a publication costs on every wire: one encoding a lane, however many hear it."""

from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import pytest

from anywire import Anywire, Member
from anywire.testing import WIRES, connect
from anywire.testing.clock import settled

EACH = 5
"""Members of each wire."""


async def test_a_publication_is_encoded_once_for_each_lane(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = Anywire()
    chat = app.channel("chat")

    @chat.on("say")
    async def say(member: Member, text: str) -> None:
        await member.room.publish("said", text)

    async with AsyncExitStack() as stack:
        members = []
        for wire in WIRES:
            for _ in range(EACH):
                client = await stack.enter_async_context(connect(app, wire=wire))
                members.append(await client.join("chat"))
        lanes = app.node.rooms["chat"].lanes.values()
        assert len(lanes) == len(WIRES)
        assert all(len(d.members) == EACH for lane in lanes for d in lane.divisions.values())
        encoded: Counter[str] = Counter()
        for lane in lanes:
            kind, event = type(lane.codec), type(lane.codec).event

            def counted(codec: Any, *args: Any, event: Any = event) -> Any:
                encoded[codec.name] += 1
                return event(codec, *args)

            if event.__name__ != "counted":
                monkeypatch.setattr(kind, "event", counted)
        await app.room("chat").publish("said", "hi")
        await settled()
        assert encoded == dict.fromkeys((lane.codec.name for lane in lanes), 1)
        for member in members:
            assert await member.next("said") in ("hi", {"event": "said", "data": "hi"})


async def test_a_push_to_one_member_of_phoenix_is_no_broadcast() -> None:
    app = Anywire()
    chat = app.channel("chat")

    @chat.on("poke")
    async def poke(member: Member) -> None:
        await member.send("poked")
        await member.room.publish("all")

    async with connect(app, wire="phoenix") as ana:
        room = await ana.join("chat")
        await room.push("poke")
        await room.next("all")
        log = "\n".join(ana.log)
        assert ',null,"chat","poked",{}]' in log
        assert '[null,null,"poked"' not in log
        assert '[null,null,"chat","all",{}]' in log
