"""The contract of hosts with a Django site behind the app."""

from collections.abc import Iterator

import pytest

from tests.contracts.host import CASES, Case, Host, a_stop_says_goodbye, fetch
from tests.hosts.hosts import DJANGO
from tests.hosts.running import Hosting

pytestmark = [pytest.mark.net, pytest.mark.slow]


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Hosting, Host]]:
    with DJANGO.running() as running:
        yield running


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_the_contract(case: Case, running: tuple[Hosting, Host]) -> None:
    await case(running[1])


async def test_the_site_is_still_there(running: tuple[Hosting, Host]) -> None:
    host = running[1]
    site = Host(host.url.removesuffix(DJANGO.prefix), host.can)
    assert (await fetch(site, "/home")).body == b"the site"
    assert (await fetch(site, "/nobody/has/this")).status == 404


async def test_a_stop_says_goodbye(running: tuple[Hosting, Host]) -> None:
    await a_stop_says_goodbye(running[1], running[0].stop)
