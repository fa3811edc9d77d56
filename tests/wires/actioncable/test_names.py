"""Tests of anywire.wires.actioncable.names."""

import json

import pytest

from anywire.limits import Limits
from anywire.wires.actioncable.names import address_of, parsed

LIMITS = Limits()


@pytest.mark.parametrize(
    ("channel", "address"),
    [
        ("ChatChannel", "chat"),
        ("Chats::WebRoomChannel", "chats:web_room"),
        ("Admin::V2::AuditLogChannel", "admin:v2:audit_log"),
        ("HTMLPagesChannel", "html_pages"),
        ("Room42UsersChannel", "room42_users"),
        ("Chat", "chat"),
        ("ChannelsChannel", "channels"),
        ("My_RoomChannel", "my_room"),
    ],
)
def test_the_name_of_a_class_is_spelt_as_rails_spells_its_channel(
    channel: str, address: str
) -> None:
    assert address_of(channel) == address


@pytest.mark.parametrize(
    "channel",
    ["chat:lobby", "chat", "Channel", "chat room", "ÄrgerChannel", "Chat:lobby", "chatChannel", ""],
)
def test_any_other_name_stays_as_it_is(channel: str) -> None:
    assert address_of(channel) == channel


def test_an_identifier_is_a_channel_and_parts() -> None:
    found = parsed('{"room":"lobby","channel":"ChatChannel","n":[1,{"a":null}]}', LIMITS)
    assert found == ("ChatChannel", {"room": "lobby", "n": [1, {"a": None}]})


def test_of_a_name_that_stands_twice_the_last_one_counts() -> None:
    assert parsed('{"channel":"a","room":1,"channel":"b","room":2}', LIMITS) == ("b", {"room": 2})


@pytest.mark.parametrize(
    "identifier",
    [
        "",
        "null",
        "[]",
        "{",
        '"ChatChannel"',
        "{}",
        '{"channel":null}',
        '{"channel":""}',
        '{"channel":5}',
        '{"channel":"\ud800"}',
        '{"channel":"chat"} x',
        json.dumps({"channel": "chat", "deep": [[]]}).replace("[]", "[" * 40 + "]" * 40),
        "[" * 100_000,
    ],
)
def test_what_names_no_channel_is_none(identifier: str) -> None:
    assert parsed(identifier, LIMITS) is None
