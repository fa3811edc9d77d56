"""Which wire owns a request's path."""

import pytest

from anywire.errors import ConfigurationError
from anywire.payload import Carrier
from anywire.servers.routes import Routes, Row
from anywire.wires.base import Route, Wire
from anywire.wires.raw import Raw
from tests.servers.carrying import Strange


class Mounted(Strange):
    """A wire with the routes it is given."""

    def __init__(self, name: str, *routes: Route) -> None:
        self.name = name
        self._routes = list(routes)

    def routes(self) -> list[Route]:
        return self._routes


def get(path: str, name: str = "one") -> Wire:
    return Mounted(name, Route("GET", path, Carrier.WEBSOCKET))


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("/raw/chat", "chat"),
        ("/raw/chat:lobby", "chat:lobby"),
        ("/raw/é ü", "é ü"),
        ("/raw/..", ".."),
        ("/raw/%2F", "%2F"),
    ],
)
def test_the_last_part_of_a_mount_is_the_address(path: str, address: str) -> None:
    found = Routes([Raw()]).find("GET", path)
    assert found is not None
    assert found.address == address


@pytest.mark.parametrize(
    "path",
    ["/raw", "/raw/", "/raw/a/b", "/raw/a\x00", "/raw/a\n", "/raw/a\x9f", "/rawx", "/", "", "*"],
)
def test_what_is_no_address_is_not_ours(path: str) -> None:
    routes = Routes([Raw()])
    assert routes.find("GET", path) is None
    assert not routes.methods(path)


def test_an_exact_path_wins_over_a_mount() -> None:
    exact, mount = get("/raw/echo", "exact"), get("/raw/{address}", "mount")
    routes = Routes([mount, exact])
    found = routes.find("GET", "/raw/echo")
    other = routes.find("GET", "/raw/other")
    assert found is not None and other is not None
    assert (found.wire.name, found.address) == ("exact", None)
    assert (other.wire.name, other.address) == ("mount", "other")


def test_a_path_can_have_one_owner_a_method() -> None:
    wire = Mounted(
        "two",
        Route("GET", "/io/{address}", Carrier.POLL),
        Route("POST", "/io/{address}", Carrier.POST),
    )
    routes = Routes([wire])
    post = routes.find("POST", "/io/a")
    assert post is not None
    assert post.route.carrier is Carrier.POST
    assert routes.find("PUT", "/io/a") is None
    assert [found.route.method for found in routes.methods("/io/a")] == ["GET", "POST"]


def test_two_wires_that_want_one_path_are_both_named() -> None:
    with pytest.raises(ConfigurationError, match=r'"one" and "two" both want GET /ws'):
        Routes([get("/ws"), get("/ws", "two")])
    with pytest.raises(ConfigurationError, match=r"both want GET /ws/\{address\}"):
        Routes([get("/ws/{address}"), get("/ws/{address}", "two")])


def test_a_path_of_the_server_cannot_be_a_wires() -> None:
    with pytest.raises(ConfigurationError, match=r"one.*health check"):
        Routes([get("/healthz")], {"/healthz": "health check"})


@pytest.mark.parametrize(
    "path", ["ws", "", "/a?b", "/a#b", "/{address}/x", "/x{address}", "/{room}", "/a b", "/\x7f"]
)
def test_what_cannot_be_a_path_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a path"):
        Routes([get(path)])


def test_rows_tell_who_owns_what() -> None:
    routes = Routes([Raw(), get("/ws")], {"/healthz": "health check"})
    assert routes.rows() == [
        Row("/healthz", "GET", "health check", "reply"),
        Row("/raw/{address}", "GET", "raw", "websocket"),
        Row("/ws", "GET", "one", "websocket"),
    ]
