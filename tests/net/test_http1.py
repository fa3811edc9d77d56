"""Reading HTTP/1.1: framing, limits and pipelining, however the bytes are split."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.errors import ProtocolError
from anywire.limits import Limits
from anywire.net.http1 import (
    Data,
    End,
    Event,
    Failure,
    Request,
    RequestParser,
    Response,
    ResponseParser,
    Upgraded,
)

GET = b"GET /chat?room=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
SIZED = POST + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SMALL = Limits(url=40, headers=6, header_bytes=300)
STREAMS = [
    GET,
    GET + SIZED + GET,
    b"\r\n" + GET + b"\r\n" + UPGRADE + b"\x81\x85mask",
    CHUNKED + b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n" + GET,
    CHUNKED + b"5\r\nhelloo\r\n0\r\n\r\n",
    CHUNKED + b"5\r\nhello\r\nzz\r\n",
    b"GET / HTTP/1.0\r\n\r\n" + GET,
    b"GET /" + b"a" * 40 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 8,
    b"GET / HTTP/1.1\r\nHost: " + b"a" * 300,
    b"GET / HTTP/1.1\r\nHost: a\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00",
]


def read(pieces: Iterable[bytes], limits: Limits = SMALL) -> list[Event]:
    """All events of a connection whose requests are answered at once; what was split is joined."""
    parser = RequestParser(limits)
    found: list[Event] = []
    for piece in pieces:
        events: Sequence[Event] = parser.receive(piece)
        found += events
        while events and isinstance(events[-1], End):
            events = parser.next_request()
            found += events
    joined: list[Event] = []
    for event in found:
        match event, joined[-1] if joined else None:
            case Data(new), Data(old):
                joined[-1] = Data(old + new)
            case Upgraded(new), Upgraded(old):
                joined[-1] = Upgraded(old + new)
            case _:
                joined.append(event)
    return joined


def failure(data: bytes, limits: Limits = SMALL) -> Failure:
    """The last event, which must be a failure; and the same byte by byte."""
    events = read([data], limits)
    assert events == read((bytes([byte]) for byte in data), limits)
    assert isinstance(events[-1], Failure)
    return events[-1]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in pairwise(bounds)]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A stream with a few bytes replaced, so that every kind of refusal is near."""
    data = bytearray(draw(st.sampled_from(STREAMS)))
    pieces = st.one_of(
        st.binary(max_size=3), st.sampled_from([b"\r\n", b"\n", b"\r", b" ", b":", b"\0", b"0"])
    )
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(pieces)
    return bytes(data)


@given(damaged(), st.lists(st.integers(0, 1000), max_size=12))
def test_the_events_do_not_depend_on_how_the_bytes_were_split(
    data: bytes, places: list[int]
) -> None:
    whole = read([data])
    assert read(cut(data, places)) == whole
    assert read(bytes([byte]) for byte in data) == whole


@given(st.lists(st.binary()))
def test_any_bytes_end_in_events_and_never_in_an_exception(pieces: list[bytes]) -> None:
    read(pieces)


@given(st.binary(max_size=40))
def test_any_bytes_after_a_chunked_head_end_in_events(body: bytes) -> None:
    assert isinstance(read([CHUNKED + body])[0], Request)


def test_a_head_becomes_a_request_and_its_end() -> None:
    assert RequestParser().receive(GET) == [
        Request(
            method="GET",
            target=b"/chat?room=1",
            path="/chat",
            raw_path=b"/chat",
            query=b"room=1",
            headers=[(b"host", b"localhost")],
            version="1.1",
            keep_alive=True,
            upgrade=False,
            length=0,
        ),
        End(),
    ]


def test_a_body_of_known_size_is_handed_over_as_it_comes() -> None:
    parser = RequestParser()
    (request,) = parser.receive(SIZED[:-5])
    assert isinstance(request, Request)
    assert request.length == 5
    assert parser.receive(b"he") == [Data(b"he")]
    assert parser.receive(b"") == []
    assert parser.receive(b"llo") == [Data(b"llo"), End()]


def test_many_small_chunks_come_as_one_event() -> None:
    events = RequestParser().receive(CHUNKED + b"1\r\nx\r\n" * 1000 + b"0\r\nA: b\r\n\r\n")
    assert events[1:] == [Data(b"x" * 1000), End()]
    assert isinstance(events[0], Request)
    assert events[0].length is None


def test_a_later_request_waits_until_the_first_is_answered() -> None:
    parser = RequestParser()
    assert [type(event) for event in parser.receive(SIZED + GET + GET[:9])] == [Request, Data, End]
    assert parser.waiting == len(GET) + 9
    assert parser.receive(GET[9:20]) == []
    assert [type(event) for event in parser.next_request()] == [Request, End]
    assert parser.next_request() == []
    assert parser.waiting == 0
    assert parser.next_request() == ()
    assert [type(event) for event in parser.receive(GET[20:])] == [Request, End]


def test_a_parser_is_idle_between_requests_only() -> None:
    parser = RequestParser()
    assert parser.is_idle
    parser.receive(GET[:5])
    assert not parser.is_idle
    parser.receive(GET[5:])
    assert not parser.is_idle
    parser.next_request()
    assert parser.is_idle


def test_what_follows_a_last_request_is_ignored() -> None:
    close = GET[:-2] + b"Connection: close\r\n\r\n"
    parser = RequestParser()
    assert [type(event) for event in parser.receive(close + GET)] == [Request, End]
    assert parser.waiting == 0
    assert parser.next_request() == ()
    assert parser.receive(GET) == ()


