"""What the head of a request or response says, and what is refused in it."""

import pytest

from anywire.net.head import BadHead, Request, header, parse_request, parse_response, tokens


def request(line: str = "GET / HTTP/1.1", *fields: str, host: str | None = "localhost") -> Request:
    names = ([f"Host: {host}"] if host is not None else []) + list(fields)
    return parse_request("".join(f"{part}\r\n" for part in [line, *names, ""]).encode("latin-1"))


def refused(line: str = "GET / HTTP/1.1", *fields: str, host: str | None = "localhost") -> int:
    with pytest.raises(BadHead) as caught:
        request(line, *fields, host=host)
    assert str(caught.value) == caught.value.reason
    return caught.value.status


def test_names_are_in_lower_case_and_values_stripped_and_kept_in_order() -> None:
    found = request("GET / HTTP/1.1", "X-One: \t a b\t ", "x-one:2", "Cookie: a=1", "cookie: b=2")
    assert found.headers[1:3] == [(b"x-one", b"a b"), (b"x-one", b"2")]
    assert found.header("X-One") == "a b, 2"
    assert found.header("cookie") == "a=1; b=2"
    assert found.header("absent") is None


@pytest.mark.parametrize("value", ["a\x85b", "\x85Injected: yes", "\xe4\xff", "a\u00a0b"])
def test_bytes_that_only_unicode_calls_a_line_break_stay_in_their_value(value: str) -> None:
    assert request("GET / HTTP/1.1", f"X: {value}").headers[1:] == [(b"x", value.encode("latin-1"))]


@pytest.mark.parametrize(
    "field",
    ["X: a\0b", "X: a\x1cb", "X: a\x0bb", "X: a\x7fb", "X: a\rb", "X : a", ": a", "X", "X\xe4: a"],
)
def test_malformed_fields_are_refused(field: str) -> None:
    assert refused("GET / HTTP/1.1", field) == 400


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        ("/a%20b/%C3%A4?x=%20&y", "/a b/ä", b"/a%20b/%C3%A4", b"x=%20&y"),
        ("/../a//b", "/../a//b", b"/../a//b", b""),
        ("//evil.example/x", "//evil.example/x", b"//evil.example/x", b""),
        ("/?a?b", "/", b"/", b"a?b"),
        ("/%2Fx%zz%00", "//x%zz\0", b"/%2Fx%zz%00", b""),
        ("http://LOCALHOST/a?b", "/a", b"/a", b"b"),
        ("wss://localhost?b", "/", b"/", b"b"),
    ],
)
def test_a_target_is_taken_apart_and_not_normalised(
    target: str, path: str, raw_path: bytes, query: bytes
) -> None:
    found = request(f"GET {target} HTTP/1.1")
    assert (found.path, found.raw_path, found.query) == (path, raw_path, query)
    assert found.target == target.encode()


def test_an_asterisk_is_a_target_of_options_only() -> None:
    assert request("OPTIONS * HTTP/1.1").path == "*"
    assert refused("GET * HTTP/1.1") == 400


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTP/1.2", 505),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/0.9", 505),
        ("CONNECT localhost:80 HTTP/1.1", 501),
        ("TRACE / HTTP/1.1", 501),
        ("BREW /pot HTTP/1.1", 501),
        ("get / HTTP/1.1", 501),
        ("GET path HTTP/1.1", 400),
        ("GET /a#b HTTP/1.1", 400),
        ("GET /\xe4 HTTP/1.1", 400),
        ("GET /\x01 HTTP/1.1", 400),
        ("GET /%ff HTTP/1.1", 400),
        ("GET http:///x HTTP/1.1", 400),
        ("GET http://other/x HTTP/1.1", 400),
        ("GET http://user@localhost/x HTTP/1.1", 400),
        ("GET ftp://localhost/x HTTP/1.1", 400),
    ],
)
def test_a_wrong_request_line_gets_its_status(line: str, status: int) -> None:
    assert refused(line) == status


def test_host_stands_once_and_is_well_formed() -> None:
    assert refused("GET / HTTP/1.1", host=None) == 400
    assert refused("GET / HTTP/1.1", "Host: other") == 400
    assert refused("GET / HTTP/1.0", "Host: other") == 400
    assert refused("GET / HTTP/1.1", host="a/b") == 400
    assert refused("GET / HTTP/1.1", host="user@a") == 400
    assert request("GET / HTTP/1.0", host=None).version == "1.0"
    assert request("GET http://any/ HTTP/1.0", host=None).path == "/"
    assert request(host="[::1]:8000").header("host") == "[::1]:8000"


