"""SignalR as configured, and what its requests mean."""

import json
from typing import Any

import pytest

from anywire.body import Args
from anywire.errors import ConfigurationError
from anywire.frames import Join
from anywire.limits import Limits
from anywire.payload import Carrier
from anywire.wires.base import Answer, Cap, Hello, Opening, Reason, Role, Why
from anywire.wires.signalr import SignalR, SignalRClient
from anywire.wires.signalr.carriers import EVENTS, LEFT, SENT
from anywire.wires.signalr.machine import SignalRMachine
from anywire.wires.signalr.token import LANDING, mint, read

NOW = 1_700_000_000.0
KEY = b"k" * 32
HUB = SignalR({"/hub": "chat"}, poll=2.0)


def hello(path: str = "/hub", **options: Any) -> Hello:
    return Hello(**{"path": path, "seed": b"s" * 32, "key": KEY, "time": NOW, **options})


def negotiated(wire: SignalR = HUB, **query: str) -> dict[str, Any]:
    """What a negotiation is answered."""
    limits = Limits(resume=float(query.pop("resume", "120")))
    asked = hello(
        "/hub/negotiate", method="POST", carrier=Carrier.REPLY, query=query, limits=limits
    )
    answer = wire.open(asked)
    assert isinstance(answer, Answer)
    assert (answer.status, dict(answer.headers)["Content-Type"]) == (200, "application/json")
    said = json.loads(answer.body)
    assert isinstance(said, dict)
    return said


def token(*, resumes: bool = False, now: float = NOW) -> str:
    return mint(b"n" * 16, now=now, resumes=resumes, key=KEY)[1]


def opened(wire: SignalR = HUB, **options: Any) -> Opening:
    opening = wire.open(hello(**options))
    assert isinstance(opening, Opening), opening
    return opening


def joined(machine: object) -> tuple[SignalRMachine, Join]:
    """The machine, and what its client's handshake means."""
    assert isinstance(machine, SignalRMachine)
    machine.opened(0.0)
    (join,) = machine.receive(b'{"protocol":"json","version":1}\x1e', 0.0)
    assert isinstance(join, Join)
    return machine, join


def refusal(wire: SignalR = HUB, **options: Any) -> tuple[int, str]:
    answer = wire.open(hello(**options))
    assert isinstance(answer, Answer), answer
    return answer.status, answer.body.decode()


# --- negotiate ------------------------------------------------------------------------------------


def test_a_negotiation_gives_an_id_and_a_secret_away() -> None:
    said = negotiated(negotiateVersion="1")
    known = read(said["connectionToken"], KEY)
    assert known is not None
    assert (known.id, known.landing, known.resumes) == (said["connectionId"], NOW + LANDING, False)
    assert said == {
        "negotiateVersion": 1,
        "connectionId": known.id,
        "connectionToken": said["connectionToken"],
        "availableTransports": [
            {"transport": "WebSockets", "transferFormats": ["Text", "Binary"]},
            {"transport": "ServerSentEvents", "transferFormats": ["Text"]},
            {"transport": "LongPolling", "transferFormats": ["Text", "Binary"]},
        ],
    }


@pytest.mark.parametrize("query", [{}, {"negotiateVersion": "0"}, {"negotiateVersion": ""}])
def test_a_client_of_version_0_has_one_id_for_everything(query: dict[str, str]) -> None:
    said = negotiated(HUB, **query)
    assert said["negotiateVersion"] == 0 and "connectionToken" not in said
    assert read(said["connectionId"], KEY) is not None


def test_a_client_of_a_later_version_gets_the_one_that_we_know() -> None:
    assert negotiated(negotiateVersion="7")["negotiateVersion"] == 1


