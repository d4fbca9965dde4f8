"""The nodes that waiting pods need: no rule, but what several rules go by."""

from policies.rules.draft import PoolDraft


def nodes_waited_for(draft: PoolDraft) -> int:
    """How many nodes pods wait for, or may wait for before another could be there."""
    pool = draft.pool
    gangs = {gang.workload for gang in pool.gangs}  # no part of the demand
    bound = sum(pod.gpus for node in pool.nodes for pod in node.pods if pod.workload not in gangs)
    moving = sum(pod.gpus for node in pool.nodes if not node.lasts for pod in node.pods)
    of_gangs = sum(gang.waiting_pods * gang.gpus_per_pod for gang in pool.gangs)
    gpus = max(0.0, pool.demand_gpus - bound) + moving + of_gangs
    unknown = (
        pool.pods_wait
        or any(gang.waiting_pods for gang in pool.gangs)
        or any(node.pods and not node.lasts for node in pool.nodes)
    )
    return max(draft.filled_by(gpus), 1 if unknown else 0)
