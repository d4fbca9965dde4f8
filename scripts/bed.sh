#!/usr/bin/env bash
# Builds the control plane of the end-to-end tests into a folder: scripts/bed.sh .cache/bed [COMPONENT]
#
# A component is a Go module in tests/e2e/testbed/ that names its programs as tools. It is built
# again when its module files change. Cold, on two cores: some twenty minutes.
set -euo pipefail
into=${1:?usage: scripts/bed.sh FOLDER [COMPONENT]}
only=${2:-*}
modules=$(cd "$(dirname "$0")/../tests/e2e/testbed" && pwd)
go_minor_min=26

minor=$(go env GOVERSION 2>/dev/null | sed -nE 's/^go1\.([0-9]+).*/\1/p' || true)
if [ -z "$minor" ] || [ "$minor" -lt "$go_minor_min" ]; then
    echo "the end-to-end tests build Kubernetes, KEDA and Karpenter from source: install Go 1.$go_minor_min or" \
        "newer (found: $(go env GOVERSION 2>/dev/null || echo none)) and call this again" >&2
    exit 2
fi

# Clients parse the version of an API server; unstamped, it is a template's placeholder.
stamp() {
    local version base=k8s.io/component-base/version
    version=$(go -C "$1" list -m -f '{{.Version}}' k8s.io/kubernetes)
    local major=${version#v}
    local minor=${major#*.}
    echo "-X $base.gitVersion=$version -X $base.gitMajor=${major%%.*}" \
        "-X $base.gitMinor=${minor%%.*} -X $base.gitTreeState=clean"
}

mkdir -p "$into"
into=$(cd "$into" && pwd)
# shellcheck disable=SC2231  # a pattern
for module in "$modules"/$only/; do
    name=$(basename "$module")
    key=$(cat "$module/go.mod" "$module/go.sum" | sha256sum | cut -c1-16)
    [ -e "$into/$name/built-from-$key" ] && continue
    echo "building $name ..." >&2
    rm -rf "${into:?}/$name"
    mkdir -p "$into/$name"
    flags="-s -w"
    [ "$name" = kubernetes ] && flags="$flags $(stamp "$module")"
    CGO_ENABLED=0 go -C "$module" build -trimpath -ldflags="$flags" -o "$into/$name/" tool
    touch "$into/$name/built-from-$key"
done
