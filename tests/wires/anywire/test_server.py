"""The own wire as configured: openings (more in the vectors), refusals, carriers."""

import json

import pytest

from anywire.errors import Unsupported
from anywire.limits import Limits
from anywire.payload import Carrier
from anywire.wires.anywire import Own
from anywire.wires.base import Answer, Cap, Hello, Opening, Reason, Role, Route, Why

RESUME = {"session": "s", "resume": "t", "received": "3"}


def opened(wire: Own, **hello: object) -> Opening:
    opening = wire.open(Hello(seed=b"x" * 32, **hello))  # type: ignore[arg-type]
    assert isinstance(opening, Opening)
    return opening


def said(answer: Answer) -> list[dict[str, object]]:
    return [json.loads(message) for payload in answer.payloads for message in payload.messages()]


def test_the_path_is_one_websocket() -> None:
    assert Own().routes() == (Route("GET", "/ws", Carrier.WEBSOCKET),)
    assert Own("/live").routes()[0].path == "/live"


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
        (Reason.OWNER_GONE, 1013, 1.0),
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


def test_there_is_only_a_websocket() -> None:
    with pytest.raises(Unsupported, match="events"):
        Own().pack(Carrier.EVENTS, [])
    with pytest.raises(Unsupported, match="post"):
        Own().unpack(Carrier.POST, b"")
