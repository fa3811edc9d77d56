"""Tests of anywire.wires.actioncable.extended."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import Args, Body
from anywire.errors import ProtocolError
from anywire.frames import (
    At,
    Bye,
    Event,
    Frame,
    Join,
    Joined,
    Leave,
    Outcome,
    Past,
    Position,
    Presence,
    Refusal,
    Reply,
    Since,
    Welcome,
)
from anywire.limits import Limits
from anywire.payload import Payload
from anywire.wires.actioncable.extended import EXTENDED, Extended, since_of
from anywire.wires.actioncable.machine import ActionCableMachine, Pings
from anywire.wires.pulse import Pulse

CHAT = '{"channel":"chat:lobby"}'
STREAM = "chat:lobby"
AT = Position(7, "e")
HISTORY = {"since": 1_700_000_000, "streams": {STREAM: {"epoch": "e", "offset": 7}}}
SINCE = Since({STREAM: AT}, 1_700_000_000.0)


class Talk:
    """A conversation with one subscription, confirmed with these positions."""

    def __init__(self, *streams: str, outcome: Outcome = Outcome.FRESH) -> None:
        self.machine = _machine()
        self.machine.opened(0.0)
        self.say("subscribe")
        self.streams = streams
        positions = dict.fromkeys(streams, AT)
        self.begun = self.told(Joined(None, CHAT, None, outcome, positions=positions))

    def say(self, command: str, **more: Any) -> list[Frame]:
        text = json.dumps({"command": command, "identifier": CHAT, **more})
        return list(self.machine.receive(text, 1.0))

    def told(self, frame: Frame) -> list[Any]:
        return seen(*self.machine.send(frame))

    def due(self) -> list[Any]:
        return seen(*self.machine.due())

    def cut(self) -> list[Any]:
        """The client comes back; what it is told first."""
        before, self.machine = self.machine, _machine()
        self.over = self.machine.follow(before, 2.0)
        self.machine.heard(2.0)
        return self.told(Welcome("s1", "t2", 25.0, resumed=True))


def _machine() -> ActionCableMachine:
    pulse = Pulse(25.0, 10.0)
    return ActionCableMachine(Limits(), pulse, Pings(), every=3.0, wall=0.0, extension=Extended())


def seen(*payloads: Payload) -> list[Any]:
    return [json.loads(message) for payload in payloads for message in payload.messages()]


def kinds(told: list[Any]) -> list[str]:
    assert {one["identifier"] for one in told} == {CHAT}
    return [one.get("type", "message") for one in told]


def heard(frames: list[Frame]) -> list[tuple[str, list[object]]]:
    found = []
    for frame in frames:
        assert isinstance(frame, Event) and isinstance(frame.args, Args)
        assert frame.alias == CHAT
        found.append((frame.event, list(frame.args.values())))
    return found


def test_a_publication_says_where_it_stands() -> None:
    payload = EXTENDED.event(CHAT, "message", Body.of({"a": 1}), At(STREAM, AT))
    where = {"stream_id": STREAM, "epoch": "e", "offset": 7}
    assert seen(payload) == [{"identifier": CHAT, "message": {"a": 1}, **where}]


def test_what_is_not_kept_says_no_more_than_without_the_extension() -> None:
    payload = EXTENDED.event(CHAT, "said", Body.of(), At(STREAM, volatile=True))
    assert payload.volatile
    assert seen(payload) == [{"identifier": CHAT, "message": {"event": "said"}}]


def test_a_publication_that_is_asked_for_after_a_cut_is_not_said_by_itself() -> None:
    said = EXTENDED.event(CHAT, "message", Body.of(1), At(STREAM, AT))
    here = Presence(CHAT, {"ana": [{}]}, {}, position=AT)
    assert not said.counted and not EXTENDED.presence(CHAT, here).counted
    assert EXTENDED.event(CHAT, "message", Body.of(1), At("")).counted
    assert EXTENDED.presence(CHAT, Presence(CHAT, {"ana": [{}]}, {})).counted


def test_the_welcome_has_what_the_client_comes_back_with() -> None:
    assert Talk().told(Welcome("s1", None, 25.0)) == [{"type": "welcome", "sid": "s1"}]
    assert Talk().told(Welcome("s1", "t", 25.0)) == [{"type": "welcome", "sid": "s1~t"}]


# --- after a cut ----------------------------------------------------------------------------------

BACK = {"type": "welcome", "sid": "s1~t2", "restored": True}


def test_who_comes_back_is_told_which_subscriptions_stand_and_is_pinged() -> None:
    talk = Talk(STREAM)
    assert talk.cut() == [{**BACK, "restored_ids": [CHAT]}]
    assert not talk.over
    # Not at once: clients without a position ask since the last ping.
    assert (talk.machine.deadline(), talk.due()) == (5.0, [])
    talk.machine.tick(5.0)
    assert talk.due() == [{"type": "ping", "message": 5}]
    assert heard(talk.say("message", data='{"a":1}')) == [("message", [{"a": 1}])]


@pytest.mark.parametrize("history", [HISTORY, None])
def test_a_restored_subscription_asks_and_hears_whether_all_is_there(history: Any) -> None:
    talk = Talk(STREAM, "other")
    talk.cut()
    for code, kind in (("", "confirm_history"), ("lost", "reject_history")):
        [past] = talk.say("history", history=history)
        assert isinstance(past, Past)
        time = SINCE.time if history else None
        assert past.since == Since({STREAM: AT, "other": AT}, time)
        assert kinds(talk.told(Reply(past.ref, CHAT, None, code))) == [kind]


def test_an_answer_to_what_was_asked_before_the_cut_is_nobodys() -> None:
    talk = Talk(STREAM)
    [before] = talk.say("history", history=HISTORY)
    talk.cut()
    [past] = talk.say("history", history=HISTORY)
    assert isinstance(before, Past) and isinstance(past, Past) and before.ref != past.ref
    assert not talk.told(Reply(before.ref, CHAT, Body.of([])))


def test_a_confirmation_that_was_lost_is_said_again_once() -> None:
    talk = Talk(STREAM)
    talk.cut()
    for told in (["confirm_subscription"], []):
        assert not talk.say("subscribe", history=HISTORY)
        assert [one["type"] for one in talk.due()] == told


def test_a_subscription_without_history_is_over_and_may_be_asked_for_anew() -> None:
    talk = Talk()
    assert talk.cut() == [{**BACK, "restored_ids": []}]
    assert talk.over == [Leave(CHAT, code="lost", text="the client was cut")]
    assert not talk.say("message", data="{}")
    [join] = talk.say("subscribe")
    assert isinstance(join, Join)


def test_a_first_message_that_may_be_lost_is_asked_for_anew_unless_the_client_has_spoken() -> None:
    for has_spoken in (False, True):
        talk = Talk(STREAM)
        talk.told(Joined(None, CHAT, Body.of("hello"), positions={STREAM: AT}))
        if has_spoken:
            talk.say("message", data="{}")
        [welcome] = talk.cut()
        assert welcome["restored_ids"] == [CHAT] * has_spoken
        assert len(talk.over) == (not has_spoken)


def test_who_has_heard_a_confirmation_has_the_message_that_came_with_it() -> None:
    told = Talk().told(Joined(None, CHAT, Body.of("hello"), Outcome.RECOVERED))
    assert kinds(told) == ["message", "confirm_subscription", "confirm_history"]


def test_a_restored_subscription_may_be_asked_for_and_then_its_history_since_nothing() -> None:
    talk = Talk(STREAM)
    talk.cut()
    talk.say("subscribe")
    assert kinds(talk.due()) == ["confirm_subscription"]
    [past] = talk.say("history")
    assert isinstance(past, Past) and past.since == Since({STREAM: AT})


def test_who_has_heard_nothing_of_a_stream_yet_stands_where_it_began() -> None:
    talk = Talk(STREAM)
    talk.cut()
    [past] = talk.say("history", history={"since": 1_800_000_000})
    assert isinstance(past, Past) and past.since.positions == {STREAM: AT}
    later = {STREAM: {"epoch": "e", "offset": 9}}
    [past] = talk.say("history", history={"since": 1_800_000_000, "streams": later})
    assert isinstance(past, Past) and past.since.positions == {STREAM: Position(9, "e")}


def test_an_answer_to_a_subscription_that_was_is_not_told_the_next_one() -> None:
    talk = Talk(STREAM)
    [past] = talk.say("history", history=HISTORY)
    assert isinstance(past, Past)
    talk.say("unsubscribe")
    talk.say("subscribe")
    talk.told(Joined(None, CHAT, positions={STREAM: AT}))
    assert not talk.told(Reply(past.ref, CHAT, None, "left"))


def test_a_subscription_that_has_ended_is_not_restored() -> None:
    for end in (True, False):
        talk = Talk(STREAM)
        if end:
            talk.told(Leave(CHAT))
        else:
            talk.say("unsubscribe")
        [welcome] = talk.cut()
        assert welcome["restored_ids"] == []
        assert not talk.over


def test_a_subscription_may_ask_for_what_it_missed() -> None:
    talk = Talk()
    talk.say("unsubscribe")
    [join] = talk.say("subscribe", history=HISTORY)
    assert isinstance(join, Join) and join.since == SINCE


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [(Outcome.RECOVERED, "confirm_history"), (Outcome.LOST, "reject_history")],
)
def test_whether_all_of_it_is_there_is_said_behind_the_confirmation(
    outcome: Outcome, kind: str
) -> None:
    assert kinds(Talk(STREAM, outcome=outcome).begun) == ["confirm_subscription", kind]
    assert kinds(Talk(STREAM).begun) == ["confirm_subscription"]


@pytest.mark.parametrize(
    ("history", "since"),
    [
        (HISTORY, SINCE),
        ({"since": 5}, Since(time=5.0)),
        ({"since": 5.5, "streams": {}}, Since(time=5.5)),
        ({"streams": {"a": {"epoch": "e", "offset": 0}}}, Since({"a": Position(0, "e")})),
        ({"since": 5, "streams": {"a": {"epoch": 1, "offset": 0}, "b": 1}}, Since(time=5.0)),
        ({"since": 5, "streams": {"a": {"epoch": "e", "offset": -1}}}, Since(time=5.0)),
        ({"since": 5, "streams": {"a": {"epoch": "e", "offset": True}}}, Since(time=5.0)),
        ({"since": 5, "streams": {"a": {"epoch": "e", "offset": 1 << 63}}}, Since(time=5.0)),
        ({"since": 5, "streams": [1]}, Since(time=5.0)),
        ({}, None),
        ({"since": 0}, None),
        ({"since": -1}, None),
        ({"since": 10**30}, None),
        ({"since": True}, None),
        ({"since": "5"}, None),
        (None, None),
        ([], None),
        (5, None),
    ],
)
def test_history_is_asked_for_by_position_or_by_time(history: Any, since: Since | None) -> None:
    assert since_of(history) == since


def test_history_of_a_live_subscription_is_told_as_it_would_have_been_heard() -> None:
    talk = Talk(STREAM)
    [past] = talk.say("history", history=HISTORY)
    assert isinstance(past, Past) and (past.alias, past.since, past.limit) == (CHAT, SINCE, 0)
    records: list[dict[str, object]] = [
        {"event": "message", "time": 1.0, "offset": 8, "epoch": "e", "data": {"a": b"\x00"}},
        {"event": "said", "time": 2.0, "offset": 10, "epoch": "e", "args": [1, 2]},
        {"event": "left", "time": 3.0, "offset": 11, "epoch": "e"},
    ]
    told = talk.told(Reply(past.ref, CHAT, Body.of(records)))
    assert kinds(told) == ["message", "message", "message", "confirm_history"]
    assert [one["message"] for one in told[:3]] == [
        {"a": "AA=="},
        {"event": "said", "data": [1, 2]},
        {"event": "left"},
    ]
    assert [one["offset"] for one in told[:3]] == [8, 10, 11]
    assert {(one["stream_id"], one["epoch"]) for one in told[:3]} == {(STREAM, "e")}


def test_history_without_news_is_confirmed() -> None:
    talk = Talk(STREAM)
    [past] = talk.say("history", history={"since": 5})
    assert isinstance(past, Past)
    assert kinds(talk.told(Reply(past.ref, CHAT, Body.of([])))) == ["confirm_history"]


@pytest.mark.parametrize(("offset", "epoch"), [(9, "e"), (8, "other")])
def test_history_in_which_something_is_missing_is_rejected(offset: int, epoch: str) -> None:
    talk = Talk(STREAM)
    [past] = talk.say("history", history=HISTORY)
    assert isinstance(past, Past)
    record = {"event": "message", "time": 1.0, "offset": offset, "epoch": epoch, "data": 1}
    assert kinds(talk.told(Reply(past.ref, CHAT, Body.of([record])))) == ["reject_history"]


def test_history_that_is_refused_is_rejected() -> None:
    talk = Talk(STREAM)
    [past] = talk.say("history", history=HISTORY)
    assert isinstance(past, Past)
    refused = Reply(past.ref, CHAT, None, "busy", "too many")
    assert kinds(talk.told(refused)) == ["reject_history"]


def test_history_of_none_or_of_several_streams_or_since_nothing_is_rejected() -> None:
    for talk, history in (
        (Talk(), HISTORY),
        (Talk(STREAM, "other"), HISTORY),
        (Talk(STREAM), {}),
        (Talk(STREAM), None),
    ):
        told = talk.due()
        for past in talk.say("history", history=history):
            assert isinstance(past, Past) and len(talk.streams) != 1
            told = talk.told(Reply(past.ref, CHAT, Body.of([])))
        assert kinds([*told, *talk.due()]) == ["reject_history"]
        assert not talk.due()


def test_the_answer_to_a_subscription_that_is_over_is_not_told() -> None:
    talk = Talk(STREAM)
    [past] = talk.say("history", history=HISTORY)
    assert isinstance(past, Past)
    talk.say("unsubscribe")
    assert not talk.told(Reply(past.ref, CHAT, Body.of([])))
    assert not talk.told(Reply("other", CHAT, Body.of([])))


def test_commands_of_presence_and_whispers_are_events() -> None:
    talk = Talk()
    ana = {"id": "ana", "info": {"name": "Ana"}}
    assert heard(talk.say("join", presence=ana)) == [("$presence:join", [ana])]
    assert heard(talk.say("join", presence=5)) == [("$presence:join", [{}])]
    assert heard(talk.say("leave")) == [("$presence:leave", [{}])]
    assert heard(talk.say("whisper", data={"typing": True})) == [("$whisper", [{"typing": True}])]
    assert heard(talk.say("whisper")) == [("$whisper", [None])]


def test_who_comes_back_says_its_presence_with_the_subscription() -> None:
    talk = Talk()
    talk.say("unsubscribe")
    join, *more = talk.say("subscribe", presence={"id": "ana", "info": 1})
    assert isinstance(join, Join)
    assert heard(more) == [("$presence:join", [{"id": "ana", "info": 1}])]


def test_commands_that_nobody_knows_are_ignored() -> None:
    talk = Talk()
    for command in ("pong", "ping", "dance"):
        assert not talk.say(command)
    assert not talk.due()


def test_who_comes_and_goes_is_told_key_by_key() -> None:
    talk = Talk()
    change = Presence(
        CHAT,
        {"ana": [{"n": 1}, {"n": 2}], "bo": [{"n": 3}]},
        {"bo": [{"n": 0}], "cy": [{}], "di": [{"on": "phone"}]},
        stays={"di": {"on": "home"}},
    )
    said = {"type": "presence", "identifier": CHAT}
    expected = [
        {**said, "message": {"type": "join", "id": "di", "info": {"on": "home"}}},
        {**said, "message": {"type": "join", "id": "ana", "info": {"n": 2}}},
        {**said, "message": {"type": "join", "id": "bo", "info": {"n": 3}}},
        {**said, "message": {"type": "leave", "id": "cy"}},
    ]
    assert talk.told(change) == expected
    assert seen(EXTENDED.presence(CHAT, change)) == expected


def test_who_asks_is_told_who_is_here() -> None:
    talk = Talk()
    assert talk.say("presence", data={}) == [Presence(CHAT, {}, {}, whole=True)]
    whole = Presence(CHAT, {"ana": [{"n": 1}, {"n": 2}], "bo": [{}]}, {}, whole=True)
    records = [{"id": "ana", "info": {"n": 2}}, {"id": "bo", "info": {}}]
    message = {"type": "info", "total": 2, "records": records}
    assert talk.told(whole) == [{"type": "presence", "identifier": CHAT, "message": message}]


def test_who_asks_where_there_is_no_presence_hears_so_once() -> None:
    talk = Talk()
    talk.say("presence")
    refusal = Refusal(None, CHAT, "unsupported", "no presence", event="presence")
    error = {"type": "presence", "identifier": CHAT, "message": {"type": "error"}}
    assert talk.told(refusal) == [error]
    [again] = talk.told(refusal)
    assert again["message"]["event"] == "error"


def test_a_restart_is_told_by_the_close_alone_and_any_other_end_by_a_disconnect() -> None:
    talk = Talk()
    assert not talk.told(Bye(1001, "the server stops"))
    for bye in (Bye(1001, "for good", None), Bye(4403, "server_restart", 0.0)):
        [said] = talk.told(bye)
        assert said["type"] == "disconnect"


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
words = st.sampled_from(
    ["subscribe", "unsubscribe", "message", "history", "presence", "join", "leave", "whisper"]
)


@given(words, st.dictionaries(st.sampled_from(["data", "history", "presence"]), any_json))
def test_whatever_stands_in_a_command_ends_in_frames_or_a_protocol_error(
    command: str, members: dict[str, Any]
) -> None:
    talk = Talk(STREAM)
    try:
        for frame in talk.say(command, **members):
            args = getattr(frame, "args", None)
            assert args is None or list(args.values())
    except ProtocolError as error:
        assert error.code in (1009, 4400)


def test_the_end_of_a_subscription_is_as_in_the_base_protocol() -> None:
    talk = Talk(STREAM)
    assert kinds(talk.told(Leave(CHAT))) == ["reject_subscription"]
    assert not talk.say("history", history=HISTORY)
    assert not talk.told(Bye(1001)) and not talk.due()
