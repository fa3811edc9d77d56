"""How a talk looks."""

import msgspec
import pytest

from anywire.cli.entry import Entry, closed, failed, listening, opened, probed
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


def test_a_listener_says_what_wscat_says() -> None:
    assert words(Style.TERMINAL, listening(8080)) == "Listening on port 8080 (press CTRL+C to quit)"
    assert words(Style.TERMINAL, opened("client")) == "Client connected"


def test_where_it_listens_is_no_part_of_a_pipe() -> None:
    said = Shown("Listening on port 8080 (press CTRL+C to quit)", is_error=True)
    assert View(Style.PIPE).show(listening(8080), 0.0) == said


@pytest.mark.parametrize(("style", "mark"), [(Style.TERMINAL, "< "), (Style.PIPE, "")])
def test_pings_and_pongs_are_told_in_wscats_words(style: Style, mark: str) -> None:
    assert words(style, probed("ping", b"hi")) == f'{mark}Received ping (data: "hi")'
    assert words(style, probed("pong", b"\xff")) == f'{mark}Received pong (data: "\ufffd")'
    timed = probed("pong", b"1", seconds=0.0123456)
    assert words(style, timed) == f'{mark}Received pong (data: "1") after 12.346 ms'
    assert words(style, probed("ping", b"", direction="out")) is None


@pytest.mark.parametrize("style", [Style.TERMINAL, Style.PIPE])
def test_statistics_of_pings_are_one_line(style: Style) -> None:
    counts = {"sent": 4, "answered": 3, "loss": 0.25}
    times = {"min": 0.001, "avg": 0.002, "max": 0.0031}
    entry = Entry(direction="here", type="pings", data={**counts, **times})
    assert words(style, entry) == (
        "4 pings, 3 answered, 25% lost, round trip min/avg/max 1.000/2.000/3.100 ms"
    )
    none = Entry(direction="here", type="pings", data={"sent": 1, "answered": 0, "loss": 1.0})
    assert words(style, none) == "1 pings, 0 answered, 100% lost"


def test_a_terminal_with_colors_has_them() -> None:
    assert words(Style.TERMINAL, TEXT, has_colors=True) == "\x1b[34m< hi\x1b[39m"
    assert words(Style.TERMINAL, failed("no"), has_colors=True) == "\x1b[33merror: no\x1b[39m"


def test_what_a_server_says_cannot_drive_the_terminal() -> None:
    said = Entry(type="text", data="a\x1b[2Jb\rc\x9b1m\td\ne")
    assert words(Style.TERMINAL, said) == "< a\\x1b[2Jb\\x0dc\\x9b1m\td\ne"


def test_neither_can_it_where_a_script_talks_and_a_terminal_shows_it() -> None:
    said = Entry(type="text", data="a\x1b[2Jb\rc\x9b1m\td\ne")
    shown = View(Style.PIPE, escapes=True).show(said, 0.0)
    assert shown == Shown("a\\x1b[2Jb\\x0dc\\x9b1m\td\ne")
    assert View(Style.PIPE).show(said, 0.0) == Shown("a\x1b[2Jb\rc\x9b1m\td\ne")
    line = View(Style.JSON, escapes=True).show(said, 0.0)
    assert line is not None
    assert line.text.isprintable()
    assert msgspec.json.decode(line.text)["data"] == said.data


def test_an_error_in_a_pipe_has_no_control_characters_as_people_read_it() -> None:
    said = Shown("anywire: no\\x1b[2J", is_error=True)
    assert View(Style.PIPE).show(failed("no\x1b[2J"), 0.0) == said


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
