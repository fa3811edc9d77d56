"""Django's site behind an app, and its users. (Sessions: tests/examples/test_django.py.)"""

from collections.abc import AsyncIterator, Callable

import django.conf
import pytest

from anywire import Anywire, Hello
from anywire.frameworks.django import site, user_of
from tests.servers.asgihost import Line, Scope, hosted, http, websocket

if not django.conf.settings.configured:
    django.conf.settings.configure(ROOT_URLCONF="tests.hosts.mounted", ALLOWED_HOSTS=["*"])


@pytest.fixture
async def open_line() -> AsyncIterator[Callable[[Scope], Line]]:
    app = Anywire(fallback=site())
    async with app.lifespan(), hosted(app) as open:
        yield open


async def test_requests_are_djangos(open_line: Callable[[Scope], Line]) -> None:
    line = open_line(http("/home"))
    line.tell("http.request", body=b"", more_body=False)
    assert (await line.next())["status"] == 200
    assert (await line.next(2))["body"] == b"the site"
    await line.ended()


@pytest.mark.parametrize("extensions", [{"websocket.http.response": {}}, None])
async def test_websockets_that_are_not_ours_are_refused(
    open_line: Callable[[Scope], Line], extensions: Scope | None
) -> None:
    line = open_line(websocket("/chat", extensions=extensions))
    line.tell("websocket.connect")
    await line.ended()
    if extensions:
        assert line.said[0]["status"] == 404
    else:
        assert line.said == [{"type": "websocket.close", "code": 1008}]


async def test_a_lifespan_does_not_disturb_it() -> None:
    line = Line(site(), {"type": "lifespan"})
    await line.ended()
    assert line.said == []


async def test_nobody_has_no_cookie() -> None:
    assert await user_of(Hello()) is None
