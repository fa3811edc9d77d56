"""What wires say when they say no to an opening request."""

import pytest

from anywire.wires.base import Hello, Reason, Why
from anywire.wires.refusal import CODES, answer, chosen, count, foreign, words


def test_every_reason_but_a_foreign_origin_has_a_close_code() -> None:
    assert set(Reason) - set(CODES) == {Reason.ORIGIN}
    assert all(1000 <= code <= 4999 for code in CODES.values())


def test_a_plain_answer_is_a_line_of_text() -> None:
    said = answer(404, "nobody is here")
    assert (said.status, said.code, said.body) == (404, None, b"nobody is here\n")
    assert dict(said.headers) == {"content-type": "text/plain; charset=utf-8"}


def test_a_foreign_origin_gets_no_upgrade() -> None:
    assert foreign(Why(Reason.ORIGIN)).body == b"this origin may not connect\n"
    told = foreign(Why(Reason.ORIGIN, text="not from there"))
    assert (told.status, told.code, told.body) == (403, None, b"not from there\n")


def test_a_close_says_the_text_or_the_code_or_the_reason() -> None:
    assert words(Why(Reason.LIMIT, "full", "no seat is free")) == "no seat is free"
    assert words(Why(Reason.LIMIT, "full")) == "full"
    assert words(Why(Reason.OWNER_GONE)) == "owner gone"


def test_the_first_known_offer_is_chosen() -> None:
    hello = Hello(subprotocols=["x", "b", "a"])
    assert chosen(hello, ("a", "b")) == "b"
    assert chosen(hello, ("c",)) is None
    assert chosen(Hello(), ("a",)) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("12", 12),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, None),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("\u0663", None),
    ],
)
def test_a_count_is_at_most_18_digits(text: str, number: int | None) -> None:
    assert count(text) == number
