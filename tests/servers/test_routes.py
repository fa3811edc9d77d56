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
    "path",
    [
        *("ws", "", "/a?b", "/a#b", "/a b", "/\x7f", "{address}", "/{a}{b}", "/{a}/{a}"),
        *("/{Room}", "/{a1}", "/{}", "/{a", "/a}", "/{{a}}", "/{a-b}"),
    ],
)
def test_what_cannot_be_a_path_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a path"):
        Routes([get(path)])


@pytest.mark.parametrize(
    ("pattern", "path", "parts"),
    [
        ("/{address}/x", "/a/x", {"address": "a"}),
        ("/x{address}", "/xa", {"address": "a"}),
        ("/chat/{room}", "/chat/a b", {"room": "a b"}),
        ("/{server}/{session}/xhr", "/000/abc/xhr", {"server": "000", "session": "abc"}),
        ("/iframe{version}.html", "/iframe-1.0.0.html", {"version": "-1.0.0"}),
        ("/{a}.{b}", "/x.y.z", {"a": "x.y", "b": "z"}),
        ("/(.+){a}", "/(.+)x", {"a": "x"}),
    ],
)
def test_any_part_of_a_path_may_vary(pattern: str, path: str, parts: dict[str, str]) -> None:
    found = Routes([get(pattern)]).find("GET", path)
    assert found is not None
    assert found.parts == parts
    assert found.address == parts.get("address")


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/{address}/x", "/a/y"),
        ("/{address}/x", "//x"),
        ("/{address}/x", "/a/b/x"),
        ("/iframe{version}.html", "/iframe.html"),
        ("/iframe{version}.html", "/iframe1_html"),
        ("/{a}/{b}", "/a/b\x00"),
        ("/(.+){a}", "/abcx"),
    ],
)
def test_what_does_not_fit_a_pattern_is_not_ours(pattern: str, path: str) -> None:
    routes = Routes([get(pattern)])
    assert routes.find("GET", path) is None
    assert not routes.methods(path)


def test_an_exact_path_has_no_parts() -> None:
    found = Routes([get("/ws")]).find("GET", "/ws")
    assert found is not None
    assert (found.parts, found.address) == ({}, None)


def test_of_two_patterns_the_one_that_says_more_wins_whichever_came_first() -> None:
    plain, more = get("/io/{a}", "plain"), get("/io/page{a}.html", "more")
    for wires in ([plain, more], [more, plain]):
        routes = Routes(wires)
        for path, name in (("/io/page1.html", "more"), ("/io/other", "plain")):
            found = routes.find("GET", path)
            assert found is not None
            assert found.wire.name == name


def test_patterns_that_differ_in_their_names_alone_are_the_same_path() -> None:
    with pytest.raises(ConfigurationError, match=r"/x/\{b\} and /x/\{a\} are the same path"):
        Routes([get("/x/{a}"), get("/x/{b}", "two")])


def test_a_websocket_and_another_get_may_share_a_path() -> None:
    for path in ("/io", "/io/{a}"):
        wire = Mounted(
            "two", Route("GET", path, Carrier.POLL), Route("GET", path, Carrier.WEBSOCKET)
        )
        routes = Routes([wire])
        for is_upgrade, carrier in ((False, Carrier.POLL), (True, Carrier.WEBSOCKET)):
            found = routes.find("GET", path.format(a="x"), is_upgrade=is_upgrade)
            assert found is not None
            assert found.route.carrier is carrier
        assert len(routes.methods(path.format(a="x"))) == 2
    with pytest.raises(ConfigurationError, match="both want GET /io"):
        Routes([Mounted("two", *[Route("GET", "/io", Carrier.WEBSOCKET)] * 2)])


def test_a_path_with_one_get_has_it_for_upgrades_too() -> None:
    wire = Mounted("one", Route("GET", "/a", Carrier.WEBSOCKET), Route("GET", "/b", Carrier.POLL))
    routes = Routes([wire])
    for is_upgrade in (False, True):
        for path in ("/a", "/b"):
            found = routes.find("GET", path, is_upgrade=is_upgrade)
            assert found is not None and found.route.path == path


def test_a_route_for_any_method_has_those_that_no_other_has() -> None:
    wire = Mounted(
        "any",
        Route("POST", "/a/{x}", Carrier.POST),
        Route("*", "/a/{x}", Carrier.REPLY),
        Route("GET", "/a/{x}", Carrier.WEBSOCKET),
    )
    routes = Routes([wire])
    for method, carrier in (
        ("POST", Carrier.POST),
        ("PUT", Carrier.REPLY),
        ("BREW", Carrier.REPLY),
        ("GET", Carrier.WEBSOCKET),
    ):
        found = routes.find(method, "/a/1")
        assert found is not None
        assert (found.route.carrier, found.parts) == (carrier, {"x": "1"})


def test_rows_tell_who_owns_what() -> None:
    routes = Routes([Raw(), get("/ws")], {"/healthz": "health check"})
    assert routes.rows() == [
        Row("/healthz", "GET", "health check", "reply"),
        Row("/raw/{address}", "GET", "raw", "websocket"),
        Row("/ws", "GET", "one", "websocket"),
    ]
