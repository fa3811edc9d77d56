"""Connection tokens."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.core.node import SPENT
from anywire.wires.signalr.token import LANDING, Token, mint, read

KEY, NONCE, NOW = b"k" * 32, bytes(range(16)), 1_700_000_000.0


def minted(**options: object) -> tuple[Token, str]:
    return mint(NONCE, **{"now": NOW, "resumes": False, "key": KEY, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("resumes", [False, True])
def test_a_token_says_what_was_negotiated(resumes: bool) -> None:
    token, text = minted(resumes=resumes)
    assert read(text, KEY) == token
    assert token == Token(token.id, NOW + LANDING, resumes)


def test_the_token_fits_into_a_query_and_the_id_says_nothing_of_it() -> None:
    token, text = minted()
    assert re.fullmatch(r"[\w-]{55}", text, re.ASCII)
    assert re.fullmatch(r"[0-9a-f]{32}", token.id)
    assert NONCE.hex() != token.id and token.id not in text


def test_another_nonce_is_another_connection() -> None:
    others = {mint(bytes([n]) * 16, now=NOW, resumes=True, key=KEY)[0].id for n in range(9)}
    assert len(others) == 9


def test_a_token_of_another_app_is_none() -> None:
    _, text = minted()
    for key in (b"", b"x", b"K" * 32):
        assert read(text, key) is None


def test_a_token_is_good_for_a_beginning_for_less_time_than_its_end_is_known() -> None:
    assert LANDING < SPENT


@pytest.mark.parametrize("at", range(55))
def test_a_token_that_was_changed_anywhere_is_none(at: int) -> None:
    _, text = minted()
    letter = "A" if text[at] != "A" else "Q"
    changed = f"{text[:at]}{letter}{text[at + 1 :]}"
    assert read(changed, KEY) is None


def test_a_token_has_one_spelling() -> None:
    _, text = minted()
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert [letter for letter in letters if read(text[:-1] + letter, KEY)] == [text[-1]]
    for other in (f"{text}=", f"{text}==", f" {text}", f"{text}\n", text.swapcase()):
        assert read(other, KEY) is None


@given(st.text(max_size=80))
def test_any_text_is_no_token(text: str) -> None:
    assert read(text, KEY) is None


@given(st.binary(max_size=80))
def test_any_bytes_that_look_like_one_are_no_token(data: bytes) -> None:
    assert read(base64.urlsafe_b64encode(data).rstrip(b"=").decode(), KEY) is None
