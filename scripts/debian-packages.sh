#!/bin/sh
# Installs the Debian packages that the tests need and this machine lacks. Where that is not
# allowed, stops with one line that names them.
set -u
missing=
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
if [ -n "$missing" ] && [ ! -d /usr/share/fonts/truetype/dejavu ]; then
    missing="$missing fonts-dejavu-core"
fi
# Its daemon is never started by the package: a test runs its own.
command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || missing="$missing nginx-light"
# Go and its WebSocket library, for the peer that scripts/gorilla.sh builds.
command -v go >/dev/null 2>&1 || [ -x /usr/local/go/bin/go ] || missing="$missing golang-go"
[ -d /usr/share/gocode/src/github.com/gorilla/websocket ] ||
    missing="$missing golang-github-gorilla-websocket-dev"
[ -z "$missing" ] && exit 0

stop() {
    echo "anywire: make test needs Debian packages that it $1; install them and run it again:$missing" >&2
    exit 1
}

command -v apt-get >/dev/null 2>&1 || stop "cannot install without apt-get"
if [ "$(id -u)" = 0 ]; then
    root=
elif sudo -n true >/dev/null 2>&1; then
    root="sudo -n"
else
    stop "may not install as this user"
fi

echo "      installing$missing with apt-get"
log=$(mktemp)
# shellcheck disable=SC2086 # both lists are meant to be split
if ! { $root apt-get update -qq -o Acquire::Retries=3 &&
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        -o Acquire::Retries=3 $missing; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    rm -f "$log"
    stop "could not install"
fi
rm -f "$log"
