"""FastAPI: a chat mounted in a site, with the site's users; the site writes into its rooms.

uvicorn --app-dir examples/fastapi app:site
anywire talk "ws://127.0.0.1:8000/rt/ws?token=ana-secret"
curl -X POST "http://127.0.0.1:8000/announce?token=bo-secret&text=hello"
"""

from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from anywire import Anywire, Member, Own, Raw, User

TOKENS = {"ana-secret": "ana", "bo-secret": "bo"}
bearer = HTTPBearer(auto_error=False)


async def current_user(
    header: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)], token: str = ""
) -> str:
    """Whose token this is: a header, or `?token=` for browsers, whose sockets have no headers."""
    name = TOKENS.get(header.credentials if header else token)
    if name is None:
        raise HTTPException(401, "show a token")
    return name


CurrentUser = Annotated[str, Depends(current_user)]

app = Anywire(wires=[Own("/ws", home="chat:lobby"), Raw()])
chat = app.channel("chat:{room}", history=100, presence=True)


@app.authenticate
async def who(name: CurrentUser) -> User:
    """The user of the site: FastAPI's dependencies are understood here."""
    return User(name)


@chat.join
async def join(member: Member, room: str) -> str:
    """List the member as present; the answer is what the client hears of the room."""
    await member.track()
    return f"welcome to {room}, {member.user.id}"


@chat.on("say")
async def say(member: Member, text: str) -> None:
    """Tell everybody in the room."""
    await member.room.publish("said", {"by": member.user.id, "text": text})


site = FastAPI(lifespan=app.lifespan)
site.mount("/rt", app)


@site.post("/announce")
async def announce(name: CurrentUser, text: str, room: str = "lobby") -> dict[str, str]:
    """Write into a room from an ordinary request."""
    await app.room(f"chat:{room}").publish("said", {"by": name, "text": text})
    return {"said": text}
