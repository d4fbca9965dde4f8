"""What somebody asks about the nodes under a replay."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeQuestion:
    """What the options say; None = as the plan has it."""

    policy: str = "balanced"
    """The name of a ready-made one, a file or a folder."""
    gpus_per_node: int | None = None
    usd_per_node_hour: float | None = None
    consolidate_after_seconds: float | None = None
    """Infinite = never."""
