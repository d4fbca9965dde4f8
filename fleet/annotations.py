"""Names of annotations, labels and taints, for those who write and those who read them."""

from typing import Final

REPORT: Final = "foresail.io/gpu-report"
"""Written by the node agent, in the form of `fleet.cluster.report`."""
PRICE: Final = "foresail.io/usd-per-gpu-hour"
"""Written by the operator or by the provisioner of the node; the agent does not know it."""
DO_NOT_DISRUPT: Final = "karpenter.sh/do-not-disrupt"
"""Of a node or a pod: Karpenter leaves it where it is."""
SCALE_DOWN_DISABLED: Final = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
"""Of a node: the Cluster Autoscaler, GKE's and AKS's too, leaves it where it is."""
KEPT_BECAUSE: Final = "foresail.io/kept-because"
"""Why a node is kept while it is empty, a value of `fleet.reasons.Reason`; written by our own
controller, which writes it on the objects that it makes as well."""
KEPT_UNTIL: Final = "foresail.io/kept-until"
"""When that ends, as RFC 3339 has it: a hold of a controller that is gone ends by itself."""
RANKED_UNTIL: Final = "foresail.io/ranked-until"
"""Of a pod, until when the cost counts that our controller gave it."""
SPENT: Final = "foresail.io/spent"
"""Of the controller's Lease: what each policy's month has cost so far, in dollars. It outlives the
pods of the controller."""
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
DISRUPTION_COST: Final = "karpenter.sh/disruption-cost"
RELEASE_TAINT: Final = "foresail.io/release"
"""Of an empty node that our controller is about to delete; the value is when it was put there, in
seconds since 1970."""
PLACEHOLDER: Final = "foresail.io/placeholder"
"""Label of pods that ask for a node and do nothing on it; the value is the pool's name."""
WEIGHTS_CACHED: Final = "foresail.io/weights-cached"
"""Models whose weights the node holds, joined by commas; written by what puts them there."""
EXPECTED_END: Final = "foresail.io/expected-end"
"""Of a pod, written by what makes it: when its gang is expected to end, such as
`2026-12-01T18:00:00Z`."""
RUN_ID: Final = "foresail.io/mlflow-run-id"
"""Of a pod, written by what makes it: the MLflow run that its gang logs to."""
CHECKPOINT_EVERY: Final = "foresail.io/checkpoint-every"
"""Of a pod, written by what makes it: how often its gang writes a checkpoint from which it can go
on, such as `30m`."""
CHECKPOINTED_AT: Final = "foresail.io/checkpointed-at"
"""Of a pod, written by the training: when the last checkpoint was complete."""
