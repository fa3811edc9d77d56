"""Tests of anywire.wires.actioncable.commands."""

import json

import pytest

from anywire.body import Args
from anywire.errors import ProtocolError
from anywire.limits import Limits
from anywire.wires.actioncable.commands import event_of, parse

LIMITS = Limits()


def heard(data: object) -> tuple[str, list[object]] | None:
    event = event_of("a", data if isinstance(data, str) else json.dumps(data), LIMITS)
    if event is None:
        return None
    assert event.alias == "a" and isinstance(event.args, Args)
    return event.event, list(event.args.values())


def code_of(message: str | bytes, limits: Limits = LIMITS) -> int:
    with pytest.raises(ProtocolError) as caught:
        parse(message, limits)
    return caught.value.code


def test_a_command_has_an_identifier_and_data() -> None:
    command = parse('{"command":"message","identifier":"a","data":"{}","more":1}', LIMITS)
    assert (command.command, command.identifier, command.data) == ("message", "a", "{}")


def test_what_a_command_leaves_out_is_empty() -> None:
    command = parse("{}", LIMITS)
    assert (command.command, command.identifier, command.data) == ("", "", None)


def test_of_a_member_that_stands_twice_the_last_one_counts() -> None:
    command = parse('{"command":"subscribe","command":"message","identifier":"a"}', LIMITS)
    assert command.command == "message"


@pytest.mark.parametrize(
    "message",
    [
        "",
        "null",
        "[]",
        "x",
        '"subscribe"',
        '{"command":5}',
        '{"identifier":{}}',
        '{"command":"a"} b',
        '{"data":"\ud800"}',
        '{"data":1e400}',
        '{"a":' * 5_000,
        "[" * 20_000,
    ],
)
def test_what_is_no_command_breaks_the_protocol(message: str) -> None:
    assert code_of(message) == 4400


def test_bytes_are_no_command() -> None:
    assert code_of(b"{}") == 1003


def test_a_message_is_measured_in_bytes() -> None:
    limits = Limits(message=40)
    assert parse('{"command":"%s"}' % ("x" * 26), limits).command == "x" * 26
    assert code_of('{"command":"%s"}' % ("x" * 27), limits) == 1009
    assert code_of('{"command":"%s"}' % ("\u20ac" * 9), limits) == 1009


def test_what_stands_in_a_command_may_nest_as_deep_as_any_payload() -> None:
    deep = "[" * 32 + "]" * 32
    assert parse(f'{{"data":{deep}}}', LIMITS).data
    assert code_of(f'{{"data":[[{deep}]]}}') == 4400


def test_an_action_is_an_event_with_all_that_stands_beside_it() -> None:
    assert heard({"text": "hi", "action": "speak", "to": ["bo"]}) == (
        "speak",
        [{"text": "hi", "to": ["bo"]}],
    )
    assert heard({"action": "whoami"}) == ("whoami", [{}])


@pytest.mark.parametrize("action", ["receive", "", "  ", None, False])
def test_without_an_action_it_is_a_message(action: object) -> None:
    assert heard({"action": action, "a": 1}) == ("message", [{"a": 1}])


def test_a_message_of_any_kind_is_the_event_message() -> None:
    assert heard({"a": {"action": "speak"}}) == ("message", [{"a": {"action": "speak"}}])
    assert heard('"hi"') == ("message", ["hi"])
    for value in (5, None, True, [1, {}]):
        assert heard(value) == ("message", [value])


def test_an_event_may_have_its_name_as_we_write_it() -> None:
    assert heard({"event": "say", "data": [1]}) == ("say", [[1]])
    assert heard({"event": "say"}) == ("say", [])
    for other in ({"event": 5}, {"event": "say", "data": 1, "x": 2}, {"event": "say", "x": 1}):
        assert heard(other) == ("message", [other])


@pytest.mark.parametrize("action", ["subscribed", "unsubscribed", 5, {}, [1], True])
def test_what_rails_would_not_run_is_ignored(action: object) -> None:
    assert heard({"action": action}) is None


@pytest.mark.parametrize(
    "data",
    ["", "{", "x", '{"action":}', '{"a":1} b', '{"action":"\ud800"}', "[" * 40, '"\ud800"', "[1"],
)
def test_data_that_is_no_json_breaks_the_protocol(data: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        event_of("a", data, LIMITS)
    assert caught.value.code == 4400


@pytest.mark.parametrize("data", [None, 5, {}, {"action": "speak"}])
def test_data_that_is_no_text_breaks_the_protocol(data: object) -> None:
    with pytest.raises(ProtocolError, match="is JSON in text"):
        event_of("a", data, LIMITS)


def test_data_nests_as_deep_as_any_payload() -> None:
    assert heard({"action": "say", "x": json.loads("[" * 32 + "]" * 32)})
    with pytest.raises(ProtocolError, match="at most 32 deep"):
        heard({"action": "say", "x": json.loads("[" * 33 + "]" * 33)})
