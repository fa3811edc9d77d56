"""The process in which the translated SockJS suite runs, apart from the runner.

`python -m conformance.suites.sockjs_inside FOLDER SECONDS CASE...` writes one line of JSON for each
case, when it is over. What the suite itself prints goes to stderr.
"""

import os
import signal
import sys
import unittest
from collections.abc import Sequence
from importlib import import_module
from types import FrameType

import msgspec

from conformance.suites.sockjs_python3 import SUITES


class Result(msgspec.Struct, frozen=True):
    """How one case ended."""

    case: str
    traceback: str = ""
    """Empty for one that passed."""

    @property
    def has_passed(self) -> bool:
        return not self.traceback

    @property
    def reason(self) -> str:
        """The error in its own words, on one line of at most 200 characters."""
        _, has_frames, rest = self.traceback.rpartition('\n  File "')
        lines = rest.splitlines()[1 if has_frames else 0 :]
        return next((line[:200] for line in lines if line and not line[0].isspace()), "")


def run(case: unittest.TestCase, *, name: str, seconds: float) -> Result:
    """Run one case; one that is not over after so many seconds fails with TimeoutError."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not over after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    result = unittest.TestResult()
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        case.run(result)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    wrong = [traceback for _, traceback in (*result.errors, *result.failures)]
    wrong += [f"skipped: {reason}" for _, reason in result.skipped]
    return Result(name, "\n".join(wrong))


def main(argv: Sequence[str]) -> int:
    """Load the suite and run these cases in this order."""
    folder, seconds, *cases = argv
    with os.fdopen(os.dup(1), "wb", buffering=0) as told:
        os.dup2(2, 1)
        sys.path.insert(0, folder)
        groups: dict[str, type[unittest.TestCase]] = {}
        for module in SUITES:
            groups |= vars(import_module(module))
        for name in cases:
            group, _, method = name.partition(".")
            result = run(groups[group](method), name=name, seconds=float(seconds))
            told.write(msgspec.json.encode(result) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
