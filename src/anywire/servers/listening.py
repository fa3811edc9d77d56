"""Listening: sockets bound before anybody serves them, and why one cannot be.

Workers that share a port each have a socket of their own there (SO_REUSEPORT): the kernel spreads
new connections over the sockets, not over who happens to wake first.
"""

import contextlib
import errno
import os
import socket
import stat

from anywire.errors import ConfigurationError

BACKLOG = 4096


def listen_tcp(host: str, port: int, count: int) -> list[list[socket.socket]]:
    """`count` sets of listening sockets; a set has one socket for each address of the host.

    Port 0 is one free port for all of them. Raises ConfigurationError for what cannot be had.
    """
    sets: list[list[socket.socket]] = [[] for _ in range(count)]
    try:
        for family, address in _addresses(host, port):
            _check_port(family, (address[0], port, *address[2:]))
            for sockets in sets:
                sockets.append(one := socket.socket(family, socket.SOCK_STREAM))
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                _bind(one, (address[0], port, *address[2:]))
                port = one.getsockname()[1]
        # Only now: nobody is to reach a part of us while the rest may still fail.
        for sockets in sets:
            for one in sockets:
                one.listen(BACKLOG)
    except OSError as error:
        close_all(sets)
        raise ConfigurationError(why_not(error, host=host, port=port)) from error
    return sets


def listen_unix(path: str) -> socket.socket:
    """A listening Unix socket; one that nobody listens on any more is replaced.

    Raises ConfigurationError for what cannot be had.
    """
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        check_path(path)
        one.setblocking(False)
        one.bind(path)
        one.listen(BACKLOG)
    except OSError as error:
        one.close()
        raise ConfigurationError(why_not(error, path=path)) from error
    return one


def close_all(sets: list[list[socket.socket]]) -> None:
    """Close every socket of every set."""
    for sockets in sets:
        for one in sockets:
            one.close()


def check_path(path: str) -> None:
    """Raise EADDRINUSE where another server listens; a socket nobody listens on is removed."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise OSError(errno.EADDRINUSE, "a file is there")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        except BlockingIOError:
            pass  # somebody listens, and is busy
    raise OSError(errno.EADDRINUSE, "somebody listens there")


def why_not(error: OSError, *, host: str = "", port: int = 0, path: str | None = None) -> str:
    """One line on why nobody can listen there, and what to do."""
    where = path or f"port {port} on {host}"
    if error.errno == errno.EADDRINUSE:
        hint = "stop what listens there, or choose another"
        return f"{where} is in use: {hint} {'path' if path else 'port'}"
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = "choose a path you may write to" if path else "choose one above 1023"
        return f"{where} is not allowed to this user: {hint}"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine: try 127.0.0.1, or 0.0.0.0 for all"
    return f"cannot listen on {where}: {error.strerror or error}"


def _addresses(
    host: str, port: int
) -> list[tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _check_port(family: socket.AddressFamily, address: tuple[str | int | bytes, ...]) -> None:
    """Raise EADDRINUSE where anybody listens: SO_REUSEPORT would let us in beside another of us."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        _bind(probe, address)


def _bind(one: socket.socket, address: tuple[str | int | bytes, ...]) -> None:
    one.setblocking(False)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if one.family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    one.bind(address)
