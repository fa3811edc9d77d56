"""The standalone server: listening, health, capacity, and a stop that is bounded."""

import asyncio
import gc
import logging
import socket
import ssl as tls
from pathlib import Path

import pytest
import trustme
import websockets

from anywire.core.channel import Channel
from anywire.core.member import Member
from anywire.errors import ConfigurationError
from anywire.limits import Limits
from anywire.servers.listening import listen_tcp, listen_unix
from anywire.servers.tcp import Address, Server
from anywire.wires.raw import Raw
from tests.servers.serving import close_frame, dial, frame, make_node, request, serving, upgrade


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_side(authority: trustme.CA) -> tls.SSLContext:
    context = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


def client_side(authority: trustme.CA) -> tls.SSLContext:
    context = tls.create_default_context()
    authority.configure_trust(context)
    return context


async def test_health_and_readiness_are_told() -> None:
    async with serving() as server, dial(server) as client:
        for path, body in (("/healthz", b"ok\n"), ("/readyz", b"ready\n")):
            client.send(request(path))
            said = await client.answer()
            assert (said.status, said.body, said.headers["cache-control"]) == (
                200,
                body,
                "no-store",
            )
            assert said.headers["date"].endswith("GMT")
        server.site.is_ready = False
        client.send(request("/readyz"))
        assert (await client.answer()).status == 503


async def test_the_browser_client_is_served_with_a_tag() -> None:
    files = {"/anywire.js": ("text/javascript", b"export {}")}
    async with serving(files=files) as server, dial(server) as client:
        client.send(request("/anywire.js?v=1"))
        said = await client.answer()
        assert (said.status, said.body) == (200, b"export {}")
        client.send(request("/anywire.js", f"If-None-Match: {said.headers['etag']}"))
        assert (await client.answer()).status == 304
        client.send(request("/anywire.js", method="POST"))
        assert (await client.answer()).status == 405
        client.send(request("/anything.js"))
        assert (await client.answer()).status == 404


async def test_tls_carries_messages_larger_than_a_record(authority: trustme.CA) -> None:
    node = make_node(limits=Limits(message=1 << 20))
    async with serving(node=node, ssl=server_side(authority)) as server:
        url = f"wss://localhost:{server.addresses[0].port}/echo"
        async with websockets.connect(url, ssl=client_side(authority)) as client:
            for size in (1, 16_384, 1_000_000):
                await client.send(b"x" * size)
                assert len(await client.recv()) == size
        assert server.addresses[0].url.startswith("https://127.0.0.1:")


async def test_over_tls_the_same_origin_is_https(authority: trustme.CA) -> None:
    async with serving(ssl=server_side(authority)) as server:
        for scheme, status in (("https", 101), ("http", 403)):
            async with dial(server, client_side(authority)) as client:
                client.send(upgrade("/echo", f"Origin: {scheme}://test"))
                assert (await client.answer(has_body=False)).status == status


