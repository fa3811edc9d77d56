"""Who answers a request."""

import logging

import pytest

from anywire.errors import ConfigurationError
from anywire.payload import Carrier
from anywire.servers.carry import Exchange
from anywire.servers.tcp import Server
from anywire.wires.anywire import Own
from anywire.wires.base import Hello, Route, Wire
from anywire.wires.raw import Raw
from tests.servers.carrying import Poll, Strange, strange
from tests.servers.serving import dial, make_node, request, serving


async def test_every_owner_answers_its_own_path() -> None:
    files = {"/anywire.js": ("text/javascript", b"export {}")}
    async with serving(files=files) as server, dial(server) as client:
        for path, status in (
            ("/echo", 426),
            ("/healthz", 200),
            ("/readyz", 200),
            ("/anywire.js", 200),
            ("/echo/", 404),
            ("/Echo", 404),
        ):
            client.send(request(path))
            assert (await client.answer()).status == status


async def test_a_foreign_page_reaches_no_carrier(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "anywire.servers.site")
    poll = Poll()
    async with strange(poll=poll) as server, dial(server) as client:
        client.send(request("/poll", "Origin: https://evil.example"))
        said = await client.answer()
        assert said.status in (403, 503)
        assert not poll.held.is_set()
    assert "at '/poll' was refused: 'the origin" in caplog.text


async def test_what_a_foreign_page_embeds_reaches_no_wire_though_it_bears_no_origin() -> None:
    node = make_node()
    files = {"/anywire.js": ("text/javascript", b"export {}")}
    wires: list[Wire] = [Own("/ws"), Raw("/open", to="echo", origins="*")]
    async with serving(node=node, wires=wires, files=files) as server, dial(server) as client:
        for path, site, status in (
            ("/ws/poll", "cross-site", 403),
            ("/ws/poll", "same-site", 403),
            ("/ws/poll", "same-origin", 200),
            ("/ws/poll", "none", 200),
            ("/open", "cross-site", 426),
            ("/anywire.js", "cross-site", 200),
        ):
            sessions = len(node.sessions)
            client.send(request(path, f"Sec-Fetch-Site: {site}"))
            assert (await client.answer()).status == status, (path, site)
            is_new = status == 200 and path == "/ws/poll"
            assert len(node.sessions) == sessions + is_new


async def test_a_session_on_a_plain_route_is_the_wires_bug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Plain(Raw):
        def routes(self) -> list[Route]:
            return [Route("GET", "/raw/{address}", Carrier.REPLY)]

    async with serving(wires=[Plain()]) as server, dial(server) as client:
        client.send(request("/raw/echo"))
        assert (await client.answer()).status == 500
        assert "a plain route" in caplog.text


async def test_a_bug_in_a_carrier_is_a_500_with_an_id(caplog: pytest.LogCaptureFixture) -> None:
    async def buggy(exchange: Exchange, wire: Wire, hello: Hello) -> None:
        raise KeyError("secret")

    async def silent(exchange: Exchange, wire: Wire, hello: Hello) -> None:
        pass

    async with strange(poll=buggy, events=silent) as server:
        with caplog.at_level(logging.ERROR):
            async with dial(server) as client:
                client.send(request("/poll"))
                said = await client.answer()
                assert said.status == 500
                assert said.body.decode().split()[-1] in caplog.text
            async with dial(server) as client:
                client.send(request("/events"))
                assert (await client.answer()).status == 500


async def test_a_carrier_nobody_carries_fails_when_the_server_is_made() -> None:
    class Later(Strange):
        def routes(self) -> list[Route]:
            return [Route("GET", "/later", Carrier.WEBTRANSPORT)]

    with pytest.raises(ConfigurationError, match=r"strange: nothing here carries webtransport"):
        Server(node=make_node(), wires=[Later()])


async def test_a_mount_may_know_other_origins_than_the_server() -> None:
    wires = [Raw("/open", to="echo", origins="*"), Raw("/closed", to="echo")]
    wires.append(Raw("/listed", to="echo", origins=["https://friend.example"]))
    origins = ["https://partner.example"]
    async with serving(wires=wires, origins=origins) as server, dial(server) as client:
        for path, origin, status in (
            ("/open", "https://evil.example", 426),
            ("/closed", "https://evil.example", 403),
            ("/closed", "https://partner.example", 426),
            ("/listed", "https://partner.example", 403),
            ("/listed", "https://friend.example", 426),
        ):
            client.send(request(path, f"Origin: {origin}"))
            assert (await client.answer()).status == status, (path, origin)
