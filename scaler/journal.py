"""What the log says of decisions: a change once, with every rule that shaped it."""

from typing import assert_never

import structlog

from scaler.board import Answer, Entry, Outcome, Refusal
from scaler.verdict import Standing

log = structlog.get_logger()


def note_change(entry: Entry, outcome: Outcome, standing: Standing) -> None:
    """Say how the outcome about to be published differs from the one that stands."""
    workload, before = str(entry.reference), entry.outcome
    match outcome:
        case Answer(replicas=replicas):
            previous = before.replicas if isinstance(before, Answer) else None
            if replicas == previous:
                return
            steps = standing.plan.steps if standing.plan is not None else ()
            log.info(
                "scaling_decided",
                workload=workload,
                replicas_from=previous,
                replicas_to=replicas,
                handed_over=entry.abstention is None,
                why=[f"{step.rule}: {step.text}" for step in steps],
            )
        case Refusal(code=code, message=message):
            is_new = not (isinstance(before, Refusal) and before.code == code)
            say = log.warning if is_new else log.debug
            say("no_answer", workload=workload, reason=code, message=message)
        case _:
            assert_never(outcome)


def note_refused(entry: Entry) -> None:
    """Say why an object's metadata cannot be used, when KEDA asks about it for the first time."""
    if isinstance(entry.outcome, Refusal):
        log.warning(
            "no_answer",
            workload=str(entry.reference),
            reason=entry.outcome.code,
            message=entry.outcome.message,
        )
