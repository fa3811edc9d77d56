#!/bin/sh
# gorilla.sh   builds the peer of the tests that speaks gorilla/websocket (tests/interop/gorilla)
# into build/, from the source that Debian installs, without a network; does nothing when it stands.
# Run from the top of the repository.
set -eu
source=tests/interop/gorilla/main.go
peer=build/gorilla-peer
library=/usr/share/gocode/src/github.com/gorilla/websocket
[ -x "$peer" ] && [ "$peer" -nt "$source" ] && exit 0

go=$(command -v go || echo /usr/local/go/bin/go)
if [ ! -x "$go" ] || [ ! -d "$library" ]; then
    echo "anywire: these tests need Go and gorilla/websocket (Debian: golang-go golang-github-gorilla-websocket-dev)" >&2
    exit 1
fi
mkdir -p build
# Without modules, as Debian lays out Go source. Under another name first: two may build at once.
GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS= GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0 \
    "$go" build -o "$peer.$$" "./$(dirname "$source")"
mv "$peer.$$" "$peer"
