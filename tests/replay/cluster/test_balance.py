"""Whatever happens, each GPU-second is in the books once."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.reasons import Reason
from policies.node_plan import NodeDecision, NodeOrder, NodePlan, PoolPlan, Verdict
from policies.situation import Situation
from replay.cluster.cluster import Cluster
from replay.cluster.settings import GangRun, NodeStartUp, Outage, PodChoice, Pool, Service
from tests.replay.cluster.small import CHAT, CODE, JOB, cluster


class Erratic:
    """Decides at random, by a list of numbers that it goes round in."""

    def __init__(self, numbers: list[int]) -> None:
        self._numbers, self._at = numbers, 0

    def _next(self, below: int) -> int:
        self._at += 1
        return self._numbers[self._at % len(self._numbers)] % below

    def decide(self, situation: Situation) -> NodePlan:
        now = situation.now_seconds
        verdicts = (Verdict.HOLD, Verdict.LEAVE, Verdict.LEAVE, Verdict.HOLD, Verdict.RELEASE)
        return NodePlan(
            at_seconds=now,
            pools=tuple(
                PoolPlan(
                    pool=pool.name,
                    act=True,
                    nodes=tuple(
                        NodeDecision(
                            node=node.name,
                            uid=node.uid,
                            verdict=verdicts[self._next(len(verdicts))],
                            reason=Reason.FORECAST_HOLD,
                            until_seconds=now + 60 * self._next(20),
                        )
                        for node in pool.nodes
                    ),
                    orders=(NodeOrder(nodes=self._next(3) // 2, reason=Reason.PRE_WARM),),
                )
                for pool in situation.pools
            ),
        )


def replicas(draw: st.DrawFn) -> tuple[tuple[float, int], ...]:
    gaps = draw(st.lists(st.integers(1, 900), min_size=1, max_size=25))
    counts = draw(st.lists(st.integers(0, 12), min_size=len(gaps) + 1, max_size=len(gaps) + 1))
    at, found = 0.0, [(0.0, counts[0])]
    for gap, count in zip(gaps, counts[1:], strict=True):
        at += gap
        found.append((at, count))
    return tuple(found)


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    pool = Pool(
        name="p",
        gpus_per_node=draw(st.sampled_from([2, 8])),
        start_up=NodeStartUp(failure_share=draw(st.sampled_from([0.0, 0.3]))),
        consolidate_after_seconds=draw(st.sampled_from([0.0, 60.0, 600.0, None])),
        nodes_max=draw(st.sampled_from([None, 3])),
        outages=(Outage(begin_seconds=500, end_seconds=draw(st.integers(500, 2000))),),
        reclaims_per_hour=draw(st.sampled_from([0.0, 2.0])),
    )
    gang = GangRun(
        workload=JOB, pods=3, gpus_per_pod=2, pools=("p",), created_seconds=700, run_seconds=800
    )
    return cluster(
        Service(workload=CHAT, replicas=replicas(draw), pools=("q", "p")),
        Service(workload=CODE, replicas=replicas(draw), pools=("p",), gpus_per_pod=2),
        pools=(pool, replace(pool, name="q", gpus_per_node=1)),
        gangs=(gang,) if draw(st.booleans()) else (),
        policy=Erratic(draw(st.lists(st.integers(0, 99), min_size=3, max_size=9))),
        pod_choice=draw(st.sampled_from(list(PodChoice))),
        seed=draw(st.integers(1, 9)),
    )


@settings(max_examples=150, deadline=None)
@given(run=clusters(), until=st.lists(st.integers(1, 9000), min_size=1, max_size=4))
def test_gpu_seconds_are_used_or_idle_for_one_reason(run: Cluster, until: list[int]) -> None:
    for moment in sorted(until):
        run.run(moment)
        for name, books in run.books.items():
            idle = sum(books.idle_gpu_seconds.values())
            assert run.gpu_seconds(name) == books.used_gpu_seconds + idle
            assert all(seconds >= 0 for seconds in books.idle_gpu_seconds.values())
    for waits in run.waits.values():
        assert all(seconds >= 0 for seconds in waits.seconds)
