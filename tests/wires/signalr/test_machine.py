"""The server's end of SignalR; transcripts have more."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import Args, Body
from anywire.errors import ProtocolError
from anywire.frames import (
    Ack,
    Beat,
    Bye,
    Cancel,
    End,
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
from anywire.wires.base import Cap
from anywire.wires.signalr.codec import JSON, MSGPACK, PROTOCOLS
from anywire.wires.signalr.counting import ACK_EVERY
from anywire.wires.signalr.machine import HANDSHAKE, Rhythm, SignalRMachine
from anywire.wires.signalr.records import framed

HAND = '{"protocol":"json","version":1}\x1e'
PACKED = b'{"protocol":"messagepack","version":1}\x1e'
RHYTHM = Rhythm(15.0, 30.0)
pack = msgspec.msgpack.encode


def opened(limits: Limits | None = None, *, rhythm: Rhythm = RHYTHM, **options: Any) -> Any:
    """One whose transport stands since 0.0."""
    machine = SignalRMachine(Join(None, "chat", "chat"), limits or Limits(), rhythm, **options)
    assert machine.opened(0.0) == ()
    return machine


def connected(
    limits: Limits | None = None, *, hand: Message = HAND, rhythm: Rhythm = RHYTHM, **options: Any
) -> SignalRMachine:
    """One whose client has shaken hands and is joined."""
    machine = opened(limits, rhythm=rhythm, **options)
    assert isinstance(machine, SignalRMachine)
    assert machine.receive(hand, 0.0) == (Join(None, "chat", "chat"),)
    assert said(machine, Joined(None, "chat")) == ["{}\x1e"]
    return machine


def gone_on(before: SignalRMachine, limits: Limits | None = None, now: float = 50.0) -> Any:
    """The machine of the next transport, as a session resumes with it."""
    machine = SignalRMachine(Join(None, "chat", "chat"), limits or Limits(), RHYTHM, resumes=True)
    machine.received = before.received
    assert not machine.follow(before, now)
    machine.heard(now)
    return machine


def heard(machine: SignalRMachine, *told: object, now: float = 1.0) -> list[Frame]:
    """Frames in these messages: text as it is, other values as JSON."""
    frames: list[Frame] = []
    for one in told:
        message = one if isinstance(one, str | bytes) else json.dumps(one) + "\x1e"
        frames += machine.receive(message, now)
    return frames


def code(machine: SignalRMachine, *told: object) -> int:
    """The close code of what breaks the rules; only the last one does."""
    heard(machine, *told[:-1])
    with pytest.raises(ProtocolError) as caught:
        heard(machine, told[-1])
    return caught.value.code


def said(machine: SignalRMachine, *frames: Frame) -> list[Message]:
    return messages([payload for frame in frames for payload in machine.send(frame)])


def due(machine: SignalRMachine) -> list[Message]:
    return messages(machine.due())


def messages(payloads: Sequence[Payload]) -> list[Message]:
    return [message for payload in payloads for message in payload.messages()]


def values(data: object) -> Any:
    assert isinstance(data, Args)
    return list(data.values())


def invoke(id: str | None = None, target: str = "say", **more: object) -> dict[str, object]:
    told = {"type": 1, "target": target, "arguments": [], **more}
    return told if id is None else {**told, "invocationId": id}


# --- the handshake --------------------------------------------------------------------------------


def test_the_handshake_joins_the_hub_and_its_answer_is_that_of_the_join() -> None:
    machine = opened()
    (join,) = machine.receive(HAND, 0.0)
    assert join == Join(None, "chat", "chat")
    assert said(machine, Welcome("s", None, 25.0)) == []
    assert said(machine, Joined(None, "chat")) == ["{}\x1e"]
    assert machine.codec is JSON and not due(machine)


@pytest.mark.parametrize("hand", [PACKED, PACKED.decode()])
def test_the_handshake_is_json_whatever_is_spoken_then(hand: Message) -> None:
    machine = connected(hand=hand)
    assert machine.codec is MSGPACK
    assert machine.caps & Cap.BINARY
    assert heard(machine, b"\x02\x91\x06") == [Beat(is_answer=True)]


@pytest.mark.parametrize("version", [1, 2])
def test_both_versions_of_the_protocol_are_spoken(version: int) -> None:
    assert connected(hand=f'{{"protocol":"json","version":{version}}}\x1e').codec is JSON


def test_a_handshake_may_come_in_pieces_and_messages_behind_it() -> None:
    machine = opened()
    for at in range(len(HAND) - 1):
        assert heard(machine, HAND[at]) == []
    frames = heard(machine, "\x1e" + '{"type":6}\x1e{"type":1,"target":"a","arg')
    assert [type(frame) for frame in frames] == [Join, Beat]
    (event,) = heard(machine, 'uments":[]}\x1e')
    assert isinstance(event, Event) and event.event == "a"
    packed = opened()
    frames = heard(packed, PACKED + b"\x02\x91\x06\x02")
    assert [type(frame) for frame in frames] == [Join, Beat]
    assert heard(packed, b"\x91\x06") == [Beat(is_answer=True)]


@pytest.mark.parametrize(
    ("hand", "error"),
    [
        ('{"protocol":"xml","version":1}', "the protocol 'xml' is not one of: json, messagepack"),
        ('{"protocol":"","version":1}', "the protocol '' is not one of: json, messagepack"),
        ('{"protocol":"json","version":0}', "version 0 of the protocol is not supported"),
        ('{"protocol":"json","version":3}', "version 3 of the protocol is not supported"),
        ('{"protocol":"json"}', "the first message is a handshake"),
        ('{"version":1}', "the first message is a handshake"),
        ('{"protocol":7,"version":1}', "the first message is a handshake"),
        ('{"type":6}', "the first message is a handshake"),
        ("", "the first message is a handshake"),
        ("junk", "the first message is a handshake"),
        ("[" * 4000, "the first message is a handshake"),
        ("\ud800", "the first message is a handshake"),
        (" " * 4097, "a handshake has at most 4096 bytes"),
    ],
)
def test_who_shakes_no_hands_hears_why_and_nothing_else(hand: str, error: str) -> None:
    machine = opened()
    assert code(machine, f"{hand}\x1e") == 4400
    (refusal,) = due(machine)
    assert isinstance(refusal, str)
    assert json.loads(refusal.removesuffix("\x1e")) == {"error": error}
    assert said(machine, Bye(4400, "no"), Refusal(None, "chat", "no")) == []


def test_a_handshake_that_never_ends_is_refused_early() -> None:
    machine = opened(Limits(message=1 << 20))
    heard(machine, "x" * 4096)
    assert code(machine, "x") == 4400
    assert due(machine) == ['{"error":"a handshake has at most 4096 bytes"}\x1e']


def test_a_protocol_that_the_carrier_cannot_hold_is_refused() -> None:
    assert code(opened(protocols=("json",)), PACKED) == 4400
    assert connected(protocols=("json",)).codec is JSON


@pytest.mark.parametrize("hand", [HAND, PACKED])
def test_a_second_handshake_breaks_the_rules(hand: Message) -> None:
    machine = connected(hand=hand)
    again = hand if hand is HAND else framed(PACKED)
    assert code(machine, again) == 4400


def test_who_may_not_join_hears_so_as_the_answer() -> None:
    machine = opened()
    heard(machine, HAND)
    assert said(machine, Refusal(None, "chat", "staff_only", "this room is for staff")) == [
        '{"error":"staff_only: this room is for staff"}\x1e'
    ]
    assert said(machine, Bye(4403, "no")) == []


def test_a_first_poll_is_answered_with_nothing() -> None:
    assert said(opened(polls=True), Welcome("s", None, 25.0)) == [""]
    assert said(opened(), Welcome("s", None, 25.0)) == []


# --- invocations ----------------------------------------------------------------------------------


def test_an_invocation_without_an_id_is_not_completed() -> None:
    machine = connected()
    (event,) = heard(machine, invoke(arguments=["hi", 7]))
    assert isinstance(event, Event)
    assert (event.alias, event.event, event.ref, event.want) == ("chat", "say", None, Want.NOTHING)
    assert values(event.args) == ["hi", 7]


@pytest.mark.parametrize(
    ("reply", "completion"),
    [
        (Reply("0", "chat", Body.of(3)), '{"type":3,"invocationId":"0","result":3}\x1e'),
        (Reply("0", "chat", Body.of(None)), '{"type":3,"invocationId":"0","result":null}\x1e'),
        (Reply("0", "chat", Body.of()), '{"type":3,"invocationId":"0"}\x1e'),
        (Reply("0", "chat", None), '{"type":3,"invocationId":"0"}\x1e'),
        (
            Reply("0", "chat", Body.of(1), "busy", "later"),
            '{"type":3,"invocationId":"0","error":"busy: later"}\x1e',
        ),
        (Reply("0", "chat", None, "no"), '{"type":3,"invocationId":"0","error":"no"}\x1e'),
    ],
)
def test_an_invocation_with_an_id_is_completed_once(reply: Reply, completion: str) -> None:
    machine = connected()
    (event,) = heard(machine, invoke("0"))
    assert isinstance(event, Event)
    assert (event.ref, event.want) == ("0", Want.REPLY)
    assert said(machine, reply) == [completion]
    assert said(machine, reply) == []
    assert heard(machine, invoke("0")), "the id is free again"


def test_a_stream_has_items_and_an_end() -> None:
    machine = connected()
    (event,) = heard(machine, {**invoke("1"), "type": 4})
    assert isinstance(event, Event)
    assert event.want is Want.STREAM
    assert said(machine, Item("1", Body.of(5)), Item("1", Body.of(None)), End("1")) == [
        '{"type":2,"invocationId":"1","item":5}\x1e',
        '{"type":2,"invocationId":"1","item":null}\x1e',
        '{"type":3,"invocationId":"1"}\x1e',
    ]
    assert said(machine, Item("1", Body.of(6)), End("1")) == []


def test_a_stream_may_fail() -> None:
    machine = connected()
    heard(machine, {**invoke("1"), "type": 4})
    assert said(machine, End("1", "failed", "ran out")) == [
        '{"type":3,"invocationId":"1","error":"failed: ran out"}\x1e'
    ]


def test_what_is_cancelled_is_completed_at_once_and_nothing_follows() -> None:
    machine = connected()
    heard(machine, {**invoke("1"), "type": 4}, invoke("2"))
    assert heard(machine, {"type": 5, "invocationId": "1"}) == [Cancel("1")]
    assert due(machine) == ['{"type":3,"invocationId":"1"}\x1e']
    assert said(machine, Item("1", Body.of(5)), End("1")) == []
    assert heard(machine, {"type": 5, "invocationId": "2"}) == [Cancel("2")]
    due(machine)
    assert said(machine, Reply("2", "chat", Body.of(1))) == []


def test_who_cancels_what_nobody_knows_cancels_nothing() -> None:
    machine = connected()
    assert heard(machine, *[{"type": 5, "invocationId": str(n)} for n in range(99)]) == []
    assert due(machine) == []
    assert machine._pending == set()


def test_the_id_of_a_running_invocation_is_taken() -> None:
    for again in (invoke("0"), {**invoke("0"), "type": 4}):
        assert code(connected(), invoke("0"), again) == 4400


def test_so_many_invocations_wait_and_more_are_busy() -> None:
    machine = connected(Limits(calls=2, waiting_events=1))
    assert len(heard(machine, *[invoke(str(n)) for n in range(5)])) == 3
    assert due(machine) == [
        f'{{"type":3,"invocationId":"{n}","error":"busy: too many invocations wait"}}\x1e'
        for n in (3, 4)
    ]
    assert heard(machine, invoke()), "without an id nothing is kept of one"
    said(machine, Reply("0", "chat"))
    assert heard(machine, invoke("3"))


def test_uploads_are_named_and_come_as_items() -> None:
    machine = connected()
    (event,) = heard(machine, invoke("0", streamIds=["1", "2"]))
    assert isinstance(event, Event)
    assert event.streams == ("1", "2")
    (item,) = heard(machine, {"type": 2, "invocationId": "1", "item": [5]})
    assert isinstance(item, Item) and (item.ref, values(item.data)) == ("1", [[5]])
    assert heard(machine, {"type": 2, "invocationId": "1"}) == []
    assert heard(machine, {"type": 3, "invocationId": "1"}) == [End("1")]
    (end,) = heard(machine, {"type": 3, "invocationId": "2", "error": "Error: boom"})
    assert end == End("2", "failed", "Error: boom")
    assert said(machine, End("1", "busy", "too far ahead")) == [], "the completion says why"


def test_an_upload_has_no_id_of_the_servers() -> None:
    assert code(connected(), invoke("0", streamIds=["~1"])) == 4400


# --- questions ------------------------------------------------------------------------------------


def test_a_question_of_ours_is_an_invocation_that_the_client_completes() -> None:
    machine = connected()
    question = Event("chat", "Ask", Body.of("why"), ref=7, want=Want.REPLY)
    assert said(machine, question) == [
        '{"type":1,"target":"Ask","arguments":["why"],"invocationId":"~7"}\x1e'
    ]
    (reply,) = heard(machine, {"type": 3, "invocationId": "~7", "result": [1]})
    assert isinstance(reply, Reply)
    assert (reply.ref, values(reply.data), reply.code) == (7, [[1]], "")
    (void,) = heard(machine, {"type": 3, "invocationId": "~7"})
    assert isinstance(void, Reply) and values(void.data) == []
    (failed,) = heard(machine, {"type": 3, "invocationId": "~7", "error": "Error: no"})
    assert failed == Reply(7, "", None, "failed", "Error: no")
    (coded,) = heard(machine, {"type": 3, "invocationId": "~7", "error": "busy: later"})
    assert coded == Reply(7, "", None, "busy", "later")


def test_an_event_may_be_lost_where_it_says_so() -> None:
    (payload,) = connected().send(Event("chat", "tick", Body.of(), volatile=True))
    assert payload.volatile and payload.data == b'{"type":1,"target":"tick","arguments":[]}\x1e'


# --- what a server says beside --------------------------------------------------------------------


def test_who_is_here_and_what_was_lost_are_invocations() -> None:
    machine = connected()
    assert said(machine, Presence("chat", {}, {"ana": []}, whole=False), Gap("chat", 3)) == [
        '{"type":1,"target":"presence","arguments":'
        '[{"joined":{},"left":{"ana":[]},"whole":false}]}\x1e',
        '{"type":1,"target":"gap","arguments":[{"lost":3}]}\x1e',
    ]


def test_there_are_no_words_for_everything() -> None:
    machine = connected()
    for frame in (
        Leave("chat"),
        Refusal(None, "chat", "invalid", event="say"),
        Beat(is_answer=True),
        Ack(3),
    ):
        assert said(machine, frame) == []


@pytest.mark.parametrize(
    ("bye", "close"),
    [
        (Bye(1000, "", None), '{"type":7}'),
        (Bye(1000, "so long", None), '{"type":7,"error":"so long"}'),
        (Bye(4408, "", None), '{"type":7,"error":"closed with 4408"}'),
        (Bye(1001, "bye", 0.5), '{"type":7,"error":"bye","allowReconnect":true}'),
        (Bye(1000, "", 0.0), '{"type":7,"allowReconnect":true}'),
    ],
)
def test_the_last_word_says_why_and_whether_to_come_back(bye: Bye, close: str) -> None:
    machine = connected()
    assert said(machine, bye) == [f"{close}\x1e"]
    assert said(machine, bye) == []


@pytest.mark.parametrize(
    ("bye", "error"),
    [(Bye(1001, "the server stops"), "the server stops"), (Bye(1000), "the server closes")],
)
def test_before_the_handshake_the_last_word_is_its_answer(bye: Bye, error: str) -> None:
    assert said(opened(), bye) == [f'{{"error":"{error}"}}\x1e']


def test_a_client_that_says_goodbye_hears_nothing_more() -> None:
    machine = connected()
    assert heard(machine, {"type": 7}) == [Bye(1000, "")]
    assert said(machine, Bye(1000)) == []
    assert heard(connected(), {"type": 7, "error": "boom"}) == [Bye(1000, "boom")]


# --- what is ignored ------------------------------------------------------------------------------


@pytest.mark.parametrize("hand", [HAND, PACKED])
def test_messages_of_unknown_types_are_passed_over(hand: Message) -> None:
    machine = connected(hand=hand)
    for kind in (0, 10, 42, -1):
        told: object = {"type": kind, "target": 7}
        if hand is PACKED:
            told = framed(pack([kind, "x"]))
        assert heard(machine, told) == []


def test_what_nobody_asked_for_keeps_nothing() -> None:
    machine = connected()
    for n in range(200):
        (end,) = heard(machine, {"type": 3, "invocationId": f"x{n}", "result": 1})
        assert end == End(f"x{n}"), "the core ignores it"
        (reply,) = heard(machine, {"type": 3, "invocationId": f"~{n}", "result": 1})
        assert isinstance(reply, Reply)
        (item,) = heard(machine, {"type": 2, "invocationId": f"x{n}", "item": 1})
        assert isinstance(item, Item)
    assert machine._pending == set() and not due(machine)


@pytest.mark.parametrize(
    "told",
    ["junk\x1e", "\x1e", {"type": 1}, [], "\ud800\x1e", {"type": 2, "item": 1}, {"type": 8}],
)
def test_what_is_no_message_breaks_the_rules(told: object) -> None:
    assert code(connected(), told) == 4400


def test_a_message_over_the_limit_is_too_large_in_both_encodings() -> None:
    assert code(connected(Limits(message=100)), "x" * 101 + "\x1e") == 1009
    assert code(connected(Limits(message=100), hand=PACKED), b"\x65") == 1009


# --- time -----------------------------------------------------------------------------------------


def test_a_handshake_comes_in_time() -> None:
    machine = opened()
    assert machine.deadline() == HANDSHAKE
    assert machine.tick(HANDSHAKE - 0.1) == ()
    assert machine.tick(HANDSHAKE) == (Bye(4410, "no handshake came in time"),)
    assert not due(machine)


def test_a_client_that_dribbles_has_no_more_time_for_its_handshake() -> None:
    machine = opened()
    heard(machine, "{", now=14.0)
    assert machine.deadline() == HANDSHAKE


def test_the_server_pings_and_a_silent_client_is_gone() -> None:
    machine = connected()
    assert machine.deadline() == 15.0
    assert machine.tick(15.0) == ()
    assert due(machine) == ['{"type":6}\x1e']
    heard(machine, {"type": 6}, now=20.0)
    assert machine.tick(30.0) == ()
    assert due(machine) == ['{"type":6}\x1e']
    assert machine.deadline() == 45.0
    machine.heard(40.0)
    machine.tick(45.0)
    assert machine.deadline() == 60.0
    assert machine.tick(70.0) == (Bye(4410, "nothing heard in time"),)
    assert machine.deadline() is None


def test_before_the_answer_to_its_handshake_a_client_hears_no_ping() -> None:
    machine = opened()
    heard(machine, HAND)
    assert machine.tick(15.0) == () and not due(machine)
    assert said(machine, Beat()) == []
    said(machine, Joined(None, "chat"))
    assert said(machine, Beat()) == ['{"type":6}\x1e']


def test_who_polls_is_neither_pinged_nor_given_up() -> None:
    machine = connected(rhythm=Rhythm(0.0, 0.0))
    assert machine.deadline() is None
    machine.heard(5.0)
    assert machine.deadline() is None


# --- stateful reconnect ---------------------------------------------------------------------------


def test_without_it_nothing_counts_and_nobody_repeats_anything() -> None:
    machine = connected()
    heard(machine, *[invoke()] * 99)
    assert machine.received == 0 and not due(machine)
    machine.received = 5
    assert machine.received == 0
    assert not machine.caps & Cap.RESUME
    assert heard(machine, {"type": 8, "sequenceId": 0}) == [Ack(0)]
    assert code(machine, {"type": 9, "sequenceId": 1}) == 4400


@pytest.mark.parametrize("hand", [HAND, PACKED])
def test_messages_of_the_types_1_to_5_count_and_no_others(hand: Message) -> None:
    machine = connected(hand=hand, resumes=True)
    assert machine.caps & Cap.RESUME
    told: list[list[object]] = [
        [1, {}, None, "a", []],
        [4, {}, "1", "a", []],
        [2, {}, "x", 1],
        [3, {}, "x", 2],
        [5, {}, "1"],
        [6],
        [8, 0],
        [42],
    ]
    names = {2: ("item",), 3: ("result",), 8: ("sequenceId",)}
    for one in told:
        if hand is PACKED:
            heard(machine, framed(pack(one)))
        else:
            kind = one[0]
            assert isinstance(kind, int)
            more = dict.fromkeys(names.get(kind, ()), 0)
            heard(machine, {**invoke("1" if kind in (4, 5) else "x"), "type": kind, **more})
    assert machine.received == 5


def test_what_came_is_acknowledged_before_the_clients_buffer_is_full() -> None:
    machine = connected(resumes=True)
    heard(machine, *[invoke()] * (ACK_EVERY - 1))
    assert not due(machine)
    heard(machine, invoke())
    assert due(machine) == [f'{{"type":8,"sequenceId":{ACK_EVERY}}}\x1e']
    heard(machine, invoke(arguments=["x" * 40_000]))
    assert due(machine) == [f'{{"type":8,"sequenceId":{ACK_EVERY + 1}}}\x1e']
    assert said(machine, Ack(0)) == [f'{{"type":8,"sequenceId":{ACK_EVERY + 1}}}\x1e']


def test_what_came_is_acknowledged_with_the_next_ping_and_once() -> None:
    machine = connected(resumes=True)
    heard(machine, invoke())
    machine.tick(15.0)
    assert due(machine) == ['{"type":8,"sequenceId":1}\x1e', '{"type":6}\x1e']
    heard(machine, {"type": 6}, now=20.0)
    machine.tick(30.0)
    assert due(machine) == ['{"type":6}\x1e']


@pytest.mark.parametrize("hand", [HAND, PACKED])
def test_who_comes_back_says_no_hello_and_goes_on_in_its_protocol(hand: Message) -> None:
    before = connected(hand=hand, resumes=True)
    machine = gone_on(before)
    assert machine.codec is before.codec and machine.caps == before.caps
    name = next(name for name, codec in PROTOCOLS.items() if codec is before.codec)
    (payload,) = machine.send(Welcome("s", None, 25.0, resumed=True, received=0, acked=4))
    assert not payload.counted
    if name == "json":
        assert payload.data == b'{"type":9,"sequenceId":5}\x1e'
    else:
        assert payload.data.hex() == "03920905"
    assert machine.deadline() == 65.0, "it is pinged as before"


def test_nothing_counts_before_the_client_has_said_what_it_repeats() -> None:
    before = connected(resumes=True)
    heard(before, *[invoke()] * 5)
    machine = gone_on(before)
    assert machine.received == 5
    said(machine, Welcome("s", None, 25.0, resumed=True, acked=3))
    assert heard(machine, invoke(), {"type": 8, "sequenceId": 4}) == []
    assert heard(machine, {"type": 9, "sequenceId": 4}) == [Ack(3)]
    assert heard(machine, invoke(), invoke()) == []
    assert len(heard(machine, invoke(), {"type": 8, "sequenceId": 4}, now=60.0)) == 2
    assert machine.received == 6
    machine.tick(65.0)
    assert due(machine) == ['{"type":8,"sequenceId":6}\x1e', '{"type":6}\x1e']


@pytest.mark.parametrize("first", [0, 7, 2**62])
def test_a_sequence_that_leaves_messages_out_breaks_the_rules(first: int) -> None:
    before = connected(resumes=True)
    heard(before, *[invoke()] * 5)
    assert code(gone_on(before), {"type": 9, "sequenceId": first}) == 4400


def test_what_was_called_before_the_cut_is_completed_after_it() -> None:
    before = connected(resumes=True)
    heard(before, invoke("1"), {**invoke("2"), "type": 4}, invoke("3"))
    said(before, Reply("1", "chat", Body.of(1)))
    machine = gone_on(before)
    heard(machine, {"type": 9, "sequenceId": 4})
    assert said(machine, Reply("1", "chat"), Item("2", Body.of(5)), Reply("3", "chat")) == [
        '{"type":2,"invocationId":"2","item":5}\x1e',
        '{"type":3,"invocationId":"3"}\x1e',
    ]
    assert heard(machine, {"type": 5, "invocationId": "2"}) == [Cancel("2")]


def test_who_is_cut_before_the_answer_to_its_handshake_still_hears_it() -> None:
    before = opened(resumes=True)
    heard(before, HAND)
    machine = gone_on(before)
    assert said(machine, Beat()) == []
    assert said(machine, Joined(None, "chat")) == ["{}\x1e"]
    before = opened(resumes=True)
    machine = gone_on(before, now=1.0)
    assert machine.deadline() == HANDSHAKE
    assert [type(frame) for frame in heard(machine, HAND)] == [Join]


# --- anything -------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=40) | st.text(max_size=40), max_size=6), st.booleans())
def test_any_bytes_are_frames_or_break_the_rules_and_nothing_else(
    told: list[Message], is_packed: bool
) -> None:
    machine = connected(Limits(message=60), hand=PACKED if is_packed else HAND, resumes=True)
    try:
        heard(machine, *told)
    except ProtocolError as error:
        assert error.code in (1009, 4400)


@given(st.lists(st.integers(0, 2000), max_size=12), st.booleans())
def test_a_conversation_means_the_same_wherever_its_stream_is_cut(
    cuts: list[int], is_packed: bool
) -> None:
    if is_packed:
        told = [[1, {}, "1", "a", [b"\x1e"]], [6], [4, {}, "2", "b", [], ["3"]], [2, {}, "3", 1]]
        data = PACKED + b"".join(framed(pack(one)) for one in [*told, [5, {}, "2"]])
    else:
        texts = (invoke("1"), {"type": 6}, {**invoke("2", streamIds=["3"]), "type": 4})
        data = HAND.encode() + b"".join(json.dumps(one).encode() + b"\x1e" for one in texts)
    at = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    machine, whole = opened(), opened()
    frames = [
        type(frame)
        for start, end in zip(at, at[1:], strict=False)  # noqa: RUF007
        for frame in heard(machine, data[start:end])
    ]
    assert frames == [type(frame) for frame in heard(whole, data)]
    assert len(frames) == (6 if is_packed else 4)


def test_a_handshake_is_as_long_as_it_may_be_and_its_answer_counts_nowhere() -> None:
    machine = opened(resumes=True)
    hand = HAND.removesuffix("\x1e")
    heard(machine, hand + " " * (4096 - len(hand)) + "\x1e")
    (answer,) = machine.send(Joined(None, "chat"))
    refusing = opened(resumes=True)
    heard(refusing, HAND)
    (refusal,) = refusing.send(Refusal(None, "chat", "no"))
    assert not answer.counted and not refusal.counted
