#!/bin/sh
# The five-minute answer as a newcomer gets it: clone, install with uvx, ask a real Prometheus that
# holds two days of a service under the rule in tests/foresail/known_rule.yaml. Prints each step with
# the seconds that it took by the clock; the past is made first, and is not counted.
#
#   scripts/record_answer.sh FOLDER [HOURS]
#
# FOLDER gets the Prometheus, the clone, uv's cache, answer.json, truth.json and page.html. Needs
# what `make test` installs (.venv and .cache/prometheus, or a Prometheus and its promtool on the
# PATH), git, and a package index.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
export PATH="$here/.cache/prometheus/usr/bin:$PATH"
for program in prometheus promtool; do
    if ! command -v "$program" >/dev/null; then
        echo "$0: no $program in .cache/prometheus or on the PATH: run make .cache/prometheus" >&2
        exit 1
    fi
done
folder=$1
hours=${2:-48}
port=${PROMETHEUS_PORT:-9090}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
python=${PYTHON:-$here/.venv/bin/python}
uvx=${UVX:-$here/.venv/bin/uvx}
rule=tests/foresail/known_rule.yaml

(cd "$here" && "$python" -m tests.foresail.known_service "$folder" --rule "$rule" --hours "$hours")
echo 'global: {scrape_interval: 1m}' >"$folder/prometheus.yml"
prometheus --config.file="$folder/prometheus.yml" --storage.tsdb.path="$folder/data" \
    --web.listen-address="127.0.0.1:$port" >"$folder/prometheus.log" 2>&1 &
server=$!
trap 'kill $server' EXIT
for _ in $(seq 100); do
    "$python" -c "import urllib.request as r; r.urlopen('http://127.0.0.1:$port/-/ready')" \
        2>/dev/null && break
    sleep 0.2
done

begun=$(date +%s)
step=$begun
timed() { # the command as a reader types it, then what it says, then how long it took
    echo "\$ $1"
    shift
    "$@"
    now=$(date +%s)
    echo "    -- $((now - step)) s"
    echo
    step=$now
}
rm -rf "$folder/foresail"
timed "git clone $(basename "$here") foresail && cd foresail" \
    git clone --quiet "$here" "$folder/foresail"
cd "$folder/foresail"
export UV_CACHE_DIR="$folder/uv-cache"
timed "uvx --from . foresail version" "$uvx" --quiet --from . foresail version
days=$("$python" -c "print(f'{$hours / 24:g}')")
# shellcheck disable=SC2086  # words of one command
ask="--prometheus http://127.0.0.1:$port --model llama-70b --rule $rule --days $days"
timed "uvx --from . foresail backtest $ask" \
    "$uvx" --quiet --from . foresail backtest $ask \
    --json "$folder/answer.json" --html "$folder/page.html"
echo "from clone to answer: $((step - begun)) s"
