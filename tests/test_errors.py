"""Errors: one tree, and what each tells programs and people."""

import pytest

from anywire.errors import (
    AnywireError,
    CallFailed,
    Closed,
    ConfigurationError,
    ProtocolError,
    Refused,
    Unsupported,
    close_reason,
)


@pytest.mark.parametrize(
    "error",
    [
        CallFailed("timeout"),
        Closed(),
        ConfigurationError("x"),
        ProtocolError("x"),
        Refused("x"),
        Unsupported("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_everything_raised_on_purpose_is_one_kind(error: Exception) -> None:
    assert isinstance(error, AnywireError)


@pytest.mark.parametrize("kind", [Refused, CallFailed])
def test_a_no_has_a_code_for_programs_and_a_text_for_people(
    kind: type[Refused] | type[CallFailed],
) -> None:
    bare, told = kind("full"), kind("full", "no seat is free", data={"seats": 0})
    assert (bare.code, bare.text, bare.data, str(bare)) == ("full", "", None, "full")
    assert (told.code, told.text, told.data) == ("full", "no seat is free", {"seats": 0})
    assert str(told) == "full: no seat is free"


def test_a_broken_rule_closes_with_1002_unless_it_says_otherwise() -> None:
    assert (ProtocolError("no").code, ProtocolError("no").reason) == (1002, "no")
    assert ProtocolError("large", code=1009).code == 1009


def test_an_end_says_its_code_and_its_reason_if_there_is_one() -> None:
    assert str(Closed()) == "closed with code 1006"
    ended = Closed(1001, "the server stops")
    assert str(ended) == "closed with code 1001 (the server stops)"
    assert (ended.code, ended.reason) == (1001, "the server stops")


@pytest.mark.parametrize(
    ("text", "cut"),
    [("", ""), ("x" * 123, "x" * 123), ("x" * 124, "x" * 123), ("\u20ac" * 42, "\u20ac" * 41)],
)
def test_a_close_reason_is_cut_between_characters(text: str, cut: str) -> None:
    assert close_reason(text) == cut


def test_a_close_reason_is_unicode_whatever_it_was() -> None:
    assert close_reason("no \ud800!") == "no ?!"


def test_what_is_no_text_in_a_refusal_becomes_a_question_mark() -> None:
    refused = Refused("\ud800", "half an emoji: \ud83d, a whole one: \U0001f389")
    assert (refused.code, refused.text) == ("?", "half an emoji: ?, a whole one: \U0001f389")
