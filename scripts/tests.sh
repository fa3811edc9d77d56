#!/bin/sh
# All tests, in three runs. Those that open no socket and start no process are measured: they cover floors 0 to 2. The protocols'
# suites count milliseconds, so nothing runs beside them. All others mostly wait, for each other and for time to pass: several
# files of them run side by side.
# Arguments go to each run, as in: sh scripts/tests.sh -k outbox
set -eu

BIN=.venv/bin
SOCKETS="net or node or browser"
SUITES=tests/conformance

# pytest ends with 5 where it finds nothing to run, as with -k of what another run has.
run() {
    "$@" || [ $? -eq 5 ]
}

echo "      without sockets, measured"
run "$BIN/coverage" run -m pytest -m "not ($SOCKETS)" "$@"
echo "      the protocols' suites"
run "$BIN/pytest" "$SUITES" -m "$SOCKETS" "$@"
echo "      over sockets, side by side"
run "$BIN/pytest" --ignore "$SUITES" --numprocesses 3 --dist loadfile --no-loadscope-reorder --timeout 60 \
    -m "$SOCKETS" "$@"