def test_an_upgrade_gives_the_socket_away_with_all_bytes_behind_the_head() -> None:
    parser = RequestParser()
    request, upgraded = parser.receive(UPGRADE + b"\x81\x80")
    assert isinstance(request, Request)
    assert request.upgrade
    assert upgraded == Upgraded(b"\x81\x80")
    assert parser.receive(b"") == ()
    assert parser.receive(b"mask") == (Upgraded(b"mask"),)


def test_one_empty_line_before_a_request_is_ignored_and_a_second_is_not() -> None:
    assert [type(event) for event in read([b"\r\n" + GET])] == [Request, End]
    assert failure(b"\r\n\r\n" + GET).status == 400
    assert failure(b"\rGET").status == 400


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01", 400),
        (b"A" * 33, 400),
        (b"GET /" + b"a" * 40, 414),
        (b"GET / HTTP/1.1" + b" " * 20, 400),
        (b"GET /\r\n", 0),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 7, 431),
        (b"GET / HTTP/1.1\r\n" + b"A" * 301, 431),
        (b"PRI * HTTP/2.0\r\n\r\n", 505),
        (CHUNKED + b"x", 0),
        (CHUNKED + b"x\r\n", 400),
        (CHUNKED + b"+5\r\n", 400),
        (CHUNKED + b"0x5\r\n", 400),
        (CHUNKED + b"5\n", 400),
        (CHUNKED + b"1" * 16 + b"\r\n", 400),
        (CHUNKED + b"5;" + b"x" * 254, 400),
        (CHUNKED + b"5\r\nhello\n", 400),
        (CHUNKED + b"0\r\nA: b\n", 400),
        (CHUNKED + b"0\r\nA\0: b\r\n\r\n", 400),
        (CHUNKED + b"0\r\n" + b"A: b\r\n" * 7, 431),
    ],
)
def test_what_is_wrong_fails_as_soon_as_it_is_here(data: bytes, status: int) -> None:
    if status:
        assert failure(data).status == status
    else:
        assert not any(isinstance(event, Failure) for event in read([data]))


def test_what_was_good_before_a_bad_chunk_is_still_handed_over() -> None:
    assert read([CHUNKED + b"5\r\nhello\r\nzz\r\n"])[1:] == [
        Data(b"hello"),
        Failure(400, "a chunk's size is malformed"),
    ]


def test_ten_thousand_headers_are_refused_and_the_rest_is_ignored() -> None:
    parser = RequestParser()
    head = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 10_000 + b"\r\n"
    assert parser.receive(head) == [Failure(431, "more than 64 headers")]
    assert parser.receive(GET) == ()


def test_a_head_that_never_ends_is_bounded_by_the_limits() -> None:
    parser = RequestParser()
    taken = 0
    while not (events := parser.receive(b"x" if taken else b"GET / HTTP/1.1\r\n")):
        taken += 1
    assert events == [Failure(431, "headers are over 16384 bytes")]
    assert taken == 16 * 1024 + 1


@pytest.mark.parametrize("extra", [0, 1])
def test_limits_are_exact(extra: int) -> None:
    target = b"/" + b"a" * (SMALL.url - 1 + extra)
    events = read([b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n"])
    assert isinstance(events[-1], Failure if extra else End)
    fields = b"Host: a\r\n" + b"A: b\r\n" * (SMALL.headers - 1 + extra)
    events = read([b"GET / HTTP/1.1\r\n" + fields + b"\r\n"])
    assert isinstance(events[-1], Failure if extra else End)
    value = b"a" * (SMALL.header_bytes - len("Host: \r\n\r\n") + extra)
    events = read([b"GET / HTTP/1.1\r\nHost: " + value + b"\r\n\r\n"])
    assert isinstance(events[-1], Failure if extra else End)


RESPONSE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX:  y \r\n\r\n"


@given(st.lists(st.integers(0, 1000), max_size=8))
def test_a_response_is_read_however_it_was_split(places: list[int]) -> None:
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103\r\nLink: x\r\n\r\n" + RESPONSE
    parser = ResponseParser()
    answers = [parser.receive(piece) for piece in cut(data, places)]
    found = [answer for answer in answers if answer is not None]
    assert found[0] == Response(
        status=101,
        reason="Switching Protocols",
        headers=[(b"upgrade", b"websocket"), (b"x", b"y")],
        rest=b"",
    )


def test_a_response_keeps_what_came_behind_its_head() -> None:
    found = ResponseParser().receive(b"HTTP/1.1 403 \r\nContent-Length: 2\r\n\r\nno")
    assert found is not None
    assert (found.status, found.reason, found.rest) == (403, "", b"no")
    assert found.header("Content-Length") == "2"
    assert found.header("Date") is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"SSH-2.0-x\r\n\r\n", "the answer is not HTTP/1.1"),
        (b"HTTP/1.1 99 x\r\n\r\n", "the answer is not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nA\0: b\r\n\r\n", "the head is malformed: Invalid header token"),
        (b"x" * 40, "the answer's status line is too long"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 7, "more than 6 headers"),
    ],
)
def test_a_response_that_is_none_is_a_protocol_error(data: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        ResponseParser(SMALL).receive(data)
    assert caught.value.reason == reason


@given(st.binary())
def test_any_bytes_end_in_a_response_or_a_protocol_error(data: bytes) -> None:
    try:
        ResponseParser(SMALL).receive(b"HTTP/1.1 200 OK\r\n" + data)
    except ProtocolError as error:
        assert error.code == 1002
