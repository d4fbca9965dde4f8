"""Names of annotations on nodes and pods, for those who write and those who read them."""

from typing import Final

REPORT: Final = "foresail.io/gpu-report"
"""Written by the node agent, in the form of `fleet.cluster.report`."""
PRICE: Final = "foresail.io/usd-per-gpu-hour"
"""Written by the operator or by the provisioner of the node; the agent does not know it."""
WEIGHTS_CACHED: Final = "foresail.io/weights-cached"
"""Models whose weights the node holds, joined by commas; written by what puts them there."""
EXPECTED_END: Final = "foresail.io/expected-end"
"""Of a pod, written by what makes it: when its gang is expected to end, such as
`2026-12-01T18:00:00Z`."""
