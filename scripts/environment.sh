#!/bin/sh
# Make the virtual environment of this checkout from the locked requirements named after it.
# Debian and Ubuntu ship python3 without venv; that package is then installed first.
set -eu
python=$1
venv=$2
shift 2

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "foresail needs Python 3.11 or newer; $python is $("$python" -V 2>&1). Try: make PYTHON=python3.12 ..." >&2
    exit 1
}

if [ ! -x "$venv/bin/pip" ]; then
    "$python" -c 'import ensurepip, venv' 2>/dev/null || {
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        "$(dirname "$0")/apt-install.sh" "python$version-venv"
    }
    "$python" -m venv --clear "$venv"
fi

# What takes a while is shown as it goes; a log gets none of it.
quiet=--quiet
if [ -t 1 ]; then
    quiet=
    echo "Installing the locked requirements into $venv: once, and about a minute ..."
fi
requirements=
for name in "$@"; do
    requirements="$requirements --requirement requirements/$name.txt"
done
# shellcheck disable=SC2086  # lists of options, made above
"$venv/bin/pip" install $quiet --disable-pip-version-check --require-hashes $requirements
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
