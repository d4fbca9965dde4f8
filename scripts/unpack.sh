#!/bin/sh
# Unpack the Debian package $1 into the folder $2 for the tests. Unpacked, not installed: installing
# may start a service on the developer's machine.
set -eu
package=$1
target=$2
staging=$(mktemp -d)
trap 'rm -rf "$staging"' EXIT

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || {
    echo "the tests need Debian's $package; this machine has no apt-get to get it with" >&2
    exit 1
}
chmod 755 "$staging"
download() { (cd "$staging" && apt-get download -qq "$package"); }
download 2>/dev/null || {
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    $as_root apt-get update -qq
    download
}
mkdir -p "$staging/root"
dpkg-deb --extract "$staging/$package"_*.deb "$staging/root"
rm -rf "$target"
mkdir -p "$(dirname "$target")"
mv "$staging/root" "$target"
touch "$target" # it has the package's date, by which make would unpack it each time
