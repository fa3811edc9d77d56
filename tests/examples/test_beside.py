"""The page about the server that there was: who somebody is, and what it goes on saying."""

from collections.abc import AsyncIterator
from types import ModuleType

import httpx
import pytest
from aiohttp import web

from anywire import Closed, Refused
from anywire.testing import connect
from tests.docs.pages import ROOT, blocks
from tests.examples.played import module_of

PAGE = ROOT / "docs" / "howto" / "beside-the-old-server.md"
WIRES = [
    ("actioncable", None, "chat:lobby"),
    ("phoenix", None, "chat:lobby"),
    ("signalr", "/chathub", "chat:lobby"),
]
pytestmark = pytest.mark.net


@pytest.fixture
async def page(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ModuleType]:
    """The page's app, and a server of the old kind that it asks."""

    async def whoami(request: web.Request) -> web.Response:
        if request.headers.get("authorization") != "Bearer of ana":
            return web.Response(status=401)
        return web.json_response({"id": 7})

    old = web.Application()
    old.router.add_get("/whoami", whoami)
    runner = web.AppRunner(old)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    page = module_of(blocks(PAGE, "python"), "beside", monkeypatch)
    monkeypatch.setattr(page, "OLD", f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield page
    await runner.cleanup()


@pytest.mark.parametrize(("wire", "path", "address"), WIRES)
async def test_the_old_server_says_who_somebody_is(
    page: ModuleType, wire: str, path: str | None, address: str
) -> None:
    async with connect(page.app, wire=wire, path=path, query="token=of+ana") as client:
        member = await client.join(address)
        await member.push("say", "hi")
        assert await member.next("said") == ["7", "hi"]
    with pytest.raises((Refused, Closed), match="log in first"):
        async with connect(page.app, wire=wire, path=path, query="token=of+bo") as client:
            await client.join(address)


@pytest.mark.parametrize(("wire", "path", "address"), WIRES)
async def test_what_the_old_server_posts_is_heard_on_every_wire(
    page: ModuleType, wire: str, path: str | None, address: str
) -> None:
    transport = httpx.ASGITransport(page.site)
    async with (
        connect(page.app, wire=wire, path=path, user="ana") as client,
        httpx.AsyncClient(transport=transport, base_url="http://shop.example") as old,
    ):
        member = await client.join(address)
        for secret, status in (("wrong", 401), (page.SECRET, 200)):
            answer = await old.post(
                "/publish/lobby/said",
                json=["the shop", "we close at six"],
                headers={"authorization": f"Bearer {secret}"},
            )
            assert answer.status_code == status
        assert await member.next("said") == ["the shop", "we close at six"]
