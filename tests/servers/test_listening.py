"""Listening: sockets that share a port, and the reasons why one cannot be had."""

import errno
import socket
from pathlib import Path

import pytest

from anywire.errors import ConfigurationError
from anywire.servers.listening import close_all, listen_tcp, listen_unix, why_not

pytestmark = pytest.mark.net


def test_sets_share_one_free_port() -> None:
    sets = listen_tcp("127.0.0.1", 0, 3)
    try:
        assert len(sets) == 3
        ports = {one.getsockname()[1] for sockets in sets for one in sockets}
        assert len(ports) == 1
        with socket.create_connection(("127.0.0.1", ports.pop())):
            pass
    finally:
        close_all(sets)


def test_a_set_has_a_socket_for_each_address_of_the_host() -> None:
    (sockets,) = sets = listen_tcp("", 0, 1)
    try:
        assert {one.family for one in sockets} >= {socket.AF_INET}
        assert len({one.getsockname()[1] for one in sockets}) == 1
    finally:
        close_all(sets)


def test_a_port_of_others_who_share_it_is_in_use() -> None:
    sets = listen_tcp("127.0.0.1", 0, 2)
    port = sets[0][0].getsockname()[1]
    try:
        with pytest.raises(ConfigurationError, match=rf"port {port} on 127\.0\.0\.1 is in use"):
            listen_tcp("127.0.0.1", port, 2)
    finally:
        close_all(sets)


def test_a_host_that_is_not_here_is_said() -> None:
    with pytest.raises(ConfigurationError, match=r"192\.0\.2\.1 is no address of this machine"):
        listen_tcp("192.0.2.1", 0, 2)


def test_a_path_nobody_listens_on_any_more_is_taken(tmp_path: Path) -> None:
    path = str(tmp_path / "app.sock")
    listen_unix(path).close()
    with listen_unix(path) as one, socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        assert one.getsockname() == path
        with pytest.raises(ConfigurationError, match="is in use"):
            listen_unix(path)


def test_a_file_is_not_replaced_by_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("mine")
    with pytest.raises(ConfigurationError, match="is in use"):
        listen_unix(str(path))
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("number", "path", "said"),
    [
        (errno.EACCES, None, "port 80 on h is not allowed to this user: choose one above 1023"),
        (errno.EACCES, "/p", "/p is not allowed to this user: choose a path you may write to"),
        (errno.EADDRINUSE, "/p", "/p is in use: stop what listens there, or choose another path"),
        (errno.EMFILE, None, "cannot listen on port 80 on h: Too many"),
    ],
)
def test_a_reason_says_what_to_do(number: int, path: str | None, said: str) -> None:
    error = OSError(number, "Too many")
    assert why_not(error, host="h", port=80, path=path) == said
