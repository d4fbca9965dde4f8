{{- define "foresail.schedulerConfiguration" -}}
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection:
  leaderElect: true
  resourceName: {{ include "foresail.name" . }}-scheduler
  resourceNamespace: {{ .Release.Namespace }}
# A sample of the nodes, as is the default, hides the one that fits best.
percentageOfNodesToScore: 100
profiles:
  - schedulerName: {{ .Values.scheduler.schedulerName }}
    plugins:
      score:
        # These spread pods over nodes, the opposite of keeping nodes whole, or say what the
        # extender says too. What pods ask for themselves stays: affinity, spread, taints, and
        # the order of a claim's alternatives.
        disabled:
          - name: NodeResourcesFit
          - name: NodeResourcesBalancedAllocation
          - name: ImageLocality
extenders:
  - urlPrefix: http://127.0.0.1:8888
    filterVerb: filter
    prioritizeVerb: prioritize
    # Points of a node: score 0 to 10, times this, times 10.
    weight: 10
    # Names in place of whole nodes: 150 KiB in place of 89 MiB at 5,000 nodes.
    nodeCacheCapable: true
    # With Foresail away pods are placed as by any kube-scheduler.
    ignorable: true
    httpTimeout: 1s
    # No managedResources: a pod whose GPUs come by a claim alone would not be sent.
{{- end -}}
