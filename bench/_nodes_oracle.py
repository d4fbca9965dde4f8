"""The cheapest schedule of nodes for somebody who knows the demand, and lets no pod wait."""

import numpy as np

from bench._nodes_demand import STEP_SECONDS
from bench._nodes_run import Place, Run


def oracle(place: Place) -> Run:
    """Each node rank by itself: kept over gaps shorter than a start, else ordered a start ahead.

    A start lasts the expected boot, with launches that fail, and the pull.
    """
    lead = place.start_up.lead_time()
    start_seconds = lead.boot_seconds + lead.pull_seconds
    demand, gpus = place.judged, place.gpus_per_node
    seconds, launches, pods = 0.0, 0, int(np.maximum(0, np.diff(demand)).sum())
    for rank in range(int(np.ceil(demand.max() / gpus))):
        needed = demand > gpus * rank
        edges = np.diff(needed.astype(np.int8))
        begins, ends = np.flatnonzero(edges == 1) + 1, np.flatnonzero(edges == -1) + 1
        seconds += float(needed.sum()) * STEP_SECONDS
        if needed[0]:
            gaps = (begins - ends[: len(begins)]) * float(STEP_SECONDS)
        else:
            # The first use of a rank has no node before it.
            gaps = np.append((begins[1:] - ends[: len(begins) - 1]) * float(STEP_SECONDS), np.inf)
        held = gaps < start_seconds
        seconds += float(gaps[held].sum()) + start_seconds * int((~held).sum())
        launches += int((~held).sum())
    wanted = float(demand.sum()) * STEP_SECONDS
    return Run(
        gpu_seconds=seconds * gpus,
        idle_gpu_seconds={},
        launches=launches,
        waits_seconds=np.zeros(pods),
        demand_seconds=wanted,
    )
