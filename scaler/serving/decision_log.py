"""What the log says of decisions: a change once, with every rule that shaped it."""

from typing import assert_never

import structlog

from scaler.decision.answers import Answer, Reference, Refusal
from scaler.decision.evaluate import CycleState

log = structlog.get_logger()


def log_change(reference: Reference, before: CycleState, after: CycleState) -> None:
    """Say how what KEDA is told differs from what it was told before."""
    workload, told = str(reference), before.timed.outcome
    match after.timed.outcome:
        case Answer(replicas=replicas):
            previous = told.replicas if isinstance(told, Answer) else None
            if replicas == previous:
                return
            steps = after.plan.steps if after.plan is not None else ()
            log.info(
                "scaling_decided",
                workload=workload,
                replicas_from=previous,
                replicas_to=replicas,
                handed_over=after.plan is not None and after.plan.desired is not None,
                why=[f"{step.rule}: {step.text}" for step in steps],
            )
        case Refusal(code=code, message=message):
            is_new = not (isinstance(told, Refusal) and told.code == code)
            say = log.warning if is_new else log.debug
            say("no_answer", workload=workload, reason=code, message=message)
        case _:
            assert_never(after.timed.outcome)


def log_refused(reference: Reference, refusal: Refusal) -> None:
    """Say why an object's metadata cannot be used, when KEDA asks about it for the first time."""
    log.warning("no_answer", workload=str(reference), reason=refusal.code, message=refusal.message)
