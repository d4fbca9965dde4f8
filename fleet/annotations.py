"""What annotations of nodes are called, for who writes and who reads them."""

from typing import Final

REPORT: Final = "foresail.io/gpu-report"
"""The node agent's, in the form of `fleet.cluster.report`."""
PRICE: Final = "foresail.io/usd-per-gpu-hour"
"""The operator's, or that of what made the node; no agent knows it."""
WEIGHTS_CACHED: Final = "foresail.io/weights-cached"
"""Models whose weights the node holds, joined by a comma; of who puts them there."""
