"""What wires and hosts share: ids, tokens, answers."""

import pytest

from anywire.wires.base import Answer, Hello


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


def test_a_plain_answer_is_fine_unless_it_says_otherwise() -> None:
    assert (Answer().status, Answer().body, Answer().code) == (200, b"", None)
