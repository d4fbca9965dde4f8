{{/* Names. The release "foresail" in the namespace "foresail" has the names of deploy/examples. */}}

{{- define "foresail.name" -}}
{{- if contains "foresail" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-foresail" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* (dict "root" $ "component" "controller"): serve alone has the plain name, which KEDA dials. */}}
{{- define "foresail.of" -}}
{{- $name := include "foresail.name" .root -}}
{{- if eq .component "serve" -}}{{ $name }}{{- else -}}{{ $name }}-{{ .component }}{{- end -}}
{{- end -}}

{{- define "foresail.selector" -}}
app.kubernetes.io/name: foresail
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "foresail.labels" -}}
{{ include "foresail.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "foresail.metadata" -}}
name: {{ include "foresail.of" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "foresail.labels" . | nindent 2 }}
{{- end -}}

{{- define "foresail.clusterMetadata" -}}
name: {{ include "foresail.of" . }}
labels:
  {{- include "foresail.labels" . | nindent 2 }}
{{- end -}}

{{- define "foresail.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The host of scalerAddress and state.peers; the names in the server's certificate. */}}
{{- define "foresail.host" -}}
{{ include "foresail.name" . }}.{{ .Release.Namespace }}.svc
{{- end -}}
{{- define "foresail.fullHost" -}}
{{ include "foresail.host" . }}.{{ .Values.clusterDomain }}
{{- end -}}

{{/* DNS names in client certificates: the only identity that serve sees. */}}
{{- define "foresail.kedaClientName" -}}
keda-operator.{{ .Values.keda.namespace }}.svc
{{- end -}}
{{- define "foresail.plansClientName" -}}
{{ include "foresail.name" . }}-plans-client.{{ .Release.Namespace }}.svc
{{- end -}}
