"""Presence at the client: joins and leaves add up to who is here."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from anywire.client.presence import People
from anywire.client.tasks import Tasks
from anywire.frames import Presence


def changed(people: People) -> list[tuple[Any, Any]]:
    changes: list[tuple[Any, Any]] = []
    people.on_change(lambda now, joined, left: changes.append((dict(joined), dict(left))))
    return changes


def test_joins_and_leaves_are_applied_and_told() -> None:
    people = People(Tasks())
    changes = changed(people)
    people.apply(Presence("chat", {"ana": [{"n": 1}], "bo": [{"n": 2}]}, {}, whole=True))
    people.apply(Presence("chat", {"ana": [{"n": 3}]}, {"bo": [{"n": 2}]}))
    assert dict(people) == {"ana": [{"n": 1}, {"n": 3}]}
    assert len(people) == 1
    assert "bo" not in people
    assert changes == [
        ({"ana": [{"n": 1}], "bo": [{"n": 2}]}, {}),
        ({"ana": [{"n": 3}]}, {"bo": [{"n": 2}]}),
    ]
    assert repr(people) == "People({'ana': [{'n': 1}, {'n': 3}]})"


def test_a_changed_meta_is_a_leave_and_a_join_of_the_same_key() -> None:
    people = People(Tasks())
    people.apply(Presence("chat", {"ana": ["here"]}, {}, whole=True))
    people.apply(Presence("chat", {"ana": ["away"]}, {"ana": ["here"]}))
    assert people["ana"] == ["away"]


def test_a_whole_list_tells_only_what_is_different() -> None:
    people = People(Tasks())
    people.apply(Presence("chat", {"ana": [1, 2], "bo": [1], "cy": []}, {}, whole=True))
    changes = changed(people)
    people.apply(Presence("chat", {"ana": [2], "di": [1]}, {}, whole=True))
    assert changes == [({"di": [1]}, {"ana": [1], "bo": [1]})]
    people.apply(Presence("chat", {"ana": [2], "di": [1]}, {}, whole=True))
    assert len(changes) == 1


def test_a_leave_of_somebody_unknown_changes_nothing() -> None:
    people = People(Tasks())
    people.apply(Presence("chat", {}, {"ana": [1]}))
    assert dict(people) == {}


def test_a_listener_can_be_taken_away() -> None:
    people = People(Tasks())
    heard: list[Any] = []

    @people.on_change
    def change(now: People, joined: Any, left: Any) -> None:
        heard.append(joined)

    people.off_change(change)
    people.apply(Presence("chat", {"ana": [1]}, {}))
    assert heard == []


METAS = st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(0, 2), max_size=3))


@given(METAS, METAS)
def test_what_a_whole_list_tells_leads_from_the_one_to_the_other(before: Any, after: Any) -> None:
    people, follower = People(Tasks()), People(Tasks())
    people.on_change(
        lambda now, joined, left: follower.apply(Presence("chat", dict(joined), dict(left)))
    )
    for metas in (before, after):
        people.apply(Presence("chat", metas, {}, whole=True))
    assert {key: sorted(metas) for key, metas in follower.items()} == {
        key: sorted(metas) for key, metas in people.items()
    }
