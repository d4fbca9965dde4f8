#!/bin/sh
# Ask for known vulnerabilities of the locked requirements $2, by pip-audit in an environment of its own
# ($1 is uv). Its data come from the network: where they cannot be had this says so, and ends with 0
# unless AUDIT=required.
set -eu
uv=$1
requirements=$2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Strict: a package that the data do not know of is not a package without vulnerabilities.
status=0
"$uv" tool run --from pip-audit==2.10.1 pip-audit --strict --disable-pip --require-hashes \
    --requirement "$requirements" --progress-spinner off 2>"$log" || status=$?
cat "$log" >&2
if [ "$status" = 0 ] || grep -q "^Found .* known vulnerabilit" "$log"; then
    exit "$status"
fi
echo "not audited: pip-audit or its data cannot be had here; docs/install.md says what was looked at" >&2
[ "${AUDIT:-}" != required ]
