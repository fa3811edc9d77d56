"""Raw: messages as they are."""

import pytest

from anywire.body import Args, Body
from anywire.errors import ConfigurationError, ProtocolError
from anywire.frames import At, Beat, Bye, Event, Join, Leave, Position, Since
from anywire.limits import Deflate, Limits
from anywire.payload import Message
from anywire.wires.base import Answer, Hello, Machine, Mount, Opening, Reason, Why
from anywire.wires.raw import RAW, Raw, RawClient


def opened(wire: Raw, **hello: object) -> Opening:
    told: dict[str, object] = {"path": "/raw/echo", "address": "echo", **hello}
    opening = wire.open(Hello(**told))  # type: ignore[arg-type]
    assert isinstance(opening, Opening)
    return opening


def machine(wire: Raw | None = None, **hello: object) -> Machine:
    made = opened(wire or Raw(), **hello).machine
    assert made is not None
    return made


def join(wire: Raw | None = None, **hello: object) -> Join:
    (frame,) = machine(wire, **hello).opened(0.0)
    assert isinstance(frame, Join)
    return frame


def written(body: Body, event: str = "message") -> Message:
    (message,) = RAW.event("echo", event, body, At("echo")).messages()
    return message


def test_the_path_names_the_address() -> None:
    assert join().address == "echo"
    assert join(path="/raw/chat%3Alobby", address="chat:lobby").alias == "chat:lobby"


def test_paths_map_to_addresses_and_exact_ones_win() -> None:
    paths = {"/echo": "echo", "/feeds/{address}": "feed:{address}", "/feeds/all": "feeds"}
    wire = Raw(paths=paths)
    assert [route.path for route in wire.routes()] == list(paths)
    assert join(wire, path="/echo", address=None).address == "echo"
    assert join(wire, path="/feeds/7", address="7").address == "feed:7"
    assert join(wire, path="/feeds/all", address="all").address == "feeds"


def test_a_path_and_paths_stand_beside_each_other() -> None:
    wire = Raw("/live/{address}", paths={"/echo": "echo"})
    assert [route.path for route in wire.routes()] == ["/echo", "/live/{address}"]
    assert [route.path for route in Raw().routes()] == ["/raw/{address}"]
    assert not Raw(paths={}).routes()


def test_one_path_may_stand_for_one_address() -> None:
    wire = Raw("/ws/echo", to="echo")
    assert [route.path for route in wire.routes()] == ["/ws/echo"]
    assert join(wire, path="/ws/echo", address=None).address == "echo"
    wire = Raw("/feeds/{address}", to="feed:{address}")
    assert join(wire, path="/feeds/7", address="7").address == "feed:7"


@pytest.mark.parametrize(
    ("origins", "known"),
    [(None, None), ("*", ("*",)), (["https://a.example"], ("https://a.example",)), ([], ())],
)
def test_the_options_of_a_mount_stand_on_each_of_its_routes(
    origins: list[str] | str | None, known: tuple[str, ...] | None
) -> None:
    limits, deflate = Limits(message=10), Deflate(keep_client=True)
    wire = Raw(paths={"/a": "a", "/b": "b"}, limits=limits, origins=origins, deflate=deflate)
    mount = Mount(limits=limits, origins=known, deflate=deflate)
    assert [route.mount for route in wire.routes()] == [mount, mount]


def test_a_mount_without_options_has_those_of_the_app() -> None:
    assert [route.mount for route in Raw().routes()] == [Mount()]
    assert Raw(deflate=None).routes()[0].mount == Mount(deflate=None) != Mount()


