"""Hours of a vLLM service of which everything is known, in a Prometheus: the generator of a past.

Requests are played one by one (`replay.world`) under a rule of today. What its pods export is
written as samples every half minute, with what kube-state-metrics and DCGM say of the same pods.

`python -m tests.foresail.known_service FOLDER --rule FILE --hours 48` writes them as the blocks of
a Prometheus below FOLDER/data, and what is true of them to FOLDER/truth.json.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from foresail.replaying.rule_files import present_rule_in
from replay.fleet import FleetSettings
from replay.generated_day import GeneratedDay, draw
from replay.policies.present_rule import PresentRule
from replay.profile import EngineProfile
from replay.replay_input import Platform, ReplayInput
from replay.simulate import Simulation
from replay.start_up import Stage, StartUp
from replay.traffic import TrafficSettings
from replay.world import World
from tests.prometheus import PrometheusServer

MODEL, NAMESPACE = "llama-70b", "llm"
SCRAPE_SECONDS = 30
START_UP_SECONDS = 200
PROFILE = EngineProfile(
    name=MODEL,
    model_name=MODEL,
    gpus=2,
    fixed_seconds=0.021,
    per_sequence_seconds=1.6e-4,
    per_kv_token_seconds=9.0e-8,
    per_prefill_token_seconds=9.0e-5,
    batched_tokens_max=2048,
    sequences_max=128,
    kv_tokens_max=260_000,
)
_LEFT_OUT = ("_bucket", "_preemptions_total", "sleep_state")
"""Series that no part of a backtest reads, left out to keep the past small."""


@dataclass(kw_only=True)
class KnownService:
    """What was served, and how."""

    replay_input: ReplayInput
    end_seconds: int
    """Unix time of the last sample."""
    replica_seconds: float = 0.0
    """Ready and draining: those whose pages could be scraped."""
    gpu_hours: float = 0.0
    """From order to end."""
    requests: float = 0.0
    in_time: float = 0.0
    """Share of requests."""
    starts_seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)


def played(
    rule: PresentRule, *, hours: int, end_seconds: int, seed: int, peak: float
) -> KnownService:
    """Play the service under its rule."""
    platform = Platform(
        profile=PROFILE,
        fleet=FleetSettings(
            start_up=StartUp(
                stages=(Stage(name="all", median_seconds=START_UP_SECONDS, log_sigma=0.15),)
            ),
            gpus_per_replica=2,
            rows=2 * rule.scaled.replicas_max,
        ),
        replicas_min=rule.scaled.replicas_min,
        replicas_max=rule.scaled.replicas_max,
    )
    day = GeneratedDay(
        traffic=TrafficSettings(peak_requests_per_second=peak),
        platform=platform,
        seconds=hours * 3600,
        days_before=1,
    )
    begin = end_seconds - hours * 3600
    replay_input = replace(draw(day, seed=seed), begin_seconds=float(begin))
    service = KnownService(replay_input=replay_input, end_seconds=end_seconds)
    world = World(replay_input, seed=seed)
    policy = rule.kind().make(replay_input, 0.0)
    run = Simulation(replay_input, world)
    while run.now < replay_input.seconds:
        if run.now % policy.period_seconds == 0:
            run.scale_to(policy.decide(world.seen(run.now)))
        run.step()
        if run.now % SCRAPE_SECONDS == 0:
            _scraped(service, world, begin + run.now)
    service.gpu_hours = world.fleet.gpu_seconds(run.now) / 3600
    tally = world.tally()
    service.in_time = tally.in_time / tally.requests
    service.requests = float(replay_input.arrivals.sum())
    return service


def _scraped(service: KnownService, world: World, at: int) -> None:
    labels = {}
    for replica in world.fleet.replicas:
        if replica.row is not None:
            pod = f"{MODEL}-{replica.ordinal}"
            labels[pod] = f'pod="{pod}",namespace="{NAMESPACE}"'
            _kubernetes(service, pod, replica.ordered_seconds, replica.ready_seconds, at, world)
    service.replica_seconds += SCRAPE_SECONDS * len(labels)
    for pod, samples in world.samples().items():
        for sample in samples:
            if any(part in sample.name for part in _LEFT_OUT):
                continue
            own = ",".join(f'{name}="{value}"' for name, value in sample.labels)
            _add(service, sample.name, f"{own},{labels[pod]}", sample.value, at)


def _kubernetes(
    service: KnownService, pod: str, ordered: float, ready: float, at: int, world: World
) -> None:
    """What is known of the pod itself; one that was there at the start shows no start."""
    about = f'namespace="{NAMESPACE}",pod="{pod}"'
    gpu = f'{about},container="engine",resource="nvidia_com_gpu"'
    _add(service, "kube_pod_container_resource_requests", gpu, 2, at)
    for card in (0, 1):
        dcgm = f'{about},gpu="{card}",modelName="NVIDIA H100 80GB HBM3"'
        _add(service, "DCGM_FI_DEV_GPU_UTIL", dcgm, 80, at)
    if ready > 0:
        begin = at - world.now_seconds
        service.starts_seconds[pod] = ready - ordered
        _add(service, "kube_pod_created", about, begin + ordered, at)
        _add(service, "kube_pod_status_ready_time", about, begin + ready, at)


def _add(service: KnownService, name: str, labels: str, value: float, at: int) -> None:
    service.lines.setdefault(name, []).append(f"{name}{{{labels}}} {value!r} {at}")


@contextmanager
def holding(service: KnownService, folder: Path) -> Iterator[PrometheusServer]:
    """A real Prometheus with the service's past."""
    server = PrometheusServer(folder)
    server.configure()
    write_blocks(service, server.folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def write_blocks(service: KnownService, folder: Path) -> None:
    """The samples as blocks of a Prometheus, in the order that promtool wants."""
    text = folder / "past.txt"
    with text.open("w") as file:
        file.writelines(f"{line}\n" for line in _ordered(service))
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder / "data")],
        check=True,
        capture_output=True,
    )
    text.unlink()


def _ordered(service: KnownService) -> Iterator[str]:
    for name, lines in service.lines.items():
        yield f"# TYPE {name} unknown"
        yield from lines
    yield "# EOF"


def truth(service: KnownService) -> dict[str, object]:
    """What an answer about this past is compared with."""
    given = service.replay_input
    return {
        "hours": given.seconds / 3600,
        "gpuHours": service.gpu_hours,
        "requests": service.requests,
        "promptTokens": float(given.arrivals @ given.prompt_tokens),
        "generatedTokens": float(given.arrivals @ given.output_tokens),
        "inTime": service.in_time,
        "startsSeconds": sorted(service.starts_seconds.values()),
    }


def main() -> None:
    """Write a past that ends now."""
    parser = argparse.ArgumentParser(description="A service's past, in a Prometheus' blocks.")
    parser.add_argument("folder", type=Path, help="gets data/ and truth.json")
    parser.add_argument("--rule", type=Path, required=True, help="the rule that scaled it: YAML")
    parser.add_argument("--hours", type=int, default=48, help="of traffic (48)")
    parser.add_argument("--peak", type=float, default=20.0, help="requests a second (20)")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    end = int(time.time()) // SCRAPE_SECONDS * SCRAPE_SECONDS  # noqa: TID251 - a server reads it
    rule = present_rule_in(given.rule)
    service = played(rule, hours=given.hours, end_seconds=end, seed=3, peak=given.peak)
    write_blocks(service, given.folder)
    (given.folder / "truth.json").write_text(json.dumps(truth(service), indent=1))


if __name__ == "__main__":
    main()