@pytest.mark.parametrize(
    ("options", "query", "resumes"),
    [
        ({}, {}, False),
        ({}, {"useStatefulReconnect": "true"}, True),
        ({}, {"useStatefulReconnect": "True"}, True),
        ({}, {"useStatefulReconnect": "false"}, False),
        ({"stateful": False}, {"useStatefulReconnect": "true"}, False),
        ({}, {"useStatefulReconnect": "true", "resume": "0"}, False),
    ],
)
def test_stateful_reconnect_is_answered_only_to_who_asked_and_can_have_it(
    options: dict[str, Any], query: dict[str, str], resumes: bool
) -> None:
    said = negotiated(SignalR({"/hub": "chat"}, **options), negotiateVersion="1", **query)
    assert said.get("useStatefulReconnect", False) is resumes
    known = read(said["connectionToken"], KEY)
    assert known is not None and known.resumes is resumes


def test_only_what_is_offered_is_named_in_the_order_of_the_server() -> None:
    wire = SignalR({"/hub": "chat"}, transports=["polling", "websockets"])
    offers = negotiated(wire)["availableTransports"]
    assert [offer["transport"] for offer in offers] == ["WebSockets", "LongPolling"]


def test_each_negotiation_is_another_connection() -> None:
    ids = set()
    for seed in (b"a", b"b"):
        asked = hello("/hub/negotiate", carrier=Carrier.REPLY, seed=seed * 32)
        answer = HUB.open(asked)
        assert isinstance(answer, Answer)
        ids.add(json.loads(answer.body)["connectionId"])
    assert len(ids) == 2


# --- the requests of a connection -----------------------------------------------------------------


def test_a_websocket_without_an_id_was_not_negotiated() -> None:
    opening = opened()
    assert (opening.session, opening.role, opening.is_claimed) == (hello().id(0), Role.NEW, False)
    machine, join = joined(opening.machine)
    assert (join.address, join.alias) == ("chat", "chat")
    assert not machine.caps & Cap.RESUME
    no_sockets = SignalR({"/hub": "chat"}, transports=["events"])
    assert refusal(no_sockets) == (404, "this hub offers no WebSockets\n")


@pytest.mark.parametrize("carrier", [Carrier.POLL, Carrier.POST])
def test_a_request_without_an_id_is_a_bad_one(carrier: Carrier) -> None:
    for query in ({}, {"id": ""}):
        status, text = refusal(carrier=carrier, query=query)
        assert (status, text) == (400, "the connection's id is missing: negotiate first\n")


@pytest.mark.parametrize("carrier", [Carrier.WEBSOCKET, Carrier.POLL, Carrier.POST])
@pytest.mark.parametrize("id", ["nobody", "\ud800", "a" * 55])
def test_an_id_that_nobody_gave_away_is_unknown(carrier: Carrier, id: str) -> None:
    assert refusal(carrier=carrier, query={"id": id}) == (404, "no such connection\n")


def test_a_websocket_of_a_connection_is_its_first_request() -> None:
    text = token()
    opening = opened(query={"id": text})
    known = read(text, KEY)
    assert known is not None
    assert (opening.session, opening.token) == (known.id, text)
    assert (opening.role, opening.is_claimed, opening.may_begin) == (Role.NEW, True, True)
    assert not opening.follows
    machine, _ = joined(opening.machine)
    assert not machine.caps & Cap.RESUME


def test_a_websocket_of_a_stateful_connection_begins_it_or_goes_on() -> None:
    opening = opened(query={"id": token(resumes=True)})
    assert (opening.role, opening.is_claimed, opening.follows) == (Role.RESUME, True, True)
    assert opening.received is None
    machine, _ = joined(opening.machine)
    assert machine.caps & Cap.RESUME
    off = opened(query={"id": token(resumes=True)}, limits=Limits(resume=0))
    machine, _ = joined(off.machine)
    assert not machine.caps & Cap.RESUME


def test_only_websockets_are_stateful() -> None:
    opening = opened(carrier=Carrier.POLL, query={"id": token(resumes=True)})
    assert (opening.role, opening.follows) == (Role.DOWNLINK, False)
    machine, _ = joined(opening.machine)
    assert not machine.caps & Cap.RESUME


def test_who_lands_too_late_begins_nothing() -> None:
    text = token(now=NOW - LANDING - 1)
    for carrier in (Carrier.WEBSOCKET, Carrier.POLL, Carrier.POST):
        assert not opened(carrier=carrier, query={"id": text}).may_begin
    assert opened(query={"id": token(now=NOW - LANDING)}).may_begin


