"""SockJS as configured: paths, what requests mean, refusals."""

import json

import pytest
from msgspec.structs import replace

from anywire.body import Args
from anywire.errors import ConfigurationError
from anywire.frames import Join
from anywire.limits import Deflate, Limits
from anywire.payload import Carrier
from anywire.servers.routes import Routes
from anywire.wires.base import Answer, Hello, Mount, Opening, Reason, Role, Why
from anywire.wires.raw import RawMachine
from anywire.wires.sockjs import SockJS
from anywire.wires.sockjs.machine import SockJsMachine

CARRIERS = {
    "xhr": Carrier.POLL,
    "xhr_streaming": Carrier.STREAM,
    "eventsource": Carrier.EVENTS,
    "jsonp": Carrier.POLL,
    "htmlfile": Carrier.STREAM,
    "xhr_send": Carrier.POST,
    "jsonp_send": Carrier.POST,
    "websocket": Carrier.WEBSOCKET,
}
DOWN = ("xhr", "xhr_streaming", "eventsource", "jsonp", "htmlfile")


def asked(
    transport: str,
    *,
    base: str = "/sockjs/echo",
    address: str | None = "echo",
    server: str = "000",
    session: str = "s1",
    **hello: object,
) -> Hello:
    """A request for a transport of a session."""
    told: dict[str, object] = {
        "path": f"{base}/{server}/{session}/{transport}",
        "address": address,
        "parts": {"server": server, "session": session},
        "carrier": CARRIERS[transport],
        "seed": b"x" * 32,
        "query": {"c": "cb"} if transport in ("jsonp", "htmlfile") else {},
        **hello,
    }
    return Hello(**told)  # type: ignore[arg-type]


def page(rest: str, base: str = "/sockjs/echo", **hello: object) -> Hello:
    """A request for a path without a session."""
    told: dict[str, object] = {"address": "echo", "carrier": Carrier.REPLY, **hello}
    return Hello(path=f"{base}{rest}", **told)  # type: ignore[arg-type]


def opened(wire: SockJS, hello: Hello) -> Opening:
    opening = wire.open(hello)
    assert isinstance(opening, Opening), opening
    return opening


def answered(wire: SockJS, hello: Hello) -> Answer:
    answer = wire.open(hello)
    assert isinstance(answer, Answer)
    return answer


def join(opening: Opening) -> Join:
    assert opening.machine is not None
    (frame,) = opening.machine.opened(0.0)
    assert isinstance(frame, Join)
    return frame


def params(opening: Opening) -> object:
    args = join(opening).params
    assert isinstance(args, Args)
    return list(args.values())


OLD = SockJS(old_browsers=True)


# --- options


def test_a_mount_has_pages_and_transports() -> None:
    said = [(route.method, route.path, route.carrier) for route in SockJS("/e", to="e").routes()]
    session = "/e/{server}/{session}"
    assert said == [
        ("GET", "/e/", Carrier.REPLY),
        ("GET", "/e/info", Carrier.REPLY),
        ("GET", "/e", Carrier.REPLY),
        ("POST", f"{session}/xhr", Carrier.POLL),
        ("*", f"{session}/xhr", Carrier.REPLY),
        ("POST", f"{session}/xhr_send", Carrier.POST),
        ("*", f"{session}/xhr_send", Carrier.REPLY),
        ("POST", f"{session}/xhr_streaming", Carrier.STREAM),
        ("*", f"{session}/xhr_streaming", Carrier.REPLY),
        ("GET", f"{session}/eventsource", Carrier.EVENTS),
        ("*", f"{session}/eventsource", Carrier.REPLY),
        ("GET", f"{session}/websocket", Carrier.WEBSOCKET),
        ("GET", f"{session}/websocket", Carrier.REPLY),
        ("*", f"{session}/websocket", Carrier.REPLY),
        ("GET", "/e/websocket", Carrier.WEBSOCKET),
        ("GET", "/e/websocket", Carrier.REPLY),
        ("*", "/e/websocket", Carrier.REPLY),
    ]


def test_what_is_for_old_browsers_is_off() -> None:
    def names(wire: SockJS) -> set[str]:
        return {route.path.rpartition("/")[2] for route in wire.routes()}

    assert names(OLD) - names(SockJS()) == {
        "iframe.html",
        "iframe{version}.html",
        "htmlfile",
        "jsonp",
        "jsonp_send",
    }
    for transport in ("htmlfile", "jsonp", "jsonp_send"):
        assert answered(SockJS(), asked(transport)).status == 404
    assert answered(SockJS(), page("/iframe.html")).status == 404


