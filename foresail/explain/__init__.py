"""Why a workload or a pod has what it has, and the decisions kept for that question."""
