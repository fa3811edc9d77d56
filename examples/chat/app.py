"""Chat: rooms with history and presence; whoever comes back hears what was said meanwhile.

anywire serve examples/chat/app.py:app
anywire talk "ws://127.0.0.1:8000/ws?name=ana" --wire anywire --join chat:lobby
"""

from anywire import Anywire, Hello, Member, Refused, User

app = Anywire()
chat = app.channel("chat:{room}", history=200, presence=True)


@app.authenticate
async def who(hello: Hello) -> User:
    """Take the name in the query; a real app looks at a cookie or a token."""
    if name := hello.query.get("name"):
        return User(name)
    raise Refused("name_missing", "connect with ?name=...")


@chat.join
async def join(member: Member, room: str) -> dict[str, str]:
    """Let everybody in but into the staff's room."""
    if room == "staff" and not member.user.claims.get("staff"):
        raise Refused("staff_only", "this room is for staff")
    await member.track(status="online")
    return {"welcome": room}


@chat.on("say")
async def say(member: Member, text: str) -> int:
    """Publish to everyone in the room; the answer is where it stands in the room's history."""
    position = await member.room.publish("said", {"by": member.user.id, "text": text})
    return position.offset if position else 0


@chat.on("status")
async def status(member: Member, status: str) -> None:
    """Change what the others see in the list of who is here."""
    await member.update(status=status)
