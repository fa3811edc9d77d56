"""The FastAPI example, under uvicorn."""

from collections.abc import Iterator

import pytest

from anywire import Closed, Refused
from anywire.client import connect
from tests.contracts.host import Host, event, fetch
from tests.examples.served import uvicorn

pytestmark = [pytest.mark.slow, pytest.mark.net]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with uvicorn("fastapi", "app:site") as host:
        yield host


async def test_the_site_and_its_rooms_know_the_same_users(host: Host) -> None:
    async with connect(f"{host.ws}/rt/ws", token="ana-secret") as ana:
        lobby = ana.channel("chat:lobby")
        hears = lobby.events()
        assert await lobby.join() == "welcome to lobby, ana"
        said = await fetch(host, "/announce?text=hello", "POST", Authorization="Bearer bo-secret")
        assert said.body == b'{"said":"hello"}'
        assert await event(hears, "said") == {"by": "bo", "text": "hello"}
        await lobby.send("say", "hi")
        assert await event(hears, "said") == {"by": "ana", "text": "hi"}
        await hears.aclose()


async def test_who_shows_no_token_is_told_so_in_both_places(host: Host) -> None:
    assert (await fetch(host, "/announce?text=hello", "POST")).status == 401
    with pytest.raises((Refused, Closed), match="show a token"):
        async with connect(f"{host.ws}/rt/ws?token=wrong") as nobody:
            await nobody.channel("chat:lobby").join()
