#!/bin/sh
# Certificates without cert-manager: an authority and four certificates, made by openssl.
#
#   sh certificates.sh && kubectl apply -f certificates/secrets.yaml
#
# Run the same again to renew, at the latest after 397 days: the authority in certificates/ is kept,
# so nothing loses trust. Foresail reads renewed files without a restart. Keep certificates/ca.key
# where you keep secrets. KEDA_NAMESPACE is KEDA's own namespace. certificates/apiserver/ is for
# /etc/kubernetes/foresail on each control plane node (README.md, "GPUs by need").
set -eu
umask 077
keda=${KEDA_NAMESPACE:-keda}
mkdir -p certificates
cd certificates

# Shows what openssl said only where it failed.
quiet() {
    "$@" 2> openssl.log || { cat openssl.log >&2; exit 1; }
    rm openssl.log
}

new_key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"

if [ ! -f ca.key ]; then
    # shellcheck disable=SC2086  # options, made above
    quiet openssl req -x509 $new_key -keyout ca.key -out ca.crt -days 3650 \
        -subj /CN=foresail-ca -addext keyUsage=critical,keyCertSign,cRLSign
fi

# sign NAME COMMON_NAME USAGE [ALTERNATIVE_NAMES]
sign() {
    # shellcheck disable=SC2086
    quiet openssl req -new $new_key -keyout "$1.key" -out "$1.csr" -subj "/CN=$2"
    {
        echo "extendedKeyUsage=$3"
        if [ -n "${4:-}" ]; then echo "subjectAltName=$4"; fi
    } > "$1.ext"
    quiet openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial \
        -days 397 -extfile "$1.ext" -out "$1.crt"
    rm "$1.csr" "$1.ext"
}

# secret FILE NAMESPACE NAME
secret() {
    cat <<END
---
apiVersion: v1
kind: Secret
metadata: {name: $3, namespace: $2}
data:
  ca.crt: $(openssl base64 -A -in ca.crt)
  tls.crt: $(openssl base64 -A -in "$1.crt")
  tls.key: $(openssl base64 -A -in "$1.key")
END
}

# As in certificates.yaml.
sign server foresail serverAuth,clientAuth \
    DNS:foresail.foresail.svc.cluster.local,DNS:foresail.foresail.svc
sign keda-client keda-operator clientAuth
sign webhook foresail-webhook serverAuth DNS:foresail-webhook.foresail.svc
sign apiserver foresail-apiserver clientAuth

{
    secret server foresail foresail-server
    secret keda-client "$keda" foresail-keda-client
    secret webhook foresail foresail-webhook
    secret apiserver foresail foresail-apiserver
} > secrets.yaml

# What cert-manager would write into claims-webhook.yaml.
cat > webhook-ca.yaml <<END
webhooks:
  - name: claims.foresail.io
    clientConfig: {caBundle: $(openssl base64 -A -in ca.crt)}
  - name: spelling.foresail.io
    clientConfig: {caBundle: $(openssl base64 -A -in ca.crt)}
END

# With which certificate the API server asks the webhook.
mkdir -p apiserver
cp apiserver.crt apiserver/tls.crt
cp apiserver.key apiserver/tls.key
cat > apiserver/admission.yaml <<END
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
  - name: MutatingAdmissionWebhook
    configuration:
      apiVersion: apiserver.config.k8s.io/v1
      kind: WebhookAdmissionConfiguration
      kubeConfigFile: /etc/kubernetes/foresail/webhooks.kubeconfig
END
cat > apiserver/webhooks.kubeconfig <<END
apiVersion: v1
kind: Config
users:
  - name: foresail-webhook.foresail.svc
    user:
      client-certificate: /etc/kubernetes/foresail/tls.crt
      client-key: /etc/kubernetes/foresail/tls.key
END
echo "certificates/secrets.yaml: four Secrets; certificates/webhook-ca.yaml: for the webhook;"
echo "certificates/apiserver: for /etc/kubernetes/foresail on each control plane node"
