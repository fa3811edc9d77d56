"""SignalR over HTTP requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.payload import Payload
from anywire.wires.base import Overlap
from anywire.wires.signalr.carriers import EVENTS, GAP, LEFT, SENT, pack, polled, unpack

ONE, TWO = Payload(b'{"type":6}\x1e'), Payload(b"{}\x1e", counted=False)


def test_an_event_stream_has_a_record_a_message() -> None:
    assert EVENTS.framing.frame(ONE) == b'data: {"type":6}\x1e\r\n\r\n'
    both = Payload(TWO.data, rest=(ONE,))
    assert EVENTS.framing.frame(both) == b'data: {}\x1e\r\n\r\ndata: {"type":6}\x1e\r\n\r\n'
    assert EVENTS.framing.key == ("signalr.events", 0)


def test_an_event_stream_begins_at_once_and_is_alone() -> None:
    assert (EVENTS.prelude, EVENTS.overlap, EVENTS.pack) == (b":\r\n", Overlap.REFUSE, None)
    assert ("Content-Type", "text/event-stream") in EVENTS.headers


def test_a_poll_is_answered_with_all_that_waits() -> None:
    assert pack([]) == (b"", 0)
    assert pack([TWO, Payload(b"\x02\x91\x06", is_text=False), Payload(b"", rest=(ONE,))]) == (
        b'{}\x1e\x02\x91\x06{"type":6}\x1e',
        3,
    )


@pytest.mark.parametrize("wait", [2.0, 90.0])
def test_a_poll_waits_so_long_and_ends_with_nothing(wait: float) -> None:
    downlink = polled(wait)
    assert (downlink.wait, downlink.gap, downlink.idle) == (wait, GAP, b"")
    assert downlink.gone == 204, "the client stops when it hears that"
    assert downlink.overlap is Overlap.REPLACE
    assert ("Content-Type", "application/octet-stream") in downlink.headers


@given(st.binary(max_size=50))
def test_what_is_posted_is_a_piece_of_the_stream(body: bytes) -> None:
    assert unpack(body) == (body,)
    assert SENT.unpack(body) == (body,)
    assert LEFT.unpack(body) == ()


def test_a_post_is_answered_200_and_a_goodbye_202() -> None:
    assert (SENT.taken.status, SENT.is_goodbye) == (200, False)
    assert (LEFT.taken.status, LEFT.is_goodbye) == (202, True)
