"""Dependencies of FastAPI in `authenticate`: generators, refusals, sites without overrides."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException
from starlette.applications import Starlette
from starlette.routing import Mount

from anywire import Anywire, Hello, Member, Refused, User
from anywire.frameworks.asking import asking
from tests.servers.asgihost import Line, websocket


async def test_what_a_generator_gave_is_open_while_the_function_asks_it() -> None:
    order: list[str] = []

    def database() -> Iterator[list[str]]:
        order.append("open")
        yield order
        order.append("closed")

    async def session(inner: Annotated[list[str], Depends(database)]) -> AsyncIterator[list[str]]:
        order.append("session")
        yield inner
        order.append("session closed")

    async def who(log: Annotated[list[str], Depends(session)]) -> User:
        log.append("asked")
        return User("ana")

    assert await asking(who, lambda hello: None)(Hello()) == User("ana")
    assert order == ["open", "session", "asked", "session closed", "closed"]


async def test_an_http_exception_refuses_from_wherever_it_is_raised() -> None:
    def at_the_end() -> Iterator[str]:
        yield "ana"
        raise HTTPException(403, "at the end")

    async def by_end(name: Annotated[str, Depends(at_the_end)]) -> User:
        return User(name)

    async def by_itself(name: Annotated[str, Depends(lambda: "ana")]) -> User:
        raise HTTPException(401, "by itself")

    for function, text in ((by_end, "forbidden: at the end"), (by_itself, "unauthenticated: by")):
        with pytest.raises(Refused, match=text):
            await asking(function, lambda hello: None)(Hello())


@pytest.mark.parametrize("kind", [FastAPI, Starlette])
async def test_dependencies_are_solved_under_any_site(kind: Any) -> None:
    async def who(name: Annotated[str, Depends(lambda: "ana")]) -> User:
        return User(name)

    app = Anywire()
    app.authenticate(who)
    channel = app.channel("who")

    @channel.join
    async def join(member: Member) -> None:
        await member.send("message", member.user.id)

    async with app.lifespan():
        line = Line(kind(routes=[Mount("/rt", app=app)]), websocket("/rt/raw/who"))
        line.tell("websocket.connect")
        try:
            assert (await line.next(2)).get("text") == "ana"
        finally:
            line.tell("websocket.disconnect", code=1000)
            await line.ended()
