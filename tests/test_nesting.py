"""Depth, measured without decoding."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.nesting import is_too_deep_json, is_too_deep_msgpack

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(values, st.integers(0, 6))
def test_the_depth_of_json_is_found(value: object, limit: int) -> None:
    text = msgspec.json.encode(value)
    assert is_too_deep_json(text, limit) == (depth(value) > limit)
    assert is_too_deep_json(text.decode(), limit) == (depth(value) > limit)


@given(values, st.integers(0, 6))
def test_the_depth_of_messagepack_is_found(value: object, limit: int) -> None:
    assert is_too_deep_msgpack(msgspec.msgpack.encode(value), limit) == (depth(value) > limit)


@pytest.mark.parametrize(
    "text",
    ['"[[[["', r'"\"[[[["', r'{"[[[\\":"]"}', '[[],[],[],[],"[[["]', '"[[[[', "]]]]", '"[\\'],
)
def test_brackets_in_strings_and_beside_each_other_are_not_depth(text: str) -> None:
    assert not is_too_deep_json(text, 2)


@pytest.mark.parametrize("text", ["[[[", '[{"a":[', '"\\\\"[[[', "[[[]]]"])
def test_json_that_goes_deeper_is_too_deep(text: str) -> None:
    assert is_too_deep_json(text, 2)
    assert is_too_deep_json(text.encode(), 2)


LARGE = [
    [[]] * 20,
    [[]] * 70_000,
    {str(n): [] for n in range(20)},
    {str(n): [] for n in range(70_000)},
    ["\u0090" * 40, "\u0090" * 300, "\u0090" * 70_000, []],
    [b"\x91" * 40, b"\x91" * 300, b"\x91" * 70_000, []],
    [msgspec.msgpack.Ext(5, b"\x91" * size) for size in (1, 2, 4, 8, 16, 17, 300, 70_000)],
    [-0x91, 0x91, 0x9191, 0x91919191, 0x9191919191919191, -0x6F6F, -0x6F6F6F6F, 1.5],
]


@pytest.mark.parametrize("value", LARGE, ids=range(len(LARGE)))
def test_every_size_of_messagepack_is_walked(value: object) -> None:
    packed = msgspec.msgpack.encode([value])
    assert not is_too_deep_msgpack(packed, depth([value]))
    assert is_too_deep_msgpack(packed, depth([value]) - 1)
    deep = msgspec.msgpack.encode([value, [[[1]]]])
    assert not is_too_deep_msgpack(deep, 4)
    assert is_too_deep_msgpack(deep, 3)


def test_a_float_of_32_bits_is_walked() -> None:
    assert not is_too_deep_msgpack(b"\x92\xca\x91\x91\x91\x91\x91\xc0", 2)


@given(st.binary(max_size=60), st.integers(0, 4))
def test_any_bytes_get_an_answer(data: bytes, limit: int) -> None:
    assert is_too_deep_msgpack(data, limit) in (True, False)
    assert is_too_deep_json(data, limit) in (True, False)


def test_what_comes_after_the_value_is_no_depth() -> None:
    assert not is_too_deep_msgpack(b"\x90\x91\x91\x91\x91\xc0", 2)
    assert not is_too_deep_msgpack(b"\x91\x90\x91\x91\x91", 3)
