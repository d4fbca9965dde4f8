"""What KEDA does while a scaler cannot answer, and when it goes to zero."""

from collections.abc import Iterator
from typing import Final

from fleet.documents import part, text
from policies.lint.finding import Fault, Severity
from policies.lint.objects import Inputs, Object
from policies.lint.rule import rule
from policies.lint.scaled import (
    PAUSED_SCALE_IN,
    SCALED_OBJECT,
    advised_by_poll,
    bounds,
    foresail_triggers,
    is_given,
    number,
    reaches_zero,
    to_zero,
    triggers_of,
)
from scaler.durations import format_duration

_COOLDOWN: Final = 300
_POLL: Final = (15, 60)


@rule(
    "FS141",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="no fallback",
    fix="set fallback: failureThreshold 3, replicas for an ordinary day, currentReplicasIfHigher",
    source="KEDA, ScaledObject specification: fallback",
)
def no_fallback(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Without one, an outage of the scaler freezes the workload: nothing wakes it from 0, and the
    HPA changes nothing. Where KEDA may go to 0 leave it out while the mode is advise.
    """
    ours = foresail_triggers(of)
    if not ours or is_given(of, "spec", "fallback"):
        return
    if all(one.mode == "advise" and one in to_zero(of) for one in ours):
        return
    why = "while Foresail cannot answer, replicas stay as they are"
    do = "set failureThreshold: 3, replicas for an ordinary day, behavior: currentReplicasIfHigher"
    yield Fault(at=("spec", "fallback"), why=why, do=do)


@rule(
    "FS142",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="a fallback that takes replicas away",
    fix="set behavior: currentReplicasIfHigher",
    source="KEDA, ScaledObject specification: fallback.behavior (2.17)",
)
def fallback_shrinks(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """`static`, the default, goes to fallback.replicas from wherever the workload is: an outage of
    the scaler at noon removes replicas. `replicas: 0` lets it go to zero.
    """
    fallback = part(of.spec, "fallback")
    if not fallback or not foresail_triggers(of):
        return
    given = text(fallback, "behavior") or "static"
    if given in {"static", "currentReplicasIfLower"}:
        why = f"{given} removes replicas because the scaler is down"
        yield Fault(at=("spec", "fallback", "behavior"), why=why, do="set currentReplicasIfHigher")
    elif fallback.get("replicas") == 0 and reaches_zero(of):
        why = "KEDA goes on to zero after cooldownPeriod"
        do = "set the replicas of an ordinary day"
        yield Fault(at=("spec", "fallback", "replicas"), why=why, do=do)


@rule(
    "FS143",
    Severity.ERROR,
    on=SCALED_OBJECT,
    what="fallback replicas above the maximum",
    fix="lower fallback.replicas or raise maxReplicaCount",
    source="KEDA, ScaledObject specification: fallback",
)
def fallback_above_most(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The HPA cuts it at maxReplicaCount: the floor for outages that you count on is not there."""
    replicas, most = part(of.spec, "fallback").get("replicas"), bounds(of)[1]
    if isinstance(replicas, int) and replicas > most:
        why = f"above maxReplicaCount, which is {most}"
        yield Fault(at=("spec", "fallback", "replicas"), why=why, do=f"set {most} at the most")


@rule(
    "FS155",
    Severity.ERROR,
    on=SCALED_OBJECT,
    what="a fallback that KEDA refuses",
    fix="add a trigger other than cpu and memory, and numbers from 0 on",
    source="KEDA, scaledobject_types.go (CheckFallbackValid)",
)
def fallback_refused(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The fallback stands for a metric that a scaler cannot read; cpu and memory are the HPA's own.
    The webhook refuses the ScaledObject.
    """
    fallback = part(of.spec, "fallback")
    kinds = {one.type for one in triggers_of(of)}
    formula = part(of.spec, "advanced", "scalingModifiers")
    if fallback and kinds and kinds <= {"cpu", "memory"} and not formula:
        why = "every trigger is cpu or memory, for which there is no fallback"
        yield Fault(at=("spec", "fallback"), why=why, do="leave it out, or add another trigger")
    for name in ("failureThreshold", "replicas"):
        value = fallback.get(name)
        if isinstance(value, int) and value < 0:
            yield Fault(at=("spec", "fallback", name), why="below 0", do="set 0 or more")


@rule(
    "FS144",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="a cooldown shorter than two starts",
    fix="set cooldownPeriod to twice the lead time or more",
    source="KEDA, ScaledObject specification: cooldownPeriod; kedacore/keda#7770",
)
def cooldown(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """When the trigger was inactive that long, KEDA goes from any count straight to 0, past the
    HPA's policies. A pause in traffic then costs a whole start.
    """
    given = number(of, "cooldownPeriod", _COOLDOWN)
    for trigger in to_zero(of):
        if given < 2 * trigger.lead_seconds:
            why = (
                f"KEDA waits {given} s and goes straight to 0; a start takes "
                f"{format_duration(trigger.lead_seconds)}"
            )
            do = f"set {round(2 * trigger.lead_seconds)} or more"
            yield Fault(at=("spec", "cooldownPeriod"), why=why, do=do)


@rule(
    "FS145",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="a new workload that is stopped before it serves",
    fix="set initialCooldownPeriod to the lead time or more",
    source="KEDA, ScaledObject specification: initialCooldownPeriod; kedacore/keda#5008",
)
def initial_cooldown(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Until its first activity a new ScaledObject goes to 0 after initialCooldownPeriod, by default
    at the first poll: while the replica still loads its weights.
    """
    given = number(of, "initialCooldownPeriod", 0)
    for trigger in to_zero(of):
        if given < trigger.lead_seconds:
            lead = format_duration(trigger.lead_seconds)
            why = f"KEDA stops a new workload after {given} s; a start takes {lead}"
            do = f"set {round(trigger.lead_seconds)} or more"
            yield Fault(at=("spec", "initialCooldownPeriod"), why=why, do=do)


@rule(
    "FS156",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="mode advise that KEDA may take for idle",
    fix="use type: external-push; or, while the mode is advise, minReplicaCount: 1 with "
    'minReplicas: "1", or the annotation autoscaling.keda.sh/paused-scale-in: "true"',
    source="KEDA 2.21, scale_handler.go (getScalerState, ErrCacheClosed)",
)
def advise_taken_for_idle(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Alone and with 0 as its minimum, mode advise answers KEDA's polls with an error. If KEDA
    closes the scalers during such a poll, it takes the workload for idle, and scales it to 0 unless
    it was active within cooldownPeriod. Only over `external-push` can Foresail say that the
    workload runs.
    """
    if of.annotations.get(PAUSED_SCALE_IN) == "true":
        return
    for trigger in advised_by_poll(of):
        why = "KEDA may scale the workload to 0 when it closes the scalers during a poll"
        do = (
            'use external-push, or set minReplicaCount: 1 and minReplicas: "1", or the annotation '
            f'{PAUSED_SCALE_IN}: "true"'
        )
        yield Fault(at=(*trigger.at, "type"), why=why, do=do)


@rule(
    "FS146",
    Severity.INFO,
    on=SCALED_OBJECT,
    what="a polling interval that is too short or too long",
    fix="set pollingInterval to 15 seconds",
    source="KEDA, ScaledObject specification: pollingInterval; docs/settings.md, cycle.period",
)
def polling(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Foresail looks at its sources every 15 s: asking more often learns nothing new. Above a
    minute, KEDA notices late that a workload at 0 is wanted, and that a scaler fails.
    """
    given = number(of, "pollingInterval", 30)
    if foresail_triggers(of) and not _POLL[0] <= given <= _POLL[1]:
        why = (
            "Foresail's answer changes every 15 s"
            if given < _POLL[0]
            else "failures, and what wakes a workload, are noticed that late"
        )
        yield Fault(at=("spec", "pollingInterval"), why=why, do="set 15")
