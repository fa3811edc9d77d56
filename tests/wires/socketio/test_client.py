"""The client's end of Socket.IO; the contracts have more."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import Args, Body
from anywire.errors import ProtocolError
from anywire.frames import (
    Beat,
    Bye,
    Event,
    Frame,
    Item,
    Join,
    Joined,
    Leave,
    Outcome,
    Refusal,
    Reply,
    Want,
    Welcome,
)
from anywire.limits import Limits
from anywire.payload import Message
from anywire.wires.base import Request
from anywire.wires.socketio import SocketIoClient
from anywire.wires.socketio.client import LATE

PLACE = '{"_placeholder":true,"num":0}'


def opened(limits: Limits | None = None) -> SocketIoClient:
    """One whose server has said hello at 0.0."""
    client = SocketIoClient(limits)
    assert client.opened(None, 0.0) == ()
    handshake = '0{"sid":"s.t","upgrades":[],"pingInterval":25000,"pingTimeout":20000}'
    assert client.receive(handshake, 0.0) == (Welcome("s.t", None, 25.0),)
    return client


def joined(*namespaces: str, pid: str = "") -> SocketIoClient:
    """… and let it in."""
    client = opened()
    for namespace in namespaces or ("/",):
        joins(client, namespace, pid=pid)
    return client


def joins(client: SocketIoClient, namespace: str = "/", *, pid: str = "", ref: Any = "j") -> Joined:
    client.send(Join(ref, namespace, namespace, Body.of({})))
    about = {"sid": "m", "pid": pid} if pid else {"sid": "m"}
    (answer,) = heard(client, f"40{namespace},{json.dumps(about)}")
    assert isinstance(answer, Joined)
    return answer


def heard(client: SocketIoClient, *messages: Message, now: float = 1.0) -> list[Frame]:
    return [frame for message in messages for frame in client.receive(message, now)]


def said(client: SocketIoClient, *frames: Frame) -> list[Message]:
    return messages(payload for frame in frames for payload in client.send(frame))


def messages(payloads: Any) -> list[Message]:
    return [message for payload in payloads for message in payload.messages()]


def values(data: object) -> Any:
    assert isinstance(data, Args)
    return data.value()


# --- the conversation -----------------------------------------------------------------------------


def test_it_asks_for_a_socket_of_the_fourth_revision() -> None:
    assert SocketIoClient().opening() == Request(query={"EIO": "4", "transport": "websocket"})


def test_the_handshake_is_the_welcome_and_what_is_more_in_it_is_ignored() -> None:
    client = SocketIoClient()
    client.opened(None, 0.0)
    (welcome,) = heard(client, '0{"sid":"a","pingInterval":300,"maxPayload":9,"new":[1]}')
    assert welcome == Welcome("a", None, 0.3)
    assert client.deadline() == 1.0 + 0.3 + 20.0 + LATE
    (welcome,) = heard(client, '0{"sid":"a"}')
    assert welcome == Welcome("a", None, 25.0)


@pytest.mark.parametrize(
    "message",
    ["0", "0{}", '0{"sid":1}', '0{"sid":"a","pingInterval":"x"}', "0[]", "3", "5", "x", "", "7",
     "44", '44"no"', '44{"message":1}', '44{"data":1e999}', "44[]", "40", "40[]", '40{"sid":1}',
     "42{}", "4", "4x", '451-["a"', b"x", f"44{'[' * 100_000}", '44{"data":' + "[" * 100_000],
    ids=lambda message: repr(message)[:20],
)  # fmt: skip
def test_what_no_server_says_breaks_the_rules(message: Message) -> None:
    with pytest.raises(ProtocolError):
        joined().receive(message, 1.0)


def test_a_server_that_closes_says_so() -> None:
    assert heard(opened(), "1") == [Bye(1000, "the server closes")]
    assert heard(opened(), "6") == []


def test_a_ping_is_answered_and_one_that_does_not_come_is_the_end() -> None:
    client = opened()
    until = 25.0 + 20.0 + LATE
    assert client.deadline() == until
    client.heard(40.0)
    heard(client, '42["a"]', now=40.0)
    assert client.deadline() == until, "only a ping counts"
    assert heard(client, "2", now=45.0) == [Beat()]
    (pong,) = client.due()
    assert (pong.data, pong.counted) == (b"3", False)
    assert not client.due()
    assert client.deadline() == 45.0 + until
    assert client.tick(94.9) == ()
    assert client.tick(95.0) == (Bye(4410, "no ping came in time"),)
    assert client.deadline() is None
    assert client.tick(1000.0) == ()


def test_before_the_handshake_nothing_is_expected() -> None:
    client = opened()
    client.opened(None, 100.0)
    assert client.deadline() is None
    assert client.tick(1000.0) == ()


# --- namespaces -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alias", "params", "text"),
    [
        ("/", Body.of({}), "40"),
        ("/chat", Body.of({}), "40/chat,"),
        ("chat", Body.of({"token": "x"}), '40/chat,{"token":"x"}'),
        ("/", Body.of(), "40"),
        ("/", Body.of(7), "40"),
        ("/", Body.of("x", "y"), "40"),
    ],
)
def test_a_join_is_a_connect_whose_payload_is_an_object(
    alias: str, params: Body, text: str
) -> None:
    assert said(opened(), Join("j", "chat", alias, params)) == [text]


def test_an_answer_is_told_under_the_ref_and_the_alias_of_its_join() -> None:
    client = opened()
    client.send(Join(7, "chat", "chat", Body.of({})))
    (answer,) = heard(client, '40/chat,{"sid":"m1"}')
    assert answer == Joined(7, "chat", None, Outcome.FRESH, member="m1")
    (again,) = heard(client, '40/chat,{"sid":"m2"}')
    assert isinstance(again, Joined) and again.ref is None
    (other,) = heard(client, '40/other,{"sid":"m3"}')
    assert isinstance(other, Joined) and (other.ref, other.alias) == (None, "/other")


def test_an_answer_may_have_data() -> None:
    client = opened()
    client.send(Join("j", "/", "/", Body.of({})))
    (answer,) = heard(client, '40{"sid":"m","data":{"topic":["tea"]}}')
    assert isinstance(answer, Joined) and values(answer.data) == {"topic": ["tea"]}


@pytest.mark.parametrize(
    ("payload", "code", "text", "data"),
    [
        ('{"message":"no"}', "refused", "no", None),
        (
            '{"message":"no","data":{"code":"staff_only"}}',
            "staff_only",
            "no",
            {"code": "staff_only"},
        ),
        ('{"message":"no","data":{"code":7}}', "refused", "no", {"code": 7}),
        ('{"message":"no","data":[1]}', "refused", "no", [1]),
        ('{"message":"no","data":null}', "refused", "no", None),
        ("{}", "refused", "", None),
    ],
)
def test_a_connect_error_is_a_refusal(payload: str, code: str, text: str, data: object) -> None:
    client = opened()
    client.send(Join("j", "chat", "chat", Body.of({})))
    (refusal,) = heard(client, f"44/chat,{payload}")
    assert isinstance(refusal, Refusal)
    assert (refusal.ref, refusal.alias, refusal.code, refusal.text) == ("j", "chat", code, text)
    assert (None if refusal.data is None else values(refusal.data)) == data
    (stray,) = heard(client, f"44/chat,{payload}")
    assert isinstance(stray, Refusal) and stray.ref is None, "it is told once"


def test_a_namespace_is_left_by_either_side() -> None:
    client = opened()
    client.send(Join("j", "chat", "chat", Body.of({})))
    assert said(client, Leave("chat")) == ["41/chat,"]
    assert heard(client, "41/chat,") == [Leave("/chat")]
    client.send(Join("j", "chat", "chat", Body.of({})))
    assert heard(client, "41/chat,") == [Leave("chat")]


# --- events ---------------------------------------------------------------------------------------


def test_events_go_both_ways() -> None:
    client = joined("/", "/chat")
    out = said(
        client,
        Event("/", "say", Body.of(1)),
        Event("chat", "say", Body.of(b"\x00"), volatile=True),
    )
    assert out == ['42["say",1]', f'451-/chat,["say",{PLACE}]', b"\x00"]
    one, two = heard(client, '42["said",1,"x"]', f'451-/chat,["said",{PLACE}]', b"\x00")
    assert isinstance(one, Event) and isinstance(two, Event)
    assert (one.alias, one.event, values(one.args)) == ("/", "said", [1, "x"])
    assert (two.alias, two.event, values(two.args)) == ("/chat", "said", [b"\x00"])
    assert one.want is Want.NOTHING


def test_a_question_of_the_client_is_answered_under_its_ref() -> None:
    client = joined()
    out = said(
        client,
        Event("/", "ask", Body.of(), ref=7, want=Want.REPLY),
        Event("/", "ask", Body.of(), ref="seven", want=Want.REPLY),
        Event("/", "ask", Body.of(), ref="eight", want=Want.REPLY),
        Event("/", "tell", Body.of(), ref="nine"),
    )
    assert out == ['427["ask"]', '421["ask"]', '422["ask"]', '42["tell"]']
    replies = heard(client, "432[2]", "437[]", '431[{"error":{"code":"busy"}}]', "431[1]", "4399[]")
    told = [(one.ref, one.code) for one in replies if isinstance(one, Reply)]
    assert told == [("eight", ""), (7, ""), ("seven", "busy")]


def test_a_ref_may_be_nought() -> None:
    client = joined()
    assert said(client, Event("/", "ask", Body.of(), ref=0, want=Want.REPLY)) == ['420["ask"]']
    (reply,) = heard(client, "430[]")
    assert isinstance(reply, Reply) and reply.ref == 0


@pytest.mark.parametrize("ref", [-1, 2**53, "x"])
def test_a_ref_that_no_acknowledgement_can_have_is_replaced_by_a_number(ref: int | str) -> None:
    client = joined()
    assert said(client, Event("/", "ask", Body.of(), ref=ref, want=Want.REPLY)) == ['421["ask"]']
    (reply,) = heard(client, "431[]")
    assert isinstance(reply, Reply) and reply.ref == ref


def test_a_question_of_the_server_is_answered_with_an_acknowledgement() -> None:
    client = joined("/chat")
    (event,) = heard(client, '42/chat,7["ask",1]')
    assert isinstance(event, Event) and (event.ref, event.want) == (7, Want.REPLY)
    assert said(client, Reply(7, "/chat", Body.of("yes"))) == ['43/chat,7["yes"]']
    assert heard(client, f"461-/chat,0[{PLACE}]", b"x") == [], "nobody asked for it"


def test_what_was_asked_on_another_connection_is_not_answered_on_this_one() -> None:
    client = joined()
    client.send(Event("/", "ask", Body.of(), ref=7, want=Want.REPLY))
    client.opened(None, 10.0)
    assert heard(client, "437[]") == []


def test_a_packet_before_the_last_attachment_breaks_the_rules() -> None:
    client = joined()
    assert heard(client, f'452-["a",{PLACE}]', b"x", "2") == [Beat()]
    with pytest.raises(ProtocolError):
        client.receive('42["a"]', 1.0)
    client.opened(None, 10.0)
    assert heard(client, '42["a"]')


def test_what_there_are_no_words_for_is_not_said() -> None:
    assert said(joined(), Item(1, Body.of(1)), Beat(), Bye(1000)) == []


# --- going on with a membership -------------------------------------------------------------------


def connects(client: SocketIoClient, namespace: str = "/") -> Any:
    """The payload of a connect on a new connection."""
    client.opened(None, 10.0)
    (text,) = said(client, Join("j", namespace, namespace, Body.of({"name": "ana"})))
    assert isinstance(text, str)
    return json.loads(text[text.index("{") :])


def test_what_the_server_said_of_a_membership_is_shown_when_it_is_joined_anew() -> None:
    client = joined("/", pid="p")
    assert connects(client) == {"name": "ana", "pid": "p"}
    (event,) = heard(client, '42["said",1,"~7"]')
    assert isinstance(event, Event) and values(event.args) == [1]
    assert connects(client) == {"name": "ana", "pid": "p", "offset": "~7"}
    assert connects(client, "/chat") == {"name": "ana"}, "each namespace has its own"


def test_the_same_secret_says_that_it_went_on() -> None:
    client = joined("/", pid="p")
    assert joins(client, pid="p").outcome is Outcome.RECOVERED
    assert joins(client, pid="q").outcome is Outcome.FRESH
    assert joins(client, pid="q").token == "q"
    assert joins(client).outcome is Outcome.FRESH
    assert joins(client).outcome is Outcome.FRESH


def test_who_leaves_does_not_come_back() -> None:
    for leave in ("client", "server", "refused"):
        client = joined("/", pid="p")
        if leave == "client":
            client.send(Leave("/"))
        else:
            heard(client, "41" if leave == "server" else "44{}")
        assert connects(client) == {"name": "ana"}


@pytest.mark.parametrize(
    ("payload", "args", "offset"),
    [
        ('["a","~7"]', [], "~7"),
        ('["a",1,"~0123abcd-9"]', [1], "~0123abcd-9"),
        ('["a","x","~7"]', ["x"], "~7"),
        ('["a","~6","~7"]', ["~6"], "~7"),
        ('["a",123456789012345678901234567890,1e999,"~7"]', None, "~7"),
        ('["a","x"]', ["x"], None),
        ('["a","7"]', ["7"], None),
        ('["a"]', [], None),
        ('["a",7]', [7], None),
        ('["a",["~7"]]', [["~7"]], None),
        ('["a",{"b":"~7"}]', [{"b": "~7"}], None),
        ('["a","x,\\"~7"]', ['x,"~7'], None),
        ('["a","[\\"~7"]', ['["~7'], None),
        ('["~7"]', [], None),
    ],
)
def test_a_mark_is_no_argument_and_all_other_text_is(
    payload: str, args: list[object] | None, offset: str | None
) -> None:
    client = joined("/", pid="p")
    (event,) = heard(client, f"42{payload}")
    assert isinstance(event, Event) and isinstance(event.args, Args)
    if args is None:
        assert str(event.args.raw).count("~7") == 0
    else:
        assert values(event.args) == args
    assert connects(client).get("offset") == offset


def test_a_mark_stands_behind_bytes_too() -> None:
    client = joined("/", pid="p")
    (event,) = heard(client, f'451-["a",{{"b":{PLACE}}},"~7"]', b"\x00")
    assert isinstance(event, Event) and values(event.args) == [{"b": b"\x00"}]
    assert connects(client)["offset"] == "~7"


def test_a_question_has_no_mark() -> None:
    client = joined("/", pid="p")
    (event,) = heard(client, '427["ask","~7"]')
    assert isinstance(event, Event) and values(event.args) == ["~7"]
    assert "offset" not in connects(client)


def test_where_nothing_goes_on_a_mark_is_text() -> None:
    (event,) = heard(joined(), '42["a","~7"]')
    assert isinstance(event, Event) and values(event.args) == ["~7"]


# --- junk -----------------------------------------------------------------------------------------

packets = (
    st.text(max_size=12)
    | st.text('0123456/,-[]{}":ab_~', max_size=14).map(lambda text: f"4{text}")
    | st.binary(max_size=4)
    | st.sampled_from(
        ['40{"sid":"m","pid":"p"}', '42["a",1e999,"~7"]', "2", "6", f'451-["a",{PLACE}]', "41"]
    )
)


@given(st.lists(packets, max_size=12))
def test_any_conversation_is_frames_or_a_protocol_error(conversation: list[Message]) -> None:
    client = opened()
    client.send(Join("j", "/", "/", Body.of({})))
    for message in conversation:
        try:
            frames = client.receive(message, 1.0)
        except ProtocolError:
            return
        assert all(isinstance(frame, Frame) for frame in frames)
        client.due()
