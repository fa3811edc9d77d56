"""How a talk looks."""

import msgspec
import pytest

from anywire.cli.entry import Entry, closed, failed, opened
from anywire.cli.view import Shown, Style, View

TEXT = Entry(type="text", data="hi")


def words(style: Style, entry: Entry, *, has_colors: bool = False) -> str | None:
    shown = View(style, has_colors=has_colors).show(entry, 0.0)
    return None if shown is None else shown.text


def test_a_terminal_marks_lines_as_wscat_does() -> None:
    assert words(Style.TERMINAL, TEXT) == "< hi"
    assert words(Style.TERMINAL, opened()) == "Connected (press CTRL+C to quit)"
    assert words(Style.TERMINAL, closed(1000, "")) == 'Disconnected (code: 1000, reason: "")'
    assert words(Style.TERMINAL, failed("no")) == "error: no"


def test_a_terminal_with_colors_has_them() -> None:
    assert words(Style.TERMINAL, TEXT, has_colors=True) == "\x1b[34m< hi\x1b[39m"
    assert words(Style.TERMINAL, failed("no"), has_colors=True) == "\x1b[33merror: no\x1b[39m"


def test_what_a_server_says_cannot_drive_the_terminal() -> None:
    said = Entry(type="text", data="a\x1b[2Jb\rc\x9b1m\td\ne")
    assert words(Style.TERMINAL, said) == "< a\\x1b[2Jb\\x0dc\\x9b1m\td\ne"


def test_a_pipe_gets_what_was_received_and_nothing_else() -> None:
    assert words(Style.PIPE, TEXT) == "hi"
    assert words(Style.PIPE, opened()) is None
    assert words(Style.PIPE, closed(1000, "")) is None
    assert View(Style.PIPE).show(failed("no"), 0.0) == Shown("anywire: no", is_error=True)


@pytest.mark.parametrize("style", [Style.TERMINAL, Style.PIPE])
def test_a_welcome_says_nothing_to_people(style: Style) -> None:
    entry = Entry(direction="here", type="welcome", data={"session": "s"})
    assert words(style, entry) is None


@pytest.mark.parametrize("style", [Style.TERMINAL, Style.PIPE])
def test_what_we_say_is_not_repeated_to_people(style: Style) -> None:
    assert words(style, Entry(direction="out", type="text", data="hi")) is None


def test_binary_messages_are_shown_in_hex() -> None:
    assert words(Style.PIPE, Entry(type="binary", data=b"\x00\xff")) == "<binary, 2 bytes> 00ff"


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (Entry(type="event", event="said", data={"text": "hi"}), 'said {"text":"hi"}'),
        (Entry(type="event", event="said", address="chat:a", data=1), "chat:a said 1"),
        (Entry(type="event", event="ticked"), "ticked"),
        (Entry(type="call", event="confirm", data=1), "call confirm 1"),
        (Entry(type="reply", event="say", data=None), "reply to say: null"),
        (Entry(type="item", event="ticks", data=3), "item to ticks: 3"),
        (Entry(type="end", event="ticks"), "end to ticks"),
        (Entry(type="joined", address="chat:a", data={"a": 1}), 'joined chat:a {"a":1}'),
        (Entry(type="leave", address="chat:a"), "leave chat:a"),
    ],
)
def test_events_are_shown_in_words(entry: Entry, line: str) -> None:
    assert words(Style.PIPE, entry) == line


def test_json_shows_everything_one_object_a_line() -> None:
    entries = [
        opened(),
        TEXT,
        Entry(direction="out", type="binary", data=b"\x00"),
        closed(1006, "x"),
    ]
    lines = [View(Style.JSON).show(entry, 2.5) for entry in entries]
    assert [msgspec.json.decode(line.text) for line in lines if line] == [
        {"time": 2.5, "direction": "here", "type": "open"},
        {"time": 2.5, "direction": "in", "type": "text", "data": "hi"},
        {"time": 2.5, "direction": "out", "type": "binary", "data": "AA=="},
        {"time": 2.5, "direction": "here", "type": "close", "data": {"code": 1006, "reason": "x"}},
    ]


def test_json_keeps_an_answer_of_null() -> None:
    entry = Entry(type="reply", event="say", data=None)
    assert words(Style.JSON, entry) == (
        '{"time":0.0,"direction":"in","type":"reply","event":"say","data":null}'
    )
