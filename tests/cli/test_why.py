"""What went wrong, in words."""

import ssl

import pytest

from anywire.cli.why import without_secrets, words_of
from anywire.errors import Refused
from anywire.net.handshake import HandshakeError
from anywire.net.http1 import Response


def answer(body: bytes) -> HandshakeError:
    response = Response(status=404, reason="Not Found", headers=[], rest=body)
    return HandshakeError(404, "the server answered 404 Not Found", response)


def test_a_url_is_shown_without_its_secrets() -> None:
    secret = "wss://ana:s3cret@a.example/chat?token=s3cret"
    assert without_secrets(secret) == "wss://a.example/chat"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"no room\nmore", "the server answered 404 Not Found: no room"),
        (b"", "the server answered 404 Not Found"),
        (b"\x1b[2J", "the server answered 404 Not Found"),
        (b"x" * 201, "the server answered 404 Not Found"),
    ],
)
def test_a_short_answer_is_repeated(body: bytes, words: str) -> None:
    assert words_of(answer(body)) == words


def test_a_refusal_says_what_the_server_said() -> None:
    refused = Refused("refused", "the server answered 403")
    refused.__cause__ = answer(b"log in")
    assert words_of(refused) == "the server answered 404 Not Found: log in"
    assert words_of(Refused("refused", "")) == "refused"
    assert words_of(Refused("refused", "go away")) == "go away"


def test_tls_is_told_in_words() -> None:
    plain = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    plain.reason = "WRONG_VERSION_NUMBER"
    assert words_of(plain) == "the server speaks no TLS there; use ws:// instead of wss://"
    bad = ssl.SSLCertVerificationError(1, "no")
    bad.reason = "CERTIFICATE_VERIFY_FAILED"
    bad.verify_message = "self-signed certificate"
    assert words_of(bad) == "its certificate is not good: self-signed certificate (-n takes any)"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "Connection refused"),
        (OSError(-2, "Name or service not known"), "Name or service not known"),
        (OSError("the server hung up"), "the server hung up"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
def test_an_error_of_the_system_is_its_own_words(error: OSError, words: str) -> None:
    assert words_of(error) == words
