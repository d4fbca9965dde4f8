{{/* The settings file: what the chart knows, and over it what `settings` says. */}}
{{- define "foresail.settings" -}}
{{- $clients := concat (list (include "foresail.kedaClientName" .) (include "foresail.host" .)) .Values.serve.clientNames -}}
{{- $readers := concat (list (dict "name" (include "foresail.plansClientName" .) "namespaces" (list "*"))) .Values.serve.planReaders -}}
{{- $made := dict
      "listen" (dict "grpc" "0.0.0.0:6500" "http" "0.0.0.0:8080")
      "tls" (dict
        "certificate" "/etc/foresail-tls/tls.crt" "key" "/etc/foresail-tls/tls.key"
        "clientCa" "/etc/foresail-tls/ca.crt" "clientNames" $clients)
      "plans" (dict "listen" "0.0.0.0:6501" "readers" $readers)
      "state" (dict "directory" "/var/lib/foresail" "peers" (printf "%s:6500" (include "foresail.fullHost" .))) -}}
{{- if not (hasKey .Values.settings "sources") -}}
{{- $url := required "prometheus.url is missing: the Prometheus that scrapes your engines, such as http://prometheus.monitoring.svc:9090 (or settings.sources)" .Values.prometheus.url -}}
{{- $_ := set $made "sources" (list (dict "name" "main" "prometheus" (dict "url" $url))) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $made (deepCopy .Values.settings)) -}}
{{- end -}}
{{/* "true" where listen.tokenReview is on: the API server is asked about tokens. */}}
{{- define "foresail.reviewsTokens" -}}
{{- if (include "foresail.settings" . | fromYaml).listen.tokenReview -}}true{{- end -}}
{{- end -}}
{{/* "true" where serve asks the API server for anything. */}}
{{- define "foresail.serveAsksApiServer" -}}
{{- if or .Values.serve.podNamespaces (include "foresail.reviewsTokens" .) -}}true{{- end -}}
{{- end -}}
