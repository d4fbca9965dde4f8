"""A recorded day with its GPU nodes: KEDA and Karpenter with Foresail, and the two alone.

As in `tests.e2e.day` only time runs faster. Karpenter's own waits cannot be shortened: its loop of
10 s, and the 15 s before it looks again and deletes a node, are an hour of a day in ten minutes.
"""

import copy
import json
import math
import sys
from dataclasses import asdict, dataclass
from time import monotonic  # noqa: TID251 - processes live in real time

import numpy as np
import yaml

from fleet.reasons import Reason
from foresail.clock import wall_clock
from replay.traces import Trace
from tests.deploy.examples import SCHEDULER
from tests.e2e import kubernetes
from tests.e2e.bed import Bed, answers_ok
from tests.e2e.day import (
    DAY_SECONDS,
    REPLICAS_MEAN,
    START_UP_SECONDS,
    asked_in,
    band_of,
    ready_pods,
)
from tests.e2e.day_controller import DayTime, NodeController, past_of
from tests.e2e.engines import LATENCY_SECONDS, Engines
from tests.e2e.karpenter import NODE_CLASS, ONE_GPU
from tests.e2e.nodes.documents import disruption, node_template, pod_spec
from tests.e2e.nodes.node_ledger import NodeLedger, node_ledger
from tests.e2e.site import Site
from tests.e2e.workload_objects import NAMESPACE, deployment, documents
from tests.prometheus import free_port

