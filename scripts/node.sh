#!/bin/sh
# Says in one line what is missing when there is no Node 20 or newer with its npm.
set -u
found=$(node --version 2>/dev/null) || found=none
major=${found#v}
major=${major%%.*}
case $major in
    '' | *[!0-9]*) major=0 ;;
esac
if [ "$major" -lt 20 ]; then
    echo "anywire: Node 20 or newer is needed to build the browser client (found: $found); install it and run make again" >&2
    exit 1
fi
if ! npm --version >/dev/null 2>&1; then
    echo "anywire: npm is needed beside Node $found to build the browser client; install it and run make again" >&2
    exit 1
fi
