"""`foresail backtest`: from a recorded past and a model's name to an answer.

The engine is the one whose series name the model; pods, GPUs and starts are read beside them; the
rule of today is a file, the live one of a cluster, or the fleet as it was recorded.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, log
from pathlib import Path
from statistics import median, pstdev
from typing import Final

import numpy as np

from fleet.catalogue import shipped as catalogue
from foresail.backtest.answer import Answer, compared
from foresail.backtest.backtesting import Past, read_past
from foresail.backtest.recorded import Recorded, Selection
from foresail.backtest.served_pods import ServedPods, served_pods
from foresail.figures import last
from foresail.lint.live import read_live
from foresail.prices import prices_in
from foresail.replaying.plan import ReplayPlan
from foresail.replaying.rule_files import own_rules, scalers_in
from policies.lint.scaled import HPA
from replay import trigger
from replay.contest import Scenario
from replay.limits import limits_of, replicas_max_for
from replay.past_capacity import LearnedReplica, UnknownCapacityError, learned_replica
from replay.policies.installed import InstalledTrigger
from replay.policies.own_rule import OwnRule
from replay.policies.present_rule import PresentRule, present_rule_of
from replay.policies.recorded import RecordedFleet
from replay.profile import concurrency
from replay.replay_input import Platform, ReplayInput
from replay.start_up import FIVE_MINUTES, Stage, StartUp
from scaler.errors import ForesailError, SourceMisconfiguredError
from scaler.scope import Scope
from scaler.sources.catalogue import load, shipped
from scaler.sources.page import listed
from scaler.sources.preset import Preset
from scaler.spelling import nearest

_SLOW_LEVEL: Final = 0.9
"""The share of starts that a lead time covers (docs/metadata.md)."""
_DAY_SECONDS: Final = 86400.0
_PLANNED_REPLICA: Final = frozenset({"engine", "serves"})
"""Keys of a plan that say what a replica serves, and on how many GPUs."""
_LOGIN_REFUSED: Final = ("HTTP 401", "HTTP 403")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What was asked on the command line."""

    model: str
    namespace: str | None = None
    engine: str | None = None
    """None = the one whose series name the model."""
    labels: tuple[tuple[str, str], ...] = ()
    days: float
    rule_files: tuple[Path, ...] = ()
    live: bool = False
    """The rule is read from a cluster."""
    context: str | None = None
    kubeconfig: Path | None = None
    plan: ReplayPlan
    plan_keys: frozenset[str] = frozenset()
    """Keys that the plan file has; what it says is not learned."""
    prices: Path | None = None
    seeds: int = 3
    seed: int = 1


Tell = Callable[[str], None]


def answered(question: Question, recorded: Recorded, *, now: float, tell: Tell) -> Answer:
    """Read, learn, run and judge.

    Args:
        now: where the past ends.

    Raises:
        ForesailError: the past, the rule or the plan cannot be used.
    """
    rules = own_rules(question.rule_files)
    if len(rules) > 1:
        raise ForesailError("--rule: one rule is yours; with a Prometheus name one file")
    tell("reading the past")
    past, pods = asyncio.run(recorded_past(question, recorded, now))
    assumed: list[str] = []
    rule = rules[0] if rules else None
    if rule is None and question.live:
        tell("reading the live rule")
        rule = asyncio.run(live_rule(question.context, question.kubeconfig, pods))
    if rule is None:
        rule = _recorded(past)
        assumed.append(
            "your fleet as recorded stands for your rule; --rule or --context replays it"
        )
    return _run(question, past, pods, rule, assumed, tell)


