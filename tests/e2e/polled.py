"""An app of one chat, for clients whose requests reach any of its workers."""

from collections.abc import Mapping, Sequence

from anywire import Anywire, Member

app = Anywire()
chat = app.channel("chat", history=1000)


@chat.on("say")
async def say(member: Member, by: int, number: int) -> int:
    position = await member.room.publish("said", [by, number])
    assert position is not None
    return position.offset


@chat.on("counters")
async def counters() -> Sequence[Mapping[str, object]]:
    """What each worker has counted."""
    return await app.counters()
