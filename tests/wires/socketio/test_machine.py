"""The server's end of Socket.IO; transcripts have more."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import Args, Body
from anywire.errors import ProtocolError
from anywire.frames import (
    Auth,
    Beat,
    Bye,
    Event,
    Frame,
    Gap,
    Item,
    Join,
    Joined,
    Leave,
    Presence,
    Refusal,
    Reply,
    Want,
    Welcome,
)
from anywire.limits import Limits
from anywire.payload import Message, Payload
from anywire.wires.base import Cap, Hello, Opening
from anywire.wires.socketio import SocketIO
from anywire.wires.socketio.codec import MARKED, write
from anywire.wires.socketio.machine import ATTACHMENTS_WITHIN, SocketIoMachine

QUERY = {"EIO": "4", "transport": "websocket"}
PLACE = '{"_placeholder":true,"num":0}'


def opened(limits: Limits | None = None, *, seed: int = 1, **options: Any) -> SocketIoMachine:
    """One whose transport stands since 0.0, its handshake taken."""
    wire = SocketIO(**{"home": "desk", **options})
    opening = wire.open(Hello(query=QUERY, seed=bytes([seed]) * 32, limits=limits or Limits()))
    assert isinstance(opening, Opening) and isinstance(opening.machine, SocketIoMachine)
    machine = opening.machine
    assert machine.opened(0.0) == ()
    machine.due()
    return machine


def connected(
    *namespaces: str, limits: Limits | None = None, seed: int = 1, **options: Any
) -> SocketIoMachine:
    """One whose client has proved who it is, and asked for these namespaces."""
    machine = opened(limits, seed=seed, **options)
    machine.send(Welcome("s", None, 25.0))
    for namespace in namespaces or ("/",):
        (join,) = machine.receive(f"40{namespace},", 0.0)
        assert isinstance(join, Join)
    return machine


def heard(machine: SocketIoMachine, *messages: Message, now: float = 1.0) -> list[Frame]:
    return [frame for message in messages for frame in machine.receive(message, now)]


def code(machine: SocketIoMachine, *messages: Message) -> int:
    """The close code of what breaks the rules; only the last message does."""
    heard(machine, *messages[:-1])
    with pytest.raises(ProtocolError) as caught:
        machine.receive(messages[-1], 1.0)
    return caught.value.code


def said(machine: SocketIoMachine, *frames: Frame) -> list[Message]:
    return messages(payload for frame in frames for payload in machine.send(frame))


def messages(payloads: Any) -> list[Message]:
    return [message for payload in payloads for message in payload.messages()]


def values(data: object) -> Any:
    assert isinstance(data, Args)
    return data.value()


# --- namespaces -----------------------------------------------------------------------------------


def test_the_first_namespace_that_is_asked_for_brings_the_credentials() -> None:
    machine = opened()
    auth, join = heard(machine, '40{"token":"x"}')
    assert isinstance(auth, Auth) and isinstance(join, Join)
    assert (auth.ref, auth.is_final) == ("/", False)
    assert (join.ref, join.address, join.alias, join.token) == (None, "desk", "/", "")
    assert values(auth.credentials) == values(join.params) == {"token": "x"}


def test_it_has_as_many_memberships_as_it_likes_and_counts_nothing() -> None:
    machine = connected("/", "/chat")
    assert (machine.is_single, machine.received) == (False, 0)
    heard(machine, '42["a"]', '42/chat,["a"]')
    assert machine.received == 0


def test_credentials_are_shown_until_they_are_right() -> None:
    machine = opened()
    assert [type(frame) for frame in heard(machine, "40", "40/a,")] == [Auth, Join, Auth, Join]
    assert said(machine, Welcome("s", "secret", 25.0)) == []
    assert [type(frame) for frame in heard(machine, "40/b,", "40/c,")] == [Join, Join]


@pytest.mark.parametrize(
    ("namespace", "address"),
    [
        ("/chat", "io-chat"),
        ("/chat:lobby", "io-chat:lobby"),
        ("/a/b?c=d", "io-a/b?c=d"),
        ("/__proto__", "io-__proto__"),
        ("/é", "io-é"),
        ("/ ", "io- "),
    ],
)
def test_a_namespace_without_its_slash_is_an_address(namespace: str, address: str) -> None:
    (join,) = heard(connected("/x", prefix="io-"), f"40{namespace},")
    assert isinstance(join, Join) and (join.address, join.alias) == (address, namespace)


def test_the_main_namespace_is_the_home_or_there_is_none() -> None:
    (join,) = heard(connected("/a", home="lobby", prefix="x"), "40")
    assert isinstance(join, Join) and join.address == "lobby"
    for home in (None, ""):
        machine = opened(home=home)
        assert heard(machine, "40") == []
        assert messages(machine.due()) == ['44{"message":"Invalid namespace"}']


def test_who_asks_twice_for_a_namespace_is_answered_once() -> None:
    machine = opened()
    assert len(heard(machine, "40", "40", "40{}")) == 2
    assert not machine.due()
    said(machine, Joined(None, "/"))
    assert heard(machine, "40") == []


def test_a_namespace_may_be_left_and_asked_for_again() -> None:
    machine = connected("/", "/chat")
    (leave,) = heard(machine, "41/chat,")
    assert leave == Leave("/chat", text="client namespace disconnect")
    assert [type(frame) for frame in heard(machine, "40/chat,", "41", "40")] == [Join, Leave, Join]


def test_a_client_may_be_in_so_many_namespaces_and_no_more() -> None:
    machine = connected("/a", "/b", limits=Limits(members=2))
    assert heard(machine, "40/c,") == []
    assert messages(machine.due()) == ['44/c,{"message":"Invalid namespace"}']
    heard(machine, "41/a,")
    assert len(heard(machine, "40/c,")) == 1


def test_a_namespace_that_is_refused_may_be_asked_for_again() -> None:
    machine = connected("/")
    said(machine, Refusal(None, "/", "staff_only"))
    assert [type(frame) for frame in heard(machine, "40")] == [Join]


@pytest.mark.parametrize(
    ("refusal", "text"),
    [
        (Refusal(None, "/", "no"), '44{"message":"no","data":{"code":"no"}}'),
        (Refusal(None, "/", "no", "not you"), '44{"message":"not you","data":{"code":"no"}}'),
        (
            Refusal(None, "/chat", "no", "not you", Body.of({"a": [1]})),
            '44/chat,{"message":"not you","data":{"a":[1]}}',
        ),
        (Refusal("/chat", None, "no"), '44/chat,{"message":"no","data":{"code":"no"}}'),
        (Refusal(7, None, "no"), '44{"message":"no","data":{"code":"no"}}'),
        (
            Refusal(None, "/x", "unknown_address", "no channel takes it", Body.of(1)),
            '44/x,{"message":"Invalid namespace"}',
        ),
    ],
)
def test_a_refusal_is_a_connect_error(refusal: Refusal, text: str) -> None:
    assert said(connected("/", "/chat", "/x"), refusal) == [text]


@pytest.mark.parametrize(
    ("refusal", "text"),
    [
        (
            Refusal(None, "/", "invalid", "a number", event="say"),
            '42["error",{"event":"say","code":"invalid","text":"a number"}]',
        ),
        (
            Refusal(None, "/chat", "invalid", "", Body.of({"at": 1}), event="say"),
            '42/chat,["error",{"event":"say","code":"invalid","text":"","data":{"at":1}}]',
        ),
        (
            Refusal(None, None, "busy", event=""),
            '42["error",{"event":"","code":"busy","text":""}]',
        ),
    ],
)
def test_an_event_that_is_refused_is_an_event(refusal: Refusal, text: str) -> None:
    machine = connected("/", "/chat")
    assert said(machine, refusal) == [text]
    assert heard(machine, '42["a"]', '42/chat,["a"]'), "it is joined as before"


def test_an_answer_says_who_one_is_there() -> None:
    machine = connected()
    assert said(machine, Joined(None, "/", member="n1.s.1")) == ['40{"sid":"n1.s.1"}']
    joined = Joined(None, "/chat", member="n1.s.2", token="n1.s.2~secret")
    assert said(machine, joined) == ['40/chat,{"sid":"n1.s.2","pid":"n1.s.2~secret"}']


def test_what_a_join_says_stands_beside_who_one_is() -> None:
    joined = Joined(None, "/", Body.of({"topic": "tea"}), member="m", token="t")
    assert said(connected(), joined) == ['40{"sid":"m","pid":"t","data":{"topic":"tea"}}']
    joined = Joined(None, "/", Body.of(b"\x00"), member="m")
    assert said(connected(), joined) == ['40{"sid":"m","data":"AA=="}']


def test_who_is_put_out_of_a_namespace_is_told_so() -> None:
    assert said(connected(), Leave("/", code="kicked")) == ["41"]
    assert said(connected("/chat"), Leave("/chat")) == ["41/chat,"]


# --- where one is not -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    ['42/chat,["a"]', '42/chat,7["a",1]', '42/chat,[ "a"]', "43/chat,7[]", "41/chat,"],
)
def test_nobody_speaks_where_it_did_not_ask_to_be(message: str) -> None:
    assert code(connected("/"), message) == 4400
    assert code(opened(), message) == 4400
    assert code(connected("/chat"), "41/chat,", message) == 4400


def test_nobody_speaks_with_bytes_where_it_did_not_ask_to_be() -> None:
    assert code(connected("/"), f'451-/chat,["a",{PLACE}]', b"x") == 4400


@pytest.mark.parametrize("frame", [Leave("/chat"), Refusal(None, "/chat", "no")])
def test_what_one_says_who_does_not_know_yet_that_it_was_put_out_is_passed_over(
    frame: Frame,
) -> None:
    machine = connected("/", "/chat")
    said(machine, frame)
    assert heard(machine, '42/chat,["a"]', "43/chat,7[]", '42/chat,[ "a"]', "41/chat,") == []
    assert heard(machine, f'451-/chat,["a",{PLACE}]', b"x") == []
    (join,) = heard(machine, "40/chat,")
    assert isinstance(join, Join)
    assert [type(frame) for frame in heard(machine, '42/chat,["a"]', "41/chat,")] == [Event, Leave]
    assert code(machine, '42/chat,["a"]') == 4400


def test_what_never_was_joined_is_not_remembered() -> None:
    machine = connected("/")
    said(machine, Leave("/other"), Leave("/other"))
    assert code(machine, '42/other,["a"]') == 4400
    assert said(opened(), Refusal("/x", None, "no")) != []


def test_so_many_namespaces_are_remembered_and_no_more() -> None:
    machine = connected("/a", limits=Limits(members=1))
    said(machine, Leave("/a"))
    heard(machine, "40/b,")
    said(machine, Leave("/b"))
    assert heard(machine, '42/a,["x"]') == []
    assert code(machine, '42/b,["x"]') == 4400


# --- events ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "event", "args", "ref"),
    [
        ('42["say",1]', "say", [1], None),
        ('42[ "say",1]', "say", [1], None),
        ('427["say"]', "say", [], 7),
        ('427[ "say"]', "say", [], 7),
        ("42[1]", "1", [], None),
        ('42["__proto__",{}]', "__proto__", [{}], None),
    ],
)
def test_an_event_asks_for_an_answer_when_it_has_a_number(
    message: str, event: str, args: list[object], ref: int | None
) -> None:
    (frame,) = heard(connected(), message)
    assert isinstance(frame, Event)
    assert (frame.alias, frame.event, values(frame.args), frame.ref) == ("/", event, args, ref)
    assert frame.want is (Want.NOTHING if ref is None else Want.REPLY)


def test_an_acknowledgement_is_the_answer_to_a_question() -> None:
    machine = connected("/chat")
    assert said(machine, Event("/chat", "ask", Body.of(1), ref=7)) == ['42/chat,7["ask",1]']
    (reply,) = heard(machine, '43/chat,7["yes",2]')
    assert isinstance(reply, Reply) and (reply.ref, reply.alias, reply.code) == (7, "/chat", "")
    assert values(reply.data) == ["yes", 2]
    (reply,) = heard(machine, '43/chat,7[{"error":{"code":"busy","text":"no"}}]')
    assert isinstance(reply, Reply) and (reply.code, reply.text) == ("busy", "no")


def test_an_answer_is_an_acknowledgement() -> None:
    assert said(connected(), Reply(7, "/", Body.of("a", 2))) == ['437["a",2]']


def test_what_a_server_says_beside_is_events() -> None:
    machine = connected(recovery=True)
    payloads = [
        *machine.send(Presence("/", {"ana": [{}]}, {}, whole=True)),
        *machine.send(Gap("/", 3)),
    ]
    assert messages(payloads) == [
        '42["presence",{"joined":{"ana":[{}]},"left":{},"whole":true}]',
        '42["gap",{"lost":3}]',
    ]
    assert not any(payload.counted for payload in payloads)


def test_what_there_are_no_words_for_is_not_said() -> None:
    assert said(connected(), Item(1, Body.of(1)), Beat(is_answer=True)) == []


# --- attachments ----------------------------------------------------------------------------------


def test_an_event_waits_for_its_attachments() -> None:
    machine = connected()
    assert heard(machine, f'452-7["file",{PLACE},{{"num":1,"_placeholder":true}}]', b"one") == []
    (event,) = heard(machine, b"two")
    assert isinstance(event, Event) and (event.event, event.ref) == ("file", 7)
    assert values(event.args) == [b"one", b"two"]


def test_an_acknowledgement_waits_for_its_attachments() -> None:
    machine = connected()
    assert heard(machine, f"461-7[{PLACE}]") == []
    (reply,) = heard(machine, b"x")
    assert isinstance(reply, Reply) and values(reply.data) == [b"x"]


def test_a_pong_may_come_before_an_attachment() -> None:
    machine = connected()
    frames = heard(machine, f'451-["a",{PLACE}]', "3", b"x")
    assert [type(frame) for frame in frames] == [Beat, Event]


@pytest.mark.parametrize("message", ['42["a"]', "40/x,", "41", "431[]", '451-["a"]', "4", "4x"])
def test_a_packet_before_the_last_attachment_breaks_the_rules(message: str) -> None:
    assert code(connected(), f'452-["a",{PLACE}]', b"x", message) == 4400


def test_an_attachment_of_no_packet_breaks_the_rules() -> None:
    assert code(connected(), b"x") == 4400
    assert code(connected(), '450-["a"]', b"x") == 4400
    assert code(connected(), f'451-["a",{PLACE}]', b"x", b"y") == 4400


def test_a_packet_that_announces_none_does_not_wait() -> None:
    (event,) = heard(connected(), '450-["a",1]')
    assert isinstance(event, Event) and values(event.args) == [1]


def test_too_many_attachments_break_the_rules_and_so_do_too_many_bytes() -> None:
    limits = Limits(attachments=2, message=20)
    assert code(connected(limits=limits), '453-["a"]') == 1009
    assert code(connected(limits=limits), '452-["a"]', b"x" * 20, b"y") == 1009


def test_attachments_that_do_not_come_end_the_connection() -> None:
    machine = connected()
    heard(machine, f'452-["a",{PLACE}]', now=5.0)
    machine.tick(25.0)
    heard(machine, "3", now=26.0)
    until = 5.0 + ATTACHMENTS_WITHIN
    assert machine.deadline() == until
    heard(machine, b"x", now=30.0)
    assert machine.deadline() == until, "the first of two is not the last"
    assert machine.tick(until - 0.1) == ()
    with pytest.raises(ProtocolError) as caught:
        machine.tick(until)
    assert caught.value.code == 4400


def test_attachments_that_have_come_end_nothing() -> None:
    machine = connected()
    heard(machine, f'451-["a",{PLACE}]', b"x", now=5.0)
    assert machine.deadline() == 25.0
    assert machine.tick(25.0) == (Beat(is_own=True),)


# --- bounds ---------------------------------------------------------------------------------------


def test_a_message_has_a_bounded_number_of_bytes() -> None:
    limits = Limits(message=20)
    fits = f'42["a","{"x" * 10}"]'
    assert len(fits) == 20 and heard(connected(limits=limits), fits)
    assert code(connected(limits=limits), f'42["a","{"x" * 11}"]') == 1009
    assert heard(connected(limits=limits), f'42["a","{"é" * 5}"]')
    assert code(connected(limits=limits), f'42["a","{"é" * 6}"]') == 1009
    assert code(connected(limits=limits), '42["a","%s"]' % ("\ud800" * 12)) == 1009


@pytest.mark.parametrize("message", ["44", '44{"message":"no"}', "44/chat,"])
def test_a_client_says_no_connect_error(message: str) -> None:
    assert code(connected("/", "/chat"), message) == 4400


@pytest.mark.parametrize("message", ["", "0", "2", "7", "x"])
def test_what_is_no_packet_of_a_client_breaks_the_rules(message: str) -> None:
    assert code(connected(), message) == 4400


# --- time -----------------------------------------------------------------------------------------


def test_a_client_that_asks_for_no_namespace_is_closed() -> None:
    machine = opened(connect_timeout=10.0)
    assert machine.deadline() == 10.0
    assert machine.tick(9.9) == ()
    assert machine.tick(10.0) == (Bye(4410, "no namespace was asked for in time"),)
    assert machine.deadline() == 25.0


def test_who_asks_for_one_that_is_none_has_not_asked() -> None:
    machine = opened(home=None, connect_timeout=10.0)
    heard(machine, "40")
    assert machine.deadline() == 10.0


def test_who_has_asked_in_time_is_pinged_as_long_as_it_answers() -> None:
    machine = opened(connect_timeout=10.0)
    heard(machine, "40")
    assert machine.deadline() == 25.0
    assert machine.tick(25.0) == (Beat(is_own=True),)
    assert said(machine, Beat(is_own=True)) == ["2"]
    machine.heard(30.0)
    assert machine.deadline() == 45.0, "only a pong counts"
    assert heard(machine, "3", now=31.0) == [Beat(is_answer=True)]
    assert machine.deadline() == 56.0
    machine.tick(56.0)
    assert machine.tick(76.0) == (Bye(4410, "ping timeout"),)
    assert machine.deadline() is None


def test_pings_come_before_the_patience_is_over_where_they_are_frequent() -> None:
    machine = opened(connect_timeout=10.0, ping=4.0, ping_timeout=20.0)
    assert machine.deadline() == 4.0
    assert machine.tick(4.0) == (Beat(is_own=True),)
    assert machine.deadline() == 10.0


# --- the end --------------------------------------------------------------------------------------


def test_a_client_that_is_to_stay_away_is_disconnected_from_each_namespace() -> None:
    machine = connected("/", "/chat", "/gone")
    said(machine, Leave("/gone"))
    out = said(machine, Bye(4403, "banned", retry=None))
    assert sorted(map(str, out[:-1])) == ["41", "41/chat,"]
    assert out[-1] == "1"


def test_a_client_that_is_to_come_back_is_not() -> None:
    assert said(connected("/", "/chat"), Bye(1001, "restart", retry=1.0)) == ["1"]
    assert said(opened(), Bye(1001, "restart", retry=None)) == ["1"]


def test_a_client_that_has_left_is_told_nothing() -> None:
    machine = connected("/", "/chat")
    assert heard(machine, "1") == [Bye(1000)]
    assert said(machine, Bye(1000, retry=None)) == []


def test_a_client_that_broke_the_rules_is_told_nothing() -> None:
    assert said(connected(), Bye(4400, "no packet", retry=1.0)) == []


# --- marks ----------------------------------------------------------------------------------------


def test_what_one_client_alone_hears_has_marks_of_its_own() -> None:
    one, two = connected(recovery=True), connected(recovery=True, seed=2)
    out = [str(said(each, Event("/", "n", Body.of(1)))[0]) for each in (one, one, two)]
    marks = [json.loads(text[2:])[-1] for text in out]
    assert len(set(marks)) == 3
    assert marks[0].endswith("-1") and marks[1].endswith("-2")
    assert marks[0].rpartition("-")[0] == marks[1].rpartition("-")[0] != marks[2].rpartition("-")[0]


def test_volatile_and_acknowledged_events_have_none() -> None:
    machine = connected(recovery=True)
    volatile = machine.send(Event("/", "n", Body.of("x"), volatile=True))
    asked = machine.send(Event("/", "n", Body.of("x"), ref=7, want=Want.REPLY))
    assert messages([*volatile, *asked]) == ['42["n","x"]', '427["n","x"]']
    assert not any(payload.counted for payload in (*volatile, *asked))
    assert volatile[0].volatile and not asked[0].volatile
    (text,) = said(machine, Event("/", "n", Body.of("x")))
    assert str(text).endswith('-1"]'), "they are not counted neither"


def test_without_recovery_there_are_none() -> None:
    for machine in (connected(), connected(limits=Limits(resume=0), recovery=True)):
        assert Cap.ADOPT not in machine.caps
        (payload,) = machine.send(Event("/", "n", Body.of(1)))
        assert (messages([payload]), payload.counted) == (['42["n",1]'], False)


# --- going on with a membership -------------------------------------------------------------------


def joining(auth: str, **options: Any) -> Join:
    machine = connected("/x", **{"recovery": True, **options})
    (join,) = heard(machine, f"40{auth}")
    assert isinstance(join, Join)
    return join


@pytest.mark.parametrize(
    ("auth", "token", "mark", "params"),
    [
        ('{"pid":"id~secret","offset":"~7"}', "id~secret", "~7", {}),
        ('{"pid":"id~secret"}', "id~secret", None, {}),
        ('{"pid":"p","offset":7,"name":"ana"}', "p", None, {"name": "ana"}),
        ('{"offset":"~7"}', "", None, {"offset": "~7"}),
        ('{"pid":7,"offset":"~7"}', "", None, {"pid": 7, "offset": "~7"}),
        ('{"pid":"","offset":"~7"}', "", "~7", {}),
        ("", "", None, {}),
        ("{}", "", None, {}),
    ],
)
def test_what_a_connect_says_of_a_membership_is_no_parameter_of_the_join(
    auth: str, token: str, mark: str | None, params: object
) -> None:
    join = joining(auth)
    assert (join.token, join.mark, values(join.params)) == (token, mark, params)


def test_it_is_no_credential_neither() -> None:
    machine = opened(recovery=True)
    auth, join = heard(machine, '40{"pid":"p","offset":"o","token":"t"}')
    assert isinstance(auth, Auth) and isinstance(join, Join)
    assert values(auth.credentials) == {"token": "t"}


def test_where_nobody_goes_on_it_is_a_parameter_like_any_other() -> None:
    join = joining('{"pid":"p"}', recovery=False)
    assert (join.token, values(join.params)) == ("", {"pid": "p"})


def test_a_payload_that_no_one_can_read_is_left_to_who_says_so() -> None:
    join = joining('{"pid":"p","size":1e999}')
    assert join.token == ""
    assert isinstance(join.params, Args)
    with pytest.raises(ValueError, match="out of range"):
        join.params.value()


def numbers(payloads: Sequence[Payload] | None) -> list[int] | None:
    """The first argument of each."""
    if payloads is None:
        return None
    texts = [payload.data.decode() for payload in payloads]
    return [json.loads(text[text.index("[") :])[1] for text in texts]


def marked(alias: str, number: int, mark: str | None, *rest: object) -> Payload:
    return write(alias, "n", Body.of(number, *rest), mark=mark)


TAIL = [
    marked("/", 1, "~1"),
    marked("/chat", 2, "~2"),
    marked("/", 3, "~0123abcd-1", b"\x00"),
    marked("/chat", 4, "~3", b"\x00"),
    marked("/", 5, "~4"),
    marked("/chat", 6, "~5"),
]


@pytest.mark.parametrize(
    ("alias", "mark", "missed"),
    [
        ("/", None, [1, 3, 5]),
        ("/", "~1", [3, 5]),
        ("/", "~0123abcd-1", [5]),
        ("/", "~4", []),
        ("/", "~0", [1, 3, 5]),
        ("/", "~3", [1, 3, 5]),
        ("/chat", None, [2, 4, 6]),
        ("/chat", "~2", [4, 6]),
        ("/chat", "~3", [6]),
        ("/chat", "~5", []),
        ("/ch", None, []),
        ("/chat2", "~2", []),
    ],
)
def test_what_was_missed_is_what_follows_the_mark_in_its_namespace(
    alias: str, mark: str | None, missed: list[int]
) -> None:
    found = connected(recovery=True).missed(TAIL, alias, mark, is_whole=True)
    assert numbers(found) == missed


@pytest.mark.parametrize(
    ("mark", "missed"), [("~1", [3, 5]), ("~4", []), (None, None), ("~0", None), ("x", None)]
)
def test_what_is_forgotten_is_known_only_behind_a_mark_that_is_still_there(
    mark: str | None, missed: list[int] | None
) -> None:
    found = connected(recovery=True).missed(TAIL, "/", mark, is_whole=False)
    assert numbers(found) == missed


@pytest.mark.parametrize("mark", ["", "7", "text", "~", "~x", 'x","~1', "~1 ", "0123abcd-1"])
def test_what_is_no_mark_says_nothing_of_what_was_heard(mark: str) -> None:
    assert connected(recovery=True).missed(TAIL, "/", mark, is_whole=True) is None


def test_what_a_client_said_itself_is_no_mark() -> None:
    tail = [
        write("/", "n", Body.of(1, "~1"), volatile=True),
        marked("/", 2, "~2", "~1"),
        marked("/", 3, "~1"),
        marked("/", 4, "~3"),
    ]
    found = connected(recovery=True).missed(tail, "/", "~1", is_whole=True)
    assert numbers(found) == [4]


def test_what_else_waits_is_said_again_but_for_questions() -> None:
    machine = connected("/", "/chat", recovery=True)
    waiting: list[Frame] = [
        Event("/", "n", Body.of(1), volatile=True),
        Event("/", "n", Body.of(2), ref=7, want=Want.REPLY),
        Event("/", "n", Body.of(b"\x00", 2), ref=8, want=Want.REPLY),
        Reply(1, "/", Body.of(0, 3)),
        Reply(2, "/", Body.of(b"\x00", 4)),
        Reply(3, "/chat", Body.of(0, 5)),
        Presence("/", {}, {}),
        Beat(is_own=True),
        Leave("/other"),
        Joined(None, "/chat", member="m"),
        Refusal(None, "/x", "no"),
    ]
    tail = [payload for frame in waiting for payload in machine.send(frame)]
    found = machine.missed(tail, "/", None, is_whole=True)
    assert found is not None
    assert [str(message)[:3] for message in messages(found) if isinstance(message, str)] == [
        "42[",
        "431",
        "461",
        "42[",
    ]
    assert machine.missed(tail, "/chat", None, is_whole=True) == [tail[5]]


@pytest.mark.parametrize("alias", ["/", "/a", "/a[", "/a[b", "/1", "/é", '/["n"]', "/a-b", "/5-"])
def test_namespaces_that_resemble_each_other_are_told_apart(alias: str) -> None:
    others = ["/", "/a", "/a[", "/a[b", "/1", "/é", '/["n"]', "/a-b", "/5-"]
    tail = [marked(each, number, f"~{number}") for number, each in enumerate(others)]
    tail += [marked(each, number, f"~1{number}", b"") for number, each in enumerate(others)]
    machine = connected(recovery=True)
    found = machine.missed(tail, alias, None, is_whole=True)
    number = others.index(alias)
    assert found == [tail[number], tail[number + len(others)]]


def test_the_codec_of_who_may_go_on_says_marks() -> None:
    assert connected(recovery=True).codec is MARKED
    assert connected(recovery=True).caps == MARKED.caps


# --- junk -----------------------------------------------------------------------------------------

packets = (
    st.text(max_size=12)
    | st.text('0123456/,-[]{}":ab_', max_size=12).map(lambda text: f"4{text}")
    | st.binary(max_size=4)
    | st.sampled_from(
        ["40", "41", '42["a"]', "3", "1", f'451-["a",{PLACE}]', "40/a,", '40{"pid":"a","x":1e999}']
    )
)


@given(st.lists(packets, max_size=12), st.booleans())
def test_any_conversation_is_frames_or_a_protocol_error(
    conversation: list[Message], recovery: bool
) -> None:
    machine = opened(recovery=recovery)
    for now, message in enumerate(conversation):
        try:
            frames = machine.receive(message, float(now))
        except ProtocolError as error:
            assert error.code in (4400, 1009)
            return
        assert all(isinstance(frame, Frame) for frame in frames)
        machine.due()
