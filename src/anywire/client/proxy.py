"""Proxies: a connection to a server through one, for the client's WebSocket.

Two kinds: HTTP with CONNECT (RFC 9110, 9.3.6), which may ask for a name and a password, and SOCKS5
(RFC 1928, 1929). The proxy looks the server's name up, TLS is inside the tunnel: of a `wss` URL the
proxy learns host and port, nothing else.
"""

import asyncio
import base64
import ipaddress
import ssl as tls
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from anywire.errors import AnywireError, ProtocolError, Refused
from anywire.net.handshake import BadUrl, Target, parse_url
from anywire.net.http1 import ResponseParser

ENVIRONMENT = "env"
"""The proxy that the environment names: HTTPS_PROXY (wss), HTTP_PROXY (ws), ALL_PROXY; NO_PROXY."""
_SOCKS_PORT = 1080
_SOCKS = "socks5"
_VERSION, _NO_AUTH, _PASSWORD, _CONNECT = 5, 0, 2, 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_SOCKS_ERRORS = {
    1: "it failed",
    2: "it is not allowed",
    3: "the network is not reachable",
    4: "the host is not reachable",
    5: "the connection was refused",
    6: "the time to live is over",
    7: "it does not know the command",
    8: "it does not know this kind of address",
}

Dialogue = Generator[bytes, bytes, bytes]
"""Gives what to write, is sent what arrived, and ends with what came behind the proxy's word."""


class ProxyError(AnywireError):
    """The proxy did not open a way to the server."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy is, and what it speaks: `http` or `socks5`."""

    scheme: str
    host: str
    port: int
    userinfo: str | None = field(default=None, repr=False)
    """`name:password`."""


def parse_proxy(url: str) -> Proxy:
    """Takes a proxy's URL apart; without a scheme it is an HTTP proxy.

    Raises BadUrl for another kind of proxy, or what is no URL.
    """
    scheme, found, rest = url.partition("://")
    if not found:
        scheme, rest = "http", url
    scheme = _SOCKS if scheme.lower() == "socks5h" else scheme.lower()
    if scheme not in ("http", _SOCKS):
        raise BadUrl(
            "a proxy is http://[name:password@]host:port or socks5://[name:password@]host:port, "
            f"not {scheme[:20]!r}"
        )
    target = parse_url(f"http://{rest}")
    port = target.port
    if scheme == _SOCKS and urlsplit(f"http://{rest}").port is None:
        port = _SOCKS_PORT
    return Proxy(scheme, target.host, port, target.userinfo)


def proxy_of_environment(target: Target) -> Proxy | None:
    """The proxy that the environment names for this server. Raises BadUrl."""
    named = getproxies()
    if proxy_bypass(f"{target.host}:{target.port}"):
        return None
    for name in ("wss", "https", "all") if target.is_secure else ("ws", "http", "all"):
        if url := named.get(name):
            return parse_proxy(url)
    return None


async def connect_through(
    proxy: Proxy,
    target: Target,
    protocol: asyncio.Protocol,
    *,
    ssl: tls.SSLContext | None,
    server_hostname: str | None,
) -> None:
    """Connect `protocol` to the target, by way of the proxy.

    Raises OSError or ProxyError, or Refused when the proxy will not have us. After an error, and
    when cancelled, nothing is left open.
    """
    loop = asyncio.get_running_loop()
    speak = _socks if proxy.scheme == _SOCKS else _connect
    tunnel = _Tunnel(speak(proxy, target), loop.create_future())
    try:
        transport: asyncio.Transport
        transport, _ = await loop.create_connection(lambda: tunnel, proxy.host, proxy.port)
    except OSError as error:
        where = f"{proxy.host}:{proxy.port}"
        raise ProxyError(
            f"no connection to the proxy {where}: {error.strerror or error}"
        ) from error
    try:
        await tunnel.stands
        if ssl is None:
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            transport.resume_reading()
        else:
            inside = await loop.start_tls(transport, protocol, ssl, server_hostname=server_hostname)
            if inside is None:
                raise ConnectionError("the server hung up before TLS was agreed")
            protocol.connection_made(inside)
    except BaseException:
        transport.abort()
        raise


