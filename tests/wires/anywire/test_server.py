"""The own wire as configured: openings (more in the vectors), refusals, carriers."""

import json

import pytest

from anywire.errors import ProtocolError
from anywire.limits import Limits
from anywire.payload import Carrier
from anywire.wires.anywire import Own
from anywire.wires.anywire.bodies import downlink
from anywire.wires.base import Answer, Cap, Hello, Opening, Reason, Role, Route, Why

RESUME = {"session": "s", "resume": "t", "received": "3"}


def opened(wire: Own, **hello: object) -> Opening:
    opening = wire.open(Hello(seed=b"x" * 32, **hello))  # type: ignore[arg-type]
    assert isinstance(opening, Opening)
    return opening


def said(answer: Answer) -> list[dict[str, object]]:
    return [json.loads(message) for payload in answer.payloads for message in payload.messages()]


def test_the_path_is_a_websocket_and_requests_stand_below_it() -> None:
    for path, below in (("/ws", "/ws"), ("/live/", "/live"), ("/", "")):
        assert list(Own(path).routes()) == [
            Route("GET", path, Carrier.WEBSOCKET),
            Route("GET", f"{below}/events", Carrier.EVENTS),
            Route("POST", f"{below}/events", Carrier.POST),
            Route("GET", f"{below}/stream", Carrier.STREAM),
            Route("POST", f"{below}/stream", Carrier.POST),
            Route("GET", f"{below}/poll", Carrier.POLL),
            Route("POST", f"{below}/poll", Carrier.POST),
        ]


def test_a_resume_needs_a_server_that_keeps_sessions() -> None:
    hello = {"subprotocols": ["anywire.json.1"], "query": RESUME}
    assert opened(Own(), **hello).role is Role.RESUME
    off = opened(Own(), limits=Limits(resume=0), **hello)
    assert off.role is Role.NEW
    assert off.machine is not None and Cap.RESUME not in off.machine.caps


def test_the_beat_is_the_mounts_own_or_the_limits() -> None:
    for wire, beat in ((Own(), 25.0), (Own(beat=3.0), 3.0)):
        for subprotocols in ([], ["anywire.json.1"]):
            machine = opened(wire, subprotocols=subprotocols).machine
            assert machine is not None
            machine.opened(0.0)
            assert machine.deadline() == beat


def test_a_client_that_is_not_let_in_hears_why_before_the_close() -> None:
    hello = Hello(subprotocols=["anywire.json.1"])
    why = Why(Reason.FORBIDDEN, "bad_token", "wrong token", {"got": 1})
    answer = Own().refuse(hello, why)
    assert (answer.status, answer.code, answer.reason) == (101, 4401, "wrong token")
    assert answer.subprotocol == "anywire.json.1"
    assert said(answer) == [
        {"type": "refused", "code": "bad_token", "text": "wrong token", "data": {"got": 1}},
        {"type": "bye", "code": 4401, "text": "wrong token"},
    ]


def test_a_plain_client_hears_an_error_before_the_close() -> None:
    answer = Own().refuse(Hello(), Why(Reason.FORBIDDEN, text="no"))
    assert (answer.code, answer.subprotocol) == (4401, None)
    assert said(answer) == [{"type": "error", "code": "refused", "text": "no"}]


@pytest.mark.parametrize(
    ("reason", "code", "retry"),
    [
        (Reason.UNKNOWN, 1013, 1.0),
        (Reason.TAKEN, 4409, None),
        (Reason.BUSY, 1013, 1.0),
        (Reason.OWNER_GONE, 1013, 0.25),
        (Reason.LIMIT, 1013, 1.0),
        (Reason.STOPPING, 1001, 1.0),
        (Reason.FAILED, 1011, 1.0),
    ],
)
def test_a_client_that_comes_at_a_bad_time_hears_when_to_come_back(
    reason: Reason, code: int, retry: float | None
) -> None:
    answer = Own().refuse(Hello(subprotocols=["anywire.json.1"]), Why(reason))
    assert answer.code == code
    (bye,) = said(answer)
    assert (bye["type"], bye["code"], bye.get("retry")) == ("bye", code, retry)
    assert bye["text"] == answer.reason == reason.value.replace("_", " ")


def test_a_long_text_is_cut_for_the_close_and_whole_in_the_message() -> None:
    answer = Own().refuse(
        Hello(subprotocols=["anywire.json.1"]), Why(Reason.BUSY, text="\u20ac" * 60)
    )
    assert answer.reason == "\u20ac" * 41
    assert said(answer)[0]["text"] == "\u20ac" * 60


