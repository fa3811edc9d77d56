"""What wires and hosts share: ids, tokens, answers."""

from collections.abc import Callable
from operator import delitem, setitem

import msgspec
import pytest

from anywire.payload import UNFRAMED
from anywire.wires.base import NOTHING, Answer, Downlink, Fixed, Hello, Overlap, Uplink, User


def test_ids_are_the_same_for_the_same_hello_and_number_only() -> None:
    hello = Hello(seed=b"x" * 32)
    assert hello.id(0) == Hello(seed=b"x" * 32).id(0)
    assert len({hello.id(0), hello.id(1), Hello(seed=b"y" * 32).id(0)}) == 3
    assert len(hello.id(0)) == 32
    assert Hello(seed=b"x" * 32, sign="w1").id(0) == f"w1.{hello.id(0)}"


@pytest.mark.parametrize(
    ("hello", "token"),
    [
        (Hello(), None),
        (Hello(headers={"authorization": "Bearer abc "}), "abc"),
        (Hello(headers={"authorization": "bearer abc"}, query={"token": "q"}), "abc"),
        (Hello(headers={"authorization": "Basic abc"}), None),
        (Hello(headers={"authorization": "Bearer "}, query={"token": "q"}), "q"),
        (Hello(query={"token": ""}, credentials={"token": "c"}), ""),
        (Hello(credentials={"token": "c"}), "c"),
        (Hello(credentials={"token": 1}), None),
        (Hello(credentials="c"), None),
    ],
)
def test_the_bearer_token_is_found(hello: Hello, token: str | None) -> None:
    assert hello.token == token


def test_an_accepted_answer_upgrades_and_closes() -> None:
    answer = Answer.accepted(4401, "no", subprotocol="x")
    told = (answer.status, answer.code, answer.reason, answer.payloads, answer.subprotocol)
    assert told == (101, 4401, "no", (), "x")


def test_an_accepted_answer_may_be_said_in_the_answer_to_a_request() -> None:
    said = Downlink(framing=UNFRAMED)
    assert Answer.accepted(4401, "no", downlink=said).downlink is said
    assert Answer.accepted(4401, "no").downlink is None


def test_a_request_is_held_for_one_client_and_replaced_unless_its_wire_says_otherwise() -> None:
    said = Downlink(framing=UNFRAMED)
    assert (said.pack, said.overlap, said.limit, said.wait) == (None, Overlap.REPLACE, 0, 0.0)
    assert not said.is_repeated
    uplink = Uplink(unpack=lambda body: [body], taken=Answer(status=204))
    assert (uplink.first, uplink.is_alone) == (None, False)


def test_one_user_is_the_same_and_so_is_nobody_in_particular() -> None:
    ana, nobody = User("ana"), User("n1", is_anonymous=True)
    assert ana.is_same(User("ana", {"role": "staff"}))
    assert not ana.is_same(User("eve"))
    assert nobody.is_same(User("n2", is_anonymous=True))
    assert not nobody.is_same(ana)


def test_a_plain_answer_is_fine_unless_it_says_otherwise() -> None:
    assert (Answer().status, Answer().body, Answer().code) == (200, b"", None)


def test_what_many_share_nobody_can_change() -> None:
    shared = Fixed({"a": 1})
    changes: list[Callable[[], object]] = [
        lambda: shared.update(a=2),
        lambda: shared.setdefault("b", 2),
        lambda: shared.pop("a"),
        lambda: shared.popitem(),
        lambda: shared.clear(),
        lambda: setitem(shared, "a", 2),
        lambda: delitem(shared, "a"),
        lambda: shared.__ior__({"a": 2}),
    ]
    for change in changes:
        with pytest.raises(TypeError, match="make a copy"):
            change()
    assert shared == {"a": 1}
    assert shared.copy() | {"b": 2} == {"a": 1, "b": 2}


def test_who_says_nothing_shares_it() -> None:
    assert User("a").claims is User("b").claims is Hello().query is NOTHING
    assert NOTHING == {}
    assert msgspec.json.encode(User("a")) == b'{"id":"a","claims":{},"is_anonymous":false}'
