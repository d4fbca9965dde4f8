"""The books for people: what each rule would have cost, how late it would have been, and why."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scaler.decision.parameters import PlanParameters
from scaler.learning.shadows.books import CHOICE_HOUR
from scaler.learning.shadows.choice import CHEAPER_MAX, DAYS_MIN, DEARER_MAX, Choice, Verdict
from scaler.learning.shadows.record import Shadows
from scaler.learning.shadows.settings import (
    GIVEN,
    PEOPLES,
    PEOPLES_TEXT,
    SETTINGS,
    setting_text,
    settings_of,
)

GIVEN_RULE: Final = "given"
RULES: Final = (GIVEN_RULE, *(f"setting {place}" for place in range(1, SETTINGS)), *PEOPLES)
"""The rules in the books, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedRule:
    """One rule over the days in the books; None is not known."""

    rule: str
    """`given`, `setting N`, or the name of a rule that people use."""
    text: str
    in_force: bool
    gpu_hours: float | None
    """One replica counts as one GPU."""
    late: float | None
    """Share of the work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BooksAccount:
    """The books of one workload."""

    days: float
    """Measured time in the books."""
    rules: tuple[BookedRule, ...]
    gpu_hours: float | None
    """Of the real replicas."""
    late: float | None
    """As measured, where latency or the queue was."""
    modelled_late: float | None
    """The model's share for the real replicas, over the same minutes."""
    chooses: bool
    why: str
    """Why the setting in force is that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedFigures:
    """The figures of the books without their texts; None is not known."""

    days: float
    """Measured time in the books."""
    in_force: int
    """Place of the rule in `RULES`."""
    gpu_hours: Sequence[float | None]
    """By rule."""
    late: Sequence[float | None]
    """By rule, share of the work."""
    real_gpu_hours: float | None
    """Of the real replicas."""
    measured_late: float | None
    modelled_late: float | None
    """The model's share for the real replicas, over the same minutes."""


def figures_of(shadows: Shadows, parameters: PlanParameters) -> BookedFigures:
    """The figures of the books as they are.

    Args:
        parameters: of the trigger, with its own setting.
    """
    days = shadows.books.all()
    return BookedFigures(
        days=days.minutes / 1440,
        in_force=shadows.choice.place if parameters.tuning.chooses else GIVEN,
        gpu_hours=[_known(hours) for hours in days.gpu_hours.tolist()],
        late=[_known(late) for late in days.late_shares.tolist()],
        real_gpu_hours=_known(days.paid_hours),
        measured_late=_known(days.measured_late),
        modelled_late=_known(days.modelled_late),
    )


def account_of(shadows: Shadows, parameters: PlanParameters) -> BooksAccount:
    """The books as they are.

    Args:
        parameters: of the trigger, with its own setting.
    """
    figures = figures_of(shadows, parameters)
    settings = settings_of(parameters).settings
    texts = (*map(setting_text, settings), *(PEOPLES_TEXT[name] for name in PEOPLES))
    of_rules = zip(RULES, texts, figures.gpu_hours, figures.late, strict=True)
    return BooksAccount(
        days=figures.days,
        rules=tuple(
            BookedRule(
                rule=name,
                text=text,
                in_force=number == figures.in_force,
                gpu_hours=hours,
                late=late,
            )
            for number, (name, text, hours, late) in enumerate(of_rules)
        ),
        gpu_hours=figures.real_gpu_hours,
        late=figures.measured_late,
        modelled_late=figures.modelled_late,
        chooses=parameters.tuning.chooses,
        why=why(shadows.choice, parameters),
    )


_WHY: Final = {
    Verdict.FIRST_DAYS: "the trigger's own: a choice is made {at}, and needs {least} whole days "
    "in the books; there are {days}",
    Verdict.CHEAPEST: "chosen {at}: the cheapest that keeps {goal} over {days} days with the "
    "spread of the days as margin ({late} late), at most {cheaper} cheaper or {dearer} dearer than "
    "the one before",
    Verdict.ON_AVERAGE: "chosen {at}: none keeps {goal} over {days} days with the spread of the "
    "days as margin, this one is the cheapest that keeps it on average ({late} late), at most "
    "{cheaper} cheaper or {dearer} dearer than the one before",
    Verdict.SAFER: "chosen {at}: none keeps {goal} over {days} days, this one is a step safer than "
    "the one before ({late} late with the spread of the days as margin)",
    Verdict.UNJUDGED: "kept: neither latency nor queue is measured, so the model is not checked",
    Verdict.LATER: "kept: the model is off, {measured} was late over {days} days and the model "
    "says {modelled}; perhaps a replica's capacity is set too high",
    Verdict.EARLIER: "kept: the model is off, {measured} was late over {days} days and the model "
    "says {modelled}; perhaps a replica's capacity is set too low",
    Verdict.OTHER_REPLICAS: "kept: the model is off, the plan wanted other replicas than its "
    "shadow over {days} days",
}


def why(choice: Choice, parameters: PlanParameters) -> str:
    """Why the setting in force is that."""
    tuning = parameters.tuning
    if not tuning.chooses:
        return "the trigger's own; shadows keep books and choose nothing here"
    return _WHY[choice.verdict].format(
        at=f"at {CHOICE_HOUR:02d}:00 {tuning.timezone}",
        goal=f"{parameters.objective.attainment:.4g} in time",
        days=choice.days,
        least=DAYS_MIN,
        late=_percent(choice.late),
        measured=_percent(choice.measured),
        modelled=_percent(choice.modelled),
        cheaper=f"{CHEAPER_MAX:.0%}",
        dearer=f"{DEARER_MAX:.0%}",
    )


def _percent(share: float) -> str:
    return "?" if math.isnan(share) else f"{share:.2%}"


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number
