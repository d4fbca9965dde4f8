#!/bin/sh
# Have a Chromium for the tests of the console, Debian's where none is there. Without one those tests
# are skipped and say so, because a machine without apt or root can still run all others.
set -eu
mark=$1
if ! command -v chromium >/dev/null; then
    "$(dirname "$0")/apt-install.sh" chromium || {
        echo "no Chromium: the console's pages are not tested in a browser" >&2
        exit 0
    }
fi
mkdir -p "$(dirname "$mark")"
touch "$mark"
