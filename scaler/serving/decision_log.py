"""Log entries for decisions: each change once, with every rule that shaped it."""

from typing import assert_never

import structlog

from scaler.decision.answers import Answer, Reference, Refusal
from scaler.evaluate import CycleState

log = structlog.get_logger()


def log_change(reference: Reference, before: CycleState, after: CycleState) -> None:
    """Log how the outcome for KEDA differs from the one before."""
    workload, last = str(reference), before.timed.outcome
    match after.timed.outcome:
        case Answer(replicas=replicas):
            previous = last.replicas if isinstance(last, Answer) else None
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
            is_new = not (isinstance(last, Refusal) and last.code == code)
            write = log.warning if is_new else log.debug
            write("no_answer", workload=workload, reason=code, message=message)
        case _:
            assert_never(after.timed.outcome)


def log_refused(reference: Reference, refusal: Refusal) -> None:
    """Log why metadata cannot be used, when KEDA first asks about the object."""
    log.warning("no_answer", workload=str(reference), reason=refusal.code, message=refusal.message)