@pytest.mark.parametrize(
    ("accept", "carrier"),
    [
        ("text/event-stream", Carrier.EVENTS),
        ("text/html, text/event-stream;q=1", Carrier.EVENTS),
        ("*/*", Carrier.POLL),
        (None, Carrier.POLL),
    ],
)
def test_a_get_that_accepts_an_event_stream_wants_one(accept: str | None, carrier: Carrier) -> None:
    headers = {} if accept is None else {"accept": accept}
    opening = opened(carrier=Carrier.POLL, headers=headers, query={"id": token()})
    assert (opening.carrier, opening.role) == (carrier, Role.DOWNLINK)
    assert (opening.downlink is EVENTS) is (carrier is Carrier.EVENTS)
    if carrier is Carrier.POLL:
        assert opening.downlink is not None and opening.downlink.wait == 2.0


def test_an_event_stream_holds_text_alone() -> None:
    headers = {"accept": "text/event-stream"}
    opening = opened(carrier=Carrier.POLL, headers=headers, query={"id": token()})
    assert opening.machine is not None
    opening.machine.opened(0.0)
    with pytest.raises(Exception, match="not one of: json"):
        opening.machine.receive(b'{"protocol":"messagepack","version":1}\x1e', 0.0)


@pytest.mark.parametrize(
    ("transports", "begins"),
    [(["websockets"], "WEBSOCKET"), (["events"], "EVENTS"), (["polling"], "POLL")],
)
def test_a_connection_begins_only_by_what_is_offered(transports: list[str], begins: str) -> None:
    wire = SignalR({"/hub": "chat"}, transports=transports)
    for carrier, accept in (
        (Carrier.WEBSOCKET, ""),
        (Carrier.POLL, "text/event-stream"),
        (Carrier.POLL, ""),
    ):
        query, headers = {"id": token()}, {"accept": accept}
        opening = opened(wire, carrier=carrier, headers=headers, query=query)
        assert opening.carrier is not None
        assert opening.may_begin is (opening.carrier.name == begins)


@pytest.mark.parametrize(("method", "uplink"), [("POST", SENT), ("DELETE", LEFT)])
def test_a_post_brings_messages_and_a_delete_says_goodbye(method: str, uplink: object) -> None:
    opening = opened(method=method, carrier=Carrier.POST, query={"id": token()})
    assert (opening.role, opening.machine) == (Role.UPLINK, None)
    assert opening.uplink is uplink


@pytest.mark.parametrize("carrier", [Carrier.WEBSOCKET, Carrier.POLL])
def test_an_access_token_may_stand_in_the_query(carrier: Carrier) -> None:
    opening = opened(carrier=carrier, query={"id": token(), "access_token": "t"})
    assert opening.credentials == {"token": "t"}
    assert opened(carrier=carrier, query={"id": token(), "access_token": ""}).credentials is None
    assert opened(query={"access_token": "t"}).credentials == {"token": "t"}


def test_the_rest_of_the_query_is_what_a_client_joins_with() -> None:
    query = {"id": token(), "access_token": "t", "_": "1", "user": "ana", "negotiateVersion": "1"}
    _, join = joined(opened(query=query).machine)
    assert isinstance(join.params, Args)
    assert join.params.value() == {"user": "ana"}


# --- paths ----------------------------------------------------------------------------------------


def test_a_hub_has_these_routes() -> None:
    routes = [(r.method, r.path, r.carrier) for r in SignalR({"/a": "x", "/b": "y"}).routes()]
    assert routes[:5] == [
        ("POST", "/a/negotiate", Carrier.REPLY),
        ("GET", "/a", Carrier.WEBSOCKET),
        ("GET", "/a", Carrier.POLL),
        ("POST", "/a", Carrier.POST),
        ("DELETE", "/a", Carrier.POST),
    ]
    more = ["/a/"] * 4 + ["/b/negotiate"] + ["/b"] * 4 + ["/b/"] * 4
    assert [path for _, path, _ in routes[5:]] == more
    assert [route.path for route in SignalR({"/": "x"}).routes()] == ["/negotiate"] + ["/"] * 4


