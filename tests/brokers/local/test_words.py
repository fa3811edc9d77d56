"""Tests of anywire.brokers.local.words."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anywire.brokers.base import Ask, Keep, Question
from anywire.brokers.local import words
from anywire.brokers.local.dialogue import NO_WORD
from anywire.errors import ProtocolError
from anywire.frames import Position, Since

WORDS: list[words.FromWorker] = [
    words.Greeting(words.VERSION, b"key", "n1", "/door"),
    words.Subscribe(1, "r"),
    words.Unsubscribe(2, "r"),
    words.Publish(3, b"record", Keep(10, 1.5)),
    words.Publish(3, b"record", None),
    words.Read(4, "r", Since(positions={"r": Position(3, "e")}), 5),
    words.Enter(5, "r", "n1", "ana", "m", b"{}", 45.0, None, quiet=True),
    words.Exit(6, "r", "n1", "ana", "m", None),
    words.Renew(7, "n1", 45.0),
    words.List(8, "r"),
    words.Claim(9, "/", "s", "n1", "ana", 60.0),
    words.Owner(10, "/", "s"),
    words.Release(11, "/", "s"),
    words.Ask(12, None, Question(ask=Ask.COUNT, room="r"), 5.0),
    words.Answer(13, [1, "two", None]),
]


@pytest.mark.parametrize("word", WORDS, ids=lambda word: type(word).__name__)
def test_a_workers_words_travel_whole(word: words.FromWorker) -> None:
    framer = words.Framer()
    (data,) = framer.receive(words.frame(word))
    assert words.from_worker(data) == word


def test_a_hubs_words_travel_whole() -> None:
    said: list[words.FromHub] = [
        words.Welcome(words.VERSION, b"key", "hub", {"n1": "/door"}),
        words.Doors({}),
        words.Done(1, words.raw({"a": 1})),
        words.Failed(2, "refused", "no"),
        words.Deliver(b"record"),
        words.Asked(3, Question(ask=Ask.KICK, room="r")),
    ]
    framer = words.Framer()
    heard = [
        words.from_hub(data) for data in framer.receive(b"".join(words.frame(one) for one in said))
    ]
    assert heard == said


@given(st.lists(st.binary(max_size=40)), st.integers(1, 7))
def test_frames_are_cut_anywhere(bodies: list[bytes], step: int) -> None:
    data = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)
    framer = words.Framer()
    heard = [
        body for at in range(0, len(data), step) for body in framer.receive(data[at : at + step])
    ]
    assert heard == bodies


def test_a_frame_that_is_too_long_is_refused_by_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "LONGEST", 8)
    with pytest.raises(ProtocolError):
        words.Framer().receive((9).to_bytes(4, "big"))
    with pytest.raises(ValueError, match="more than workers tell"):
        words.frame(words.Publish(1, b"x" * 20, None))


def test_a_first_word_is_shorter_until_it_is_known_who_speaks() -> None:
    framer = words.Framer(8)
    assert framer.receive((8).to_bytes(4, "big") + b"x" * 8) == [b"x" * 8]
    with pytest.raises(ProtocolError, match="at most 8"):
        framer.receive((9).to_bytes(4, "big"))
    framer.longest = None
    assert framer.receive(b"x" * 9) == [b"x" * 9]


@given(st.binary(max_size=60))
@example(b"\x91\xa1\x80")
def test_junk_is_a_word_or_a_decode_error(junk: bytes) -> None:
    for decode in (words.from_worker, words.from_hub):
        try:
            decode(junk)
        except NO_WORD:
            pass
