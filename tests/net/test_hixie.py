"""The WebSocket of 2010: its handshake by the draft's own example, and its frames however cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from anywire.errors import ProtocolError
from anywire.net.head import Request
from anywire.net.hixie import CLOSE, Challenge, Reader, challenge, framed

# Section 1.2 of the draft.
KEYS = ("18x 6]8vM;54 *(5:  {   U1]8  z [  8", "1_ tx7X d  <  nw  334J702) 7]o}` 0")
NONCE, PROOF = b"Tm[K T2u", b"fQJ,fN/4F4!~K~MH"


def asking(*keys: str | None, method: str = "GET", **more: str | None) -> Request:
    named = {f"sec-websocket-key{number}": key for number, key in enumerate(keys, 1)}
    fields = {"host": "example.com", "origin": "http://example.com", **named, **more}
    return Request(
        method=method,
        target=b"/demo?a=1",
        path="/demo",
        raw_path=b"/demo",
        query=b"a=1",
        headers=[
            (name.replace("_", "-").encode(), value.encode())
            for name, value in fields.items()
            if value is not None
        ],
        version="1.1",
        keep_alive=True,
        upgrade=True,
        length=None,
    )


def test_the_example_of_the_draft_is_proved_as_it_says() -> None:
    found = challenge(asking(*KEYS), is_secure=False)
    assert found == Challenge(
        "http://example.com", "ws://example.com/demo?a=1", 155712099, 173347027
    )
    assert found.proof(NONCE) == PROOF
    assert found.head().startswith(b"HTTP/1.1 101 ")
    assert b"\r\nSec-WebSocket-Location: ws://example.com/demo?a=1\r\n" in found.head()
    assert b"\r\nSec-WebSocket-Origin: http://example.com\r\n" in found.head()
    assert found.head().endswith(b"\r\n\r\n")


def test_over_tls_it_says_so() -> None:
    found = challenge(asking(*KEYS), is_secure=True)
    assert found is not None and found.location.startswith("wss://")


@pytest.mark.parametrize(
    "request_",
    [
        asking(KEYS[0], None),
        asking(None, KEYS[1]),
        asking("no digits", KEYS[1]),
        asking("12345", KEYS[1]),  # no space
        asking("99999999999999999999 ", KEYS[1]),
        asking("7 1 ", KEYS[1]),
        asking(*KEYS, method="POST"),
        asking(*KEYS, sec_websocket_version="13"),
        asking(*KEYS, host=None),
    ],
)
def test_what_is_not_of_that_year_is_none(request_: Request) -> None:
    assert challenge(request_, is_secure=False) is None


def test_a_request_that_asks_for_nothing_is_none() -> None:
    plain = replace(asking(*KEYS), upgrade=False)
    assert challenge(plain, is_secure=False) is None


@given(st.lists(st.text(max_size=20), max_size=5), st.data())
def test_messages_come_however_they_are_cut(texts: list[str], data: st.DataObject) -> None:
    said = b"".join(framed(text.encode()) for text in texts) + CLOSE
    cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=4)))
    reader = Reader(100)
    found: list[str | None] = []
    for start, end in zip([0, *cuts], [*cuts, len(said)], strict=True):
        found += reader.receive(said[start:end])
    assert found == [*texts, None]


def test_frames_of_no_use_are_passed_over() -> None:
    reader = Reader(1000)
    skipped = b"\x80\x03abc" + b"\x80\x81\x00" + b"x" * 128 + b"\x01other\xff" + framed(b"hi")
    found = [text for at in range(len(skipped)) for text in reader.receive(skipped[at : at + 1])]
    assert found == ["hi"]


@pytest.mark.parametrize(
    "data",
    [b"\x00" + b"x" * 12, framed(b"x" * 11), b"\x80\x8b\x00", b"\x00\xc3\x28\xff"],
)
def test_what_is_too_large_or_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Reader(10).receive(data)


@given(st.binary(max_size=60))
def test_any_bytes_end_in_messages_or_one_error(junk: bytes) -> None:
    try:
        Reader(30).receive(junk)
    except ProtocolError:
        pass
