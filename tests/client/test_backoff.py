"""Back-off: the vectors every client runs, and what no vector can say."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.client.backoff import Backoff

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "client" / "backoff.json").read_text(encoding="utf-8")
)


def made(options: dict[str, float], numbers: list[float]) -> Backoff:
    return Backoff(
        interval=options["reconnectInterval"] / 1000,
        maximum=options["maxReconnectInterval"] / 1000,
        decay=options["reconnectDecay"],
        min_uptime=options.get("minUptime", 5000) / 1000,
        random=lambda: numbers.pop(0),
    )


@pytest.mark.parametrize("case", VECTORS["sets"], ids=lambda case: str(case["name"]))
def test_delays_are_those_of_the_table(case: dict[str, Any]) -> None:
    rows = case["table"]
    backoff = made(case["options"], [row["random"] for row in rows])
    for row in rows:
        assert backoff.attempts == row["attempt"]
        assert backoff.next() * 1000 == pytest.approx(row["delay"], abs=0.001)


@pytest.mark.parametrize("case", VECTORS["sequences"], ids=lambda case: str(case["name"]))
def test_only_a_connection_that_lasted_begins_the_delays_anew(case: dict[str, Any]) -> None:
    steps = case["steps"]
    backoff = made(case["options"], [step["random"] for step in steps])
    for step in steps:
        if step["do"] == "connected":
            backoff.ended(step["uptime"] / 1000)
        delay = backoff.next()
        if step.get("retry") is None:
            assert delay * 1000 == pytest.approx(step["delay"], abs=0.001)


def test_a_week_of_attempts_still_has_a_delay() -> None:
    backoff = Backoff(random=lambda: 1.0)
    delays = [backoff.next() for _ in range(20_000)]
    assert delays[-1] == 30.0


@given(
    interval=st.floats(0, 100),
    maximum=st.floats(0, 100),
    decay=st.floats(1, 10),
    random=st.floats(0, 1, exclude_max=True),
    attempts=st.integers(1, 60),
)
def test_no_delay_is_negative_or_over_the_maximum(
    interval: float, maximum: float, decay: float, random: float, attempts: int
) -> None:
    backoff = Backoff(interval=interval, maximum=maximum, decay=decay, random=lambda: random)
    for _ in range(attempts):
        assert 0 <= backoff.next() <= maximum


@pytest.mark.parametrize(
    "options",
    [
        {"interval": -1.0},
        {"maximum": -1.0},
        {"min_uptime": -1.0},
        {"decay": 0.9},
        {"interval": float("nan")},
        {"decay": float("nan")},
    ],
)
def test_numbers_that_make_no_schedule_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="reconnect"):
        Backoff(random=lambda: 0.5, **options)
