#!/usr/bin/env bash
# The Helm chart for a release, by the real helm: scripts/chart.sh .cache/bed dist
#
# Leaves the package, and plain manifests for `kubectl apply` in dist/manifests. These hold no key: they
# take their certificates from cert-manager's ClusterIssuer `foresail` (deploy/examples/certificates.yaml).
# Hooks are Helm's, so they lack the Job that takes back what a controller in mode act wrote.
set -euo pipefail
built=${1:?usage: scripts/chart.sh FOLDER-OF-PROGRAMS INTO}
into=${2:?usage: scripts/chart.sh FOLDER-OF-PROGRAMS INTO}
chart=$(cd "$(dirname "$0")/../deploy/chart/foresail" && pwd)
"$(dirname "$0")/bed.sh" "$built" helm
helm=$(cd "$built" && pwd)/helm/helm

mkdir -p "$into/manifests"
for values in "$chart"/ci/*.yaml; do
    "$helm" lint --strict --quiet "$chart" --values "$values" >/dev/null
done
"$helm" package "$chart" --destination "$into" >/dev/null
for name in scaler-only everything; do
    "$helm" template foresail "$chart" --namespace foresail --values "$chart/ci/$name.yaml" --no-hooks \
        --set certificates.source=certManager,controller.mode=advise \
        --set certificates.certManager.issuerRef.kind=ClusterIssuer \
        --set certificates.certManager.issuerRef.name=foresail >"$into/manifests/$name.yaml"
done
