"""What every presence store must do; run by each backend's own tests, as `contracts/broker.py` is.

The tests play the nodes n1 and n2, neither of which is the node that `listen` names.
"""

import asyncio
from typing import Protocol

from anywire.body import Body
from anywire.brokers.base import Broker, History, PresenceStore
from anywire.core.presence import PRESENCE
from anywire.frames import Position, Record, Since
from tests.contracts.broker import KEEP, Elapse, after, offset, said, started

HOME, PHONE = b'{"on":"home"}', b'{"on":"phone"}'
LEASE = 10.0


class Backend(Broker, History, PresenceStore, Protocol):
    """What presence needs."""


def change(record: Record) -> object:
    assert record.event == PRESENCE
    return record.body.one_value


async def enter(
    broker: PresenceStore, member: str, *, key: str = "ana", meta: bytes = HOME, node: str = "n1"
) -> Position | None:
    return await broker.enter("r", node, key, member, meta, LEASE, KEEP)


class PresenceContract:
    """Who is here, over all nodes."""

    async def test_nobody_is_in_an_unknown_room(self, broker: Backend) -> None:
        await started(broker)
        assert dict(await broker.list("r")) == {}

    async def test_entering_and_leaving_are_records_of_the_room(self, broker: Backend) -> None:
        heard = await started(broker, "r")
        first = await enter(broker, "m1")
        second = await broker.publish(said("hello"), KEEP)
        third = await broker.exit("r", "n1", "ana", "m1", KEEP)
        assert [offset(position) for position in (first, second, third)] == [1, 2, 3]
        came, word, went = await heard.take(3)
        assert change(came) == {"joined": {"ana": [{"on": "home"}]}, "left": {}}
        assert word.event == "said"
        assert change(went) == {"joined": {}, "left": {"ana": [{"on": "home"}]}}
        assert [came.position, went.position] == [first, third]
        assert came.time > 0

    async def test_without_keep_a_change_has_no_number(self, broker: Backend) -> None:
        heard = await started(broker, "r")
        assert await broker.enter("r", "n1", "ana", "m1", HOME, LEASE, None) is None
        assert await broker.enter("r", "n1", "ana", "m1", HOME, LEASE, None) is None
        assert await broker.exit("r", "n1", "ana", "m1", None) is None
        assert [record.position for record in await heard.take(2)] == [None, None]

    async def test_several_members_stand_under_one_key_in_order_of_entering(
        self, broker: Backend
    ) -> None:
        await started(broker, "r")
        await enter(broker, "m1", key="bo")
        await enter(broker, "m2")
        await enter(broker, "m3", meta=PHONE, node="n2")
        assert {key: list(metas) for key, metas in (await broker.list("r")).items()} == {
            "bo": [HOME],
            "ana": [HOME, PHONE],
        }
        assert list(await broker.list("r")) == ["bo", "ana"]
        await broker.exit("r", "n1", "ana", "m2", KEEP)
        assert list((await broker.list("r"))["ana"]) == [PHONE]

    async def test_another_meta_is_one_record_that_leaves_and_joins(self, broker: Backend) -> None:
        heard = await started(broker, "r")
        await enter(broker, "m1")
        await enter(broker, "m1", meta=PHONE)
        changed = (await heard.take(2))[1]
        assert change(changed) == {
            "joined": {"ana": [{"on": "phone"}]},
            "left": {"ana": [{"on": "home"}]},
        }
        assert {key: list(metas) for key, metas in (await broker.list("r")).items()} == {
            "ana": [PHONE]
        }

    async def test_no_change_is_no_record_and_the_present_position(self, broker: Backend) -> None:
        heard = await started(broker, "r")
        first = await enter(broker, "m1")
        assert await enter(broker, "m1") == first
        assert await broker.exit("r", "n1", "ana", "unknown", KEEP) == first
        assert await broker.exit("r", "n1", "unknown", "m1", KEEP) == first
        await broker.publish(said("end"), KEEP)
        assert [record.event for record in await heard.take(2)] == [PRESENCE, "said"]

    async def test_leaving_an_unknown_room_changes_nothing(self, broker: Backend) -> None:
        await started(broker)
        position = await broker.exit("r", "n1", "ana", "m1", KEEP)
        assert offset(position) == 0
        assert await broker.exit("r", "n1", "ana", "m1", None) is None

    async def test_rooms_are_apart(self, broker: Backend) -> None:
        await started(broker)
        await broker.enter("r", "n1", "ana", "m1", HOME, LEASE, KEEP)
        await broker.enter("s", "n1", "ana", "m1", PHONE, LEASE, KEEP)
        await broker.exit("r", "n1", "ana", "m1", KEEP)
        assert dict(await broker.list("r")) == {}
        assert list((await broker.list("s"))["ana"]) == [PHONE]

    async def test_a_meta_of_any_json_and_a_key_of_any_text_are_told_as_they_are(
        self, broker: Backend
    ) -> None:
        heard = await started(broker, "r")
        key, meta = 'a"\\\x00é\u2028', Body.of({"n": [1, None, "é"]}).one[0]
        await enter(broker, "m1", key=key, meta=meta)
        assert change(await heard.next()) == {"joined": {key: [{"n": [1, None, "é"]}]}, "left": {}}
        assert list((await broker.list("r"))[key]) == [meta]

    async def test_when_a_lease_runs_out_all_of_its_node_leave_in_one_record_per_room(
        self, broker: Backend, elapse: Elapse
    ) -> None:
        heard = await started(broker, "r")
        await enter(broker, "m1")
        await enter(broker, "m2", meta=PHONE)
        await enter(broker, "m3", key="bo")
        last = await enter(broker, "m4", node="n2")
        await elapse(6)
        await broker.renew("n2", LEASE)
        await elapse(6)
        await broker.renew("n2", LEASE)
        gone = (await heard.take(5))[4]
        assert change(gone) == {
            "joined": {},
            "left": {"ana": [{"on": "home"}, {"on": "phone"}], "bo": [{"on": "home"}]},
            "stays": {"ana": {"on": "home"}},
        }
        assert offset(gone.position) == offset(last) + 1
        assert {key: list(metas) for key, metas in (await broker.list("r")).items()} == {
            "ana": [HOME]
        }

    async def test_the_end_of_a_lease_reaches_every_room_of_the_node(
        self, broker: Backend, elapse: Elapse
    ) -> None:
        await started(broker)
        rooms = ("r", "s", "t")
        for room in rooms:
            await broker.enter(room, "n1", "ana", "m1", HOME, LEASE, KEEP)
            await broker.enter(room, "n2", "bo", "m2", HOME, 10 * LEASE, KEEP)
        await broker.exit("t", "n1", "ana", "m1", KEEP)
        await elapse(LEASE + 1)
        await broker.renew("n2", LEASE)
        for room in rooms:
            assert list(await broker.list(room)) == ["bo"]
        for room, expected in (("r", 3), ("s", 3), ("t", 3)):
            assert (await broker.since(room, Since(), 1))[1].offset == expected

    async def test_the_end_of_a_lease_reaches_those_who_stayed_when_another_left(
        self, broker: Backend, elapse: Elapse
    ) -> None:
        await started(broker, "r")
        await enter(broker, "m1")
        await enter(broker, "m2", meta=PHONE)
        await broker.exit("r", "n1", "ana", "m1", KEEP)
        await elapse(LEASE + 1)
        await broker.renew("n2", LEASE)
        assert dict(await broker.list("r")) == {}

    async def test_a_shorter_lease_does_not_cut_a_longer_one(
        self, broker: Backend, elapse: Elapse
    ) -> None:
        await started(broker, "r")
        await broker.enter("r", "n1", "ana", "m1", HOME, 10 * LEASE, KEEP)
        await broker.enter("r", "n1", "bo", "m2", HOME, LEASE, KEEP)
        await elapse(LEASE + 1)
        await broker.renew("n2", LEASE)
        assert list(await broker.list("r")) == ["ana", "bo"]

    async def test_a_renewed_lease_keeps_everyone(self, broker: Backend, elapse: Elapse) -> None:
        await started(broker, "r")
        await enter(broker, "m1")
        for _ in range(4):
            await elapse(6)
            await broker.renew("n1", LEASE)
        assert list(await broker.list("r")) == ["ana"]

    async def test_a_node_that_is_gone_may_come_back(self, broker: Backend, elapse: Elapse) -> None:
        await started(broker, "r")
        await enter(broker, "m1")
        await elapse(LEASE + 1)
        assert dict(await broker.list("r")) == {}
        await enter(broker, "m2", meta=PHONE)
        assert list((await broker.list("r"))["ana"]) == [PHONE]

    async def test_the_records_alone_tell_who_is_here(self, broker: Backend) -> None:
        await started(broker)
        begin = (await broker.since("r", Since(), 1))[1]

        async def come_and_go(node: str, key: str) -> None:
            for number in range(6):
                member = f"{node}.{key}.{number % 3}"
                await broker.enter("r", node, key, member, b"%d" % number, LEASE, KEEP)
                await asyncio.sleep(0)
                if number % 2:
                    await broker.exit("r", node, key, member, KEEP)

        await asyncio.gather(
            *(come_and_go(node, key) for node in ("n1", "n2") for key in ("ana", "bo"))
        )
        records, _, lost = await broker.since("r", after(begin), 100)
        assert lost == ""
        here: dict[str, list[object]] = {}
        for record in records:
            said = change(record)
            assert isinstance(said, dict)
            for key, metas in said["left"].items():
                for meta in metas:
                    here[key].remove(meta)
            for key, metas in said["joined"].items():
                here.setdefault(key, []).extend(metas)
        told = {key: sorted(metas) for key, metas in (await broker.list("r")).items()}
        assert told == {
            key: sorted(b"%d" % meta for meta in metas if isinstance(meta, int))
            for key, metas in here.items()
            if metas
        }
