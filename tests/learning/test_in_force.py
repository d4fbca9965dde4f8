"""What was learned of the lead time, and the parameters that plans are then made with."""

from dataclasses import replace

import pytest

from scaler.learning.estimates import LeadEstimate, StuckOrders
from scaler.learning.in_force import in_force
from tests.scaler.fakes import PARAMETERS

TOLD = replace(PARAMETERS, lead_seconds=300, hold_seconds=300, hold_follows_lead=True)


def learned(seconds: float, stuck: StuckOrders | None = None) -> LeadEstimate:
    return LeadEstimate(seconds=seconds, evidence="14 starts", stuck=stuck)


def test_nothing_learned_changes_nothing_and_leaves_no_step() -> None:
    assert in_force(TOLD) == (TOLD, ())


@pytest.mark.parametrize(
    ("told_seconds", "seconds", "hold_seconds"),
    [
        pytest.param(300, 420, 420, id="longer"),
        pytest.param(300, 90, 90, id="shorter"),
        pytest.param(300, 15, 60, id="engines-that-wake-in-seconds-stay-a-minute"),
        pytest.param(20, 15, 20, id="or-as-long-as-the-operator-said"),
    ],
)
def test_a_hold_that_was_not_given_follows_the_lead_time(
    told_seconds: float, seconds: float, hold_seconds: float
) -> None:
    told = replace(TOLD, lead_seconds=told_seconds, hold_seconds=told_seconds)

    found, steps = in_force(told, lead=learned(seconds))

    assert (found.lead_seconds, found.hold_seconds) == (seconds, hold_seconds)
    assert [step.rule for step in steps] == ["lead time"]


def test_a_hold_that_was_given_stays() -> None:
    found, _ = in_force(replace(TOLD, hold_follows_lead=False), lead=learned(90))

    assert (found.lead_seconds, found.hold_seconds) == (90, 300)


@pytest.mark.parametrize(
    ("others_came", "text"),
    [
        (True, "others came since, so these are not counted on"),
        (False, "none came since, so none is ordered in their place"),
    ],
)
@pytest.mark.parametrize("fixed", [False, True])
def test_stuck_replicas_are_named_whether_the_lead_time_is_fixed_or_not(
    others_came: bool, text: str, fixed: bool
) -> None:
    stuck = StuckOrders(replicas=2, seconds=2400, others_came=others_came)

    found, steps = in_force(replace(TOLD, lead_fixed=fixed), lead=learned(90, stuck))

    assert found.lead_seconds == (300 if fixed else 90)
    assert steps[-1].rule == "stuck"
    assert steps[-1].text.startswith("2 wanted for up to 40m never became ready")
    assert text in steps[-1].text
