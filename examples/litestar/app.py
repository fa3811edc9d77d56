"""Litestar: an app mounted in a site, with the users that Litestar's middleware finds.

uvicorn --app-dir examples/litestar app:site
anywire talk "ws://127.0.0.1:8000/rt/raw/counter?key=ana-key" -x 3
"""

from litestar import Litestar, Request, get
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import asgi
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from anywire import Anywire, Member, Refused, User

KEYS = {"ana-key": "ana", "bo-key": "bo"}


class Keys(AbstractAuthenticationMiddleware):
    """Who has a key is somebody."""

    async def authenticate_request(
        self,
        connection: ASGIConnection,  # type: ignore[type-arg]
    ) -> AuthenticationResult:
        """The name that belongs to the key; None for nobody's."""
        return AuthenticationResult(KEYS.get(connection.query_params.get("key", "")), None)


app = Anywire()
counter = app.channel("counter")
counts: dict[str, int] = {}


@app.authenticate
async def who(connection: ASGIConnection) -> User:  # type: ignore[type-arg]
    """Whom the middleware has found; nobody else comes in."""
    if connection.user is None:
        raise Refused("unknown", "connect with ?key=…")
    return User(connection.user)


@counter.message
async def add(member: Member, data: str) -> str:
    """Count for each user, over all of their connections."""
    name = member.user.id
    counts[name] = counts.get(name, 0) + int(data)
    return f"{name} is at {counts[name]}"


@get("/count")
async def count(request: Request[str, None, State]) -> int:
    """What the site knows of the same user."""
    if request.user is None:
        raise NotAuthorizedException("ask with ?key=…")
    return counts.get(request.user, 0)


site = Litestar(
    [count, asgi("/rt", is_mount=True, copy_scope=True)(app.__call__)],
    lifespan=[app.lifespan],
    middleware=[Keys],
)
