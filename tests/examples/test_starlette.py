"""The Starlette example, under uvicorn."""

import base64
from collections.abc import Iterator

import pytest

from tests.contracts.host import Host, closed, fetch, heard
from tests.examples.served import uvicorn

pytestmark = [pytest.mark.slow, pytest.mark.net]
ANA = "Basic " + base64.b64encode(b"ana:apple").decode()


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with uvicorn("starlette", "app:site") as host:
        yield host


async def test_the_middlewares_user_is_the_members(host: Host) -> None:
    assert (await fetch(host, "/", Authorization=ANA)).body == b"hello, ana"
    async with await host.socket("/rt/raw/desk", additional_headers={"Authorization": ANA}) as desk:
        await desk.send("who am I?")
        assert await heard(desk) == "ana: who am I?"


async def test_a_stranger_may_read_the_page_and_not_sit_at_the_desk(host: Host) -> None:
    assert (await fetch(host, "/")).body == b"hello, stranger"
    async with await host.socket("/rt/raw/desk") as desk:
        assert await closed(desk) == (4403, "say who you are")
