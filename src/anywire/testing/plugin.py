"""pytest plugin, found by its entry point: a clock per test."""

import pytest

from anywire.testing.clock import Clock


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until the test moves it: `running(app, clock=clock)`."""
    return Clock()
