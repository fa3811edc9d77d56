"""Runs the Socket.IO protocol's own suite against `/socket.io/` of the conformance app.

`make conformance SUITE=socketio REPO=path` calls it with a checkout of socket.io.
"""

import sys

from conformance.suites.mocha import Suite, main
from conformance.suites.serving import ROOT

SUITE = Suite(
    name="socketio",
    folder="docs/socket.io-protocol/v5-test-suite",
    table=ROOT / "tests" / "conformance" / "test_socketio_protocol.py",
)

if __name__ == "__main__":
    sys.exit(main(SUITE))
