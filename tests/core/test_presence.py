"""Tests of anywire.core.presence."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import Body
from anywire.core.presence import PRESENCE, Change, Here, presence_of, referred, whole
from anywire.frames import Position, Record

HOME, PHONE = b'{"on":"home"}', b'{"on":"phone"}'


def record(body: Body) -> Record:
    return Record(room="r", event=PRESENCE, body=body, position=Position(3, "e"))


def test_nobody_is_here_at_first() -> None:
    here = Here()
    assert not here
    assert here.list() == {}


def test_who_enters_joins_and_who_exits_leaves() -> None:
    here = Here()
    change = here.enter("n1", "ana", "m1", HOME)
    assert (change.joined, change.left) == ({"ana": [HOME]}, {})
    assert here
    change = here.exit("ana", "m1")
    assert (change.joined, change.left) == ({}, {"ana": [HOME]})
    assert not here


def test_a_key_stays_while_one_of_its_members_stays() -> None:
    here = Here()
    here.enter("n1", "ana", "m1", HOME)
    here.enter("n2", "ana", "m2", PHONE)
    assert here.list() == {"ana": [HOME, PHONE]}
    change = here.exit("ana", "m1")
    assert (change.left, change.stays) == ({"ana": [HOME]}, {"ana": PHONE})
    assert here.list() == {"ana": [PHONE]}
    change = here.exit("ana", "m2")
    assert (change.left, change.stays) == ({"ana": [PHONE]}, {})


def test_keys_and_metas_stand_in_order_of_entering() -> None:
    here = Here()
    for key, member, meta in (("bo", "m1", b"1"), ("ana", "m2", b"2"), ("bo", "m3", b"3")):
        here.enter("n1", key, member, meta)
    here.enter("n1", "bo", "m1", b"4")
    assert list(here.list().items()) == [("bo", [b"4", b"3"]), ("ana", [b"2"])]


def test_another_meta_is_a_leave_and_a_join_in_one_change() -> None:
    here = Here()
    here.enter("n1", "ana", "m1", HOME)
    change = here.enter("n1", "ana", "m1", PHONE)
    assert (change.joined, change.left) == ({"ana": [PHONE]}, {"ana": [HOME]})


def test_the_same_meta_again_is_no_change() -> None:
    here = Here()
    here.enter("n1", "ana", "m1", HOME)
    assert not here.enter("n1", "ana", "m1", HOME)
    assert not Change()


def test_exit_of_someone_who_is_not_here_is_no_change() -> None:
    here = Here()
    assert not here.exit("ana", "m1")
    here.enter("n1", "ana", "m1", HOME)
    assert not here.exit("ana", "m2")
    assert here.list() == {"ana": [HOME]}


def test_a_node_takes_everyone_it_brought_and_nobody_else() -> None:
    here = Here()
    here.enter("n1", "ana", "m1", HOME)
    here.enter("n1", "ana", "m2", PHONE)
    here.enter("n2", "ana", "m3", HOME)
    here.enter("n1", "bo", "m4", HOME)
    change = here.exit_node("n1")
    assert (change.joined, change.left) == ({}, {"ana": [HOME, PHONE], "bo": [HOME]})
    assert change.stays == {"ana": HOME}
    assert here.list() == {"ana": [HOME]}
    assert not here.exit_node("n1")


def test_it_knows_which_nodes_brought_someone() -> None:
    here = Here()
    assert not here.has("n1")
    here.enter("n1", "ana", "m1", HOME)
    here.enter("n1", "bo", "m2", HOME)
    assert here.has("n1")
    here.enter("n2", "ana", "m1", HOME)
    assert here.has("n2")
    here.exit("bo", "m2")
    assert not here.has("n1")
    here.exit_node("n2")
    assert not here.has("n2")


def test_a_change_travels_as_json_and_comes_back_as_a_frame() -> None:
    here = Here()
    here.enter("n1", "ana", "m1", b'["ref 1",%b]' % HOME)
    change = here.enter("n1", "ana", "m1", b'["ref 2",%b]' % PHONE)
    frame = presence_of("lobby", record(change.body()))
    assert frame.alias == "lobby"
    assert (frame.joined, frame.joined_refs) == ({"ana": [{"on": "phone"}]}, {"ana": ["ref 2"]})
    assert (frame.left, frame.left_refs) == ({"ana": [{"on": "home"}]}, {"ana": ["ref 1"]})
    assert frame.position == Position(3, "e")
    assert not frame.whole


def test_who_stays_under_a_key_travels_with_the_change() -> None:
    here = Here()
    for member, meta in (("m1", HOME), ("m2", PHONE)):
        here.enter("n1", "ana", member, referred(member, meta))
    frame = presence_of("lobby", record(here.exit("ana", "m2").body()))
    assert (frame.left, frame.stays) == ({"ana": [{"on": "phone"}]}, {"ana": {"on": "home"}})
    frame = presence_of("lobby", record(here.exit("ana", "m1").body()))
    assert (frame.left, frame.stays) == ({"ana": [{"on": "home"}]}, {})


def test_a_key_of_any_characters_travels() -> None:
    key = 'a"b\\c\u2028é\x00'
    body = Here().enter("n1", key, "m1", b'["",null]').body()
    assert presence_of("r", record(body)).joined == {key: [None]}


@pytest.mark.parametrize(
    "body",
    [
        Body.of(1),
        Body.of(),
        Body.of({}),
        Body.of({"joined": {}}),
        Body.of({"joined": {}, "left": {"ana": 1}}),
        Body.of({"joined": {"ana": [{"on": "phone"}]}, "left": {}}),
    ],
)
def test_a_record_that_is_no_change_is_refused(body: Body) -> None:
    with pytest.raises(ValueError, match="presence record"):
        presence_of("r", record(body))


def test_who_is_here_is_told_whole() -> None:
    ana = [referred("m1", HOME), referred("m2", PHONE)]
    frame = whole("lobby", {"ana": ana, "bo": [b'["ref",1]']})
    assert frame.whole
    assert frame.joined == {"ana": [{"on": "home"}, {"on": "phone"}], "bo": [1]}
    assert frame.joined_refs["bo"] == ["ref"]
    assert frame.left == {}


def test_a_ref_tells_equal_metas_of_two_members_apart() -> None:
    one, two = (msgspec.json.decode(referred(member, HOME)) for member in ("m1", "m2"))
    assert one[1] == two[1] == {"on": "home"}
    assert one[0] != two[0]
    assert msgspec.json.decode(referred("m1", HOME)) == one
    assert msgspec.json.decode(referred("m1", PHONE))[0] != one[0]


names = st.sampled_from("abc")
moves = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), names, names, names, st.integers(0, 2)),
        st.tuples(st.just("exit"), names, names),
        st.tuples(st.just("node"), names),
    ),
    max_size=40,
)


@given(moves)
def test_who_hears_the_changes_alone_knows_who_is_here(
    todo: list[tuple[str, str, str, str, int] | tuple[str, str, str] | tuple[str, str]],
) -> None:
    here = Here()
    model: dict[tuple[str, str], tuple[str, int]] = {}
    mirror: dict[str, list[object]] = {}
    for move in todo:
        change = Change()
        match move:
            case ("enter", node, key, member, meta):
                change = here.enter(node, key, member, b'["",%d]' % meta)
                model[key, member] = (node, meta)
            case ("exit", key, member):
                change = here.exit(key, member)
                model.pop((key, member), None)
            case (_, node):
                change = here.exit_node(node)
                model = {who: came for who, came in model.items() if came[0] != node}
        frame = presence_of("r", record(change.body()))
        for key, metas in frame.left.items():
            for gone in metas:
                mirror[key].remove(gone)
        for key, metas in frame.joined.items():
            mirror.setdefault(key, []).extend(metas)
        expected: dict[str, list[int]] = {}
        for (key, _), (_, meta) in model.items():
            expected.setdefault(key, []).append(meta)
        told = {
            key: sorted(msgspec.json.decode(meta)[1] for meta in metas)
            for key, metas in here.list().items()
        }
        assert told == {key: sorted(metas) for key, metas in expected.items()}
        assert told == {key: sorted(metas, key=str) for key, metas in mirror.items() if metas}
        for node in "abc":
            assert here.has(node) == any(came[0] == node for came in model.values())
