"""Tests of anywire.wires.actioncable.client."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from anywire.body import Args, Body
from anywire.errors import ProtocolError
from anywire.frames import Ack, Beat, Bye, Event, Frame, Join, Joined, Leave, Refusal, Welcome
from anywire.payload import Payload
from anywire.wires.actioncable import ActionCableClient
from anywire.wires.actioncable.client import data_of, identifier_of

LOBBY = '{"channel":"chat:lobby"}'


def make() -> ActionCableClient:
    client = ActionCableClient()
    assert not client.opened("actioncable-v1-json", 0.0)
    return client


def joined(alias: str = "chat:lobby", params: Body | None = None) -> ActionCableClient:
    client = make()
    client.send(Join(7, alias, alias, params or Body.of()))
    return client


def said(payloads: Sequence[Payload]) -> list[Any]:
    return [json.loads(message) for payload in payloads for message in payload.messages()]


def hears(client: ActionCableClient, **message: Any) -> list[Frame]:
    return list(client.receive(json.dumps(message), 1.0))


def test_it_offers_the_base_protocol() -> None:
    offers = ("actioncable-v1-json", "actioncable-unsupported")
    assert make().opening().subprotocols == offers


def test_a_welcome_and_a_ping_are_heard() -> None:
    client = make()
    assert hears(client, type="welcome") == [Welcome("", None, 0.0)]
    assert hears(client, type="ping", message=5) == [Beat()]


def test_an_address_is_joined_as_the_channel_of_an_identifier() -> None:
    client = make()
    join = Join(7, "chat:lobby", "chat:lobby", Body.of({"name": "ana"}))
    [subscribe] = said(client.send(join))
    identifier = '{"channel":"chat:lobby","name":"ana"}'
    assert subscribe == {"command": "subscribe", "identifier": identifier}
    confirmed = hears(client, type="confirm_subscription", identifier=identifier)
    assert confirmed == [Joined(7, "chat:lobby")]
    [speak] = said(client.send(Event("chat:lobby", "speak", Body.of({"a": 1}))))
    assert speak["identifier"] == identifier
    [event] = hears(client, identifier=identifier, message={"x": 1})
    assert isinstance(event, Event) and event.alias == "chat:lobby"
    [leave] = said(client.send(Leave("chat:lobby")))
    assert leave == {"command": "unsubscribe", "identifier": identifier}


@pytest.mark.parametrize(
    ("alias", "params", "identifier"),
    [
        ("chat", None, '{"channel":"chat"}'),
        ('{"channel":"C", "n":1}', None, '{"channel":"C", "n":1}'),
        ('{"channel":"C","n":1}', {"m": 2}, '{"channel":"C","n":1,"m":2}'),
        ("{so", {"channel": "x"}, '{"channel":"{so"}'),
    ],
)
def test_an_alias_that_is_an_object_is_the_identifier(
    alias: str, params: dict[str, Any] | None, identifier: str
) -> None:
    assert identifier_of(alias, params) == identifier


def test_a_rejection_is_a_refusal_of_a_join_and_else_the_end() -> None:
    client = joined()
    [refusal] = hears(client, type="reject_subscription", identifier=LOBBY)
    assert isinstance(refusal, Refusal)
    assert (refusal.ref, refusal.alias, refusal.code) == (7, "chat:lobby", "refused")
    client = joined()
    hears(client, type="confirm_subscription", identifier=LOBBY)
    assert hears(client, type="reject_subscription", identifier=LOBBY) == [Leave("chat:lobby")]


@pytest.mark.parametrize(
    ("reason", "reconnect", "code"),
    [
        ("server_restart", True, 1001),
        ("unauthorized", False, 4401),
        ("remote", False, 4403),
        (None, True, 4403),
    ],
)
def test_a_disconnect_is_the_end(reason: str | None, reconnect: bool, code: int) -> None:
    [bye] = hears(make(), type="disconnect", reason=reason, reconnect=reconnect)
    assert bye == Bye(code, reason or "", 0.0 if reconnect else None)


def test_messages_are_events() -> None:
    client = joined()
    found = []
    for message in ({"a": 1}, "hi", {"event": "said", "data": 1}, {"event": "said"}, None):
        [event] = hears(client, identifier=LOBBY, message=message)
        assert isinstance(event, Event) and isinstance(event.args, Args)
        found.append((event.event, list(event.args.values())))
    assert found == [
        ("message", [{"a": 1}]),
        ("message", ["hi"]),
        ("said", [1]),
        ("said", []),
        ("message", [None]),
    ]


def test_what_it_does_not_know_is_ignored() -> None:
    assert not hears(make(), type="dance")
    assert not hears(make(), identifier=LOBBY)
    assert not make().send(Ack(3))


@pytest.mark.parametrize("junk", ["", "x", "[]", '{"type":5}', b"\xff", "[" * 40, '"\ud800"'])
def test_junk_breaks_the_protocol(junk: str | bytes) -> None:
    with pytest.raises(ProtocolError):
        make().receive(junk, 1.0)


@pytest.mark.parametrize(
    ("event", "args", "data"),
    [
        ("speak", ({"a": 1},), {"a": 1, "action": "speak"}),
        ("speak", (), {"event": "speak"}),
        ("speak", (1,), {"event": "speak", "data": 1}),
        ("speak", (1, 2), {"event": "speak", "data": [1, 2]}),
        ("speak", ({"action": 1},), {"event": "speak", "data": {"action": 1}}),
        ("receive", ({"a": 1},), {"event": "receive", "data": {"a": 1}}),
        ("message", ({"a": 1},), {"a": 1}),
        ("message", ({"action": 1},), {"event": "message", "data": {"action": 1}}),
        ("message", ("hi",), "hi"),
        ("message", (), {"event": "message"}),
    ],
)
def test_an_event_is_an_action_where_it_can_be(
    event: str, args: tuple[Any, ...], data: object
) -> None:
    assert json.loads(data_of(event, Body.of(*args))) == data


def test_a_server_that_says_nothing_is_gone() -> None:
    client = make()
    assert client.deadline() == 30.0
    hears(client, type="ping", message=1)
    assert client.deadline() == 31.0
    assert not client.tick(30.5)
    [bye] = client.tick(31.0)
    assert isinstance(bye, Bye) and bye.code == 4410
    assert client.deadline() is None
    assert not client.tick(99.0)
    assert not client.due()
