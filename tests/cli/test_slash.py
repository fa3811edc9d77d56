"""What the slash commands say."""

import pytest

from anywire.cli.slash import Command, Goodbye, Probe, parse


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("/ping", Probe(True)),
        ("/ping now", Probe(True, b"now")),
        ("/ping two words", Probe(True, b"two")),
        ("/pong", Probe(False)),
        ("/pong \N{SNOWMAN}", Probe(False, b"\xe2\x98\x83")),
        ("/close", Goodbye(1000, "")),
        ("/close 4001", Goodbye(4001, "")),
        ("/close  4001  come   again ", Goodbye(4001, "come again")),
    ],
)
def test_a_command_says_what_it_says_to_wscat(line: str, command: Command) -> None:
    assert parse(line) == command


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("/", "there is no command /; known: /ping, /pong, /close"),
        ("/nope", "there is no command /nope"),
        ("/Ping", "there is no command /Ping"),
        (f"/ping {'x' * 126}", "at most 125 bytes, not 126"),
        ("/pong " + "\N{SNOWMAN}" * 42, "at most 125 bytes, not 126"),
        ("/close soon", "a close code is 1000 to 1003"),
        ("/close 1005", "not '1005'"),
        ("/close 999", "not '999'"),
        (f"/close 1000 {'x' * 124}", "at most 123 bytes"),
    ],
)
def test_what_cannot_be_sent_is_told(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        parse(line)
    assert why in str(error.value)
