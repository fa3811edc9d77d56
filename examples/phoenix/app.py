"""Phoenix: the chat of its guides, with who is there, for pages that use the npm package `phoenix`.

anywire serve examples/phoenix/app.py:app
node client.mjs http://127.0.0.1:8000/socket ana     (beside it, after: npm i phoenix ws)
"""

from anywire import Anywire, Hello, Member, Phoenix, Refused, User

app = Anywire(wires=["anywire", "raw", Phoenix()])
room = app.channel("room:{name}", presence=True)


@app.authenticate
async def who(hello: Hello) -> User:
    """Take the name for granted: `new Socket(url, { params: { user: "ana" } })`."""
    name = hello.query.get("user", "")
    if not name:
        raise Refused("name_missing", "connect with ?user=...")
    return User(name)


@room.join
async def join(member: Member, name: str) -> dict[str, str]:
    """Let everybody into any room but one, and list them as present."""
    if name == "private":
        raise Refused("unauthorized")
    await member.track(over=member.carrier)
    return {"topic": f"what is on in {name}"}


@room.on("new_msg")
async def new_msg(member: Member, body: str) -> None:
    """Tell all who are there."""
    await member.room.publish("new_msg", {"by": member.user.id, "body": body})


@room.on("away")
async def away(member: Member, minutes: int) -> dict[str, int]:
    """Change how one is listed."""
    await member.update(away=minutes)
    return {"back_in": minutes}
