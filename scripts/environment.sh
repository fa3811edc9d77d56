#!/bin/sh
# environment.sh [EXTRAS]   makes .venv where there is none and installs anywire into it, editable,
# with the extras, at the versions of constraints.txt. Run from the top of the repository.
set -eu
extras=${1:-}
python=$(sh scripts/python.sh)

has_pip() { .venv/bin/python -m pip --version >/dev/null 2>&1; }
new_enough() { .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if ! new_enough || ! has_pip; then
    echo "      making .venv with $("$python" --version)"
    if ! "$python" -m venv --clear .venv >/dev/null 2>&1; then
        # Debian keeps ensurepip in a package of its own; a pip beside the Python does as well.
        if ! { "$python" -m venv --clear --without-pip .venv && "$python" -m pip --python .venv/bin/python install -q pip; } >/dev/null 2>&1; then
            rm -rf .venv
            echo "anywire: $python cannot make a virtual environment; install its venv module (Debian: python3-venv) and run make again" >&2
            exit 1
        fi
    fi
fi

echo "      installing anywire${extras:+ with $extras} and what it needs (versions: constraints.txt)"
# The two variables hold the build backend to its version too: the first for older pips.
PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-input \
    -c constraints.txt -e ".${extras:+[$extras]}"
