#!/bin/sh
# A Prometheus for the tests in the folder $1: the one on PATH if there is one, else Debian's.
set -eu
if command -v prometheus >/dev/null; then
    mkdir -p "$1"
    exit 0
fi
exec "$(dirname "$0")/unpack.sh" prometheus "$1"
