"""Presence in Phoenix's words, both ways."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.errors import ProtocolError
from anywire.frames import Presence
from anywire.wires.phoenix.presence import change_of, diff, state, whole_of

NAMES = ["__proto__", "constructor", "toString", "hasOwnProperty", "", "ü 👋"]
metas = st.dictionaries(
    st.text(max_size=5).filter(lambda name: not name.startswith("phx_")), st.integers(0, 9)
)
present = st.dictionaries(
    st.sampled_from(NAMES) | st.text(max_size=5), st.lists(metas, min_size=1, max_size=3)
)


def refs(of: Mapping[str, list[Any]], sign: str) -> dict[str, list[str]]:
    return {key: [f"{sign}{key}{n}" for n in range(len(each))] for key, each in of.items()}


@given(present, present)
def test_who_is_here_and_who_came_and_went_is_told_as_it_is(
    joined: dict[str, list[Any]], left: dict[str, list[Any]]
) -> None:
    here = Presence("room", joined, {}, whole=True, joined_refs=refs(joined, "j"))
    assert whole_of("room", state(here)) == here
    change = Presence(
        "room", joined, left, joined_refs=refs(joined, "j"), left_refs=refs(left, "l")
    )
    assert change_of("room", diff(change)) == change


def test_names_that_mean_something_to_objects_are_names() -> None:
    joined: dict[str, list[Any]] = {name: [{"n": 1}] for name in NAMES}
    told = json.loads(state(Presence("room", joined, {}, True, joined_refs=refs(joined, "r"))))
    assert list(told) == NAMES
    assert told["__proto__"] == {"metas": [{"n": 1, "phx_ref": "r__proto__0"}]}


def test_a_meta_that_changed_names_the_one_before() -> None:
    changed = Presence(
        "room",
        {"ana": [{"on": "desk"}]},
        {"ana": [{"on": "phone"}]},
        joined_refs={"ana": ["r2"]},
        left_refs={"ana": ["r1"]},
    )
    assert json.loads(diff(changed)) == {
        "joins": {"ana": {"metas": [{"on": "desk", "phx_ref": "r2", "phx_ref_prev": "r1"}]}},
        "leaves": {"ana": {"metas": [{"on": "phone", "phx_ref": "r1"}]}},
    }
    assert change_of("room", diff(changed)) == changed


def test_who_comes_while_two_go_has_nobody_before() -> None:
    two = Presence(
        "room",
        {"ana": [{}], "bo": [{}, {}]},
        {"ana": [{}, {}], "bo": [{}]},
        joined_refs={"ana": ["a3"], "bo": ["b2", "b3"]},
        left_refs={"ana": ["a1", "a2"], "bo": ["b1"]},
    )
    assert b"phx_ref_prev" not in diff(two)


def test_a_meta_cannot_claim_a_ref_of_its_own() -> None:
    joined: dict[str, list[Any]] = {"ana": [{"phx_ref": "stolen", "on": 1}]}
    told = json.loads(state(Presence("room", joined, {}, True, joined_refs={"ana": ["its"]})))
    assert told == {"ana": {"metas": [{"phx_ref": "its", "on": 1}]}}
    assert joined == {"ana": [{"phx_ref": "stolen", "on": 1}]}, "it is everybody's"


def test_a_meta_that_is_no_object_is_put_into_one() -> None:
    here = Presence("room", {"ana": [7, None, [1]]}, {}, whole=True)
    assert json.loads(state(here)) == {
        "ana": {"metas": [{"meta": 7}, {"meta": None}, {"meta": [1]}]}
    }


def test_what_another_server_tells_is_read() -> None:
    told = b'{"ana":{"metas":[{"on":1,"phx_ref":"F1"},{"phx_ref":"F2"}],"user":{"name":"Ana"}}}'
    assert whole_of("room", told) == Presence(
        "room", {"ana": [{"on": 1}, {}]}, {}, whole=True, joined_refs={"ana": ["F1", "F2"]}
    )
    odd = b'{"ana":{"metas":[7,{"phx_ref":1}]}}'
    assert whole_of("room", odd) == Presence("room", {"ana": [7, {}]}, {}, whole=True)


@pytest.mark.parametrize("payload", [b"[]", b'{"ana":1}', b'{"joins":{}}', b"nothing"])
def test_what_is_no_presence_is_refused(payload: bytes) -> None:
    for read in (whole_of, change_of):
        if read is whole_of and payload == b'{"joins":{}}':
            continue
        with pytest.raises(ProtocolError) as caught:
            read("room", payload)
        assert len(caught.value.reason.encode()) <= 123