@pytest.mark.parametrize(
    "fields",
    [
        ["Content-Length: 5", "Content-Length: 5"],
        ["Content-Length: 5, 5"],
        ["Content-Length: +5"],
        ["Content-Length: 0x5"],
        ["Content-Length:"],
        ["Content-Length: -1"],
        ["Content-Length: 1234567890123456789"],
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Transfer-Encoding: identity"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked, gzip"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Upgrade: websocket", "Connection: Upgrade", "Content-Length: 5"],
        ["Upgrade: websocket", "Connection: Upgrade", "Transfer-Encoding: chunked"],
    ],
)
def test_framing_that_two_readers_could_read_differently_is_refused(fields: list[str]) -> None:
    assert refused("GET / HTTP/1.1", *fields) == 400
    assert refused("POST / HTTP/1.1", *fields) == 400


def test_only_chunked_is_known_and_not_in_http_1_0() -> None:
    assert request("POST / HTTP/1.1", "Transfer-Encoding: Chunked").length is None
    assert refused("POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked") == 501
    assert refused("POST / HTTP/1.0", "Transfer-Encoding: chunked") == 400
    assert request("POST / HTTP/1.1", "Content-Length: 007").length == 7


@pytest.mark.parametrize(
    ("line", "connection", "keep_alive"),
    [
        ("GET / HTTP/1.1", None, True),
        ("GET / HTTP/1.1", "Keep-Alive", True),
        ("GET / HTTP/1.1", "foo, Close", False),
        ("GET / HTTP/1.0", None, False),
        ("GET / HTTP/1.0", "Keep-Alive", True),
        ("GET / HTTP/1.0", "keep-alive, close", False),
    ],
)
def test_a_connection_is_kept_as_its_version_and_options_say(
    line: str, connection: str | None, keep_alive: bool
) -> None:
    fields = [f"Connection: {connection}"] if connection else []
    assert request(line, *fields).keep_alive is keep_alive


@pytest.mark.parametrize(
    ("line", "fields", "upgrade"),
    [
        ("GET / HTTP/1.1", ["Upgrade: WebSocket", "Connection: keep-alive, Upgrade"], True),
        ("GET / HTTP/1.1", ["Upgrade: a", "upgrade: websocket", "Connection: upgrade"], True),
        (
            "GET / HTTP/1.1",
            ["Upgrade: websocket", "Connection: upgrade", "Content-Length: 0"],
            True,
        ),
        ("GET / HTTP/1.1", ["Upgrade: websocket"], False),
        ("GET / HTTP/1.1", ["Upgrade: h2c", "Connection: upgrade"], False),
        ("GET / HTTP/1.1", ["Upgrade: ", "Connection: upgrade"], False),
        ("GET / HTTP/1.0", ["Upgrade: websocket", "Connection: upgrade"], False),
        ("POST / HTTP/1.1", ["Upgrade: websocket", "Connection: upgrade"], False),
    ],
)
def test_only_a_get_of_http_1_1_for_a_websocket_upgrades(
    line: str, fields: list[str], upgrade: bool
) -> None:
    assert request(line, *fields).upgrade is upgrade


def test_an_expectation_is_reported_and_an_unknown_one_refused() -> None:
    expects = ("Expect: 100-Continue", "Content-Length: 5")
    assert request("POST / HTTP/1.1", *expects).expects_continue
    assert not request("POST / HTTP/1.0", *expects).expects_continue
    assert not request("POST / HTTP/1.1", expects[0]).expects_continue
    assert refused("POST / HTTP/1.1", "Expect: a-miracle") == 417


def test_list_fields_are_read_over_all_lines() -> None:
    headers = [(b"a", b"One,, two\t"), (b"b", b"x"), (b"a", b", THREE")]
    assert tokens(headers, "A") == ["one", "two", "three"]
    assert tokens(headers, "c") == []
    assert header(headers, "a") == "One,, two\t, , THREE"


def test_a_response_head_has_status_reason_and_fields() -> None:
    found = parse_response(b"HTTP/1.0 404 N\xf6t\r\nA: b\r\n\r\n")
    assert (found.status, found.reason, found.header("a")) == (404, "Nöt", "b")
    with pytest.raises(BadHead):
        parse_response(b"HTTP/1.1 200 \x00\r\n\r\n")
