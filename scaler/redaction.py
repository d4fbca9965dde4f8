"""The metadata of a trigger as it may be shown: without what may be a secret.

KEDA resolves keys that end in `FromEnv` from the workload's environment, adds the client key of a
TriggerAuthentication, and sends all of that along. Explanations and readers of plans get none of
it.
"""

from collections.abc import Mapping
from typing import Final

from scaler.message_text import printable
from scaler.trigger import ALIASES

HIDDEN: Final = "…"
"""In place of a value."""
_SHOWN_OF_KEDA: Final = frozenset({"scalerAddress", "enableTLS", "unsafeSsl"})


def without_secrets(metadata: Mapping[str, str]) -> dict[str, str]:
    """The keys, with the values of those that hold no secret."""
    return {
        printable(key): printable(value) if key in ALIASES or key in _SHOWN_OF_KEDA else HIDDEN
        for key, value in metadata.items()
    }
