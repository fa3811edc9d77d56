"""Socket.IO: the server of a chat whose clients are `socket.io-client` and `python-socketio`.

anywire serve examples/socketio/app.py:app
node client.mjs http://127.0.0.1:8000 ana-secret    (beside it, after: npm i socket.io-client)

It was one of python-socketio's before: docs/howto/socketio.md shows both. The client is the same.
"""

from anywire import Anywire, CallFailed, Hello, Left, Member, Refused, Room, SocketIO, User

TOKENS = {"ana-secret": "ana", "bo-secret": "bo"}

app = Anywire(wires=["anywire", "raw", SocketIO(home="chat", recovery=True)])
chat = app.channel("chat")


@app.authenticate
def who(hello: Hello) -> User:
    """Whose token this is: `io(url, { auth: { token } })` shows it."""
    name = TOKENS.get(hello.token or "")
    if name is None:
        raise Refused("unknown", "show a token")
    return User(name)


def rooms_of(member: Member) -> dict[str, Room]:
    """The rooms that it has entered, by the names that clients use."""
    rooms = member.rooms.items()
    return {name.removeprefix("chat/"): room for name, room in rooms if room is not member.room}


def entered(member: Member, name: str) -> Room:
    """A room that the member is in."""
    room = rooms_of(member).get(name)
    if room is None:
        raise Refused("not_here", f"enter {name} first")
    return room


async def tell(member: Member, event: str, name: str, room: Room) -> None:
    """Tell the others in a room of this one."""
    await room.publish(event, {"room": name, "who": member.user.id}, but=member)


@chat.join
async def join(member: Member) -> None:
    """Who comes back after a cut has its rooms already, and its others heard that it had gone."""
    for name, room in rooms_of(member).items():
        await tell(member, "entered", name, room)


@chat.on("enter")
async def enter(member: Member, room: str) -> int:
    """Be in a room; the answer is how many are."""
    here = await member.enter(room)
    await tell(member, "entered", room, here)
    return await here.count()


@chat.on("say")
async def say(member: Member, room: str, text: str) -> None:
    """Tell everybody in the room; the acknowledgement says that it is done."""
    said = {"room": room, "by": member.user.id, "text": text}
    await entered(member, room).publish("said", said)


@chat.on("quit")
async def leave_room(member: Member, room: str) -> str:
    """Ask the client back before it is done."""
    here = entered(member, room)
    try:
        is_sure = await member.call("sure?", room, returns=bool, timeout=5)
    except CallFailed:
        is_sure = False
    if not is_sure:
        return "stayed"
    await tell(member, "gone", room, here)
    await member.exit(here)
    return "left"


@chat.leave
async def leave(member: Member, why: Left) -> None:
    """Tell the rooms of who disconnects, or is cut."""
    for name, room in rooms_of(member).items():
        await tell(member, "gone", name, room)
