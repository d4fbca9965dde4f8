#!/bin/sh
# Give every server that the integration tests start an environment of its own: their pins collide.
# One that cannot be installed leaves its reason beside it; its tests print that and are skipped.
set -eu
python=$1
into=$2

mkdir -p "$into"
for locked in requirements/integration/*.txt; do
    name=$(basename "$locked" .txt)
    venv=$into/$name
    if [ -f "$venv/.installed" ] && [ "$venv/.installed" -nt "$locked" ]; then
        continue
    fi
    echo "Installing $name for the integration tests into $venv: once, and some minutes ..."
    rm -rf "$venv"
    if "$python" -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check \
        --require-hashes --requirement "$locked" 2> "$into/$name.log"; then
        touch "$venv/.installed"
        rm -f "$into/$name.log"
    else
        echo "$name could not be installed: $(tail -n 1 "$into/$name.log")" >&2
    fi
done
