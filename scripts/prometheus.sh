#!/bin/sh
# Unpack Debian's Prometheus into the folder $1 for the tests. Unpacked, not installed: installing
# the package would start a Prometheus service on the developer's machine.
set -eu
target=$1
staging=$(mktemp -d)
trap 'rm -rf "$staging"' EXIT

if command -v prometheus >/dev/null; then
    mkdir -p "$target"
    exit 0
fi
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || {
    echo "the tests need a prometheus on PATH; this machine has no apt-get to get one with" >&2
    exit 1
}
chmod 755 "$staging"
download() { (cd "$staging" && apt-get download -qq prometheus); }
download 2>/dev/null || {
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    $as_root apt-get update -qq
    download
}
mkdir -p "$staging/root"
dpkg-deb --extract "$staging"/prometheus_*.deb "$staging/root"
rm -rf "$target"
mkdir -p "$(dirname "$target")"
mv "$staging/root" "$target"
