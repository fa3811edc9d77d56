"""Tests of anywire.core.channel."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import Args, Form
from anywire.brokers.base import Keep
from anywire.core.binding import Scope
from anywire.core.channel import Channel, Channels, Left
from anywire.core.member import Member
from anywire.errors import ConfigurationError, Refused
from anywire.limits import Limits
from tests.core.support import KINDS


def channel(pattern: str = "chat:{room}", **options: Any) -> Channel:
    return Channel(pattern, kinds=KINDS, **options)


# --- patterns -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "address", "fields"),
    [
        ("desk", "desk", {}),
        ("desk", "desk2", None),
        ("chat:{room}", "chat:a", {"room": "a"}),
        ("chat:{room}", "chat:a:b", {"room": "a:b"}),
        ("chat:{room}", "chat:", None),
        ("chat:{room}", "chat:a/b", None),
        ("chat:{room}", "chat:a\n", None),
        ("chat:{room}", "chat:a\x00", None),
        ("chat:{room}", "CHAT:a", None),
        ("a.{x}.{y}", "a.1.2", {"x": "1", "y": "2"}),
        ("a+{x}*", "a+1*", {"x": "1"}),
        ("a+{x}*", "aa1", None),
        ("{all}", "anything at all", {"all": "anything at all"}),
    ],
)
def test_a_pattern_matches_whole_addresses(
    pattern: str, address: str, fields: dict[str, str] | None
) -> None:
    assert channel(pattern).match(address) == fields


@given(st.text(max_size=20))
def test_no_field_ever_holds_a_slash_or_a_control_character(text: str) -> None:
    fields = channel().match("chat:" + text)
    if fields is not None:
        assert not re.search(r"[/\x00-\x1f\x7f]", fields["room"])
        assert fields["room"] == text


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("", "must be printable, not empty"),
        ("a/b", 'without "/"'),
        ("a\x00", "must be printable"),
        ("a:{x}:{x}", "names a field twice"),
        ("chat:{room", "a brace that is no field"),
        ("chat:{}", "a brace that is no field"),
        ("chat:{a b}", "a brace that is no field"),
    ],
)
def test_a_pattern_that_cannot_be_is_an_error(pattern: str, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what):
        channel(pattern)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("chat:{room}", "chat"),
        ("desk", "desk"),
        ("a-{x}", "a"),
        ("a.b_{x}", "a.b"),
        ("{x}", "{x}"),
        (":{x}", ":{x}"),
    ],
)
def test_entered_rooms_are_named_after_what_is_fixed(pattern: str, name: str) -> None:
    assert channel(pattern).name == name


def test_history_is_kept_where_it_is_asked_for() -> None:
    assert channel().keep is None
    assert channel(history=5, history_seconds=9.0).keep == Keep(5, 9.0)


# --- handlers -------------------------------------------------------------------------------------


def test_each_event_has_one_handler_and_decorators_give_the_function_back() -> None:
    chat = channel()

    def handler(member: Member) -> None: ...

    for decorate in (chat.join, chat.leave, chat.message, chat.any, chat.on("say")):
        assert decorate(handler) is handler
        with pytest.raises(ConfigurationError, match="has a handler for"):
            decorate(handler)
    assert list(chat.handlers) == ["message", "say"]


def test_a_signature_that_cannot_work_is_an_error_where_it_stands() -> None:
    chat = channel()

    async def say(value: complex) -> None: ...

    with pytest.raises(ConfigurationError, match=r"test_channel.py:\d+: say\(\)"):
        chat.on("say")(say)


def test_a_join_or_leave_is_no_stream() -> None:
    async def stream() -> AsyncIterator[int]:
        yield 1

    async def upload(numbers: AsyncIterator[int]) -> None: ...

    for function in (stream, upload):
        for decorate in (channel().join, channel().leave):
            with pytest.raises(ConfigurationError, match="can be no stream"):
                decorate(function)


def test_a_leave_takes_no_arguments() -> None:
    def wrong(member: Member, reason: str) -> None: ...

    def rest(**fields: object) -> None: ...

    def right(member: Member, room: str, why: Left) -> None: ...

    for function in (wrong, rest):
        with pytest.raises(ConfigurationError, match="a leave has none"):
            channel().leave(function)
    channel().leave(right)


def test_parallel_is_the_channels_unless_an_event_has_its_own() -> None:
    chat = channel(parallel=3)

    def handler() -> None: ...

    chat.on("one")(handler)
    chat.on("two", parallel=1)(handler)
    assert (chat.handlers["one"].parallel, chat.handlers["two"].parallel) == (3, 1)
    with pytest.raises(ConfigurationError, match='parallel=0 on "three": at least 1'):
        chat.on("three", parallel=0)(handler)


def test_only_streams_can_be_collected() -> None:
    async def stream() -> AsyncIterator[int]:
        yield 1

    def plain() -> None: ...

    chat = channel()
    chat.on("ticks", collect=True)(stream)
    assert chat.handlers["ticks"].collect
    with pytest.raises(ConfigurationError, match="no stream"):
        chat.on("other", collect=True)(plain)


def test_an_event_that_nobody_takes_names_those_that_are_taken() -> None:
    chat = channel()
    with pytest.raises(Refused, match="known: none"):
        chat.find("say")

    def handler(*args: object) -> None: ...

    chat.on("say")(handler)
    chat.on("ask")(handler)
    assert chat.find("say") is chat.handlers["say"]
    with pytest.raises(Refused, match=r'"nope" is unknown on "chat:\{room}"; known: ask, say'):
        chat.find("nope")
    chat.any(handler)
    assert chat.find("nope") is chat.catch_all


def test_what_goes_out_may_be_declared() -> None:
    chat = channel()

    @chat.emits
    def user_joined(id: str, name: str) -> None: ...

    @chat.emits
    def log(*lines: str) -> None: ...

    assert chat.body("user-joined", ("1", "ana")).one_value == {"id": "1", "name": "ana"}
    assert chat.body("user_joined", ("1", "ana")).one_value == ["1", "ana"]
    assert chat.body("log", ("a",)).one_value == "a"
    assert chat.emitted["user-joined"].event == "user-joined"
    with pytest.raises(ValueError, match='event "user-joined": `name` is missing'):
        chat.body("user-joined", ("1",))


def test_the_app_s_limit_of_nesting_holds_for_handlers() -> None:
    deep = Args('[["too deep"]]', Form.TEXT)
    for nesting, is_right in ((2, True), (1, False)):
        chat = Channel("chat", kinds=KINDS, limits=Limits(nesting=nesting))

        @chat.message
        def message(data: list[list[str]]) -> object:
            return data

        member = Scope(None, {}, "message")
        if is_right:
            assert chat.handlers["message"].binder.invoke(member, deep) == [["too deep"]]
        else:
            with pytest.raises(Refused, match="nested deeper than 1"):
                chat.handlers["message"].binder.invoke(member, deep)


# --- channels -------------------------------------------------------------------------------------


def channels(*patterns: str) -> Channels:
    found = Channels()
    for pattern in patterns:
        found.add(channel(pattern))
    return found


def test_exact_patterns_come_first_then_the_others_in_their_order() -> None:
    found = channels("chat:{room}", "chat:staff", "chat:{room}:{topic}")
    assert [one.pattern for one in found] == ["chat:staff", "chat:{room}", "chat:{room}:{topic}"]
    assert found.find("chat:staff")[0].pattern == "chat:staff"
    assert found.find("chat:a:b") == (list(found)[1], {"room": "a:b"})
    with pytest.raises(ConfigurationError, match='a channel "chat:staff" already'):
        found.add(channel("chat:staff"))


def test_an_unknown_address_names_the_patterns() -> None:
    with pytest.raises(Refused, match='no channel takes "x"; known: none'):
        channels().find("x")
    with pytest.raises(Refused, match='known: "a", "b"'):
        channels("a", "b").find("x")


@pytest.mark.parametrize(
    ("parts", "address", "rest"),
    [
        ({}, "chat", {}),
        ({"room": "a"}, "chat:a", {}),
        ({"room": 7, "as": "guest"}, "chat:7", {"as": "guest"}),
        ({"room": "a", "topic": "b"}, "chat:a:b", {}),
        ({"topic": "b"}, "chat", {"topic": "b"}),
        ({"room": True}, "chat", {"room": True}),
        ({"room": ["a"]}, "chat", {"room": ["a"]}),
        ({"room": "a/b"}, "chat", {"room": "a/b"}),
        ({"room": ""}, "chat", {"room": ""}),
        ({"room": "a", "topic": "b:c"}, "chat:a", {"topic": "b:c"}),
        ({"room": "a", "topic": "", "page": 1}, "chat:a", {"topic": "", "page": 1}),
        ({"page": 1}, "chat", {"page": 1}),
    ],
)
def test_a_channel_is_found_by_its_name_and_the_parts_of_its_pattern(
    parts: dict[str, object], address: str, rest: dict[str, object]
) -> None:
    patterns = ("other:{room}:{topic}", "chat:{room}:{topic}", "chat:{room}", "chat", "chat:{page}")
    found = channels(*patterns)  # no address is of the last one: another takes it first
    # "chat:a:b:c" would be read as the room "a:b" with the topic "c": that is not what was meant.
    assert found.fill("chat", parts) == (address, rest)


def test_a_room_belongs_to_the_channel_of_its_address_or_of_its_first_part() -> None:
    found = channels("chat:{room}", "inbox")
    chat, inbox = found.find("chat:a")[0], found.find("inbox")[0]
    assert found.of_room("chat:a") is chat
    assert found.of_room("chat/engineering") is chat
    assert found.of_room("chat:a/bob") is chat
    assert found.of_room("inbox/bob") is inbox
    assert found.of_room("nowhere") is None
    assert found.of_room("nowhere/x") is None


@pytest.mark.parametrize(
    ("private", "open"),
    [("inbox", "inbox:{kind}"), ("inbox:{kind}", "inbox:a:{x}"), ("inbox", "inbox.{x}.{y}")],
)
def test_no_room_of_a_name_is_the_room_of_a_user(private: str, open: str) -> None:
    for first, second in ((private, open), (open, private)):
        found = Channels()
        found.add(channel(first, personal=first == private))
        with pytest.raises(ConfigurationError, match=f'those of the users of "{private}"'):
            found.add(channel(second, personal=second == private))
    found = Channels()
    found.add(channel(private, personal=True))
    found.add(channel(open, personal=True))
    found.add(channel("other:{x}"))
