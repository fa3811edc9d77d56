"""Payloads: messages on their way, framed once however many share them."""

from anywire.payload import UNFRAMED, Framed, Payload


class Counting:
    def __init__(self, *key: object) -> None:
        self.key = (str(key[0]), 0)
        self.made = 0

    def frame(self, payload: Payload) -> bytes:
        self.made += 1
        return b"<" + payload.data + b">"


def test_a_payload_is_framed_once_for_equal_keys() -> None:
    payload = Payload(b"hi")
    first, same, other = Counting("ws"), Counting("ws"), Counting("sse")
    framed = payload.framed(first)
    assert (framed.data, framed.size, framed.payload) == (b"<hi>", 4, payload)
    assert payload.framed(same) is framed
    assert payload.framed(other) is not framed
    assert payload.framed(other) is payload.framed(other)
    assert (first.made, same.made, other.made) == (1, 0, 1)


def test_unframed_entries_have_the_size_of_their_messages() -> None:
    payload = Payload(b"text", rest=(Payload(b"12345", is_text=False),))
    framed = payload.framed(UNFRAMED)
    assert isinstance(framed, Framed)
    assert (framed.data, framed.size) == (None, 9)


def test_a_payload_tells_its_messages_in_order() -> None:
    rest = (Payload(b"\xff", is_text=False, rest=(Payload(b"b"),)), Payload(b"c"))
    assert list(Payload("\u20ac".encode(), rest=rest).messages()) == ["\u20ac", b"\xff", "b", "c"]


def test_a_payload_of_a_message_is_that_message() -> None:
    for message in ("\u20ac", b"\xff"):
        payload = Payload.of(message)
        assert list(payload.messages()) == [message]
        assert payload.counted and not payload.volatile
    assert not Payload.of("x", counted=False).counted


def test_fan_out_sets_what_an_outbox_decides_by() -> None:
    payload = Payload(b"x", counted=False, volatile=True)
    assert (payload.counted, payload.volatile) == (False, True)
    assert (payload.policy, payload.room, payload.key) == (None, None, None)


def test_a_frame_that_is_packed_counts_with_what_was_packed() -> None:
    """The payload stands in memory beside it: a full outbox must not hold a thousand times more."""

    class Packing(Counting):
        def frame(self, payload: Payload) -> bytes:
            return b"small"

    rest = (Payload(b"y" * 500),)
    framed = Payload(b"x" * 1000, rest=rest).framed(Packing("ws"))
    assert (framed.data, framed.size) == (b"small", 1500)
