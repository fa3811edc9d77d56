"""What the options mean for the connection."""

import argparse
import getpass
import ssl
from pathlib import Path

import pytest

from anywire.cli.asking import (
    conversation_of,
    dialer_of,
    listener_tls,
    passphrase_of,
    request_of,
    url_of,
)
from anywire.cli.command import UsageError
from anywire.cli.conversation import RawConversation, WireConversation
from anywire.cli.main import parser
from anywire.errors import ConfigurationError
from tests.cli.certificates import PASSPHRASE, write_certificates

URL = "ws://127.0.0.1:1"


def options(*words: str) -> argparse.Namespace:
    return parser().parse_args(["talk", *words])


@pytest.mark.parametrize(
    ("words", "url"),
    [
        (["ws://a"], "ws://a"),
        (["-c", "wss://a/b?c=d"], "wss://a/b?c=d"),
        (["-c", "a:8080/b"], "ws://a:8080/b"),
        (["127.0.0.1:8080"], "ws://127.0.0.1:8080"),
        (["HTTP://a"], "HTTP://a"),
        (["ws://a", "-c", "ws://a"], "ws://a"),
        (["-l", "8080"], None),
    ],
)
def test_the_url_may_be_short(words: list[str], url: str | None) -> None:
    assert url_of(options(*words)) == url


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "name one URL to talk to"),
        (["ws://a", "-c", "ws://b"], "name one URL to talk to"),
        (["ftp://a"], "must begin with ws:// or wss://"),
        (["-l", "1", "ws://a"], "leave one out"),
        (["-l", "1", "-H", "a: b", "--proxy", "c"], "-H, --proxy: for connecting, not for -l"),
        (["-l", "1", "--wire", "anywire"], "--wire: for connecting"),
    ],
)
def test_where_to_must_be_clear(words: list[str], why: str) -> None:
    with pytest.raises(UsageError) as error:
        url_of(options(*words))
    assert why in str(error.value)


def headers(*words: str) -> dict[str, str]:
    return dict(request_of(options(URL, *words), URL).headers)


def test_each_option_that_is_a_header_becomes_one() -> None:
    assert headers("-H", "A: 1", "-H", "b:2:3", "-o", "https://a", "--host", "b.example") == {
        "A": "1",
        "b": "2:3",
        "Origin": "https://a",
        "Host": "b.example",
    }
    assert headers("--auth", "ana:s3cret") == {"Authorization": "Basic YW5hOnMzY3JldA=="}
    assert headers("--token", "t") == {"Authorization": "Bearer t"}


def test_an_option_wins_over_a_header_in_other_letters() -> None:
    given = headers("-H", "authorization: x", "-H", "HOST: x", "--token", "t", "--host", "y")
    assert given == {"Authorization": "Bearer t", "Host": "y"}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["-H", "nonsense"], "a header is 'Name: value'"),
        (["-H", "Upgrade: h2c"], "the handshake's own"),
        (["-s", "a b"], "this cannot be asked for"),
        (["--auth", "a:b", "--token", "t"], "leave one out"),
    ],
)
def test_what_cannot_be_asked_for_is_told(words: list[str], why: str) -> None:
    with pytest.raises(UsageError) as error:
        headers(*words)
    assert why in str(error.value)


def test_what_is_spoken_is_chosen_by_the_wire() -> None:
    assert isinstance(conversation_of(options(URL)), RawConversation)
    ours = conversation_of(options(URL, "--wire", "anywire", "--join", "a"))
    assert isinstance(ours, WireConversation)
    assert conversation_of(options(URL, "-s", "one")).opening().subprotocols == ["one"]


def test_a_join_needs_a_wire_and_a_wire_its_own_subprotocol() -> None:
    with pytest.raises(UsageError, match="--wire anywire"):
        conversation_of(options(URL, "--join", "a"))
    with pytest.raises(UsageError, match="takes one subprotocol"):
        conversation_of(options(URL, "--wire", "anywire", "-s", "nope"))
    with pytest.raises(UsageError, match="--wire anywire"):
        conversation_of(options(URL, "--wire", "sockjs", "--join", "a"))
    with pytest.raises(UsageError, match="--wire sockjs takes no subprotocol"):
        conversation_of(options(URL, "--wire", "sockjs", "-s", "nope"))
    assert isinstance(conversation_of(options(URL, "--wire", "sockjs")), WireConversation)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--proxy", "ftp://a"], UsageError),
        (["--proxy", "http://a:1", "--unix", "b"], UsageError),
        (["--ca", "nowhere.pem"], ConfigurationError),
        (["--key", "nowhere.pem"], UsageError),
    ],
)
def test_a_way_that_cannot_be_gone_is_told(words: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        dialer_of(options("wss://a", *words), "wss://a")


def test_without_tls_no_certificate_is_read() -> None:
    dialer_of(options(URL, "--ca", "nowhere.pem"), URL)


def test_a_listener_has_tls_with_a_certificate(tmp_path: Path) -> None:
    files = write_certificates(tmp_path)
    assert listener_tls(options("-l", "0")) is None
    context = listener_tls(options("-l", "0", "--cert", files.both, "--ca", files.ca))
    assert context is not None and context.verify_mode is ssl.CERT_REQUIRED
    with pytest.raises(UsageError, match="need --cert beside them"):
        listener_tls(options("-l", "0", "--key", files.key))
    locked = options("-l", "0", "--cert", files.cert, "--key", files.locked)
    locked.passphrase = PASSPHRASE
    assert listener_tls(locked) is not None


def test_a_passphrase_is_given_or_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert passphrase_of(options(URL)) is None
    given = passphrase_of(options(URL, "--passphrase", "open sesame"))
    assert given is not None and given() == "open sesame"
    monkeypatch.setattr(getpass, "getpass", lambda prompt: f"asked with {prompt}")
    asked = passphrase_of(options(URL, "--passphrase"))
    assert asked is not None and asked() == "asked with Passphrase: "


def test_where_nobody_can_be_asked_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", nobody)
    asked = passphrase_of(options(URL, "--passphrase"))
    assert asked is not None
    with pytest.raises(UsageError, match="nobody to ask"):
        asked()
