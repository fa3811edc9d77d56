"""Tests of anywire.core.ownership."""

from collections import Counter

import pytest

from anywire.brokers.memory import MemoryBroker
from anywire.core.ownership import owner_of, rendezvous, sign_of
from anywire.wires.base import Opening, User
from tests.core.support import Bench, TestWire

NODES = [f"node{n}" for n in range(5)]
KEYS = [f"test session{n}" for n in range(5000)]


def test_the_sign_of_an_id_is_who_minted_it() -> None:
    assert sign_of("n1.00ff.more") == "n1"
    assert sign_of("nobody") == "nobody"
    assert sign_of("") == ""


def test_keys_are_spread_evenly_over_the_nodes() -> None:
    counted = Counter(rendezvous(NODES, key) for key in KEYS)
    assert set(counted) == set(NODES)
    assert max(counted.values()) < 1.1 * len(KEYS) / len(NODES)


def test_all_nodes_name_the_same_one_in_whatever_order_they_know_the_others() -> None:
    for key in KEYS[:100]:
        assert rendezvous(NODES, key) == rendezvous(reversed(NODES), key)


def test_only_the_keys_of_a_node_that_goes_get_another_one() -> None:
    left = NODES[1:]
    for key in KEYS:
        before, after = rendezvous(NODES, key), rendezvous(left, key)
        assert after == before or before == NODES[0]
        assert after in left


def test_of_no_nodes_there_is_none() -> None:
    assert rendezvous([], "key") == ""


class Several(MemoryBroker):
    """A broker that knows of other nodes."""

    def __init__(self, doors: dict[str, str]) -> None:
        super().__init__()
        self.others = dict(doors)

    def doors(self) -> dict[str, str]:
        return self.others


ALL = {"n1": "/1", "n2": "/2", "n3": "/3"}


def opening(session: str, *, is_claimed: bool = False, token: str = "") -> Opening:
    return Opening(machine=None, session=session, is_claimed=is_claimed, token=token)


async def owner(bench: Bench, session: str, *, is_claimed: bool = False, token: str = "") -> str:
    found = opening(session, is_claimed=is_claimed, token=token)
    return await owner_of(bench.node, bench.wire, found)


@pytest.mark.parametrize(
    ("session", "expected"),
    [("n2.abc", "n2"), ("n1.abc", "n1"), ("gone.abc", "n1"), ("odd", "n1"), ("deaf.abc", "n1")],
)
async def test_a_minted_id_names_its_owner_while_that_is_there_and_has_a_door(
    session: str, expected: str
) -> None:
    bench = Bench(broker=Several({**ALL, "deaf": ""}))
    assert await owner(bench, session) == expected


async def test_a_minted_id_is_judged_without_waiting() -> None:
    bench = Bench(broker=Several(ALL))
    with pytest.raises(StopIteration) as end:
        owner_of(bench.node, bench.wire, opening("n2.abc")).send(None)
    assert end.value.value == "n2"


async def test_a_claimed_id_belongs_to_who_stands_in_the_directory() -> None:
    broker = Several(ALL)
    bench = Bench(broker=broker)
    await broker.claim("test", "mine", "n3", "", 60)
    assert await owner(bench, "mine", is_claimed=True) == "n3"
    del broker.others["n3"]  # it died
    assert await owner(bench, "mine", is_claimed=True) == rendezvous(["n1", "n2"], "test mine")


async def test_a_claimed_id_that_nobody_has_is_for_the_node_that_all_name() -> None:
    bench = Bench(broker=Several(ALL))
    for n in range(10):
        assert await owner(bench, f"s{n}", is_claimed=True) == rendezvous(ALL, f"test s{n}")


async def test_an_id_that_was_given_away_belongs_to_who_is_asked_first() -> None:
    broker = Several(ALL)
    bench = Bench(broker=broker)
    for n in range(10):
        assert await owner(bench, f"s{n}", is_claimed=True, token="secret") == "n1"
    await broker.claim("test", "s0", "n3", "", 60)
    assert await owner(bench, "s0", is_claimed=True, token="secret") == "n3"
    del broker.others["n3"]  # it died
    assert await owner(bench, "s0", is_claimed=True, token="secret") == "n1"


async def test_a_claimed_id_whose_session_stands_here_is_ours_without_a_look() -> None:
    class Silent(Several):
        async def owner(self, mount: str, id: str) -> str | None:
            raise AssertionError("nobody needs to look")

    bench = Bench(broker=Silent(ALL))
    peer = bench.connect(user="ana")
    assert await owner(bench, peer.session.id, is_claimed=True) == "n1"


async def test_a_session_of_another_wire_is_not_the_one_that_was_claimed() -> None:
    bench = Bench(broker=Several(ALL))
    peer = bench.connect(TestWire(name="other"), user="ana")
    id = peer.session.id
    assert peer.session.user == User("ana")
    assert await owner(bench, id, is_claimed=True) == rendezvous(ALL, f"test {id}")


async def test_a_node_that_knows_of_nobody_owns_everything() -> None:
    bench = Bench()
    assert await owner(bench, "n2.abc") == "n1"
    assert await owner(bench, "claimed", is_claimed=True) == "n1"
