#!/bin/sh
# All tests, in two runs at once. Those that open no socket and start no process are measured: they cover floors 0 to 2.
# The others mostly wait, for each other and for time to pass, so several files of them run side by side; what they say follows
# when both are done. As all share the cores, a test may take three times as long as alone.
# Arguments go to both, as in: sh scripts/tests.sh -k outbox
set -u

BIN=.venv/bin
ALONE="not net and not node and not browser"
LOG=build/tests-over-sockets.log
NOTHING=5 # pytest found nothing to run, as with -k of what the other run has

mkdir -p build
"$BIN/pytest" --timeout 60 --numprocesses 4 --dist loadfile -m "net or node or browser" "$@" >"$LOG" 2>&1 &
over_sockets=$!
trap 'kill "$over_sockets" 2>/dev/null' INT TERM
"$BIN/coverage" run -m pytest --timeout 60 -m "$ALONE" "$@"
alone=$?
echo "      and over sockets:"
wait "$over_sockets"
sockets=$?
cat "$LOG"
if [ "$alone" -eq "$NOTHING" ] && [ "$sockets" -eq "$NOTHING" ]; then
    exit "$NOTHING"
fi
[ "$alone" -eq "$NOTHING" ] || [ "$alone" -eq 0 ] || exit "$alone"
[ "$sockets" -eq "$NOTHING" ] || exit "$sockets"
