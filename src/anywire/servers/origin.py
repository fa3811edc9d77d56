"""Origins: which web pages may open a conversation (RFC 6454). Pure.

A browser sends cookies along whoever wrote the page, so a foreign page is refused before any code
of the application runs. What sends no Origin is no browser and carries nobody's cookies.
"""

import ipaddress
import re
from collections.abc import Sequence

from anywire.errors import ConfigurationError

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^\s/:\[\]@?#\\]+)(?::([0-9]{1,5}))?")
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\s/:\[\]@?#\\]+)(?::([0-9]{1,5}))?")

Parsed = tuple[str, str, int | None]
"""Scheme, host, port: normalised, so that equal origins are equal."""


class Origins:
    """The rule of one server: `None` is the same origin, `"*"` anybody, else those listed.

    The same origin is one whose host and port are those of the request's Host. A page loaded over
    TLS may speak to a server that sees none (a proxy ended it); one loaded without may never speak
    to one that has it. `hosts` are the names this server answers to, against DNS rebinding; None:
    any.

    >>> Origins(None).why_not("https://evil.example", "chat.example", is_secure=True)
    'the origin https://evil.example may not connect: origins=["https://evil.example"] would let it'
    """

    __slots__ = ("_hosts", "_is_any", "_listed")

    def __init__(
        self, allowed: Sequence[str] | str | None = None, hosts: Sequence[str] | None = None
    ) -> None:
        listed = [allowed] if isinstance(allowed, str) else list(allowed or ())
        self._is_any = "*" in listed
        self._listed = {_known(origin) for origin in listed if origin != "*"}
        self._hosts = None if hosts is None else {_normal_host(host) for host in hosts}

    def knows_host(self, host: str | None) -> bool:
        """Whether the Host header names this server."""
        if self._hosts is None:
            return True
        found = _AUTHORITY.fullmatch((host or "").lower())
        return found is not None and _normal_host(found[1]) in self._hosts

    def why_not(self, origin: str | None, host: str | None, *, is_secure: bool) -> str | None:
        """Why a page of this origin may not speak to us, in words for its author; None: it may."""
        if origin is None or self._is_any:
            return None
        parsed = parse(origin)
        if parsed is not None:
            if parsed in self._listed:
                return None
            if _is_same(parsed, host, is_secure=is_secure):
                return None
            shown = _shown(parsed)
            return f'the origin {shown} may not connect: origins=["{shown}"] would let it'
        if ("null", "", None) in self._listed and origin == "null":
            return None
        return "a page without an origin may not connect: origins=[…] names those that may"


def parse(origin: str) -> Parsed | None:
    """An Origin header taken apart and normalised; None for `null` and whatever is none."""
    found = _ORIGIN.fullmatch(origin.strip(" \t").lower())
    if found is None:
        return None
    host = _normal_host(found[2])
    port = int(found[3]) if found[3] else _PORTS.get(found[1])
    if not host or (port is not None and not 0 < port < 65536):
        return None
    return found[1], host, port


def _known(origin: str) -> Parsed:
    """An origin of the application's list."""
    if origin == "null":
        return "null", "", None
    parsed = parse(origin)
    if parsed is None:
        raise ConfigurationError(f'"{origin}" is no origin; right: "https://example.com", or "*"')
    return parsed


def _is_same(origin: Parsed, host: str | None, *, is_secure: bool) -> bool:
    scheme, name, port = origin
    if scheme != "https" and (is_secure or scheme != "http"):
        return False
    found = _AUTHORITY.fullmatch((host or "").strip(" \t").lower())
    if found is None:
        return False
    return (name, port) == (_normal_host(found[1]), int(found[2] or _PORTS[scheme]))


def _normal_host(host: str) -> str:
    """One form for a name: lower case, IDNA, without the root's dot; IPv6 compressed."""
    name = host.lower()
    if name.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(name[1:-1]).compressed}]"
        except ValueError:
            return ""
    name = name.removesuffix(".")
    if not name.isascii():
        try:
            name = name[:256].encode("idna").decode()
        except UnicodeError:
            return ""
    return name


def _shown(origin: Parsed) -> str:
    scheme, host, port = origin
    return (
        f"{scheme}://{host}" if port in (None, _PORTS.get(scheme)) else f"{scheme}://{host}:{port}"
    )
