{{/* What every pod and container of ours has. */}}

{{- define "foresail.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "foresail.containerSecurity" -}}
runAsNonRoot: true
privileged: false
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "foresail.container" -}}
image: {{ include "foresail.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
resources:
  {{- toYaml .values.resources | nindent 2 }}
securityContext:
  {{- include "foresail.containerSecurity" . | nindent 2 }}
{{- end -}}

{{/* (dict "root" $ "component" … "values" …): where the pods go, and what they pull with. */}}
{{- define "foresail.placement" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
# Never both on one node where there are two; over zones where there are some.
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "foresail.selector" . | nindent 14 }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "foresail.selector" . | nindent 8 }}
{{- end -}}

{{- define "foresail.podLabels" -}}
{{ include "foresail.selector" . }}
{{- with .values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "foresail.scrapeAnnotations" -}}
{{- if .Values.monitoring.scrapeAnnotations }}
prometheus.io/scrape: "true"
prometheus.io/port: "8080"
{{- end }}
{{- end -}}

{{/* Readiness and liveness over HTTP; serve is more patient and has its own. */}}
{{- define "foresail.probes" -}}
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 10
  failureThreshold: 6
{{- end -}}

{{/* One voluntary disruption at a time. */}}
{{- define "foresail.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "foresail.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "foresail.selector" . | nindent 6 }}
{{- end -}}

{{- define "foresail.account" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "foresail.metadata" . | nindent 2 }}
{{- end -}}

{{/* (… "role" NAME, "rules" YAML): a ClusterRole for the component's own account. */}}
{{- define "foresail.clusterRole" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ .role }}
  labels:
    {{- include "foresail.labels" . | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ .role }}
  labels:
    {{- include "foresail.labels" . | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ .role }}}
subjects:
  - {kind: ServiceAccount, name: {{ include "foresail.of" . }}, namespace: {{ .root.Release.Namespace }}}
{{- end -}}

{{- define "foresail.role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .role }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "foresail.labels" . | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .role }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "foresail.labels" . | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ .role }}}
subjects:
  - {kind: ServiceAccount, name: {{ include "foresail.of" . }}, namespace: {{ .root.Release.Namespace }}}
{{- end -}}
