{{/*
The chart's own authority, and certificates of it. They are looked up in the cluster first, so that
an upgrade keeps them; where nothing can be looked up, as in `helm template`, each rendering makes
new ones.
*/}}

{{/* Whether an annotated Secret is good for longer: (dict "root" $ "secret" … "marks" …). */}}
{{- define "foresail.stillGood" -}}
{{- $left := mul .root.Values.certificates.renewBeforeDays 86400 -}}
{{- if .secret -}}
{{- $told := .secret.metadata.annotations | default dict -}}
{{- $same := true -}}
{{- range $key, $wanted := .marks -}}
{{- if ne (get $told $key) $wanted -}}{{- $same = false -}}{{- end -}}
{{- end -}}
{{- $end := get $told "foresail.io/expires-at" | default "0" | int64 -}}
{{- if and $same (gt $end (add (now | unixEpoch | int64) $left)) -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{- define "foresail.expiry" -}}
{{- add (now | unixEpoch | int64) (mul . 86400) -}}
{{- end -}}

{{/* Fills .Values.authority with crt, key, bundle and annotations; once in a rendering. */}}
{{- define "foresail.authority" -}}
{{- if not (hasKey .Values "authority") -}}
{{- $name := printf "%s-ca" (include "foresail.name" .) -}}
{{- $found := lookup "v1" "Secret" .Release.Namespace $name -}}
{{- $marks := dict "foresail.io/rotation" (toString .Values.certificates.authorityRotation) -}}
{{- if include "foresail.stillGood" (dict "root" . "secret" $found "marks" $marks) -}}
{{- $_ := set .Values "authority" (dict
      "crt" (get $found.data "tls.crt" | b64dec) "key" (get $found.data "tls.key" | b64dec)
      "bundle" (get $found.data "ca.crt" | b64dec) "annotations" $found.metadata.annotations) -}}
{{- else -}}
{{- $days := 3650 -}}
{{- $made := genCAWithKey (include "foresail.name" . | printf "%s-ca") $days (genPrivateKey "ecdsa") -}}
{{- $before := "" -}}
{{- if $found -}}{{- $before = get $found.data "tls.crt" | b64dec -}}{{- end -}}
{{- $_ := set .Values "authority" (dict "crt" $made.Cert "key" $made.Key "bundle" (print $made.Cert $before)
      "annotations" (merge (dict "foresail.io/expires-at" (include "foresail.expiry" $days)) $marks)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
A Secret with tls.crt, tls.key and ca.crt: (dict "root" $ "component" … "secret" NAME "namespace" …
"commonName" … "dnsNames" LIST).
*/}}
{{- define "foresail.certificate" -}}
{{- include "foresail.authority" .root -}}
{{- $authority := .root.Values.authority -}}
{{- $days := int .root.Values.certificates.days -}}
{{- $found := lookup "v1" "Secret" .namespace .secret -}}
{{- $marks := dict
      "foresail.io/rotation" (toString .root.Values.certificates.rotation)
      "foresail.io/names" (prepend .dnsNames .commonName | join " ")
      "foresail.io/authority" (sha256sum $authority.crt) -}}
{{- $crt := "" -}}{{- $key := "" -}}{{- $annotations := dict -}}
{{- if include "foresail.stillGood" (dict "root" .root "secret" $found "marks" $marks) -}}
{{- $crt = get $found.data "tls.crt" -}}{{- $key = get $found.data "tls.key" -}}
{{- $annotations = $found.metadata.annotations -}}
{{- else -}}
{{- $signer := buildCustomCert (b64enc $authority.crt) (b64enc $authority.key) -}}
{{- $made := genSignedCertWithKey .commonName (list) .dnsNames $days $signer (genPrivateKey "ecdsa") -}}
{{- $crt = b64enc $made.Cert -}}{{- $key = b64enc $made.Key -}}
{{- $annotations = merge (dict "foresail.io/expires-at" (include "foresail.expiry" $days)) $marks -}}
{{- end -}}
apiVersion: v1
kind: Secret
metadata:
  name: {{ .secret }}
  namespace: {{ .namespace }}
  labels:
    {{- include "foresail.labels" . | nindent 4 }}
  annotations:
    {{- include "foresail.certificateMarks" $annotations | nindent 4 }}
type: kubernetes.io/tls
data:
  ca.crt: {{ b64enc $authority.bundle }}
  tls.crt: {{ $crt }}
  tls.key: {{ $key }}
{{- end -}}

{{/* Ours alone: what Helm writes beside them is Helm's. */}}
{{- define "foresail.certificateMarks" -}}
{{- $ours := dict -}}
{{- range $key := list "foresail.io/authority" "foresail.io/expires-at" "foresail.io/names" "foresail.io/rotation" }}
{{- with get $ $key }}{{ $_ := set $ours $key . }}{{ end -}}
{{- end -}}
{{- toYaml $ours -}}
{{- end -}}

{{/* In base64, for the API server; empty where cert-manager writes it. */}}
{{- define "foresail.caBundle" -}}
{{- if eq .Values.certificates.source "chart" -}}
{{- include "foresail.authority" . -}}
{{- b64enc .Values.authority.bundle -}}
{{- else if eq .Values.certificates.source "existing" -}}
{{- required "certificates.webhookCa is missing: with source existing, the API server trusts the webhook and the external metrics by the PEM of their authority, in base64" .Values.certificates.webhookCa -}}
{{- end -}}
{{- end -}}

{{/* Every certificate of the release, whoever makes it: a list, as JSON. */}}
{{- define "foresail.certificates" -}}
{{- $name := include "foresail.name" . -}}
{{- $home := .Release.Namespace -}}
{{- $all := list -}}
{{- if .Values.serve.enabled -}}
{{- $hosts := list (include "foresail.fullHost" .) (include "foresail.host" .) -}}
{{- /* Replicas hand their state to each other with it too. */ -}}
{{- $all = append $all (dict "component" "serve" "secret" (printf "%s-server" $name) "namespace" $home
      "commonName" $name "dnsNames" $hosts "usages" (list "server auth" "client auth")) -}}
{{- $all = append $all (dict "component" "serve" "secret" (printf "%s-plans-client" $name) "namespace" $home
      "commonName" (printf "%s-plans-client" $name) "dnsNames" (list (include "foresail.plansClientName" .)) "usages" (list "client auth")) -}}
{{- $askers := list .Values.keda.namespace -}}
{{- if .Values.externalMetrics.enabled -}}
{{- $askers = list -}}
{{- $all = append $all (dict "component" "serve" "secret" (printf "%s-external-metrics" $name) "namespace" $home
      "commonName" (printf "%s-external-metrics" $name) "dnsNames" (list (printf "%s-external-metrics.%s.svc" $name $home)) "usages" (list "server auth")) -}}
{{- else if eq .Values.keda.triggerAuthentication.kind "TriggerAuthentication" -}}
{{- $askers = .Values.keda.triggerAuthentication.namespaces -}}
{{- end -}}
{{- range $askers -}}
{{- $all = append $all (dict "component" "serve" "secret" (printf "%s-keda-client" $name) "namespace" .
      "commonName" "keda-operator" "dnsNames" (list (include "foresail.kedaClientName" $)) "usages" (list "client auth")) -}}
{{- end -}}
{{- end -}}
{{- if .Values.webhook.enabled -}}
{{- $all = append $all (dict "component" "webhook" "secret" (printf "%s-webhook" $name) "namespace" $home
      "commonName" (printf "%s-webhook" $name) "dnsNames" (list (printf "%s-webhook.%s.svc" $name $home)) "usages" (list "server auth")) -}}
{{- if not .Values.webhook.anyClient -}}
{{- $all = append $all (dict "component" "webhook" "secret" (printf "%s-apiserver" $name) "namespace" $home
      "commonName" (first .Values.webhook.clientNames) "dnsNames" (list) "usages" (list "client auth")) -}}
{{- end -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}
