#!/bin/sh
# Prints the Python to build .venv with: $PYTHON, else the first of 3.11 or newer on the PATH.
set -u
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

if [ -n "${PYTHON:-}" ]; then
    new_enough "$PYTHON" && { echo "$PYTHON"; exit 0; }
    echo "anywire: PYTHON=$PYTHON is not a Python 3.11 or newer; name another, as in: make PYTHON=python3.12 …" >&2
    exit 1
fi
for name in python3 python3.13 python3.12 python3.11 python3.14; do
    new_enough "$name" && { echo "$name"; exit 0; }
done
found=$(python3 --version 2>&1) || found="no python3 on the PATH"
echo "anywire: Python 3.11 or newer is needed ($found); install one, or name it: make PYTHON=/path/to/python3.11 …" >&2
exit 1
