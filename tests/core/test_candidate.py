"""Tests of anywire.core.candidate: a second transport takes over, or does not."""

from collections.abc import Sequence

import pytest

from anywire.core.candidate import PATIENCE, Candidate, may_upgrade
from anywire.core.session import Session
from anywire.errors import ProtocolError
from anywire.payload import Framed, Message, Payload
from anywire.transports.base import Yielding
from anywire.wires.base import Cap, Verdict
from tests.core.support import BOXED, FULL, Bench, Peer, TestTransport, TestWire


class Yielder(TestTransport):
    """A transport that another one can take over from; keeps what is written while it `keeps`."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.keeps = False
        self.kept: list[Framed] = []

    def write(self, framed: Sequence[Framed]) -> None:
        if self.keeps:
            self.kept += framed
        else:
            super().write(framed)

    def release(self) -> None:
        self.calls.append("release")

    def rest(self) -> Sequence[Framed]:
        kept, self.kept = self.kept, []
        return kept

    def retain(self) -> None:
        self.calls.append("retain")


class Probe:
    """The talk of a wire: `probe` is answered and waits, `now` takes over, `out` gives up."""

    def receive(self, message: Message) -> tuple[Sequence[Payload], Verdict]:
        match message:
            case "probe":
                return [Payload(b"yes", counted=False)], Verdict.WAIT
            case "now":
                return (), Verdict.SWAP
            case "out":
                return [Payload(b"bye", counted=False)], Verdict.DROP
            case _:
                raise ProtocolError("neither")


class Talk:
    """A session on a transport that yields, and a candidate for it."""

    def __init__(self, wire: TestWire | None = None) -> None:
        self.bench = Bench()
        self.first = Yielder()
        self.peer: Peer = self.bench.connect(wire, transport=self.first)
        self.bench.flush()
        self.first.writes.clear()
        self.second = TestTransport(BOXED)
        self.candidate = Candidate(self.session, Probe(), self.second)
        self.second.attach(self.candidate)

    @property
    def session(self) -> Session:
        return self.peer.session

    def hear(self, *messages: Message) -> None:
        """The client says these on the second transport."""
        for message in messages:
            self.candidate.receive(message, self.bench.clock.now())

    def say(self, text: str) -> None:
        """The server says this to its client."""
        self.session.enqueue(Payload(text.encode()))
        self.bench.flush()

    def end(self) -> None:
        """Nothing is left, whatever happened."""
        self.session.abort(1006, "")
        assert len(self.bench.clock.deadlines) == 0
        assert not self.bench.node.sessions


def texts(transport: TestTransport) -> list[str]:
    return [payload.data.decode() for payload in transport.payloads]


async def test_what_is_said_before_a_probe_goes_over_the_first_transport() -> None:
    talk = Talk()
    talk.say("before")
    assert (texts(talk.first), texts(talk.second), talk.first.calls) == (["before"], [], [])
    talk.hear("out")
    talk.end()


async def test_while_it_may_take_over_the_session_goes_on_over_the_first_one() -> None:
    talk = Talk()
    talk.say("before")
    talk.hear("probe")
    assert talk.first.calls == ["release"]
    talk.say("during")
    assert (texts(talk.first), texts(talk.second)) == (["before", "during"], ["yes"])
    talk.session.enqueue(Payload(b"in the turn of it"))
    talk.hear("probe", "now")
    assert talk.first.closed == (1000, "the session goes on elsewhere")
    assert talk.session.transport is talk.second
    assert talk.second.sink is talk.session
    assert talk.session.framing is BOXED
    talk.bench.flush()
    talk.say("after")
    assert texts(talk.second) == ["yes", "yes", "in the turn of it", "after"]
    talk.end()


async def test_what_the_first_one_was_given_and_nobody_took_is_said_first_on_the_second() -> None:
    talk = Talk()
    talk.first.keeps = True
    talk.say("kept")
    talk.hear("probe")
    talk.say("kept, too")
    talk.session.enqueue(Payload(b"behind"))
    talk.hear("now")
    talk.bench.flush()
    assert texts(talk.second) == ["yes", "kept", "kept, too", "behind"]
    assert talk.first.rest() == []
    talk.end()


async def test_one_that_takes_over_at_once_is_never_waited_for() -> None:
    talk = Talk()
    talk.hear("now")
    assert talk.first.calls == []
    talk.say("hello")
    assert texts(talk.second) == ["hello"]
    talk.end()


async def test_what_was_blocked_on_the_first_flows_on_the_second() -> None:
    talk = Talk()
    talk.first.is_stuck = True
    talk.say("stuck")
    talk.say("behind")
    talk.hear("probe", "now")
    talk.bench.flush()
    assert texts(talk.second) == ["yes", "behind"]
    talk.end()


async def test_messages_behind_the_word_to_take_over_are_the_sessions() -> None:
    talk = Talk()
    talk.hear("probe", "now", '{"t":"Beat"}')
    talk.bench.flush()
    assert texts(talk.second)[1:] == ['{"t":"Beat","is_answer":true}']
    talk.end()


@pytest.mark.parametrize("last", ["out", "nonsense"])
async def test_one_that_gives_up_or_talks_nonsense_is_hung_up_and_the_first_goes_on(
    last: str,
) -> None:
    talk = Talk()
    talk.say("before")
    talk.hear("probe")
    talk.say("during")
    talk.hear(last, "now")
    talk.bench.flush()
    talk.say("after")
    assert talk.first.calls == ["release", "retain"]
    assert texts(talk.first) == ["before", "during", "after"]
    assert talk.second.closed == (1000, "")
    assert texts(talk.second) == ["yes", "bye"] if last == "out" else ["yes"]
    talk.end()


async def test_one_that_never_probed_leaves_the_first_as_it_is() -> None:
    talk = Talk()
    talk.hear("out")
    assert "release" not in talk.first.calls
    assert talk.second.closed == (1000, "")
    talk.end()


async def test_one_that_takes_too_long_is_hung_up_and_the_first_goes_on() -> None:
    talk = Talk()
    talk.hear("probe")
    talk.say("during")
    talk.bench.clock.move(PATIENCE)
    assert talk.second.closed == (1000, "")
    talk.bench.flush()
    assert texts(talk.first) == ["during"]
    talk.hear("now")
    assert talk.session.transport is talk.first
    talk.end()


async def test_one_that_is_cut_lets_the_first_go_on() -> None:
    talk = Talk()
    talk.hear("probe")
    talk.say("during")
    for _ in range(2):
        talk.candidate.detached(talk.second, 1006, "", is_clean=False)
    talk.bench.flush()
    assert texts(talk.first) == ["during"]
    assert not talk.session.has_ended
    assert talk.first.calls == ["release", "retain"]
    talk.end()


async def test_one_that_has_taken_over_and_is_cut_is_the_sessions_loss() -> None:
    talk = Talk()
    talk.hear("now")
    talk.candidate.detached(talk.second, 1006, "", is_clean=False)
    assert talk.session.has_ended
    talk.end()


async def test_signs_of_life_on_it_mean_nothing_yet() -> None:
    talk = Talk()
    talk.candidate.heard(talk.bench.clock.now())
    talk.candidate.writable()
    assert talk.session.transport is talk.first
    talk.hear("out")
    talk.end()


async def test_the_end_of_the_session_is_its_end() -> None:
    talk = Talk()
    talk.hear("probe")
    talk.session.abort(1006, "")
    assert talk.second.closed == (1000, "")
    talk.hear("now")
    assert talk.second.sink is talk.candidate
    talk.end()


async def test_a_session_that_went_on_elsewhere_meanwhile_is_not_taken_over() -> None:
    wire = TestWire(FULL | Cap.RESUME)
    talk = Talk(wire)
    talk.hear("probe")
    talk.say("during")
    session = talk.session
    again = talk.bench.connect(
        wire, user=session.user, session=session.id, token=session.token, received="0"
    )
    talk.bench.flush()
    talk.hear("now")
    assert talk.second.closed == (1000, "")
    assert talk.session.transport is again.transport
    assert "during" in texts(again.transport)
    talk.end()


async def test_the_last_words_of_a_session_that_ends_meanwhile_go_over_the_first() -> None:
    talk = Talk()
    talk.hear("probe")
    talk.session.enqueue(Payload(b"during"))
    talk.session.close(4003, "out")
    assert texts(talk.first)[0] == "during"
    assert '"Bye"' in texts(talk.first)[1]
    assert talk.first.closed == (4003, "out")
    assert talk.second.closed == (1000, "")
    talk.end()


async def test_one_of_what_cannot_yield_takes_over_or_not_all_the_same() -> None:
    talk = Talk()
    peer = talk.bench.connect()
    for last in ("out", "now"):
        second = TestTransport()
        candidate = Candidate(peer.session, Probe(), second)
        candidate.receive("probe", 0.0)
        candidate.receive(last, 0.0)
        assert peer.session.transport is (second if last == "now" else peer.transport)
    peer.session.abort(1006, "")
    talk.hear("out")
    talk.end()


async def test_only_one_may_be_about_to_take_over_and_only_from_what_yields() -> None:
    talk = Talk()
    assert isinstance(talk.first, Yielding)
    assert not may_upgrade(talk.session)
    talk.hear("out")
    assert may_upgrade(talk.session)
    assert not may_upgrade(talk.bench.connect().session)
    detached = talk.bench.connect(TestWire(FULL | Cap.RESUME))
    detached.cut()
    assert not may_upgrade(detached.session)
