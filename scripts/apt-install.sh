#!/bin/sh
# Install Debian packages, as root or through sudo; say what is missing where neither is possible.
set -eu
command -v apt-get >/dev/null || {
    echo "needs these packages, and this machine has no apt-get to install them with: $*" >&2
    exit 1
}
as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "needs root to install: apt-get install $*" >&2; exit 1; }
    as_root=sudo
fi
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "$@" >/dev/null