async def recorded_past(
    question: Question, recorded: Recorded, now: float
) -> tuple[Past, ServedPods]:
    """All that is read of the past; the answer follows from it.

    Raises:
        ForesailError: it cannot be read, or nothing in it is the model's.
    """
    scope = Scope(model=question.model, namespace=question.namespace, labels=question.labels)
    begin = now - question.days * _DAY_SECONDS
    try:
        preset = await recorded.run(lambda: _engine(recorded, question, begin))
        pods = await recorded.run(
            lambda: served_pods(recorded, preset, scope, begin=begin, now=now)
        )
        feed = recorded.feed(preset=preset.with_latency_sums(), scope=scope)
        name = f"{pods.namespace}/{question.model}" if pods.namespace else question.model
        past = await read_past(feed, what=name, days=question.days, now_seconds=now)
    except SourceMisconfiguredError as error:
        if any(status in str(error) for status in _LOGIN_REFUSED):
            raise ForesailError(
                f"{error}; --prometheus-token-file FILE sends a bearer token"
            ) from error
        raise
    finally:
        await recorded.close()
    return past, pods


def _engine(recorded: Recorded, question: Question, begin: float) -> Preset:
    """The preset whose series name the model. Blocks."""
    presets = [load(name) for name in ([question.engine] if question.engine else shipped())]
    seen: list[str] = []
    for preset in presets:
        models = recorded.label_values(
            preset.model_label, Selection(names=tuple(preset.spelled)), start_seconds=begin
        )
        if question.model in models:
            _check_namespace(recorded, question, preset, begin)
            return preset
        seen += models
    engines = ", ".join(preset.engine for preset in presets)
    raise ForesailError(
        f"--model {question.model!r}: no series of {engines} {recorded.place} in"
        f" {last(question.days)}{_seen('models', question.model, seen)}"
    )


def _check_namespace(recorded: Recorded, question: Question, preset: Preset, begin: float) -> None:
    label = recorded.namespace_label
    if question.namespace is None or label is None:
        return
    of_model = Selection(names=tuple(preset.spelled), equal={preset.model_label: question.model})
    found = recorded.label_values(label, of_model, start_seconds=begin)
    if question.namespace not in found:
        raise ForesailError(
            f"-n {question.namespace!r}: no series of {question.model} there in"
            f" {last(question.days)}{_seen('namespaces', question.namespace, found)}"
        )


def _seen(what: str, asked: str, names: Sequence[str]) -> str:
    """The names that there are, the nearest first."""
    known = sorted(set(names))
    close = nearest(asked, known)
    hint = f"; did you mean {close}?" if close else ""
    return f"{hint}; {what} seen there: {listed(known)}" if known else f"; no {what} seen there"


async def live_rule(context: str | None, kubeconfig: Path | None, pods: ServedPods) -> PresentRule:
    """The live ScaledObject or HPA whose workload's name the pods begin with.

    Raises:
        ForesailError: the cluster cannot be read, or nothing in it scales these pods.
    """
    live = await read_live(context, kubeconfig)
    scalers = [one for one in scalers_in(live.objects) if pods.namespace in {None, one.namespace}]
    rules = []
    for scaler in scalers:
        target = scaler.spec.get("scaleTargetRef")
        name = target.get("name") if isinstance(target, dict) else None
        if isinstance(name, str) and any(pod.startswith(f"{name}-") for pod in pods.names):
            rules.append((scaler.type == HPA, -len(name), scaler))
    if not rules:
        found = ", ".join(one.title for one in scalers) or "none"
        missing = f" ({'; '.join(live.failed)})" if live.failed else ""
        raise ForesailError(
            f"no ScaledObject or HPA scales the pods {listed(pods.names)}; found:"
            f" {found}{missing}. Name its YAML with --rule"
        )
    return present_rule_of(min(rules, key=lambda one: one[:2])[2])


def _recorded(past: Past) -> RecordedFleet:
    begin = past.trace.begin_seconds
    assert begin is not None
    return RecordedFleet(begin_seconds=begin, replicas=tuple(past.load.replicas.tolist()))


