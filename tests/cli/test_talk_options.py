"""What may be typed after `anywire talk`, and which letter means what."""

import argparse

import pytest

from anywire.cli.command import Parser, UsageError
from anywire.cli.talk_options import ASK, add_connecting, add_peer, add_talking, add_tls


def parsed(*words: str) -> argparse.Namespace:
    parser = Parser(prog="anywire talk")
    for add in (add_peer, add_connecting, add_tls, add_talking):
        add(parser)
    return parser.parse_args(words)


def test_without_options_everything_is_as_wscat_has_it() -> None:
    options = parsed("ws://a")
    assert options.url == "ws://a"
    assert (options.wait, options.max_redirects, options.protocol) == (2.0, 10, 13)
    assert (options.execute, options.header, options.subprotocol) == ([], [], [])
    assert not (options.location or options.slash or options.show_ping_pong or options.no_check)


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("-c ws://a", "connect", "ws://a"),
        ("-l 8080", "listen", 8080),
        ("-l 0", "listen", 0),
        ("-H a:b --header c:d", "header", ["a:b", "c:d"]),
        ("-s a --subprotocol b", "subprotocol", ["a", "b"]),
        ("-o https://a", "origin", "https://a"),
        ("-x a --execute b", "execute", ["a", "b"]),
        ("-w 3", "wait", 3.0),
        ("-w -1", "wait", None),
        ("-w 0", "wait", 0.0),
        ("-n", "no_check", True),
        ("-L", "location", True),
        ("-P", "show_ping_pong", True),
        ("-p 13", "protocol", 13),
        ("--slash", "slash", True),
        ("--host a", "host", "a"),
        ("--max-redirects 3", "max_redirects", 3),
        ("--max-redirects", "max_redirects", 10),
        ("--passphrase a", "passphrase", "a"),
        ("--passphrase", "passphrase", ASK),
        ("--proxy http://a:1", "proxy", "http://a:1"),
        ("--ping 0.5", "ping", 0.5),
        ("--no-color", "no_color", True),
    ],
)
def test_an_option_means_what_it_says(words: str, name: str, value: object) -> None:
    assert getattr(parsed(*words.split()), name) == value


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("-l http", "a port is a number"),
        ("-w -2", "a wait is seconds, or -1 for ever"),
        ("-w nan", "a wait is seconds, or -1 for ever"),
        ("--ping 0", "a time is a number of seconds over 0"),
        ("--timeout soon", "a time is a number of seconds over 0"),
        ("--max-redirects many", "a number from 0 to 1000"),
        ("--max-redirects 1001", "a number from 0 to 1000"),
        ("-p 8", "only version 13 (RFC 6455) is spoken, not '8'"),
    ],
)
def test_a_value_that_cannot_be_is_told(words: str, why: str) -> None:
    with pytest.raises(UsageError) as error:
        parsed(*words.split())
    assert why in str(error.value)


def test_only_letters_of_wscat_are_letters_here() -> None:
    parser = Parser(prog="anywire talk")
    for add in (add_peer, add_connecting, add_tls, add_talking):
        add(parser)
    names = {name for action in parser._actions for name in action.option_strings}
    letters = {name for name in names if not name.startswith("--")}
    assert letters == {f"-{letter}" for letter in "cHhlLnopPswx"}
