"""What all commands share."""

import argparse
import io

import pytest

from anywire.cli.command import Parser, UsageError, complain, has_colors, port


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_parser_fails_with_one_line_that_names_its_help() -> None:
    parser = Parser(prog="anywire talk")
    with pytest.raises(UsageError, match="unrecognized arguments: --nope; see anywire talk --help"):
        parser.parse_args(["--nope"])


def test_an_option_cannot_be_abbreviated() -> None:
    parser = Parser()
    parser.add_argument("--token")
    with pytest.raises(UsageError):
        parser.parse_args(["--tok", "x"])


@pytest.mark.parametrize("text", ["65536", "-1", "x", "", "1.5", "¹"])
def test_what_is_no_port_is_refused_with_the_range(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="from 0 to 65535"):
        port(text)


def test_a_port_is_a_number() -> None:
    assert [port("0"), port("65535")] == [0, 65535]


def test_a_complaint_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    complain("this\nthat")
    assert capsys.readouterr().err == "anywire: this that\n"


def test_what_a_complaint_quotes_cannot_drive_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    complain("\x1b]0;owned\x07 a\x9b1m \u202eb \U000e0001 \u20ac")
    shown = "\\x1b]0;owned\\x07 a\\x9b1m \\u202eb \\U000e0001 \u20ac"
    assert capsys.readouterr().err == f"anywire: {shown}\n"


@pytest.mark.parametrize(
    ("stream", "environ", "expected"),
    [
        (Tty(), {}, True),
        (Tty(), {"NO_COLOR": ""}, True),
        (Tty(), {"NO_COLOR": "1"}, False),
        (Tty(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colors_are_for_terminals_whose_users_want_them(
    stream: io.StringIO, environ: dict[str, str], expected: bool
) -> None:
    assert has_colors(stream, environ) is expected
