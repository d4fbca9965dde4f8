"""What nodes are worth to a pod by the engines that sleep in their launchers."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from scheduler.hot_starts import HOT_MILLI, LOST_MAX, LOST_MILLI
from scheduler.launcher_state import LauncherState
from scheduler.launchers import Config
from scheduler.machines import Machine
from scheduler.placement import Int, Nodes
from scheduler.score.columns import Columns, Term, signed

HOT_START: Final = Term(
    name="hot_start",
    meaning="a sleeping vLLM engine of the pod's configuration that it may wake there, by the "
    "chance; each engine of another configuration whose GPUs it may take, by the chance",
    amount=f"to {signed(HOT_MILLI)}; {signed(-LOST_MILLI)} each, {LOST_MAX:g} at most",
)


def hot_start_columns(
    launchers: LauncherState,
    config: Config | None,
    gpus: Int,
    *,
    nodes: Nodes,
    row: Mapping[str, int],
    machines: Mapping[str, Machine],
) -> Columns:
    """The column, where a node has launchers; 0 on nodes without any or with a silent one.

    Args:
        launchers: as they have answered.
        config: that the pod wants to be served; None = it is no requester.
        gpus: shape ``(N,)``, whole GPUs that it would take on each node.
        nodes: as they are now.
        row: of each node, by name.
        machines: by name.
    """
    names = launchers.nodes
    if not names:
        return {}
    column = np.zeros(len(gpus))
    for name in names:
        at = row.get(name)
        if at is not None:
            total = machines[name].gpus
            taken = total - int(nodes.free[at])
            found = launchers.hot_start(name, config, int(gpus[at]), gpus=total, taken=taken)
            column[at] = found.milli
    return {HOT_START: column}
