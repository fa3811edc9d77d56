"""The Litestar example, under uvicorn."""

from collections.abc import Iterator

import pytest

from tests.contracts.host import Host, closed, fetch, heard
from tests.examples.served import uvicorn

pytestmark = [pytest.mark.slow, pytest.mark.net]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with uvicorn("litestar", "app:site") as host:
        yield host


async def test_the_sites_users_count_over_sockets_and_requests(host: Host) -> None:
    async with await host.socket("/rt/raw/counter?key=ana-key") as ana:
        await ana.send("3")
        assert await heard(ana) == "ana is at 3"
        await ana.send("4")
        assert await heard(ana) == "ana is at 7"
    assert (await fetch(host, "/count?key=ana-key")).body == b"7"
    assert (await fetch(host, "/count?key=bo-key")).body == b"0"


async def test_who_has_no_key_stays_outside(host: Host) -> None:
    assert (await fetch(host, "/count")).status == 401
    async with await host.socket("/rt/raw/counter") as nobody:
        assert (await closed(nobody))[0] == 4401