class _Tunnel(asyncio.Protocol):
    """Leads the dialogue with the proxy; `stands` is done when the server is behind it."""

    __slots__ = ("_dialogue", "_transport", "stands")

    def __init__(self, dialogue: Dialogue, stands: asyncio.Future[None]) -> None:
        self._dialogue = dialogue
        self._transport: asyncio.Transport | None = None
        self.stands = stands

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._step(lambda: next(self._dialogue))

    def data_received(self, data: bytes) -> None:
        self._step(lambda: self._dialogue.send(data))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.stands.done():
            self.stands.set_exception(
                ProxyError(
                    f"the proxy hung up before there was a way: {error or 'no reason given'}"
                )
            )

    def _step(self, step: Callable[[], bytes]) -> None:
        if self.stands.done():
            return
        assert self._transport is not None
        try:
            self._transport.write(step())
        except StopIteration as end:
            self._transport.pause_reading()
            if end.value:
                self.stands.set_exception(ProxyError("the proxy says more than it may"))
            else:
                self.stands.set_result(None)
        except AnywireError as error:
            self.stands.set_exception(error)


def _connect(proxy: Proxy, target: Target) -> Dialogue:
    host = f"[{target.host}]" if ":" in target.host else target.host
    authority = f"{host}:{target.port}"  # RFC 9112, 3.2.3: with its port, always
    head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"
    if proxy.userinfo is not None:
        credentials = base64.b64encode(proxy.userinfo.encode()).decode()
        head += f"Proxy-Authorization: Basic {credentials}\r\n"
    parser = ResponseParser()
    data = yield f"{head}\r\n".encode("ascii")
    try:
        while (response := parser.receive(data)) is None:
            data = yield b""
    except ProtocolError as error:
        raise ProxyError(f"the proxy does not speak HTTP: {error.reason}") from None
    status = response.status
    if status == 407:
        raise Refused(
            "refused", "the proxy answered 407: it wants another name and password, name:password@"
        )
    if status in (401, 403):
        raise Refused("refused", f"the proxy answered {status}: it does not connect to {authority}")
    if not 200 <= status < 300:
        said = response.reason.encode("ascii", "replace").decode()[:100]
        raise ProxyError(f"the proxy answered {status} {said}".rstrip())
    return response.rest


def _socks(proxy: Proxy, target: Target) -> Dialogue:
    """RFC 1928: the methods, perhaps name and password (RFC 1929), then the connection."""
    has_name = proxy.userinfo is not None
    buffer = bytearray()
    wish = bytes((_VERSION, 2, _NO_AUTH, _PASSWORD) if has_name else (_VERSION, 1, _NO_AUTH))
    version, method = yield from _read(buffer, 2, wish)
    if version != _VERSION:
        raise ProxyError("the proxy does not speak SOCKS5")
    if method == _PASSWORD and proxy.userinfo is not None:
        name, _, password = proxy.userinfo.partition(":")
        wish = b"\x01" + _sized(name) + _sized(password)
        if (yield from _read(buffer, 2, wish))[1] != 0:
            raise Refused("refused", "the proxy does not take this name and password")
    elif method != _NO_AUTH:
        raise Refused("refused", "the proxy wants a name and password, name:password@")
    wish = bytes((_VERSION, _CONNECT, 0)) + _address(target.host) + target.port.to_bytes(2, "big")
    version, status, _, kind, size = yield from _read(buffer, 5, wish)
    if status != 0:
        where = f"{target.host}:{target.port}"
        why = _SOCKS_ERRORS.get(status, f"error {status}")
        error = f"the proxy does not connect to {where}: {why}"
        raise Refused("refused", error) if status == 2 else ProxyError(error)
    # The address it connects from means nothing to us; one byte of it is read already.
    rest = {_IPV4: 3, _IPV6: 15, _NAME: size}.get(kind)
    if version != _VERSION or rest is None:
        raise ProxyError("the proxy does not speak SOCKS5")
    yield from _read(buffer, rest + 2, b"")
    return bytes(buffer)


def _read(buffer: bytearray, size: int, wish: bytes) -> Generator[bytes, bytes, bytes]:
    """Say `wish`, and read this many bytes."""
    while wish or len(buffer) < size:
        buffer += yield wish
        wish = b""
    taken = bytes(buffer[:size])
    del buffer[:size]
    return taken


def _sized(text: str) -> bytes:
    data = text.encode()
    if len(data) > 255:
        raise Refused("invalid", "a SOCKS5 proxy takes names and passwords of 255 bytes at most")
    return bytes((len(data),)) + data


def _address(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return bytes((_NAME,)) + _sized(host)
    return bytes((_IPV6 if address.version == 6 else _IPV4,)) + address.packed
