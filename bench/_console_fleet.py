"""A made fleet for the console: workloads with six hours of past, and a cluster under a policy."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import pi, sin
from random import Random
from typing import Any

from fleet.catalogue import shipped as catalogue
from fleet.cluster.kinds import Kind, Record, record_of
from fleet.cluster.reading import Cluster
from fleet.snapshot import Known
from foresail.client import Changed, Snapshot
from foresail.controller.console_source import ControllerSource
from foresail.controller.rounds import ClusterRound, ClusterRounds, PlannedReplicas
from foresail.plans_api.plan import Plan, plan_of
from foresail.prices import price_list
from policies.policy.shipped_policies import shipped as policy
from scaler.rpc.foresail.v1 import plans_pb2 as pb

NOW = 1_796_000_000.0
STEP_SECONDS = 60.0
HORIZONS = (60.0, 300.0, 900.0, 1800.0, 3600.0)
LEVELS = (0.5, 0.9, 0.95)
MODELS = ("qwen3-32b", "llama-70b", "gpt-oss-120b", "mistral-24b", "deepseek-r1-8b")
_PROMPT, _GENERATED = 8000.0, 1600.0
NODES = 24
UNREAD, LATE, ADVISED = 37, 23, 11
"""Of so many workloads one cannot be read, is late, or is only advised."""

Json = dict[str, Any]


class Clock:
    """Stands where it is set."""

    def __init__(self) -> None:
        self.seconds = NOW

    def __call__(self) -> float:
        return self.seconds


def fleet(workloads: int, *, hours: float = 6.0, seed: int = 1) -> ControllerSource:
    """A source that heard of all workloads over some hours."""
    made, clock = cluster_round(), Clock()
    source = ControllerSource(
        cluster="prod-eu",
        last=lambda: made,
        trouble=lambda: None,
        plans_trouble=lambda: None,
        watches=True,
        steady=clock,
        wall=clock,
    )
    steps = round(hours * 3600 / STEP_SECONDS)
    lists = [list(plans(number, steps, seed)) for number in range(workloads)]
    clock.seconds = NOW - steps * STEP_SECONDS
    source.take(Snapshot(plans=tuple(of_one[0] for of_one in lists), version="1"))
    for step in range(1, steps):
        clock.seconds += STEP_SECONDS
        for of_one in lists:
            source.take(Changed(plan=of_one[step], version=None))
    return source


def plans(number: int, steps: int, seed: int) -> Iterator[Plan]:
    """The plans of one workload, the newest last."""
    random = Random(f"{seed}/{number}")  # noqa: S311 - made traffic
    size, phase = random.uniform(0.5, 12.0), random.uniform(0, 2 * pi)
    times = [NOW - (steps - 1 - step) * STEP_SECONDS for step in range(steps)]
    busy = [
        size * (1 + 0.45 * sin(2 * pi * at / 43200 + phase)) * random.uniform(0.93, 1.07)
        for at in times
    ]
    planned = [
        max(1, round(1.1 * max(busy[max(0, step - 25) : step + 6]) + 0.5)) for step in range(steps)
    ]
    for step, at in enumerate(times):
        ready = planned[max(0, step - 5)]
        replicas = (planned[step], min(ready, planned[step]))
        made = plan if step == steps - 1 else past_plan
        yield made(number, at, busy[step], replicas)


def past_plan(number: int, at: float, busy: float, replicas: tuple[int, int]) -> Plan:
    """As much of a plan as the past keeps."""
    planned, ready = replicas
    return plan_of(
        pb.WorkloadPlan(
            workload=_workload(number),
            looked_at_seconds=at,
            signals=_signals(at, ready, ttft=0.7),
            demand=pb.DemandRates(
                prompt_tokens=0.6 * busy * _PROMPT, generated_tokens=0.4 * busy * _GENERATED
            ),
            plan=_plan(at, busy, planned),
            valid_for_seconds=295.0,
        )
    )


def _workload(number: int) -> pb.Workload:
    return pb.Workload(namespace=f"team-{number % 40:02d}", name=_name(number))


def plan(number: int, at: float, busy: float, replicas: tuple[int, int]) -> Plan:
    """One plan.

    Args:
        number: of the workload.
        at: Unix time of the look.
        busy: replicas that the demand keeps busy.
        replicas: planned, and ready.
    """
    late, unread = (number + 1) % LATE == 0, (number + 1) % UNREAD == 0
    model = MODELS[number % len(MODELS)]
    if unread:
        refused = pb.Refused(
            code="unavailable", message="nothing usable for 12m: HTTP 503 of the source `main`"
        )
        return plan_of(
            pb.WorkloadPlan(
                workload=_workload(number), model=model, mode=pb.MODE_ACT, looked_at_seconds=at,
                failure="HTTP 503", refused=refused,
            )
        )  # fmt: skip
    planned, ready = replicas
    return plan_of(
        pb.WorkloadPlan(
            workload=_workload(number),
            model=model,
            mode=pb.MODE_ADVISE if (number + 1) % ADVISED == 0 else pb.MODE_ACT,
            looked_at_seconds=at,
            looked_seconds_ago=5.0,
            signals=_signals(at, ready, ttft=3.4 if late else 0.7),
            demand=pb.DemandRates(
                prompt_tokens=0.6 * busy * _PROMPT, generated_tokens=0.4 * busy * _GENERATED
            ),
            forecasts=[
                _forecast("prompt_tokens", at, 0.6 * busy * _PROMPT),
                _forecast("generated_tokens", at, 0.4 * busy * _GENERATED),
            ],
            settings=pb.PlanSettings(
                lead_seconds=330, hold_seconds=330, level=0.95, utilization=0.8,
                replicas_min=1, replicas_max=40,
            ),
            capacity=pb.ReplicaCapacity(
                seconds_per_prompt_token=1 / _PROMPT, seconds_per_generated_token=1 / _GENERATED,
                together=pb.TOGETHER_SUM, source=pb.CAPACITY_SOURCE_LEARNED, requests=64,
            ),
            plan=_plan(at, busy, planned),
            age_seconds=5.0,
            valid_for_seconds=295.0,
            asked_seconds_ago=3.0,
            objective=pb.Objective(ttft_seconds=2.0, itl_seconds=0.06, attainment=0.99),
            learned_lead=pb.LearnedLead(
                seconds=330, evidence="80% of starts took no longer (14 seen)"
            ),
            books=_books(busy),
        )
    )  # fmt: skip


def _signals(at: float, ready: int, ttft: float) -> list[pb.SignalReading]:
    values = {"replicas": float(ready), "ttft": ttft, "itl": 0.031, "waiting": 0.0}
    return [
        pb.SignalReading(
            signal=signal,
            state=pb.DATA_STATE_VALUE if value else pb.DATA_STATE_ZERO,
            value=value,
            at_seconds=at,
        )
        for signal, value in values.items()
    ]


def _forecast(series: str, at: float, now: float) -> pb.SeriesForecast:
    return pb.SeriesForecast(
        series=series,
        made_at_seconds=at,
        data_age_seconds=0,
        last_value=now,
        horizons_seconds=HORIZONS,
        levels=LEVELS,
        quantiles=[
            pb.Row(values=[now * (1 + each * ahead / 18000) for each in (1, 1.8, 2.2)])
            for ahead in HORIZONS
        ],
        skill=[pb.SeriesSkill(horizon_seconds=one, day=0.21, judged=900) for one in HORIZONS],
    )


def _plan(at: float, busy: float, planned: int) -> pb.ReplicaPlan:
    present = f"{0.6 * busy * _PROMPT:,.0f} prompt + {0.4 * busy * _GENERATED:,.0f} generated"
    return pb.ReplicaPlan(
        at_seconds=at,
        desired=planned,
        planned=planned,
        reactive=planned,
        active=True,
        steps=[
            pb.PlanStep(rule="present", text=f"{present} tokens/s (learned)", replicas=busy),
            pb.PlanStep(rule="queue", text="nothing waits", replicas=0.0),
            pb.PlanStep(rule="forecast", text=f"{planned} in 5m30s", replicas=float(planned)),
        ],
    )


def _books(busy: float) -> pb.Books:
    hours = 24 * busy * 1.2
    rules = (
        ("given", "15 GPU-minutes a late minute, utilization 0.8", True, 1.0, 0.0012),
        ("setting 1", "4 GPU-minutes a late minute, utilization 0.95", False, 0.94, 0.0041),
        ("hpa-inflight", "HPA on requests in flight, 70 %", False, 1.14, 0.0070),
        ("keda-waiting", "KEDA on waiting requests, 5 a replica", False, 1.31, 0.1890),
    )
    return pb.Books(
        days=1.0,
        rules=[
            pb.BookedRule(rule=name, text=text, in_force=force, gpu_hours=hours * by, late=late)
            for name, text, force, by, late in rules
        ],
        gpu_hours=hours * 1.01,
        late=0.0015,
        modelled_late=0.0012,
        why="the trigger's own; shadows keep books and choose nothing here",
    )


def cluster_round(nodes: int = NODES) -> ClusterRound:
    """One round of a cluster whose nodes are partly used, under the policy `balanced`."""
    return next_round(begun_rounds(), records(nodes))


def records(nodes: int) -> dict[Kind, tuple[Record, ...]]:
    """What the API server has, as the reading keeps it."""
    return {
        kind: tuple(record_of(kind, one) for one in documents)
        for kind, documents in _objects(nodes).items()
    }


def begun_rounds() -> ClusterRounds:
    """The rounds of a controller that has just begun."""
    return ClusterRounds(Known(catalogue=catalogue(), prices=price_list(None)))


def next_round(
    rounds: ClusterRounds, read: Mapping[Kind, Sequence[Record]], *, after_seconds: float = 0.0
) -> ClusterRound:
    """The first one, or one that comes so long after it."""
    cluster, now = Cluster.of("prod-eu", read), NOW + after_seconds
    return rounds.make(cluster, (policy("balanced"),), PlannedReplicas(), now)


def _objects(count: int) -> dict[Kind, list[Json]]:
    nodes = [f"h100-{number:02d}" for number in range(count)]
    pods = []
    for number, node in enumerate(nodes[:-3]):
        for place in range(8 if number % 3 else 6):
            index = (8 * number + place) // 4
            pods.append(_pod(f"{_name(index)}-{place}", node, index))
    objects = {index: _scaled_object(index) for index in range(8 * count // 4)}
    template = {"metadata": {"labels": {}}, "spec": {"requirements": [], "taints": []}}
    disruption = {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "10m"}
    pool = {
        "metadata": {"name": "h100", "uid": "pool"},
        "spec": {"template": template, "disruption": disruption},
    }
    return {
        Kind.NODE_POOL: [pool],
        Kind.NODE_CLAIM: [_claim(node) for node in nodes],
        Kind.NODE: [_node(node) for node in nodes],
        Kind.POD: pods,
        Kind.SCALED_OBJECT: list(objects.values()),
    }


def _name(index: int) -> str:
    return f"{MODELS[index % len(MODELS)]}-{index:04d}"


def _stamp(minutes_ago: float) -> str:
    return datetime.fromtimestamp(NOW - 60 * minutes_ago, UTC).isoformat()


def _claim(node: str) -> Json:
    conditions = [
        {"type": one, "status": "True", "lastTransitionTime": _stamp(60)}
        for one in ("Launched", "Registered", "Initialized")
    ]
    return {
        "metadata": {
            "name": f"claim-{node}",
            "uid": f"claim-{node}",
            "labels": {"karpenter.sh/nodepool": "h100"},
            "creationTimestamp": _stamp(70),
        },
        "spec": {"resources": {"requests": {"nvidia.com/gpu": "8"}}},
        "status": {"conditions": conditions, "nodeName": node},
    }


def _node(name: str) -> Json:
    gpus = {"nvidia.com/gpu": "8"}
    labels = {
        "karpenter.sh/nodepool": "h100",
        "karpenter.sh/capacity-type": "on-demand",
        "node.kubernetes.io/instance-type": "p5.48xlarge",
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    }
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": _stamp(60)}
    return {
        "metadata": {"name": name, "uid": name, "labels": labels},
        "spec": {},
        "status": {"allocatable": gpus, "capacity": gpus, "conditions": [ready]},
    }


_PLACED_AND_READY = [
    {"type": kind, "status": "True", "lastTransitionTime": _stamp(minutes_ago)}
    for kind, minutes_ago in (("PodScheduled", 45.0), ("Ready", 41.0))
]


def _pod(name: str, node: str, index: int) -> Json:
    owner = {"kind": "StatefulSet", "name": _name(index), "uid": _name(index), "controller": True}
    resources = {"requests": {"nvidia.com/gpu": "1"}}
    return {
        "metadata": {
            "namespace": f"team-{index % 40:02d}",
            "name": name,
            "uid": f"{node}/{name}",
            "creationTimestamp": _stamp(45),
            "ownerReferences": [owner],
        },
        "spec": {"nodeName": node, "containers": [{"name": "engine", "resources": resources}]},
        "status": {"phase": "Running", "conditions": _PLACED_AND_READY},
    }


def _scaled_object(index: int) -> Json:
    return {
        "metadata": {
            "namespace": f"team-{index % 40:02d}",
            "name": _name(index),
            "uid": f"scaled-{index}",
        },
        "spec": {"scaleTargetRef": {"kind": "StatefulSet", "name": _name(index)}},
    }