@pytest.mark.parametrize("make", [lambda: Raw("/echo"), lambda: Raw(paths={"/x": "{address}"})])
def test_a_path_without_an_address_is_a_mistake(make: object) -> None:
    with pytest.raises(ConfigurationError, match="must end with"):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    "hello",
    [
        Hello(path="/raw/", address=""),
        Hello(path="/raw/echo", address=None),
        Hello(path="/elsewhere/echo", address="echo"),
    ],
)
def test_a_request_without_an_address_is_not_found(hello: Hello) -> None:
    answer = Raw(paths={"/echo": "echo", "/raw/{address}": "{address}"}).open(hello)
    assert isinstance(answer, Answer) and answer.status == 404
    assert b"/raw/{address}" in answer.body


def test_the_first_known_subprotocol_is_chosen() -> None:
    wire = Raw(subprotocols=["graphql-ws", "graphql-transport-ws"])
    offers = ["mqtt", "graphql-transport-ws", "graphql-ws"]
    assert opened(wire, subprotocols=offers).subprotocol == "graphql-transport-ws"
    assert opened(wire, subprotocols=["mqtt"]).subprotocol is None
    assert opened(wire).subprotocol is None


def test_a_required_subprotocol_is_required() -> None:
    wire = Raw(subprotocols=["graphql-ws"], required=True)
    for offers in ([], ["mqtt"]):
        answer = wire.open(Hello(path="/raw/echo", address="echo", subprotocols=offers))
        assert isinstance(answer, Answer) and answer.status == 400
        assert b"known: graphql-ws" in answer.body
    assert opened(wire, subprotocols=["graphql-ws"]).subprotocol == "graphql-ws"


@pytest.mark.parametrize(
    ("query", "since", "params"),
    [
        ({}, None, ()),
        ({"a": "1"}, None, ({"a": "1"},)),
        ({"last": "20"}, Since(last=20), ()),
        ({"offset": "3", "epoch": "k"}, Since({"echo": Position(3, "k")}), ()),
        ({"offset": "3", "epoch": "k", "last": "2"}, Since({"echo": Position(3, "k")}), ()),
        ({"offset": "3"}, None, ({"offset": "3"},)),
        ({"offset": "3", "epoch": ""}, None, ({"offset": "3", "epoch": ""},)),
        ({"offset": "-3", "epoch": "k"}, None, ({"offset": "-3", "epoch": "k"},)),
        ({"last": "9" * 19}, None, ({"last": "9" * 19},)),
        ({"last": "\u0663"}, None, ({"last": "\u0663"},)),
    ],
)
def test_the_query_has_a_position_and_parameters(
    query: dict[str, str], since: Since | None, params: tuple[object, ...]
) -> None:
    frame = join(query=query)
    assert frame.since == since
    assert isinstance(frame.params, Args)
    assert tuple(frame.params.values()) == params


def test_a_message_over_the_limit_is_closed_with_1009() -> None:
    limits = Limits(message=10)
    for message in (b"x" * 11, "x" * 11, "\u20ac" * 4):
        for end in (machine(limits=limits), RawClient(limits=limits)):
            with pytest.raises(ProtocolError) as caught:
                end.receive(message, 0.0)
            assert caught.value.code == 1009
    for message in (b"x" * 10, "x" * 10, "\u20ac" * 3):
        assert machine(limits=limits).receive(message, 0.0)


@pytest.mark.parametrize(
    "text",
    [
        '{"event":' + "[" * 100 + "]" * 100 + "}",
        '{"event":"say","data":' + "[" * 100 + "1" + "]" * 100 + "}",
        '{"event":"say"',
        '{"event":"\\ud800"}',
        ' {"event":"say"}',
        '{"ev":"event"}',
    ],
)
def test_what_only_looks_like_an_event_is_text(text: str) -> None:
    (event,) = machine().receive(text, 0.0)
    assert isinstance(event, Event) and isinstance(event.args, Args)
    assert (event.event, event.args.values()) == ("message", (text,))


