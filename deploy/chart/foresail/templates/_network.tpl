{{/* Rules that several NetworkPolicies have. */}}

{{- define "foresail.fromPrometheus" -}}
- from:
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: {{ .Values.prometheus.namespace }}}
  ports:
    - {port: http, protocol: TCP}
{{- end -}}

{{- define "foresail.toDns" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end -}}

{{/* An API server is no pod: it is known by its address, if you say it, else by its ports. */}}
{{- define "foresail.toApiServer" -}}
- ports:
    {{- range .Values.networkPolicy.apiServer.ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .Values.networkPolicy.apiServer.cidrs }}
  to:
    {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  {{- end }}
{{- end -}}

{{- define "foresail.more" -}}
{{- with . }}
{{ toYaml . }}
{{- end }}
{{- end -}}
