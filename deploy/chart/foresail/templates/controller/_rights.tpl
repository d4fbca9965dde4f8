{{/* What the controller may do. Each mode has the rights of those before it. */}}

{{- define "foresail.controllerReads" -}}
- {apiGroups: [""], resources: [nodes, pods], verbs: [list, watch]}
- apiGroups: [resource.k8s.io]
  resources: [deviceclasses, resourceslices, resourceclaims, devicetaintrules]
  verbs: [list, watch]
- {apiGroups: [karpenter.sh], resources: [nodepools, nodeclaims], verbs: [list, watch]}
- {apiGroups: [foresail.io], resources: [capacitypolicies], verbs: [list, watch]}
# Where AWS has such objects: the ends of capacity reservations.
- {apiGroups: [karpenter.k8s.aws], resources: [ec2nodeclasses], verbs: [list, watch]}
- {apiGroups: [eks.amazonaws.com], resources: [nodeclasses], verbs: [list, watch]}
# Where the cluster has such objects: room that is kept, sizes of gangs, and which workload a plan of
# the Plans API is of.
- {apiGroups: [autoscaling.x-k8s.io], resources: [capacitybuffers], verbs: [list, watch]}
- {apiGroups: [scheduling.k8s.io, scheduling.x-k8s.io], resources: [podgroups], verbs: [list, watch]}
- {apiGroups: [trainer.kubeflow.org], resources: [trainjobs], verbs: [list, watch]}
- {apiGroups: [kubeflow.org], resources: [pytorchjobs, mpijobs], verbs: [list, watch]}
- {apiGroups: [jobset.x-k8s.io], resources: [jobsets], verbs: [list, watch]}
- {apiGroups: [leaderworkerset.x-k8s.io], resources: [leaderworkersets], verbs: [list, watch]}
- {apiGroups: [ray.io], resources: [rayjobs, rayclusters], verbs: [list, watch]}
- {apiGroups: [kueue.x-k8s.io], resources: [workloads, resourceflavors], verbs: [list, watch]}
- {apiGroups: [keda.sh], resources: [scaledobjects], verbs: [list, watch]}
{{- end -}}

{{- define "foresail.controllerTells" -}}
# On Nodes, NodePools and CapacityPolicies: what is, or would be, done.
- {apiGroups: [events.k8s.io], resources: [events], verbs: [create]}
{{- end -}}

{{- define "foresail.controllerLeads" -}}
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create]}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  # One name whatever the release is called: two releases in one namespace would be two leaders.
  resourceNames: [foresail-controller]
  verbs: [get, update]
{{- end -}}

{{/* The levers, as values.controller.levers has them. */}}
{{- define "foresail.leverRights" -}}
{{- if or .nodeHold .nodeRelease }}
# nodeHold, nodeRelease: annotations and a taint.
- {apiGroups: [""], resources: [nodes], verbs: [patch]}
{{- end }}
{{- if .nodeRelease }}
# nodeRelease: of an empty node, or one that starts and is not wanted any more.
- {apiGroups: [karpenter.sh], resources: [nodeclaims], verbs: [delete]}
{{- end }}
{{- if or .capacityBuffer .placeholder }}
# capacityBuffer, placeholder: one pod of a pool is read whole.
- {apiGroups: [""], resources: [pods], verbs: [get]}
{{- end }}
{{- if .podDeletionCost }}
# podDeletionCost: an annotation.
- {apiGroups: [""], resources: [pods], verbs: [patch]}
{{- end }}
{{- if or .staticPool .quietHours }}
# staticPool; quietHours, which writes a budget.
- {apiGroups: [karpenter.sh], resources: [nodepools, nodepools/scale], verbs: [patch]}
{{- end }}
{{- if .placeholder }}
# placeholder: the class foresail-placeholder.
- {apiGroups: [scheduling.k8s.io], resources: [priorityclasses], verbs: [create]}
{{- end }}
# Its lease is looked at in each round, whichever lever made it.
- apiGroups: [scheduling.k8s.io]
  resources: [priorityclasses]
  resourceNames: [foresail-placeholder]
  verbs: [get, patch, delete]
# Which Karpenter it is, and whether it buys nodes for pods with ResourceClaims.
- {apiGroups: [apps], resources: [deployments], verbs: [list]}
- {apiGroups: [""], resources: [events], verbs: [list]}
{{- end -}}

{{/* Levers whose writes the rights above and below do not reach, as JSON. nodeHold and nodeRelease
have one right, staticPool and quietHours too: while one of the two is on, the controller itself takes
back what both wrote. */}}
{{- define "foresail.leversWithoutRights" -}}
{{- $off := list }}
{{- if not (or .nodeHold .nodeRelease) }}{{ $off = concat $off (list "nodeHold" "nodeRelease") }}{{ end }}
{{- if not (or .staticPool .quietHours) }}{{ $off = concat $off (list "staticPool" "quietHours") }}{{ end }}
{{- if not .podDeletionCost }}{{ $off = append $off "podDeletionCost" }}{{ end }}
{{- if not .capacityBuffer }}{{ $off = append $off "capacityBuffer" }}{{ end }}
{{- if not .placeholder }}{{ $off = append $off "placeholder" }}{{ end }}
{{- toJson $off }}
{{- end -}}

{{/* Objects of its own, in its own namespace. */}}
{{- define "foresail.ownObjectRights" -}}
- apiGroups: [autoscaling.x-k8s.io]
  resources: [capacitybuffers]
  verbs: {{ ternary "[list, create, patch, delete]" "[list]" .capacityBuffer }}
- apiGroups: [""]
  resources: [podtemplates]
  verbs: {{ ternary "[list, create, patch, delete]" "[list]" .capacityBuffer }}
- apiGroups: [apps]
  resources: [deployments]
  verbs: {{ ternary "[list, create, patch, delete]" "[list]" .placeholder }}
{{- end -}}
