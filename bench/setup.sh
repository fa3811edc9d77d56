#!/bin/sh
# Builds the load generator and installs the peers into bench/.peers; says what it does, does it once.
set -eu
cd "$(dirname "$0")"

missing=""
for tool in make node npm taskset; do
  command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
command -v cc >/dev/null 2>&1 || missing="$missing cc"
if [ -n "$missing" ]; then
  echo "bench: not found:$missing (on Debian: apt-get install gcc make nodejs npm util-linux)" >&2
  exit 1
fi

python=../.venv/bin/python
if [ ! -x "$python" ]; then
  echo "bench: .venv is missing; run 'make test' or 'make demo' once, which make it" >&2
  exit 1
fi

echo "bench: building the load generator"
make --no-print-directory -s -C load

# what is installed is named by the files that pin it and by the versions of what runs it
wanted="$(cat peers/constraints.txt peers/package-lock.json | cksum) $($python --version) $(node --version)"
if [ -f .peers/installed ] && [ "$(cat .peers/installed)" = "$wanted" ]; then
  echo "bench: the peers are installed"
  exit 0
fi

rm -rf .peers
mkdir -p .peers/node
echo "bench: installing uvicorn, websockets, python-socketio and uvloop into bench/.peers/venv"
"$python" -m venv .peers/venv
.peers/venv/bin/python -m pip install --quiet --disable-pip-version-check \
  --constraint peers/constraints.txt uvicorn websockets python-socketio uvloop
echo "bench: installing ws and socket.io into bench/.peers/node"
cp peers/package.json peers/package-lock.json .peers/node/
(cd .peers/node && npm ci --silent --ignore-scripts --no-audit --no-fund)
printf '%s\n' "$wanted" > .peers/installed
echo "bench: ready"