def test_a_foreign_origin_gets_no_upgrade() -> None:
    answer = Own().refuse(Hello(subprotocols=["anywire.json.1"]), Why(Reason.ORIGIN))
    assert (answer.status, answer.code) == (403, None)
    assert not answer.payloads and b"origin" in answer.body


# --- requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", [{}, {"protocol": "anywire.json.1"}, {"received": "3"}])
def test_a_poll_that_names_no_session_opens_one(query: dict[str, str]) -> None:
    opening = opened(Own(), carrier=Carrier.POLL, query=query)
    assert opening.role is Role.NEW
    assert opening.session == Hello(seed=b"x" * 32).id(0)
    assert opening.machine is not None
    assert opening.machine.codec.name == "anywire.json"
    assert Cap.RESUME in opening.machine.caps


def test_a_poll_says_its_protocol_in_the_query() -> None:
    query = {"protocol": "anywire.msgpack.1"}
    machine = opened(Own(), carrier=Carrier.POLL, query=query).machine
    assert machine is not None and machine.codec.name == "anywire.msgpack"


def test_a_poll_with_a_count_resumes() -> None:
    opening = opened(Own(), carrier=Carrier.POLL, query=RESUME)
    assert opening.role is Role.RESUME
    assert opening.machine is not None
    assert (opening.session, opening.token, opening.received) == ("s", "t", 3)


@pytest.mark.parametrize(
    ("carrier", "role"), [(Carrier.POLL, Role.DOWNLINK), (Carrier.POST, Role.UPLINK)]
)
def test_what_follows_names_its_session_and_its_secret(carrier: Carrier, role: Role) -> None:
    opening = opened(Own(), carrier=carrier, query={"session": "s", "resume": "t"})
    assert (opening.role, opening.session, opening.token) == (role, "s", "t")
    assert opening.machine is None


def test_a_post_never_resumes() -> None:
    assert opened(Own(), carrier=Carrier.POST, query=RESUME).role is Role.UPLINK


@pytest.mark.parametrize(
    "query",
    [
        {"protocol": "anywire.json.2"},
        {"session": "s"},
        {"session": "", "resume": "t"},
        {"session": "s", "resume": ""},
        {"session": "s" * 129, "resume": "t"},
        {"session": "s", "resume": "t" * 129},
        {"session": "s", "resume": "t", "received": "-1"},
        {"session": "s", "received": "1"},
        {"session": "s", "ack": "1"},
    ],
)
@pytest.mark.parametrize("carrier", [Carrier.POLL, Carrier.EVENTS, Carrier.STREAM])
def test_a_request_that_makes_no_sense_is_a_bad_request(
    carrier: Carrier, query: dict[str, str]
) -> None:
    answer = Own().open(Hello(carrier=carrier, query=query))
    assert isinstance(answer, Answer)
    assert (answer.status, answer.code) == (400, None)
    assert answer.body


def test_a_post_without_a_session_is_a_bad_request() -> None:
    answer = Own().open(Hello(carrier=Carrier.POST))
    assert isinstance(answer, Answer) and answer.status == 400


def test_long_polls_need_a_server_that_keeps_sessions() -> None:
    answer = Own().open(Hello(carrier=Carrier.POLL, limits=Limits(resume=0)))
    assert isinstance(answer, Answer) and answer.status == 400
    assert b"Limits.resume" in answer.body


def test_the_beat_of_polls_is_the_mounts_own_or_the_limits() -> None:
    for wire, beat in ((Own(), 25.0), (Own(beat=3.0), 3.0)):
        machine = opened(wire, carrier=Carrier.POLL).machine
        assert machine is not None
        machine.opened(0.0)
        assert machine.deadline() == beat


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.UNKNOWN, 404),
        (Reason.OWNER_GONE, 404),
        (Reason.FORBIDDEN, 403),
        (Reason.ORIGIN, 403),
        (Reason.TAKEN, 409),
        (Reason.LIMIT, 429),
        (Reason.BUSY, 503),
        (Reason.STOPPING, 503),
        (Reason.FAILED, 500),
    ],
)
@pytest.mark.parametrize("carrier", [Carrier.POLL, Carrier.EVENTS, Carrier.STREAM, Carrier.POST])
def test_a_request_that_is_refused_gets_a_status(
    carrier: Carrier, reason: Reason, status: int
) -> None:
    answer = Own().refuse(Hello(carrier=carrier), Why(reason))
    assert (answer.status, answer.code, answer.payloads) == (status, None, ())
    assert answer.body


