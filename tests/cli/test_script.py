"""What a typed or piped line says."""

import pytest

from anywire.cli.script import EventLine, event_line, raw_line


def test_a_raw_line_is_said_as_it_is() -> None:
    assert raw_line(' {"data": 1} ') == ' {"data": 1} '


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"data": "hi"}', "hi"),
        ('{"type": "text", "data": "hi", "time": 1, "direction": "in"}', "hi"),
        ('{"data": {"a": [1, null]}}', '{"a":[1,null]}'),
        ('{"type": "binary", "data": "AP8="}', b"\x00\xff"),
        ('{"type": "binary", "data": ""}', b""),
    ],
)
def test_a_json_line_says_text_or_bytes(line: str, message: str | bytes) -> None:
    assert raw_line(line, is_json=True) == message


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("hi", "right: "),
        ("{}", "data"),
        ("[" * 100_000, "right: "),
        ('{"type": "ping", "data": ""}', 'not "ping"'),
        ('{"type": "binary", "data": 1}', "base64"),
        ('{"type": "binary", "data": "A"}', "base64"),
    ],
)
def test_a_json_line_that_says_nothing_is_refused_with_what_would_be_right(
    line: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        raw_line(line, is_json=True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ping", EventLine("ping")),
        ("  ping  ", EventLine("ping")),
        ('say {"text": "hi"}', EventLine("say", ({"text": "hi"},))),
        ("say hi there", EventLine("say", ("hi there",))),
        ('say "42"', EventLine("say", ("42",))),
        ("add [1, 2]", EventLine("add", (1, 2))),
        ("say null", EventLine("say", (None,))),
        ('{"event": "say"}', EventLine("say")),
        (
            '{"event": "say", "data": "hi", "address": "chat:a", "stream": true}',
            EventLine("say", ("hi",), "chat:a", stream=True),
        ),
        ("say " + "[" * 100_000, EventLine("say", ("[" * 100_000,))),
    ],
)
def test_an_event_line_names_an_event_and_its_arguments(line: str, said: EventLine) -> None:
    assert event_line(line) == said


@pytest.mark.parametrize("line", ["", "   ", '{"event": ""}', '{"data": 1}', "{"])
def test_an_event_line_without_a_name_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        event_line(line)


def test_with_json_a_bare_name_is_refused() -> None:
    with pytest.raises(ValueError, match="right: "):
        event_line("say", is_json=True)


def test_arguments_are_shown_as_one_value() -> None:
    assert event_line("add [1, 2]").one_value == [1, 2]
    assert event_line("add 1").one_value == 1