def test_websockets_can_be_off() -> None:
    wire = SockJS(websocket=False)
    assert not [route for route in wire.routes() if "websocket" in route.path]
    assert answered(wire, asked("websocket")).status == 404
    assert answered(wire, page("/websocket", carrier=Carrier.WEBSOCKET)).status == 404
    assert json.loads(answered(wire, page("/info")).body)["websocket"] is False


@pytest.mark.parametrize("path", ["/", ""])
def test_it_may_have_all_paths(path: str) -> None:
    wire = SockJS(path, to="echo")
    paths = {route.path for route in wire.routes()}
    assert {"/", "/info", "/websocket", "/{server}/{session}/xhr"} <= paths
    assert all(path.startswith("/") for path in paths)
    assert answered(wire, page("/", base="", address=None)).status == 200
    assert join(opened(wire, asked("xhr", base="", address=None))).address == "echo"


def test_several_mounts_stand_side_by_side() -> None:
    wires = [SockJS("/a", to="a"), SockJS("/a/b", to="b"), OLD, SockJS("/sockjs/own", to="own")]
    routes = Routes(wires)
    for path, wire in (("/a/1/2/xhr", 0), ("/a/b/1/2/xhr", 1), ("/sockjs/own/1/2/xhr", 3)):
        found = routes.find("POST", path)
        assert found is not None and found.wire is wires[wire]
        assert (found.parts["server"], found.parts["session"]) == ("1", "2")