def test_a_poll_that_is_refused_hears_the_applications_code_and_words() -> None:
    why = Why(Reason.FORBIDDEN, "bad_token", "wrong token", {"got": 1})
    answer = Own().refuse(Hello(carrier=Carrier.POLL), why)
    assert ("X-Anywire-Code", "bad_token") in answer.headers
    assert answer.body == b"wrong token\n"


# --- which request is answered how ----------------------------------------------------------------


GETS = (Carrier.POLL, Carrier.EVENTS, Carrier.STREAM)


@pytest.mark.parametrize("carrier", GETS)
@pytest.mark.parametrize(
    "query",
    [{}, RESUME, {"session": "s", "resume": "t"}, {"session": "s", "resume": "t", "ack": "2"}],
)
def test_each_request_for_what_is_said_is_told_how_it_is_answered(
    carrier: Carrier, query: dict[str, str]
) -> None:
    limits = Limits(poll=3.0, poll_gap=4.0)
    opening = opened(Own(), carrier=carrier, query=query, limits=limits)
    wait = 3.0 if carrier is Carrier.POLL else 0.0
    assert opening.downlink is downlink(carrier, is_binary=False, wait=3.0, gap=4.0)
    assert (opening.downlink.wait, opening.downlink.gap) == (wait, 4.0)
    assert opening.uplink is None
    assert opening.upgrade is None


@pytest.mark.parametrize("carrier", [Carrier.POLL, Carrier.STREAM])
def test_messagepack_has_answers_of_its_own(carrier: Carrier) -> None:
    query = {"protocol": "anywire.msgpack.1"}
    said = opened(Own(), carrier=carrier, query=query).downlink
    assert said is downlink(carrier, is_binary=True, wait=25.0, gap=15.0)


def test_an_event_stream_holds_no_messagepack() -> None:
    query = {"protocol": "anywire.msgpack.1"}
    answer = Own().open(Hello(carrier=Carrier.EVENTS, query=query))
    assert isinstance(answer, Answer) and answer.status == 400
    assert b"anywire.json.1" in answer.body


@pytest.mark.parametrize("carrier", GETS)
def test_a_request_may_say_what_it_has(carrier: Carrier) -> None:
    query = {"session": "s", "resume": "t"}
    opening = opened(Own(), carrier=carrier, query={**query, "ack": "3"})
    assert (opening.role, opening.machine, opening.received) == (Role.DOWNLINK, None, 3)
    assert opened(Own(), carrier=carrier, query=query).received is None
    resume = opened(Own(), carrier=carrier, query={**query, "ack": "3", "received": "4"})
    assert (resume.role, resume.received) == (Role.RESUME, 4)


def test_a_post_may_say_how_many_came_before_it() -> None:
    query = {"session": "s", "resume": "t"}
    for told, first in (({}, None), ({"from": "0"}, 0), ({"from": "7"}, 7)):
        uplink = opened(Own(), carrier=Carrier.POST, query={**query, **told}).uplink
        assert uplink is not None
        assert (uplink.first, uplink.is_alone) == (first, False)


def test_a_post_is_read_as_a_body_and_answered_with_nothing() -> None:
    opening = opened(Own(), carrier=Carrier.POST, query={"session": "s", "resume": "t"})
    assert opening.downlink is None and opening.uplink is not None
    assert opening.uplink.unpack(b"{}\x1e[]") == ["{}", "[]"]
    with pytest.raises(ProtocolError):
        opening.uplink.unpack(b"\xff")
    taken = opening.uplink.taken
    assert (taken.status, taken.body) == (204, b"")
    assert dict(taken.headers)["Cache-Control"].startswith("no-store")


@pytest.mark.parametrize("count", ["", "-1", "1.5", "9" * 19, "x"])
def test_a_count_that_is_none_is_a_bad_request(count: str) -> None:
    query = {"session": "s", "resume": "t"}
    for carrier, name in ((Carrier.POLL, "ack"), (Carrier.EVENTS, "ack"), (Carrier.POST, "from")):
        answer = Own().open(Hello(carrier=carrier, query={**query, name: count}))
        assert isinstance(answer, Answer) and answer.status == 400
        assert name.encode() in answer.body