async def test_plain_bytes_to_a_tls_port_hurt_nobody(
    authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(ssl=server_side(authority)) as server:
        async with dial(server) as client:
            client.send(request("/healthz"))
            await client.rest()
        async with dial(server, client_side(authority)) as client:
            client.send(request("/healthz"))
            assert (await client.answer()).status == 200


async def test_a_unix_socket_is_bound_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    async with serving(path=str(path)) as server:
        assert server.addresses == [Address(path=str(path))]
        assert server.addresses[0].url == f"unix:{path}"
        async with dial(server) as client:
            client.send(upgrade(), frame("x"))
            await client.answer(has_body=False)
            assert await client.frame() == (0x81, b"x")
        with pytest.raises(ConfigurationError, match=r"app\.sock is in use"):
            async with serving(path=str(path)):
                pass
    assert not path.exists()


async def test_a_unix_socket_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    async with serving(path=str(path)) as server, dial(server) as client:
        client.send(request("/healthz"))
        assert (await client.answer()).status == 200


async def test_a_file_is_not_replaced_by_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary")
    with pytest.raises(ConfigurationError, match=r"notes\.txt is in use"):
        async with serving(path=str(path)):
            pass
    assert path.read_text() == "dear diary"


async def test_sockets_that_listen_already_are_served() -> None:
    (sockets,) = listen_tcp("", 0, 1)
    async with serving(sockets=sockets) as server:
        assert [address.port for address in server.addresses] == [
            server.addresses[0].port for _ in sockets
        ]
        async with dial(server) as client:
            client.send(request("/healthz"))
            assert (await client.answer()).status == 200


async def test_a_unix_socket_of_others_is_served_and_its_path_left(tmp_path: Path) -> None:
    path = tmp_path / "ours.sock"
    shared = listen_unix(str(path))
    async with serving(sockets=[shared.dup()]) as server:
        assert server.addresses == [Address(path=str(path))]
        async with dial(server) as client:
            client.send(request("/healthz"))
            assert (await client.answer()).status == 200
    with shared, socket.socket(socket.AF_UNIX) as late:
        late.connect(str(path))  # it waits for who serves the path next
    assert path.exists()


async def test_who_connected_before_is_served_after_the_listening_ends() -> None:
    async with serving() as server, dial(server) as early:
        async with dial(server) as ready:
            ready.send(request("/healthz"))
            await ready.answer()  # so both were accepted
        server.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            async with dial(server):
                pass
        early.send(request("/readyz"))
        assert (await early.answer()).status == 200


async def test_a_port_in_use_is_one_clear_line() -> None:
    async with serving() as server:
        port = server.addresses[0].port
        with pytest.raises(ConfigurationError) as raised:
            async with serving(port=port):
                pass
        assert str(raised.value) == (
            f"port {port} on 127.0.0.1 is in use: stop what listens there, or choose another port"
        )


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
async def test_an_address_that_is_not_ours_is_one_clear_line(host: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{host} is no address of this machine"):
        async with serving(host=host):
            pass


async def test_stop_closes_with_1001_and_says_why() -> None:
    async with serving() as server, dial(server) as client, dial(server) as idle:
        client.send(upgrade())
        await client.answer(has_body=False)
        idle.send(request("/healthz"))
        await idle.answer()
        stopping = asyncio.create_task(server.stop())
        first, payload = await client.frame()
        assert (first, payload) == (0x88, (1001).to_bytes(2, "big") + b"the server stops")
        client.send(close_frame(1001))
        assert await client.rest() == b""
        assert await idle.rest() == b""
        await stopping
        assert server.connections == 0
        await server.stop()


async def test_stop_waits_for_nobody_longer_than_its_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    node = make_node(limits=Limits(stop=0.1, closing=10.0))
    async with serving(node=node) as server, dial(server) as client:
        client.send(upgrade())
        await client.answer(has_body=False)
        await server.stop()
        assert server.connections == 0
        assert "1 connections did not end in time" in caplog.text


async def test_a_peer_that_never_answers_a_close_is_cut() -> None:
    node = make_node(limits=Limits(closing=0.05))
    async with serving(node=node) as server, dial(server) as client:
        client.send(upgrade())
        await client.answer(has_body=False)
        for session in list(node.sessions.values()):
            session.close(4000, "enough")
        assert (await client.frame())[1][2:] == b"enough"
        assert await client.rest() == b""


async def test_no_new_connection_after_the_stop() -> None:
    async with serving() as server:
        await server.stop()
        with pytest.raises(OSError):
            async with dial(server):
                pass


async def test_too_many_connections_are_told_to_come_back() -> None:
    node = make_node(limits=Limits(connections=1))
    async with serving(node=node) as server, dial(server) as first:
        first.send(upgrade(), frame("x"))
        await first.answer(has_body=False)
        async with dial(server) as second:
            second.send(upgrade())
            said = await second.answer()
            assert (said.status, said.headers["retry-after"]) == (503, "5")
            assert await second.rest() == b""
        assert await first.frame() == (0x81, b"x")


async def test_a_slow_reader_is_closed_by_the_policy_and_hurts_nobody() -> None:
    channel = Channel("flood", kinds={Member: "member"})
    full = asyncio.Event()

    @channel.message
    async def heard(member: Member, message: str) -> None:
        for _ in range(200):
            await member.room.publish("message", "x" * 65_000)
            await asyncio.sleep(0)

    @channel.leave
    async def leave(member: Member) -> None:
        full.set()

    limits = Limits(outbox=1 << 20, closing=0.1)
    node = make_node(channel, limits=limits)
    wires = [Raw(paths={"/flood": "flood"})]
    async with serving(node=node, wires=wires, deflate=None) as server, dial(server) as slow:
        slow.send(upgrade("/flood"))
        await slow.answer(has_body=False)
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with dial(server) as fast:
            fast.send(upgrade("/flood"), frame("go"))
            await fast.answer(has_body=False)
            for _ in range(200):
                assert len((await fast.frame())[1]) == 65_000
            assert len(node.sessions) == 1
        async with asyncio.timeout(5):
            await full.wait()


async def test_a_half_open_peer_is_given_up_after_its_beat() -> None:
    node = make_node(limits=Limits(beat=0.05, beat_timeout=0.05, closing=0.05))
    async with serving(node=node) as server, dial(server) as client:
        client.send(upgrade())
        await client.answer(has_body=False)
        assert await client.frame() == (0x89, b"")
        assert (await client.frame())[1][:2] == (4410).to_bytes(2, "big")
        assert not node.sessions


async def test_an_idle_connection_owns_no_task_and_no_timer() -> None:
    node = make_node()
    async with serving(node=node) as server:
        clients = [await asyncio.open_connection("127.0.0.1", server.addresses[0].port)]
        await _opened(*clients[0])
        gc.collect()
        loop = asyncio.get_running_loop()
        tasks = len(asyncio.all_tasks())
        timers = len(loop._scheduled)  # type: ignore[attr-defined]
        pending = len(node.deadlines)
        for _ in range(100):
            streams = await asyncio.open_connection("127.0.0.1", server.addresses[0].port)
            await _opened(*streams)
            clients.append(streams)
        assert len(node.sessions) == 101
        assert len(asyncio.all_tasks()) == tasks
        assert len(loop._scheduled) - timers <= 2  # type: ignore[attr-defined]
        assert len(node.deadlines) - pending == 100  # each session's own beat, and no more
        for _, writer in clients:
            writer.close()


async def _opened(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(upgrade())
    await reader.readuntil(b"\r\n\r\n")


async def test_a_start_that_fails_stops_what_it_started(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    async def app(scope: object, receive: object, send: object) -> None:
        told.append("started")

    async with serving() as server:
        with caplog.at_level(logging.INFO), pytest.raises(ConfigurationError):
            async with serving(port=server.addresses[0].port, fallback=app):
                pass
    assert told == ["started"]


def test_a_server_needs_a_loop_only_to_start() -> None:
    async def make() -> Server:
        return Server(node=make_node(), wires=[Raw()])

    server = asyncio.run(make())
    assert [row.path for row in server.site.routes.rows()] == [
        "/healthz",
        "/raw/{address}",
        "/readyz",
    ]
    assert isinstance(server.limits, Limits)