def test_messages_are_bare() -> None:
    assert written(Body.of("hi")) == "hi"
    assert written(Body.of(b"\xff")) == b"\xff"
    assert written(Body.of({"a": b"\xff"})) == '{"a":"/w=="}'
    assert written(Body.of()) == "null"
    assert written(Body.of('{"event":"x"}')) == '{"event":"x"}'
    assert written(Body.of({"event": "x", "data": 1})) == (
        '{"event":"message","data":{"event":"x","data":1}}'
    )
    assert written(Body.of({"event": 1})) == '{"event":1}'


def test_one_body_makes_a_payload_for_each_room() -> None:
    body = Body.of("hi")
    first = RAW.event("a", "message", body, At("a"))
    second = RAW.event("b", "message", body, At("b", volatile=True))
    assert first is not second
    assert (first.volatile, second.volatile) == (False, True)


def test_only_an_exact_ping_is_answered_and_only_when_asked_for() -> None:
    ping = ' {"type" : "ping"} '
    asked = machine(Raw(heartbeat=True), clock=1_700_000_000.0)
    assert not asked.receive(ping, 2.9)
    (pong,) = asked.due()
    assert list(pong.messages()) == ['{"type":"pong","timestamp":1700000002}']
    assert asked.receive('{"type":"ping" 1}', 0.0)
    assert asked.receive('{"type":"pinging"}', 0.0)
    assert asked.receive(b'{"type":"ping"}', 0.0)
    assert asked.receive('{"type":"ping"}' + " " * 100, 0.0)
    assert machine().receive(ping, 0.0)
    assert not asked.due()


def test_the_beat_is_the_wires_own_or_the_limits() -> None:
    for wire, beat in ((Raw(), 25.0), (Raw(beat=3.0), 3.0)):
        end = machine(wire)
        end.opened(0.0)
        assert end.deadline() == beat
        end.heard(1.0)
        assert end.deadline() == 1.0 + beat
        assert end.tick(1.0 + beat) == (Beat(),)


def test_what_raw_has_no_words_for_is_not_said() -> None:
    assert not machine().send(Leave("echo"))
    assert not machine().send(Bye(1001))
    assert not RawClient().send(Leave("echo"))
    assert not RawClient().send(Beat(is_answer=True))


def test_the_bytes_of_a_relayed_message_are_those_that_came() -> None:
    (event,) = machine().receive("hi", 0.0)
    (payload,) = machine().send(event)
    assert list(payload.messages()) == ["hi"]


def test_refusals_before_a_session_are_upgrades_with_a_close() -> None:
    wire = Raw(subprotocols=["graphql-ws"])
    hello = Hello(subprotocols=["graphql-ws"])
    answer = wire.refuse(hello, Why(Reason.FORBIDDEN, "bad_token", "wrong token"))
    assert (answer.code, answer.reason, answer.subprotocol) == (4401, "wrong token", "graphql-ws")
    assert wire.refuse(Hello(), Why(Reason.OWNER_GONE)).reason == "owner gone"
    assert wire.refuse(Hello(), Why(Reason.LIMIT, "full")).reason == "full"
    origin = wire.refuse(hello, Why(Reason.ORIGIN))
    assert (origin.status, origin.code) == (403, None)


def test_a_client_pings_where_it_was_told_to() -> None:
    client = RawClient("echo", subprotocols=["graphql-ws"], beat=5.0, beat_timeout=2.0)
    assert client.opening().subprotocols == ["graphql-ws"]
    client.opened("graphql-ws", 0.0)
    assert not client.tick(5.0)
    assert [list(payload.messages()) for payload in client.due()] == [['{"type":"ping"}']]
    assert client.receive('{"type":"pong","timestamp":1}', 6.0) == (Beat(is_answer=True),)
    assert client.deadline() == 11.0
    assert not client.tick(11.0)
    (bye,) = client.tick(13.0)
    assert isinstance(bye, Bye) and bye.code == 4410
    (event,) = RawClient("echo").receive('{"type":"pong"}', 0.0)
    assert isinstance(event, Event)
    client.heard(20.0)
    assert client.deadline() == 25.0
