"""Names of annotations on nodes and pods, for those who write and those who read them."""

from typing import Final

REPORT: Final = "foresail.io/gpu-report"
"""Written by the node agent, in the form of `fleet.cluster.report`."""
PRICE: Final = "foresail.io/usd-per-gpu-hour"
"""Written by the operator or by the provisioner of the node; the agent does not know it."""
KEPT_BECAUSE: Final = "foresail.io/kept-because"
"""Why a node is kept while it is empty, a value of `fleet.reasons.Reason`; written by our own
controller."""
KEPT_UNTIL: Final = "foresail.io/kept-until"
"""When that ends, as RFC 3339 has it: a hold of a controller that is gone ends by itself."""
WEIGHTS_CACHED: Final = "foresail.io/weights-cached"
"""Models whose weights the node holds, joined by commas; written by what puts them there."""
EXPECTED_END: Final = "foresail.io/expected-end"
"""Of a pod, written by what makes it: when its gang is expected to end, such as
`2026-12-01T18:00:00Z`."""
