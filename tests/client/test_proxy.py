"""Proxies: real ones on loopback, with and without passwords and TLS; and those that misbehave."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trustme
from websockets.asyncio.server import ServerConnection

from anywire.client.dial import WebSocketLink
from anywire.client.proxy import Proxy, ProxyError, parse_proxy, proxy_of_environment
from anywire.client.websocket import SocketDialer
from anywire.errors import AnywireError, Refused
from anywire.net.handshake import BadUrl, parse_url
from anywire.payload import Payload
from anywire.wires.base import Request
from tests.client.test_websocket import Heard, echo, oracle

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(handle: Handle) -> AsyncIterator[int]:
    """The port of a server; when the test is over, so are its connections."""
    tasks: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handle(reader, writer)
        except (asyncio.CancelledError, ConnectionError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


async def relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
) -> None:
    """Carry bytes both ways until one end has gone."""
    onward, back = await asyncio.open_connection(host, port)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
        finally:
            sink.close()

    try:
        await asyncio.gather(pump(reader, back), pump(onward, writer))
    finally:
        back.close()


class HttpProxy:
    """CONNECT, with a password if one is given; remembers the heads it was sent."""

    scheme = "http"

    def __init__(self, password: str = "") -> None:
        self.password = password
        self.heads: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        wanted = base64.b64encode(self.password.encode()).decode()
        if self.password and f"Proxy-Authorization: Basic {wanted}\r\n" not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return
        method, authority, _ = head.split(" ", 2)
        assert method == "CONNECT"
        host, _, port = authority.rpartition(":")
        for byte in b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n":
            writer.write(bytes((byte,)))
            await writer.drain()
        await relay(reader, writer, host.strip("[]"), int(port))


class SocksProxy:
    """SOCKS5, with a password if one is given; remembers the addresses it was asked for."""

    scheme = "socks5"

    def __init__(self, password: str = "") -> None:
        self.password = password
        self.heads: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        assert version == 5
        if not self.password:
            writer.write(b"\x05\x00")
        elif 2 in methods:
            writer.write(b"\x05\x02")
            assert await reader.readexactly(1) == b"\x01"
            name = await reader.readexactly((await reader.readexactly(1))[0])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            is_right = name + b":" + password == self.password.encode()
            writer.write(b"\x01\x00" if is_right else b"\x01\x01")
        else:
            writer.write(b"\x05\xff")
        assert await reader.readexactly(3) == b"\x05\x01\x00"
        kind = (await reader.readexactly(1))[0]
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = ".".join(map(str, await reader.readexactly(4)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.heads.append(f"{host}:{port}")
        writer.write(
            b"\x05\x00\x00\x03\x05proxy\x00\x00" if kind == 3 else b"\x05\x00\x00\x01" + bytes(6)
        )
        await relay(reader, writer, host, port)


async def echoes(link: WebSocketLink) -> None:
    heard = Heard()
    link.start(heard)
    link.write([Payload.of("through")])
    await heard.until(lambda: heard.messages == ["through"])
    link.close(1000, "")
    await heard.until(lambda: bool(heard.ends))
    assert heard.ends == [(1000, "")]


@pytest.mark.net
@pytest.mark.parametrize("kind", [HttpProxy, SocksProxy])
@pytest.mark.parametrize("password", ["", "ana:p:a%ss"])
async def test_a_proxy_leads_to_the_server(
    kind: type[HttpProxy] | type[SocksProxy], password: str
) -> None:
    seen: list[str] = []

    async def look(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.extend(connection.request.headers)
        await echo(connection)

    proxy = kind(password)
    userinfo = password.replace("%", "%25") + "@" if password else ""
    async with oracle(look) as url, listening(proxy) as port:
        where = url.removeprefix("ws://").rstrip("/")
        dialer = SocketDialer(proxy=f"{kind.scheme}://{userinfo}127.0.0.1:{port}")
        await echoes(await dialer.dial(url, Request()))
        assert where in proxy.heads[0]
        assert "Proxy-Authorization" not in seen
        if password:
            for wrong in ("", "ana:wrong@"):
                dialer = SocketDialer(proxy=f"{kind.scheme}://{wrong}127.0.0.1:{port}")
                with pytest.raises(Refused, match=r"name and password") as refused:
                    await dialer.dial(url, Request())
                assert "wrong" not in str(refused.value)


@pytest.mark.net
@pytest.mark.parametrize("kind", [HttpProxy, SocksProxy])
async def test_tls_is_inside_the_tunnel_and_the_servers_name_is_verified(
    kind: type[HttpProxy] | type[SocksProxy],
) -> None:
    authority = trustme.CA()
    inside = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(inside)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    proxy = kind()
    async with oracle(echo, ssl=inside) as url, listening(proxy) as port:
        where = f"{kind.scheme}://127.0.0.1:{port}"
        secure = url.replace("ws://127.0.0.1", "wss://localhost")
        dialer = SocketDialer(proxy=where, ssl=trusting)
        await echoes(await dialer.dial(secure, Request()))
        assert "localhost" in proxy.heads[0]
        by_number = secure.replace("localhost", "127.0.0.1")
        with pytest.raises(ssl.SSLCertVerificationError):
            await dialer.dial(by_number, Request())
        named = SocketDialer(proxy=where, ssl=trusting, server_hostname="localhost")
        await echoes(await named.dial(by_number, Request()))
        with pytest.raises(ssl.SSLCertVerificationError):
            await SocketDialer(proxy=where).dial(secure, Request())


@pytest.mark.net
@pytest.mark.parametrize(
    ("scheme", "said", "error", "words"),
    [
        ("http", b"HTTP/1.1 403 No\r\n\r\n", Refused, "answered 403: it does not connect to"),
        ("http", b"HTTP/1.1 502 Bad Gateway\r\n\r\n", ProxyError, "answered 502 Bad Gateway"),
        ("http", b"HTTP/1.1 200 OK\r\n\r\nmore", ProxyError, "says more than it may"),
        ("http", b"SSH-2.0-OpenSSH\r\n\r\n", ProxyError, "does not speak HTTP"),
        ("http", b"", ProxyError, "hung up"),
        ("socks5", b"\x05\xff", Refused, "wants a name and password"),
        ("socks5", b"\x05\x02", Refused, "wants a name and password"),
        ("socks5", b"\x04\x00", ProxyError, "does not speak SOCKS5"),
        ("socks5", b"\x05\x00\x05\x02\x00\x01\x00", Refused, "it is not allowed"),
        ("socks5", b"\x05\x00\x05\x05\x00\x01\x00", ProxyError, "the connection was refused"),
        ("socks5", b"\x05\x00\x05\x63\x00\x01\x00", ProxyError, "error 99"),
        ("socks5", b"\x05\x00\x05\x00\x00\x09\x00", ProxyError, "does not speak SOCKS5"),
        ("socks5", b"\x05\x00\x05\x00\x00\x04" + bytes(18) + b"!", ProxyError, "more than it may"),
        ("socks5", b"\x05", ProxyError, "hung up"),
    ],
)
async def test_a_proxy_that_opens_no_way_says_why(
    scheme: str, said: bytes, error: type[AnywireError], words: str
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        step = len(said) if scheme == "http" else 2
        writer.write(said[:step])
        if said[step:]:
            await reader.read(1000)
            writer.write(said[step:])
        writer.write_eof()
        await reader.read()

    async with listening(handle) as port:
        dialer = SocketDialer(proxy=f"{scheme}://127.0.0.1:{port}")
        with pytest.raises(error, match=words):
            await dialer.dial("ws://127.0.0.1:9/", Request())


@pytest.mark.net
async def test_what_a_socks_proxy_cannot_be_told_is_refused() -> None:
    async with listening(SocksProxy("ana:" + "x" * 256)) as port:
        dialer = SocketDialer(proxy=f"socks5://ana:{'x' * 256}@127.0.0.1:{port}")
        with pytest.raises(Refused, match="255 bytes at most"):
            await dialer.dial("ws://[::1]:9/", Request())


@pytest.mark.net
async def test_no_proxy_there_is_an_error_that_names_it() -> None:
    async with listening(HttpProxy()) as port:
        pass
    with pytest.raises(ProxyError, match=rf"no connection to the proxy 127\.0\.0\.1:{port}: "):
        await SocketDialer(proxy=f"http://x:secret@127.0.0.1:{port}").dial("ws://a/", Request())


@pytest.mark.net
@pytest.mark.parametrize("url", ["ws://localhost:9/", "wss://localhost:9/"])
async def test_a_server_that_hangs_up_behind_the_proxy_ends_the_attempt(url: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.drain()

    async with listening(handle) as port:
        with pytest.raises(OSError):
            await SocketDialer(proxy=f"http://127.0.0.1:{port}").dial(url, Request())


@pytest.mark.net
async def test_a_cancelled_attempt_leaves_nothing_open_at_the_proxy() -> None:
    asked, hung_up = asyncio.Event(), asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        assert await reader.read() == b""
        hung_up.set()

    async with listening(handle) as port:
        dialer = SocketDialer(proxy=f"127.0.0.1:{port}")
        attempt = asyncio.create_task(dialer.dial("ws://server/", Request()))
        await asked.wait()
        attempt.cancel()
        async with asyncio.timeout(5):
            await hung_up.wait()
        assert attempt.cancelled()


@pytest.mark.net
async def test_an_attempt_cancelled_within_the_tunnel_leaves_nothing_open() -> None:
    greeted, hung_up = asyncio.Event(), asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        assert await reader.read(5)
        greeted.set()
        while await reader.read(1000):
            pass
        hung_up.set()

    async with listening(handle) as port:
        dialer = SocketDialer(proxy=f"127.0.0.1:{port}")
        for url in ("ws://server/", "wss://server/"):
            attempt = asyncio.create_task(dialer.dial(url, Request()))
            await greeted.wait()
            attempt.cancel()
            async with asyncio.timeout(5):
                await hung_up.wait()
            assert attempt.cancelled()
            greeted.clear()
            hung_up.clear()


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://proxy:3128", Proxy("http", "proxy", 3128)),
        ("proxy:3128", Proxy("http", "proxy", 3128)),
        ("HTTP://proxy", Proxy("http", "proxy", 80)),
        ("http://ana:p%40ss@[::1]:3128", Proxy("http", "::1", 3128, "ana:p@ss")),
        ("socks5://proxy", Proxy("socks5", "proxy", 1080)),
        ("socks5h://proxy:80", Proxy("socks5", "proxy", 80)),
    ],
)
def test_a_proxy_is_named_by_a_url(url: str, proxy: Proxy) -> None:
    assert parse_proxy(url) == proxy
    assert "p@ss" not in repr(proxy)


@pytest.mark.parametrize("url", ["https://proxy", "socks4://proxy", "http://", "http://a b", ""])
def test_a_proxy_that_cannot_be_is_refused_at_once(url: str) -> None:
    with pytest.raises(BadUrl, match=r"http://\[name:password@\]host|host|spaces"):
        SocketDialer(proxy=url)


def test_a_proxy_and_a_unix_socket_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="two ways"):
        SocketDialer(proxy="http://proxy", unix="/run/socket")


@pytest.mark.parametrize(
    ("url", "environment", "host"),
    [
        ("wss://server/", {"HTTPS_PROXY": "http://secure", "HTTP_PROXY": "http://plain"}, "secure"),
        ("ws://server/", {"HTTPS_PROXY": "http://secure", "http_proxy": "http://plain"}, "plain"),
        ("ws://server/", {"ALL_PROXY": "socks5://all"}, "all"),
        ("wss://server/", {"wss_proxy": "http://own", "https_proxy": "http://secure"}, "own"),
        ("ws://server/", {"https_proxy": "http://secure"}, None),
        ("ws://a.server/", {"all_proxy": "http://all", "NO_PROXY": "x,.server"}, None),
        ("ws://server:81/", {"all_proxy": "http://all", "no_proxy": "server:80"}, "all"),
        ("ws://server/", {}, None),
    ],
)
def test_the_environment_names_a_proxy(
    url: str, environment: dict[str, str], host: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ws", "wss", "http", "https", "all", "no"):
        for variable in (f"{name}_proxy", f"{name}_proxy".upper()):
            monkeypatch.delenv(variable, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_of_environment(parse_url(url))
    assert (proxy.host if proxy else None) == host


@pytest.mark.net
async def test_the_environment_is_read_only_when_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    proxy = HttpProxy()
    async with oracle(echo) as url, listening(proxy) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        await echoes(await SocketDialer().dial(url, Request()))
        assert proxy.heads == []
        await echoes(await SocketDialer(proxy="env").dial(url, Request()))
        assert len(proxy.heads) == 1