def test_the_options_of_a_mount_stand_on_each_of_its_routes() -> None:
    limits, deflate = Limits(message=10), Deflate()
    wire = SockJS(limits=limits, origins="*", deflate=deflate, old_browsers=True)
    mount = Mount(limits=limits, origins=("*",), deflate=deflate)
    for route in wire.routes():  # the WebSocket of 2010 stands beside the one of today
        old = route.carrier is Carrier.WEBSOCKET and "{session}" in route.path
        assert route.mount == replace(mount, hixie=old), route.path
    assert SockJS().routes()[0].mount == Mount()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"path": "/echo"}, "must end with"),
        ({"path": "/{address}/echo", "to": "echo"}, "must end with"),
        ({"client_url": "javascript:alert(1)"}, "no URL"),
        ({"timeout": 0}, "over 0"),
        ({"response_limit": 0}, "over 0"),
    ],
)
def test_an_option_that_cannot_be_is_a_mistake(options: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        SockJS(**options)  # type: ignore[arg-type]


# --- pages


@pytest.mark.parametrize(
    ("rest", "status", "body"),
    [
        ("", 200, b"Welcome to SockJS!"),
        ("/", 200, b"Welcome to SockJS!"),
        ("/info", 200, b'"cookie_needed":false'),
        ("/iframe.html", 200, b"bootstrap_iframe"),
        ("/elsewhere", 404, b"nothing"),
    ],
)
def test_there_are_pages(rest: str, status: int, body: bytes) -> None:
    answer = answered(OLD, page(rest))
    assert answer.status == status
    assert body in answer.body


@pytest.mark.parametrize(
    ("version", "status"), [("-", 200), ("-0.1.2abc-dirty.2144", 200), ("A", 404), ("\u0661", 404)]
)
def test_the_iframe_page_has_versions(version: str, status: int) -> None:
    hello = page(f"/iframe{version}.html", parts={"version": version})
    assert answered(OLD, hello).status == status


@pytest.mark.parametrize(
    "hello",
    [
        Hello(path="/sockjs/", address=""),
        Hello(path="/sockjs/echo", address=None),
        Hello(path="/elsewhere/echo", address="echo"),
    ],
)
def test_a_request_without_an_address_is_not_found(hello: Hello) -> None:
    assert answered(SockJS(), hello).status == 404


def test_a_raw_websocket_has_raws_conversation() -> None:
    hello = page("/websocket", carrier=Carrier.WEBSOCKET, query={"last": "3", "t": "1"})
    opening = opened(SockJS(heartbeat=7.0), hello)
    assert isinstance(opening.machine, RawMachine)
    assert (opening.role, opening.session) == (Role.NEW, hello.id(0))
    assert params(opening) == [{"t": "1"}]
    assert opening.machine.deadline() == 7.0


@pytest.mark.parametrize(("method", "status"), [("GET", 400), ("POST", 405), ("HEAD", 405)])
def test_a_websocket_is_no_page(method: str, status: int) -> None:
    for hello in (
        page("/websocket", method=method),
        asked("websocket", method=method, carrier=Carrier.REPLY),
    ):
        answer = answered(SockJS(), hello)
        assert answer.status == status
        assert ("Allow", "OPTIONS, GET") in answer.headers or status == 400


# --- sessions


@pytest.mark.parametrize("transport", DOWN)
def test_a_request_asks_for_what_a_session_says_or_opens_it(transport: str) -> None:
    opening = opened(OLD, asked(transport))
    assert (opening.role, opening.is_claimed) == (Role.DOWNLINK, True)
    assert isinstance(opening.machine, SockJsMachine)
    assert opening.downlink is not None
    assert opening.token == ""
    assert join(opening).address == "echo"


@pytest.mark.parametrize("transport", ["xhr_send", "jsonp_send"])
def test_a_send_is_for_a_session_that_stands(transport: str) -> None:
    opening = opened(OLD, asked(transport))
    assert (opening.role, opening.is_claimed) == (Role.UPLINK, True)
    assert opening.machine is None
    assert opening.uplink is not None
    assert opening.session == opened(OLD, asked("xhr")).session


def test_the_options_reach_the_answers() -> None:
    wire = SockJS(timeout=3.0, response_limit=99, heartbeat=7.0, old_browsers=True)
    for transport in DOWN:
        opening = opened(wire, asked(transport))
        assert opening.downlink is not None and opening.machine is not None
        assert opening.downlink.gap == 3.0
        assert opening.downlink.limit in (0, 99)
        opening.machine.opened(0.0)
        assert opening.machine.deadline() == 7.0


def test_the_public_id_of_a_session_is_not_the_clients() -> None:
    id = opened(OLD, asked("xhr", session="secret")).session
    assert len(id) == 32 and "." not in id and "secret" not in id
    assert opened(OLD, asked("eventsource", session="secret", server="9")).session == id
    others = [
        opened(OLD, asked("xhr", session="other")).session,
        opened(OLD, asked("xhr", base="/sockjs/b", address="b", session="secret")).session,
        opened(SockJS("/e", to="echo"), asked("xhr", base="/e", session="secret")).session,
    ]
    assert len({id, *others}) == 4


def test_a_websocket_is_a_session_of_its_own() -> None:
    hello = asked("websocket", query={"t": "1"})
    opening = opened(SockJS(), hello)
    assert (opening.role, opening.is_claimed) == (Role.NEW, False)
    assert opening.session == hello.id(0)
    assert isinstance(opening.machine, SockJsMachine)
    assert params(opening) == [{"t": "1"}]
    assert opening.machine.receive('["a","b"]', 0.0)[1:], "it takes whole arrays"


def test_what_a_client_adds_to_the_query_is_no_parameter() -> None:
    query = {"name": "ana", "t": "17", "c": "cb"}
    assert params(opened(OLD, asked("xhr", query=query))) == [{"name": "ana", "c": "cb"}]
    assert params(opened(OLD, asked("jsonp", query=query))) == [{"name": "ana"}]


@pytest.mark.parametrize(
    ("server", "session"), [("a.", "a"), ("a", "a."), (".", "."), ("a", ".a"), ("", ".")]
)
def test_a_name_with_a_dot_is_not_found(server: str, session: str) -> None:
    for transport in ("xhr", "xhr_send", "websocket"):
        for carrier in (CARRIERS[transport], Carrier.REPLY):
            hello = asked(transport, server=server, session=session, carrier=carrier)
            assert answered(OLD, hello).status == 404


@pytest.mark.parametrize(
    ("transport", "method"), [("xhr", "POST"), ("xhr_send", "POST"), ("eventsource", "GET")]
)
def test_another_method_is_not_allowed(transport: str, method: str) -> None:
    answer = answered(SockJS(), asked(transport, method="PUT", carrier=Carrier.REPLY))
    assert (answer.status, answer.body) == (405, b"")
    assert answer.headers == (("Allow", f"OPTIONS, {method}"),)


@pytest.mark.parametrize("transport", ["jsonp", "htmlfile"])
@pytest.mark.parametrize("query", [{}, {"c": "a("}])
def test_a_script_without_a_callback_is_refused(transport: str, query: dict[str, str]) -> None:
    hello = asked(transport, query=query)
    assert answered(OLD, hello).status == 500
    answer = OLD.refuse(hello, Why(Reason.TAKEN))
    assert (answer.status, answer.code) == (500, None)


# --- the cookie


@pytest.mark.parametrize(
    ("cookies", "value"),
    [
        ({}, "dummy"),
        ({"JSESSIONID": "abc.def-1=="}, "abc.def-1=="),
        ({"JSESSIONID": ""}, "dummy"),
        ({"JSESSIONID": "a b"}, "dummy"),
        ({"JSESSIONID": "a,b"}, "dummy"),
        ({"JSESSIONID": "a\r\nSet-Cookie: b"}, "dummy"),
        ({"JSESSIONID": "a\n"}, "dummy"),
        ({"JSESSIONID": 'a"b\\'}, "dummy"),
        ({"JSESSIONID": "\u00e9"}, "dummy"),
        ({"JSESSIONID": "x" * 257}, "dummy"),
    ],
)
def test_the_cookie_comes_back_if_it_can(cookies: dict[str, str], value: str) -> None:
    wire = SockJS(jsessionid=True, old_browsers=True)
    said = (("Set-Cookie", f"JSESSIONID={value}; Path=/"),)
    for transport in (*DOWN, "xhr_send", "jsonp_send"):
        assert opened(wire, asked(transport, cookies=cookies)).headers == said
    assert wire.refuse(asked("xhr", cookies=cookies), Why(Reason.TAKEN)).headers == said


def test_without_the_option_there_is_no_cookie() -> None:
    assert not opened(OLD, asked("xhr", cookies={"JSESSIONID": "a"})).headers
    assert json.loads(answered(SockJS(jsessionid=True), page("/info")).body)["cookie_needed"]


# --- refusals


@pytest.mark.parametrize(
    ("reason", "frame"),
    [
        (Reason.TAKEN, b'c[2010,"Another connection still open"]'),
        (Reason.FORBIDDEN, b'c[4401,"no"]'),
        (Reason.STOPPING, b'c[1001,"no"]'),
        (Reason.LIMIT, b'c[1013,"no"]'),
        (Reason.FAILED, b'c[1011,"no"]'),
    ],
)
@pytest.mark.parametrize("transport", DOWN)
def test_a_request_for_frames_is_refused_in_one(
    transport: str, reason: Reason, frame: bytes
) -> None:
    answer = OLD.refuse(asked(transport), Why(reason, text="no"))
    assert [payload.data for payload in answer.payloads] == [frame]
    downlink = opened(OLD, asked(transport)).downlink
    assert answer.downlink is not None and downlink is not None
    assert answer.downlink.headers == downlink.headers
    if downlink.pack is not None and answer.downlink.pack is not None:
        assert answer.downlink.pack(answer.payloads) == downlink.pack(answer.payloads)


def test_a_websocket_is_refused_in_a_frame_and_a_close() -> None:
    why = Why(Reason.FORBIDDEN, text="\u20ac" * 60)
    answer = SockJS().refuse(asked("websocket"), why)
    assert (answer.status, answer.code, answer.reason) == (101, 4401, "\u20ac" * 41)
    assert [payload.data for payload in answer.payloads] == [f'c[4401,"{why.text}"]'.encode()]
    answer = SockJS().refuse(page("/websocket", carrier=Carrier.WEBSOCKET), why)
    assert (answer.code, answer.payloads) == (4401, ())


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.UNKNOWN, 404),
        (Reason.OWNER_GONE, 404),
        (Reason.FORBIDDEN, 403),
        (Reason.STOPPING, 503),
        (Reason.BUSY, 503),
    ],
)
def test_what_asks_for_no_frames_is_refused_with_a_status(reason: Reason, status: int) -> None:
    requests = [asked("xhr_send"), page("/info"), asked("xhr", carrier=Carrier.REPLY)]
    for hello in requests:
        answer = SockJS().refuse(hello, Why(reason, text="no"))
        assert (answer.status, answer.code, answer.body) == (status, None, b"no\n")


def test_a_foreign_origin_hears_nothing_else() -> None:
    for hello in (asked("xhr"), asked("websocket"), page("/info")):
        answer = OLD.refuse(hello, Why(Reason.ORIGIN))
        assert (answer.status, answer.code, answer.payloads) == (403, None, ())