MODEL = "qwen3-32b"
CONSOLIDATE_AFTER_SECONDS = 600.0
"""Of the day."""
REPLICAS_MAX = 40
LEAD = 10
"""In seconds: the start-up of a pod and of its node, and what scrapes, looks, polls and syncs take
together; one of the horizons of a forecast in steps of two seconds."""
_SAMPLE_SECONDS = 0.5
_REST_SECONDS = 60.0
"""Of midnight's traffic before the day: the HPA and Karpenter come to rest from their start."""
_OF_MODEL = f'{{model_name="{MODEL}"}}'
_IN_FLIGHT = " + ".join(
    f"sum(vllm:num_requests_{state}{_OF_MODEL})" for state in ("running", "waiting")
)
_BUSY = 0.7
"""The share of a replica that KEDA alone fills."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What was seen at one time; seconds since the start."""

    at_seconds: float
    need: float
    band: tuple[float, float, float] | None
    """The forecast's .5, .9 and .99 quantiles for the lead time ahead; None = there is none."""
    hpa: int
    ready: int
    nodes: int
    """Paid for: from their launch to their end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDay:
    """A day that was played, one way."""

    name: str
    moments: list[Moment]
    in_time_ratio: float
    """Share of requests that found a replica free."""
    gpu_hours: float
    """Of the day, by the events of the bed."""
    gpu_hours_accounted: float
    """The same, as `foresail cost` counts them."""
    usd: float
    idle_usd: float
    """Of GPUs that did not serve."""

    @property
    def text(self) -> str:
        """A line of the table."""
        return (
            f"{self.name:<24} {self.gpu_hours:9.1f} {self.gpu_hours_accounted:9.1f} "
            f"{self.in_time_ratio:9.1%} {self.usd:9.0f} {self.idle_usd:9.0f}"
        )


HEAD = f"{'':<24} {'GPU-hours':>9} {'by cost':>9} {'in time':>9} {'$':>9} {'$ idle':>9}"


def start_scheduler(bed: Bed) -> None:
    """`foresail scheduler`, and a second kube-scheduler that asks it, as the example has it."""
    listen, http = free_port(), free_port()
    command = [sys.executable, "-m", "foresail.cli", "scheduler"]
    command += ["--kubeconfig", str(bed.kubeconfig("admin"))]
    command += ["--listen", f"127.0.0.1:{listen}", "--http", f"127.0.0.1:{http}"]
    ready = f"http://127.0.0.1:{http}/readyz"
    bed.start("foresail-scheduler", command, ready=lambda: answers_ok(ready))
    (map_,) = [
        one
        for one in yaml.safe_load_all(SCHEDULER.read_text())
        if one and one["kind"] == "ConfigMap"
    ]
    configuration = yaml.safe_load(map_["data"]["scheduler.yaml"])
    configuration["leaderElection"] = {"leaderElect": False}
    configuration["clientConnection"] = {"kubeconfig": str(bed.kubeconfig("admin"))}
    configuration["extenders"][0]["urlPrefix"] = f"http://127.0.0.1:{listen}"
    bed.write("second-scheduler.yaml", yaml.safe_dump(configuration).encode())
    kubernetes.start_scheduler(
        bed, "kube-scheduler-foresail", f"--config={bed.file('second-scheduler.yaml')}"
    )


def play(site: Site, trace: Trace, *, day: int, seconds: float, foresail: bool) -> NodeDay:
    """Play one day of the trace within `seconds`, with Foresail or without it."""
    name = "with-foresail" if foresail else "alone"
    asked, means = asked_in(trace, day, seconds)
    dawn = [math.inf]  # until it breaks, what is asked is what is asked at midnight
    engines = Engines(
        model=MODEL,
        asked=lambda at_seconds: asked(at_seconds - dawn[0]),
        pods=lambda: ready_pods(site, name),
        clock=monotonic,
        prompt_tokens_per_second=means.prompt_tokens / REPLICAS_MEAN,
        generated_tokens_per_second=means.generated_tokens / REPLICAS_MEAN,
    )
    running = means.requests / REPLICAS_MEAN * LATENCY_SECONDS
    times_faster = DAY_SECONDS / seconds
    _pool(site.bed, name, times_faster)
    midnight = wall_clock() // DAY_SECONDS * DAY_SECONDS
    past = past_of(name, _need(trace, day), trace.step_seconds, midnight)
    with node_ledger(site.bed) as ledger:
        try:
            replicas = math.ceil(engines.need(monotonic()) / _BUSY)
            in_flight = engines.asked(monotonic()).requests * LATENCY_SECONDS
            _deploy(site, name, replicas, foresail=foresail)
            site.bed.wait(lambda: site.ready(name) == replicas, "the replicas of midnight")
            engines.begin()
            site.engines_page = engines.page
            # KEDA's Prometheus scaler takes no series for zero, and the HPA its minimum.
            site.bed.wait(
                lambda: site.prometheus.value(_IN_FLIGHT) >= 0.9 * in_flight,
                "the traffic of midnight in Prometheus",
            )
            if foresail:
                _scale_by_foresail(site, name, engines, slots=math.ceil(2 * running))
            else:
                _scale_by_keda(site, name, _BUSY * running)
            site.bed.wait(lambda: _of_hpa(site, name) > 0, "the first answer")
            rested = monotonic() + _REST_SECONDS
            site.bed.wait(lambda: monotonic() >= rested, "the end of the start", seconds=600)
            time = DayTime(
                dawn_seconds=midnight, real_dawn_seconds=wall_clock(), times_faster=times_faster
            )
            controller = NodeController(bed=site.bed, time=time, planning=past, acts=foresail)
            with controller.running():
                site.bed.wait(lambda: controller.last, "a round")
                dawn[0], engines.offered, engines.delayed = monotonic(), 0.0, 0.0
                begin = wall_clock()
                moments = _sampled(site, name, engines, ledger, dawn[0], seconds)
                end = wall_clock()
        finally:
            site.forget(name)
            site.engines_page = str
            site.bed.send("DELETE", f"/apis/karpenter.sh/v1/nodepools/{name}")
    return NodeDay(
        name="with Foresail" if foresail else "KEDA and Karpenter alone",
        moments=moments,
        in_time_ratio=1 - engines.delayed / engines.offered,
        gpu_hours=ledger.gpu_hours({name: 1}, begin, end)[name] * times_faster,
        gpu_hours_accounted=controller.cost(name).gpu_hours,
        usd=controller.cost(name).usd,
        idle_usd=controller.cost(name).usd - controller.cost(name, Reason.SERVING).usd,
    )


def _sampled(
    site: Site, name: str, engines: Engines, ledger: NodeLedger, dawn: float, seconds: float
) -> list[Moment]:
    moments: list[Moment] = []
    while (at := monotonic()) < dawn + seconds:
        moments.append(_moment(site, name, engines, ledger, at, dawn))
        due = dawn + len(moments) * _SAMPLE_SECONDS
        site.bed.wait(lambda due=due: monotonic() >= due, "time", seconds=30)
    return moments


def _need(trace: Trace, day: int) -> list[float]:
    """Replicas that were needed on the days before, by bin."""
    bins = round(DAY_SECONDS / trace.step_seconds)
    of_day = slice(day * bins, (day + 1) * bins)
    amounts = [trace.prompt_tokens, trace.output_tokens]
    needs = []
    for tokens in amounts:
        rates = np.asarray(trace.requests_per_second) * np.asarray(tokens)
        needs.append(rates[: day * bins] / rates[of_day].mean() * REPLICAS_MEAN)
    return [float(one) for one in np.maximum(*needs)]


def _pool(bed: Bed, name: str, times_faster: float) -> None:
    after = f"{max(1, round(CONSOLIDATE_AFTER_SECONDS / times_faster))}s"
    bed.apply(
        {
            "apiVersion": "karpenter.sh/v1",
            "kind": "NodePool",
            "metadata": {"name": name},
            "spec": {
                "template": {"spec": node_template(ONE_GPU, ["on-demand"], None, NODE_CLASS)},
                "disruption": disruption(after, "100%"),
            },
        }
    )


def _deploy(site: Site, name: str, replicas: int, *, foresail: bool) -> None:
    delay = {"pod-ready.stage.kwok.x-k8s.io/delay": f"{START_UP_SECONDS:g}s"}
    spec = pod_spec(name, 1, "requests") | ({"schedulerName": "foresail"} if foresail else {})
    site.bed.apply(deployment(name, replicas, delay, spec=spec))


def _scale_by_foresail(site: Site, name: str, engines: Engines, *, slots: int) -> None:
    site.scale(
        name,
        spec={"minReplicaCount": 1, "maxReplicaCount": REPLICAS_MAX},
        model=MODEL,
        engine="vllm",
        minReplicas="1",
        maxReplicas=str(REPLICAS_MAX),
        leadTime=f"{LEAD}s",
        hold=None,
        utilization=None,
        replicaRequests=str(slots),
        replicaPromptTokensPerSecond=f"{engines.prompt_tokens_per_second:.0f}",
        replicaGeneratedTokensPerSecond=f"{engines.generated_tokens_per_second:.0f}",
    )


def _scale_by_keda(site: Site, name: str, requests_per_replica: float) -> None:
    """By the requests that run and wait, as KEDA's users do."""
    (made,) = documents("scaledobject.yaml")
    made = copy.deepcopy(made)
    made["metadata"]["name"] = made["spec"]["scaleTargetRef"]["name"] = name
    made["spec"] |= {
        "pollingInterval": 1,
        "minReplicaCount": 1,
        "maxReplicaCount": REPLICAS_MAX,
        "triggers": [
            {
                "type": "prometheus",
                "metadata": {
                    "serverAddress": site.prometheus.url,
                    "query": _IN_FLIGHT,
                    "threshold": f"{requests_per_replica:.2f}",
                },
            }
        ],
    }
    site.bed.apply(made)


def _moment(
    site: Site, name: str, engines: Engines, ledger: NodeLedger, at: float, dawn: float
) -> Moment:
    return Moment(
        at_seconds=at - dawn,
        need=engines.need(at),
        band=band_of(site.exports(), engines, name, LEAD),
        hpa=_of_hpa(site, name),
        ready=site.ready(name),
        nodes=ledger.there(name),
    )


def _of_hpa(site: Site, name: str) -> int:
    """Replicas that the HPA wants; 0 = it has not decided yet."""
    path = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers"
    found = [
        one for one in site.bed.read(path)["items"] if one["metadata"]["name"] == f"keda-hpa-{name}"
    ]
    return int(found[0].get("status", {}).get("desiredReplicas", 0)) if found else 0


def written(days: list[NodeDay]) -> str:
    """The days as JSON, for whoever wants to look closer."""
    return json.dumps([asdict(day) for day in days])
