"""Tests of anywire.servers.neighbours.words."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.brokers.local.dialogue import NO_WORD
from anywire.brokers.local.words import Framer, frame
from anywire.servers.neighbours import words
from anywire.servers.neighbours.words import FromOwner, FromStranger
from anywire.wires.base import Hello, User

STRANGERS: list[FromStranger] = [
    words.Handed(words.VERSION, b"key", b"GET / HTTP/1.1\r\n\r\n"),
    words.Brought(words.VERSION, b"key", b"hello"),
    words.Relayed(words.VERSION, b"key", b"hello", True),
    words.Part(b"part"),
    words.End(),
    words.Taken(),
    words.Said(["text", b"\x00bytes"]),
    words.Heard(),
    words.Gone(1000, "bye", True),
]
OWNERS: list[FromOwner] = [
    words.Taken(),
    words.Responded(200, [("a", "b")], b"body"),
    words.Started(200, [("a", "b")]),
    words.Part(b"part"),
    words.End(),
    words.Broken(413, "too much"),
    words.Accepted("p"),
    words.Accepted(None),
    words.Denied(101, [], b"", 4401, "no", ["text", b"bytes"], None),
    words.Said(["text", b"\x00bytes"]),
    words.Beat(),
    words.Paused(),
    words.Resumed(),
    words.Closed(4000, "bye"),
    words.Aborted(),
]


def name(word: object) -> str:
    return type(word).__name__


@pytest.mark.parametrize("word", STRANGERS, ids=name)
def test_what_a_stranger_says_travels_whole(word: FromStranger) -> None:
    [data] = Framer().receive(frame(word))
    heard = words.from_stranger(data)
    assert (type(heard), msgspec.to_builtins(heard)) == (type(word), msgspec.to_builtins(word))


@pytest.mark.parametrize("word", OWNERS, ids=name)
def test_what_an_owner_says_travels_whole(word: FromOwner) -> None:
    [data] = Framer().receive(frame(word))
    heard = words.from_owner(data)
    assert (type(heard), msgspec.to_builtins(heard)) == (type(word), msgspec.to_builtins(word))


def test_each_end_has_words_of_its_own() -> None:
    pack = msgspec.msgpack.encode
    with pytest.raises(msgspec.ValidationError):
        words.from_owner(pack(words.Heard()))
    with pytest.raises(msgspec.ValidationError):
        words.from_stranger(pack(words.Aborted()))


def test_a_hello_travels_with_its_user() -> None:
    hello = Hello(path="/é", headers={"x": "ÿ"}, seed=b"s" * 32, user=User("ana", {"a": [1]}))
    assert msgspec.msgpack.decode(
        msgspec.msgpack.encode(hello), type=Hello
    ) == msgspec.structs.replace(hello, subprotocols=[])


@given(st.binary(max_size=60))
def test_junk_is_a_word_or_none(junk: bytes) -> None:
    for decode in (words.from_owner, words.from_stranger):
        try:
            decode(junk)
        except NO_WORD:
            pass


@pytest.mark.parametrize("junk", [b"\x91\xa1\xff", b"\x92\xa4Said" + b"\x91" * 50_000])
def test_junk_that_is_no_text_or_too_deep_is_none_either(junk: bytes) -> None:
    with pytest.raises(NO_WORD):
        words.from_stranger(junk)
