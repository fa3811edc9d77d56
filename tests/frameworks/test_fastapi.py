"""FastAPI's dependencies in `authenticate`."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from fastapi import (
    Cookie,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Query,
    Request,
    WebSocketException,
)
from fastapi.security import OAuth2PasswordBearer

from anywire import Hello, Refused
from anywire.errors import ConfigurationError
from anywire.frameworks.asking import asking
from tests.servers.asgihost import Scope, websocket

HEADERS = [(b"authorization", b"Bearer secret"), (b"x-team", b"red"), (b"cookie", b"theme=dark")]


async def asked(function: Any, scope: Scope | None = None) -> Any:
    """What the function is given over a WebSocket with these headers."""
    authenticate = asking(function, lambda hello: scope or websocket(headers=HEADERS))
    return await authenticate(Hello())


async def test_dependencies_written_for_http_are_understood() -> None:
    bearer = OAuth2PasswordBearer("token")

    async def user(token: Annotated[str, Depends(bearer)], request: Request) -> str:
        return f"{token} from {request.client.host}" if request.client else token

    async def who(name: Annotated[str, Depends(user)]) -> str:
        return name

    def old(hello: Hello, name: str = Depends(user)) -> str:
        return name

    assert await asked(who) == await asked(old) == "secret from 192.0.2.1"


async def test_headers_cookies_and_the_query_are_checked() -> None:
    async def who(
        x_team: Annotated[str, Header()],
        theme: Annotated[str, Cookie()],
        n: Annotated[int, Query()],
    ) -> list[Any]:
        return [x_team, theme, n]

    assert await asked(who, websocket(headers=HEADERS, query_string=b"n=3")) == ["red", "dark", 3]
    with pytest.raises(Refused, match=r"invalid: query\.n: .*integer"):
        await asked(who, websocket(headers=HEADERS, query_string=b"n=x"))


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (HTTPException(401, "log in"), "unauthenticated", "log in"),
        (HTTPException(403, "not you"), "forbidden", "not you"),
        (HTTPException(418), "refused", "I'm a Teapot"),
        (WebSocketException(1008, "no"), "refused", "no"),
    ],
)
async def test_a_dependency_refuses_as_it_does_elsewhere(
    error: Exception, code: str, text: str
) -> None:
    def user() -> str:
        raise error

    async def who(name: Annotated[str, Depends(user)]) -> None: ...

    with pytest.raises(Refused) as refused:
        await asked(who)
    assert (refused.value.code, refused.value.text.lower()) == (code, text.lower())


async def test_generators_are_closed_and_a_bug_stays_a_bug() -> None:
    order = []

    def database() -> Iterator[str]:
        order.append("open")
        yield "database"
        order.append("closed")

    async def session(name: Annotated[str, Depends(database)]) -> AsyncIterator[str]:
        yield f"session of {name}"

    async def who(name: Annotated[str, Depends(session)]) -> str:
        return name

    assert await asked(who) == "session of database"
    assert order == ["open", "closed"]

    def broken() -> str:
        raise KeyError("secret")

    async def bug(name: Annotated[str, Depends(broken)]) -> None: ...

    with pytest.raises(KeyError):
        await asked(bug)


async def test_the_sites_overrides_hold_here_too() -> None:
    def user() -> str:
        return "ana"

    async def who(name: Annotated[str, Depends(user)]) -> str:
        return name

    site = FastAPI()
    site.dependency_overrides[user] = lambda: "somebody of a test"
    assert await asked(who, websocket(app=site)) == "somebody of a test"


def test_what_fastapi_cannot_give_is_refused_at_decoration() -> None:
    class Thing:
        pass

    def user(thing: Thing) -> str:
        return ""

    async def who(name: Annotated[str, Depends(user)]) -> None: ...

    with pytest.raises(ConfigurationError, match=r"who\(\): FastAPI cannot give that"):
        asking(who, lambda hello: None)