@pytest.mark.parametrize(
    ("hubs", "path", "part", "address"),
    [
        (None, "/signalr/lobby", "lobby", "lobby"),
        (None, "/signalr/a b\u00e9", "a b\u00e9", "a b\u00e9"),
        (None, "/signalr/negotiate", "negotiate", "negotiate"),
        ({"/chat/{address}/hub": "room:{address}"}, "/chat/x/hub", "x", "room:x"),
        ({"/hub/{address}": "all", "/hub": "chat"}, "/hub/x", "x", "all"),
        ({"/hub/{address}": "all", "/hub": "chat"}, "/hub", None, "chat"),
        ({"/Hub": "upper", "/hub": "lower"}, "/Hub", None, "upper"),
        ({"/hub": "chat"}, "/hub/", None, "chat"),
        ({"/hub/": "chat"}, "/hub", None, "chat"),
        ({"/": "chat"}, "/", None, "chat"),
        (None, "/signalr/lobby/", "lobby", "lobby"),
    ],
)
def test_a_path_names_an_address(
    hubs: dict[str, str] | None, path: str, part: str | None, address: str
) -> None:
    wire = SignalR(hubs)
    _, join = joined(opened(wire, path=path, address=part).machine)
    assert join.address == address
    asked = hello(f"{path.rstrip('/')}/negotiate", address=part, carrier=Carrier.REPLY)
    answer = wire.open(asked)
    assert isinstance(answer, Answer) and answer.status == 200


def test_where_no_hub_is_there_is_none() -> None:
    for path, part in (("/other", None), ("/signalr", None), ("/signalr/x", "y")):
        status, text = refusal(SignalR(), path=path, address=part)
        assert (status, text) == (404, "no hub at this path; known: /signalr/{address}\n")


# --- options and refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"hubs": {"/hub": ""}},
        {"hubs": {"/hub": "chat:{address}"}},
        {"hubs": {"/rooms/{name}": "room:{name}"}},
        {"hubs": "/hub"},
        {"transports": ["sockets"]},
        {"transports": []},
        {"poll": 0.0},
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="SignalR"):
        SignalR(**options)


def test_one_transport_needs_no_list() -> None:
    assert SignalR(transports="events").transports == ("events",)


def test_other_options_are_those_of_the_mount() -> None:
    wire = SignalR(limits=Limits(message=7), origins="*", deflate=None)
    (mount,) = {id(route.mount): route.mount for route in wire.routes()}.values()
    assert mount.limits == Limits(message=7)
    assert (mount.origins, mount.deflate) == (("*",), None)


def test_pings_and_patience_are_options_and_a_poll_needs_neither() -> None:
    wire = SignalR({"/hub": "chat"}, ping=1.0, timeout=5.0)
    machine, _ = joined(opened(wire).machine)
    assert machine.deadline() == 1.0
    machine, _ = joined(opened(wire, carrier=Carrier.POLL, query={"id": token()}).machine)
    assert machine.deadline() is None


def test_what_means_something_to_its_clients_is_reserved() -> None:
    assert SignalR.reserved == {"gap"}


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.ORIGIN, 403),
        (Reason.FORBIDDEN, 401),
        (Reason.UNKNOWN, 404),
        (Reason.TAKEN, 409),
        (Reason.LIMIT, 429),
        (Reason.STOPPING, 503),
        (Reason.FAILED, 500),
    ],
)
def test_a_refusal_is_an_http_status_on_every_carrier(reason: Reason, status: int) -> None:
    for carrier in (Carrier.WEBSOCKET, Carrier.POLL, Carrier.POST):
        answer = HUB.refuse(hello(carrier=carrier), Why(reason, text="words"))
        assert (answer.status, answer.code, answer.body) == (status, None, b"words\n")


def test_all_of_it_is_one_import() -> None:
    assert (SignalR().name, SignalRClient().is_single) == ("signalr", True)
