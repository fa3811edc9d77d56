"""Action Cable: a chat room for pages that use `@rails/actioncable`.

anywire serve examples/actioncable/app.py:app
node client.mjs ws://127.0.0.1:8000/cable ana      (beside it, after: npm i @rails/actioncable ws)
"""

from anywire import ActionCable, Anywire, Hello, Member, Refused, User

app = Anywire(wires=["anywire", "raw", ActionCable("/cable")])
chat = app.channel("chat:{room}", history=50)


@app.authenticate
async def who(hello: Hello) -> User:
    """A page says its name: `createConsumer("/cable?user=ana")`."""
    name = hello.query.get("user", "")
    if not name:
        raise Refused("unauthorized")
    return User(name)


@chat.join
async def subscribed(member: Member, room: str) -> dict[str, str]:
    """`ChatChannel` with `room`: what comes back is its first message, `Refused` rejects it."""
    if room == "private":
        raise Refused("private")
    await member.room.publish("message", {"came": member.user.id}, but=member)
    return {"topic": f"what is on in {room}"}


@chat.on("speak")
async def speak(member: Member, text: str) -> None:
    """`subscription.perform("speak", { text })`."""
    await member.room.publish("message", {"from": member.user.id, "text": text})


@chat.leave
async def unsubscribed(member: Member) -> None:
    """Whoever is gone, by their own will or not."""
    await member.room.publish("message", {"left": member.user.id}, but=member)
