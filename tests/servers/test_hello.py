"""A request as a hello."""

from anywire.limits import Limits
from anywire.net.http1 import Request, RequestParser
from anywire.servers.hello import hello_of
from anywire.servers.routes import Routes
from anywire.wires.base import Hello
from anywire.wires.raw import Raw
from tests.servers.serving import make_node, request


async def hello(path: str = "/raw/a", *lines: str) -> Hello:
    """The hello of a request with these header lines."""
    parsed = RequestParser().receive(request(path, *lines))[0]
    assert isinstance(parsed, Request)
    found = Routes([Raw()]).find(parsed.method, parsed.path)
    assert found is not None
    node = make_node(limits=Limits(message=7))
    return hello_of(parsed, found, node, remote="192.0.2.1", subprotocols=("a", "b"))


async def test_a_hello_says_what_the_request_said() -> None:
    said = await hello("/raw/%C3%A9?x=1&y=&x=%202&z", "X-A: 1", "x-a: 2", "Cookie: a=b; c")
    assert (said.method, said.path, said.address) == ("GET", "/raw/é", "é")
    assert said.query == {"x": " 2", "y": "", "z": ""}
    assert said.headers["x-a"] == "1, 2"
    assert said.cookies == {"a": "b"}
    assert (said.remote, said.subprotocols, said.limits.message) == ("192.0.2.1", ("a", "b"), 7)


async def test_a_hello_has_the_parts_of_its_path() -> None:
    said = await hello("/raw/%C3%A9")
    assert said.parts == {"address": "é"}
    assert said.limits.message == 7


async def test_cookies_of_several_lines_are_one() -> None:
    said = await hello("/raw/a", 'Cookie: a="1"; b = 2', "Cookie: a=3; =x; novalue; d=e=f")
    assert said.cookies == {"a": "3", "b": "2", "d": "e=f"}


async def test_two_hellos_share_no_id() -> None:
    one, two = await hello(), await hello()
    assert len(one.seed) == 32
    assert one.id(0) != two.id(0)
    assert one.id(0) != one.id(1)


async def test_an_id_begins_with_its_owner() -> None:
    said = await hello()
    assert said.sign and said.id(0).startswith(f"{said.sign}.")


async def test_the_clock_makes_loop_time_unix_time() -> None:
    said = await hello()
    node = make_node()
    assert abs(node.now() + said.clock - node.wall()) < 5


async def test_clients_of_one_kind_share_their_headers_and_nobody_s_secret_is_shared() -> None:
    agent = "User-Agent: probe"
    one, two = await hello("/raw/a", agent), await hello("/raw/a", agent)
    assert one.headers == {"host": "test", "user-agent": "probe"}
    assert one.headers is two.headers
    secret, other = await hello("/raw/a", "Cookie: a=b"), await hello("/raw/a", "Cookie: a=b")
    assert secret.headers == other.headers
    assert secret.headers is not other.headers
    long = f"User-Agent: {'x' * 300}"
    assert (await hello("/raw/a", long)).headers is not (await hello("/raw/a", long)).headers


async def test_what_only_opens_a_websocket_is_not_kept() -> None:
    said = await hello("/raw/a", "Connection: Upgrade", "Upgrade: websocket", "X-A: 1")
    assert "x-a" in said.headers
    assert "upgrade" not in said.headers
    assert "connection" not in said.headers
