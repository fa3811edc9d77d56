"""What brokers share: the memory broker keeps all five contracts; questions cross processes."""

import msgspec

from anywire.brokers.base import (
    Ask,
    Broker,
    Directory,
    Found,
    History,
    Nodes,
    PresenceStore,
    Question,
)
from anywire.brokers.memory import MemoryBroker


def test_one_backend_may_offer_every_contract() -> None:
    backend = MemoryBroker(clock=lambda: 0.0)
    broker: Broker = backend
    history: History = backend
    presence: PresenceStore = backend
    directory: Directory = backend
    nodes: Nodes = backend
    assert len({id(one) for one in (broker, history, presence, directory, nodes)}) == 1


def test_a_question_survives_the_way_to_another_process() -> None:
    for ask in Ask:
        question = Question(ask=ask, room="chat:lobby", user="ana", record=b"\x00\xff")
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(question), type=Question) == question


def test_an_answer_is_whole_unless_it_names_who_is_missing() -> None:
    assert Found([1, 2]).missing == ()
