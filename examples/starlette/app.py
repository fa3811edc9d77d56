"""Starlette: an app mounted in a site, whose users are those of Starlette's own middleware.

uvicorn --app-dir examples/starlette app:site
anywire talk ws://ana:apple@127.0.0.1:8000/rt/raw/desk -x "who am I?"
"""

import base64
import binascii

from starlette.applications import Starlette
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    AuthenticationError,
    SimpleUser,
)
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from anywire import Anywire, Member, Refused

PASSWORDS = {"ana": "apple", "bo": "banana"}


class Basic(AuthenticationBackend):
    """Names and passwords, as browsers ask for them."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        """Whose they are; None for nobody's."""
        scheme, _, value = conn.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, _, password = base64.b64decode(value).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise AuthenticationError("these are no credentials") from error
        if PASSWORDS.get(name) != password:
            raise AuthenticationError("wrong name or password")
        return AuthCredentials(["authenticated"]), SimpleUser(name)


app = Anywire()
desk = app.channel("desk")


@desk.join
async def join(member: Member) -> None:
    """Let nobody in whom the site does not know."""
    if member.user.is_anonymous:
        raise Refused("unknown", "say who you are")


@desk.message
async def message(member: Member, data: str) -> str:
    """Answer, by name."""
    return f"{member.user.id}: {data}"


async def home(request: Request) -> PlainTextResponse:
    """A page of the site, which knows the same user."""
    name = request.user.username if request.user.is_authenticated else "stranger"
    return PlainTextResponse(f"hello, {name}")


site = Starlette(
    routes=[Route("/", home), Mount("/rt", app=app)],
    middleware=[Middleware(AuthenticationMiddleware, backend=Basic())],
    lifespan=app.lifespan,
)