def _run(
    question: Question,
    past: Past,
    pods: ServedPods,
    rule: OwnRule,
    assumed: list[str],
    tell: Tell,
) -> Answer:
    plan = question.plan
    gpus = pods.gpus or 1
    if pods.gpus is None:
        assumed.append("one GPU a replica: no kube_pod_container_resource_requests of its pods")
    replica = _replica(question, past, gpus, assumed)
    start_up = _start_up(question, pods, assumed)
    platform = _serving(question, pods, replica, start_up, assumed)
    platform = _within_bounds(question, past, rule, platform, assumed)
    scenario = Scenario(trace=past.trace, platform=platform, replicas_mean=None)
    drawn = scenario.draw(question.seed)
    metadata = _metadata(question, drawn, replica, _lead_seconds(pods, start_up), rule)
    scenario = replace(scenario, rules=(rule, InstalledTrigger.of(metadata)))
    if isinstance(rule, PresentRule):
        assumed += rule.remarks
    for key, what in (("ttft", f"{plan.ttft:g} s"), ("itl", f"{plan.itl * 1000:g} ms")):
        if key not in question.plan_keys:
            assumed.append(f"the objective {key} is {what}: say --{key}")
    assumed.append("requests that nobody answered are in no counter, and not in the replay")
    seeds = range(question.seed, question.seed + question.seeds)
    tell("replaying")
    runs = compared(
        scenario,
        rule.name,
        seeds=seeds,
        asked=plan.attainment,
        advance=lambda done, of: tell(f"replaying, {done} of {of} runs"),
    )
    gpu = pods.gpu
    usd = plan.gpu_usd_hour or _price(question, pods, assumed)
    return Answer(
        replay_input=drawn,
        asked=plan.attainment,
        yours=runs.yours,
        ours=runs.ours,
        best=runs.best,
        limits=limits_of(drawn),
        gpu_usd_hour=usd,
        past=past,
        replica=replica,
        starts_seconds=pods.starts_seconds,
        starting_seconds=pods.starting_seconds,
        rule=scenario.kind(rule.name).source,
        gpu=f"{platform.fleet.gpus_per_replica} x {gpu.name if gpu else '? GPU'}",
        metadata=metadata,
        assumed=tuple(dict.fromkeys(assumed)),
        results=runs.results,
        first_seed=question.seed,
        kinds={name: scenario.kind(name) for name in runs.results},
        oracle=runs.oracle,
    )


def _replica(
    question: Question, past: Past, gpus: int, assumed: list[str]
) -> LearnedReplica | None:
    if _PLANNED_REPLICA & question.plan_keys:
        return None
    try:
        return learned_replica(
            past.load, name=question.model, gpus=gpus, itl_seconds=question.plan.itl
        )
    except UnknownCapacityError as error:
        profile = question.plan.platform().profile
        assumed.append(f"a replica is {profile.name}, from data sheets: {error}")
        return None


def _start_up(question: Question, pods: ServedPods, assumed: list[str]) -> StartUp:
    if "start_up" in question.plan_keys:
        return question.plan.platform().fleet.start_up
    starts = pods.starts_seconds
    if pods.odd_starts:
        assumed.append(
            f"{pods.odd_starts} pods were ready again after a time without: no start-ups of theirs"
        )
    if not starts:
        missing = "no kube_pod_created and kube_pod_status_ready_time of its pods"
        why = "none that its pods show" if pods.odd_starts else missing
        assumed.append(f"a start-up takes five minutes: {why}")
        return FIVE_MINUTES
    spread = pstdev([log(one) for one in starts]) if len(starts) > 1 else 0.0
    return StartUp(
        stages=(Stage(name="start-up", median_seconds=median(starts), log_sigma=spread),)
    )


def _serving(
    question: Question,
    pods: ServedPods,
    replica: LearnedReplica | None,
    start_up: StartUp,
    assumed: list[str],
) -> Platform:
    """What serves: as learned, else as planned."""
    planned = question.plan.platform()
    profile = replica.profile if replica else planned.profile
    gpus = profile.gpus
    if replica is None and pods.gpus is not None and not _PLANNED_REPLICA & question.plan_keys:
        gpus = pods.gpus
        if gpus != profile.gpus:
            assumed.append(
                f"a replica of {gpus} GPUs, as its pods ask for, serves what {profile.name} does on"
                f" {profile.gpus}: say --engine or --serves"
            )
    fleet = replace(planned.fleet, start_up=start_up, gpus_per_replica=gpus)
    if replica is not None and not replica.slots_seen:
        assumed.append(f"a replica has {profile.sequences_max} batch slots, vLLM's default")
    return replace(planned, profile=profile, fleet=fleet)


