"""Runs the Engine.IO protocol's own suite against `/engine.io/` of the conformance app.

`make conformance SUITE=engineio REPO=path` calls it with a checkout of socket.io.
"""

import sys

from conformance.suites.mocha import Suite, main
from conformance.suites.serving import ROOT

SUITE = Suite(
    name="engineio",
    folder="docs/engine.io-protocol/v4-test-suite",
    table=ROOT / "tests" / "conformance" / "test_engineio_protocol.py",
)

if __name__ == "__main__":
    sys.exit(main(SUITE))
