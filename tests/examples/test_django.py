"""The Django example, under uvicorn and on our own server."""

import http.cookiejar
import urllib.request
from collections.abc import Iterator

import pytest

from anywire import Closed, Refused
from anywire.client import connect
from tests.contracts.host import Can, Host, event, fetch
from tests.examples.served import uvicorn
from tests.hosts.running import host as host_of
from tests.hosts.running import hosting

pytestmark = [pytest.mark.slow, pytest.mark.net]
SERVE = ("anywire", "serve", "examples/django/app.py:app", "--port", "0")


@pytest.fixture(scope="module", params=["uvicorn", "anywire"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    if request.param == "uvicorn":
        with uvicorn("django", "app:app") as host:
            yield host
    else:
        with hosting(SERVE, ready="Listening on") as process:
            yield host_of(process, frozenset(Can))


def logged_in(host: Host) -> str:
    """The cookie of a browser in which ana has logged in."""
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    with browser.open(f"{host.url}/login", b"name=ana&password=ana") as page:
        assert b"connect(" in page.read()
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)


async def test_djangos_user_speaks_and_a_django_view_answers(host: Host) -> None:
    async with connect(f"{host.ws}/ws", headers={"Cookie": logged_in(host)}) as ana:
        news = ana.channel("news")
        hears = news.events()
        await news.join()
        await news.send("say", "hi")
        assert await event(hears, "said") == {"by": "ana", "text": "hi"}
        assert (await fetch(host, "/announce?text=closing")).body == b"said"
        assert await event(hears, "said") == {"by": "the site", "text": "closing"}
        await hears.aclose()


@pytest.mark.parametrize("cookie", ["", "sessionid=made-up"])
async def test_who_has_not_logged_in_stays_outside(host: Host, cookie: str) -> None:
    assert b"password" in (await fetch(host, "/")).body
    with pytest.raises((Refused, Closed), match="log in first"):
        async with connect(f"{host.ws}/ws", headers={"Cookie": cookie} if cookie else {}) as nobody:
            await nobody.channel("news").join()
