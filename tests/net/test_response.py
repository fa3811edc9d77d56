"""Writing responses, byte for byte."""

import pytest

from anywire.net.response import CONTINUE, LAST_CHUNK, chunk, field, head, response


def test_a_whole_response_states_its_length_and_its_connection() -> None:
    assert response(200, [("Content-Type", "text/plain")], b"hi", keep_alive=True) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n"
        b"Connection: keep-alive\r\n\r\nhi"
    )


def test_the_date_is_the_callers() -> None:
    date = "Thu, 01 Jan 1970 00:00:00 GMT"
    assert response(404, (), keep_alive=False, date=date) == (
        b"HTTP/1.1 404 Not Found\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n"
        b"Connection: close\r\n\r\n"
    )
    assert head(200, (), chunked=False, keep_alive=False, date=date.encode()).startswith(
        b"HTTP/1.1 200 OK\r\nDate: Thu"
    )


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_without_body_writes_none(status: int) -> None:
    written = response(status, (), b"", keep_alive=True)
    assert written.endswith(b"\r\nConnection: keep-alive\r\n\r\n")
    assert b"Content-Length" not in written
    assert not response(status, (), b"body", keep_alive=True).endswith(b"body")


def test_a_204_never_has_a_length_and_a_304_that_of_the_body_it_stands_for() -> None:
    length = [("Content-Length", "7")]
    assert b"Content-Length" not in response(204, length, keep_alive=True)
    assert b"\r\nContent-Length: 7\r\n" in response(304, length, keep_alive=True)
    assert b"\r\nContent-Length: 4\r\n" in response(304, (), b"body", keep_alive=True)


def test_an_answer_to_head_has_the_length_but_not_the_body() -> None:
    written = response(200, (), b"hi", keep_alive=True, head_only=True)
    assert written.endswith(b"Content-Length: 2\r\nConnection: keep-alive\r\n\r\n")
    given = response(200, [("content-length", "9")], keep_alive=True, head_only=True)
    assert b"Content-Length: 9\r\n" in given
    assert b"ength" not in response(200, (), keep_alive=True, head_only=True)


def test_framing_and_connection_are_never_the_applications() -> None:
    wrong = [
        (b"Content-Length", b"99"),
        (b"Transfer-Encoding", b"chunked"),
        (b"CONNECTION", b"upgrade"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Upgrade", b"h2c"),
    ]
    assert response(200, wrong, b"hi", keep_alive=False) == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
    )


def test_a_426_names_the_protocol_to_upgrade_to() -> None:
    assert response(426, [("Upgrade", "websocket")], keep_alive=False) == (
        b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n"
        b"Connection: Upgrade, close\r\n\r\n"
    )


def test_a_head_tells_how_its_body_ends() -> None:
    assert head(200, [("A", "b")], chunked=True, keep_alive=True) == (
        b"HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n"
    )
    assert head(200, [("Content-Length", "3")], chunked=False, keep_alive=True) == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n"
    )
    assert head(200, (), chunked=False, keep_alive=False) == (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    )
    with pytest.raises(ValueError, match="must be chunked"):
        head(200, (), chunked=False, keep_alive=True)


def test_chunks_are_sized_and_an_empty_one_does_not_end_the_body() -> None:
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert chunk(b"") == b""
    assert LAST_CHUNK == b"0\r\n\r\n"
    assert CONTINUE == b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\0b", b"a\r\nSet-Cookie: x", "a\x1cb", "\x7f"])
def test_a_value_cannot_break_out_of_its_line(value: str | bytes) -> None:
    with pytest.raises(ValueError, match="control character"):
        response(200, [("X", value)], keep_alive=True)


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "ä", b"\xff"])
def test_a_name_must_be_a_token(name: str | bytes) -> None:
    with pytest.raises(ValueError, match="is not a header name"):
        field(name, "x")


def test_a_value_beyond_latin_1_is_a_value_error() -> None:
    assert field("X", "\xe4\x85") == b"X: \xe4\x85\r\n"
    with pytest.raises(ValueError, match="latin-1"):
        field("X", "€")


def test_a_status_without_a_name_is_written_and_an_impossible_one_refused() -> None:
    assert response(599, (), keep_alive=False).startswith(b"HTTP/1.1 599 \r\n")
    for status in (99, 600):
        with pytest.raises(ValueError, match="not an HTTP status"):
            response(status, (), keep_alive=False)


def test_a_length_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a number"):
        head(200, [("Content-Length", "-1")], chunked=False, keep_alive=True)
