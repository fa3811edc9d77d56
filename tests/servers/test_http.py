"""One HTTP connection: its order, its deadlines and its ends."""

import asyncio

import pytest

from anywire.limits import Limits
from tests.servers.carrying import strange
from tests.servers.serving import Dialed, dial, make_node, request, serving


async def test_head_gets_the_head_alone() -> None:
    async with strange() as server, dial(server) as client:
        client.send(request("/healthz", method="HEAD"), request("/healthz"))
        said = await client.answer(has_body=False)
        assert (said.status, said.headers["content-length"]) == (200, "3")
        assert (await client.answer()).body == b"ok\n"


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with strange() as server, dial(server) as client:
        asked = [request(f"/post/{n}", method="POST", body=b"%d" % n) for n in range(500)]
        client.send(*asked)
        for n in range(500):
            said = await client.answer()
            assert (said.headers["x-to"], said.body) == (str(n), b"%d" % n)


async def test_a_client_that_asks_much_and_reads_nothing_is_answered_when_it_reads() -> None:
    files = {"/big": ("text/plain", b"x" * 100_000)}
    async with serving(files=files) as server, dial(server) as client:
        client.send(*[request("/big")] * 300)
        for _ in range(300):
            assert len((await client.answer()).body) == 100_000


async def test_a_malformed_body_is_refused_and_its_reader_is_told() -> None:
    async with strange() as server, dial(server) as client:
        client.send(request("/post/a", "Transfer-Encoding: chunked", method="POST"))
        client.send(b"3\r\nabc\r\nxyz\r\n")
        assert (await client.answer()).status == 400
        assert await client.rest() == b""


async def slow_head(client: Dialed) -> None:
    """The begin of a request that never ends."""
    client.send(b"GET / HTTP/1.1\r\nHost: test\r\nX: ")


async def test_a_head_that_does_not_end_is_given_up() -> None:
    async with (
        serving(node=make_node(limits=Limits(handshake=0.05))) as server,
        dial(server) as silent,
        dial(server) as slow,
    ):
        await slow_head(slow)
        assert (await slow.answer()).status == 408
        assert await silent.rest() == b""


async def test_a_kept_connection_is_given_up_when_idle() -> None:
    limits = Limits(idle=0.05)
    async with serving(node=make_node(limits=limits)) as server, dial(server) as client:
        client.send(request("/healthz"))
        assert (await client.answer()).headers["connection"] == "keep-alive"
        assert await client.rest() == b""


async def test_a_kept_connection_must_send_its_next_head_in_time() -> None:
    limits = Limits(handshake=0.05)
    async with serving(node=make_node(limits=limits)) as server, dial(server) as client:
        client.send(request("/healthz"))
        await client.answer()
        await slow_head(client)
        assert (await client.answer()).status == 408


async def test_a_body_that_does_not_come_is_given_up() -> None:
    async with strange(Limits(idle=0.05)) as server, dial(server) as client:
        client.send(request("/post/a", "Content-Length: 5", method="POST"), b"abc")
        assert (await client.answer()).status == 408


async def test_a_client_that_does_not_read_is_given_up() -> None:
    limits = Limits(idle=0.05)
    files = {"/big": ("text/plain", b"x" * 20_000_000)}
    async with (
        serving(node=make_node(limits=limits), files=files) as server,
        dial(server) as client,
    ):
        client.send(request("/big"))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await client.reader.readuntil(b"\r\n\r\n")
            gone = asyncio.Event()
            server.deadlines.at(server.now() + 0.2, gone.set)
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await gone.wait()
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            await client.reader.readexactly(20_000_000)