def _within_bounds(
    question: Question, past: Past, rule: OwnRule, platform: Platform, assumed: list[str]
) -> Platform:
    """As many replicas as today's rule may have; idle it may have fewer than at least."""
    if isinstance(rule, PresentRule):
        least, most = rule.scaled.replicas_min, rule.scaled.replicas_max
        idle = rule.scaled.replicas_idle
        rests_at = least if idle is None else idle
        if rests_at == 0:
            kept = "one replica" if least <= 1 else f"{least} replicas"
            assumed.append(f"Foresail keeps {kept}: vLLM's metrics end with the last")
        if rests_at == 0 and not rule.schedules:
            rests_at = 1
            assumed.append(
                "yours keeps one replica: no trigger of it that can be replayed sees requests while"
                " none is there"
            )
        return _bounded(platform, rests_at, most)
    if "replicas" in question.plan_keys:
        return platform
    scenario = Scenario(trace=past.trace, platform=platform, replicas_mean=None)
    seen = int(np.nanmax(past.load.replicas, initial=1.0))
    most = max(seen, replicas_max_for(scenario.draw(question.seed)))
    return _bounded(platform, 1, most)


def _bounded(platform: Platform, least: int, most: int) -> Platform:
    fleet = replace(platform.fleet, rows=2 * most)
    return replace(platform, replicas_min=least, replicas_max=most, fleet=fleet)


def _price(question: Question, pods: ServedPods, assumed: list[str]) -> float | None:
    """Dollars for an hour of one GPU; None = nobody knows."""
    if pods.gpu is None:
        assumed.append("no price: no DCGM series names the GPU; say --gpu-price")
        return None
    generations = catalogue()
    if question.prices is not None:
        generations = generations.priced(prices_in(question.prices, generations))
    found = generations.find(pods.gpu.name)
    usd = found.usd_per_hour_of(pods.gpus or 1) if found else None
    if usd is None:
        assumed.append(f"no price: {pods.gpu.name} has none in the list; say --gpu-price")
    elif question.prices is None:
        assumed.append(f"{pods.gpu.name} costs ${usd:g} a GPU-hour on demand: say --gpu-price")
    return usd


def _lead_seconds(pods: ServedPods, start_up: StartUp) -> float:
    """A slow start: the lead time to plan with."""
    if pods.starts_seconds:
        return float(np.quantile(pods.starts_seconds, _SLOW_LEVEL))
    return start_up.slow_seconds(_SLOW_LEVEL)


def _metadata(
    question: Question,
    drawn: ReplayInput,
    replica: LearnedReplica | None,
    lead_seconds: float,
    rule: OwnRule,
) -> Mapping[str, str]:
    """The trigger to install: what is replayed, and what is shown to be pasted."""
    platform = drawn.platform
    least = platform.replicas_min
    if isinstance(rule, PresentRule):
        least = rule.scaled.replicas_min  # which an idleReplicaCount lies below
    metadata = trigger.metadata_of(
        platform.profile,
        replica.mix if replica else drawn.mix,
        platform.objective,
        lead_seconds=lead_seconds,
        replicas=(least, platform.replicas_max),
    )
    kept = {key: value for key, value in metadata.items() if key != "scalerAddress"}
    if replica is not None and not replica.slots_seen:
        streams = concurrency(
            replica.profile, replica.mix, itl_seconds=platform.objective.itl_seconds
        )
        kept["replicaRequests"] = str(ceil(streams))
    return {**kept, "model": question.model, "mode": "advise"}
