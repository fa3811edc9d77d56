"""An app with little patience, that says who is attached: for tests of clients that fall silent."""

from anywire import Anywire, Left, Limits, Member, Own, Raw

BEAT = 0.4
BEAT_TIMEOUT = 0.4
RESUME = 1.0

limits = Limits(beat=BEAT, beat_timeout=BEAT_TIMEOUT, resume=RESUME)
app = Anywire(wires=[Own("/ws", home="chat"), Raw("/raw/{address}")], limits=limits)
chat = app.channel("chat")
members: dict[str, Member] = {}


@chat.join
async def join(member: Member, name: str = "") -> None:
    members[member.hello.query["name"]] = member
    await member.room.publish("came", member.hello.query["name"], but=member)


@chat.on("attached")
async def attached(name: str) -> bool | None:
    """Whether this member has a transport; None when it is no member."""
    member = members.get(name)
    return None if member is None else member.attached


@chat.leave
async def leave(member: Member, why: Left) -> None:
    name = member.hello.query["name"]
    if members.get(name) is member:
        del members[name]
    await member.room.publish("gone", {"name": name, "code": str(why.code)}, but=member)
