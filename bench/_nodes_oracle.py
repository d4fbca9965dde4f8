"""The cheapest schedule of nodes for somebody who knows the demand and lets no pod wait."""

import numpy as np

from bench._nodes_demand import STEP_SECONDS
from bench._nodes_run import Day, Place, Run


def oracle(place: Place) -> Run:
    """Each node rank by itself: kept over gaps shorter than a start, else ordered a start ahead.

    A start lasts the expected boot, with launches that fail, and the pull.
    """
    lead = place.start_up.lead_time()
    start_seconds = lead.boot_seconds + lead.pull_seconds
    demand, gpus = place.judged, place.gpus_per_node
    seconds, launches = 0.0, 0
    for rank in range(int(np.ceil(demand.max() / gpus))):
        needed = demand > gpus * rank
        edges = np.diff(needed.astype(np.int8))
        begins, ends = np.flatnonzero(edges == 1) + 1, np.flatnonzero(edges == -1) + 1
        # What is there from the beginning was not ordered; the first use of others is no gap.
        first, last = (begins, ends) if needed[0] else (begins[1:], ends)
        gaps = (first - last[: len(first)]) * float(STEP_SECONDS)
        kept = gaps < start_seconds
        ordered = int((~kept).sum()) + int(not needed[0])
        seconds += float(needed.sum()) * STEP_SECONDS + float(gaps[kept].sum())
        seconds += start_seconds * ordered
        launches += ordered
    pods = int(np.maximum(0, np.diff(demand)).sum())
    day = Day(
        gpu_seconds=seconds * gpus,
        demand_seconds=float(demand.sum()) * STEP_SECONDS,
        idle_gpu_seconds={},
        launches=launches,
        waits_seconds=np.zeros(pods),
    )
    return Run(days=(day,))
