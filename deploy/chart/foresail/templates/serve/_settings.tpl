{{/* The settings file: what the chart knows, and over it what `settings` says. */}}
{{- define "foresail.settings" -}}
{{- $keda := ternary (list) (list (include "foresail.kedaClientName" .)) .Values.externalMetrics.enabled -}}
{{- $clients := concat $keda (list (include "foresail.host" .)) .Values.serve.clientNames -}}
{{- $readers := concat (list (dict "name" (include "foresail.plansClientName" .) "namespaces" (list "*"))) .Values.serve.planReaders -}}
{{- $made := dict
      "listen" (dict "grpc" "0.0.0.0:6500" "http" "0.0.0.0:8080")
      "tls" (dict
        "certificate" "/etc/foresail-tls/tls.crt" "key" "/etc/foresail-tls/tls.key"
        "clientCa" "/etc/foresail-tls/ca.crt" "clientNames" $clients)
      "plans" (dict "listen" "0.0.0.0:6501" "readers" $readers)
      "state" (dict "directory" "/var/lib/foresail" "peers" (printf "%s:6500" (include "foresail.fullHost" .))) -}}
{{- if .Values.externalMetrics.enabled -}}
{{- $_ := set $made "externalMetrics" (dict
      "listen" "0.0.0.0:6443"
      "certificate" "/etc/foresail-external-metrics/tls.crt" "key" "/etc/foresail-external-metrics/tls.key"
      "frontProxyCa" "/etc/foresail-front-proxy/ca.crt" "frontProxyNames" .Values.externalMetrics.frontProxyNames
      "service" (printf "%s/%s-external-metrics" .Release.Namespace (include "foresail.name" .))) -}}
{{- end -}}
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
{{- if or .Values.serve.podNamespaces .Values.externalMetrics.enabled (include "foresail.reviewsTokens" .) -}}true{{- end -}}
{{- end -}}
