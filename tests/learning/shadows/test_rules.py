"""The shadow of the setting in force wants what the plan wants, minute by minute."""

import math
from dataclasses import replace

import numpy as np
import pytest

from scaler.decision.demand import Demand
from scaler.decision.outlook import Outlook
from scaler.decision.parameters import PlanParameters
from scaler.decision.plan import PlanState, decide
from scaler.decision.schedule import NeedAhead
from scaler.learning.shadows.look import look_of
from scaler.learning.shadows.record import Shadows, after_look
from scaler.learning.shadows.rules import Present, SettingFleets, plan_needs
from scaler.learning.shadows.settings import GIVEN, SETTINGS, settings_of
from scaler.signals import Observation, Signal, Value
from tests.learning.shadows.days import MONDAY
from tests.scaler.fakes import PARAMETERS

BY_COST = replace(PARAMETERS, late_minute_cost=15.0, hold_given=False)
LEVELS = (0.5, 0.9, 0.95, 0.99)


def saw(at: float) -> float:
    """Work in replicas: waves of forty minutes, 4 to 16."""
    return 10 + 6 * math.sin(at / 2400 * 2 * math.pi)


def ahead(at: float, *, judged: int, skill: float) -> Outlook:
    seconds = tuple(float(after) for after in range(0, 1801, 60))
    rows = tuple(tuple(saw(at + s) * (0.8 + 0.3 * q) for q in LEVELS) for s in seconds)
    return Outlook(
        replicas=rows[5][1],
        text="",
        reach_seconds=1800.0,
        skill=skill,
        judged=judged,
        need=NeedAhead(seconds=seconds, levels=LEVELS, quantiles=rows),
    )


@pytest.mark.parametrize(
    ("parameters", "judged", "skill"),
    [
        pytest.param(BY_COST, 1000, 0.3, id="cost"),
        pytest.param(BY_COST, 1000, -0.05, id="cost-and-half-a-forecast"),
        # At a lead time of a minute the present with head-room is enough: nothing queues.
        pytest.param(replace(BY_COST, lead_seconds=60.0), 0, 0.3, id="cost-and-no-evidence"),
        pytest.param(replace(BY_COST, hold_given=True), 1000, 0.3, id="cost-and-a-given-hold"),
        pytest.param(PARAMETERS, 1000, 0.3, id="quantile"),
        pytest.param(replace(BY_COST, lead_seconds=1860.0), 1000, 0.3, id="beyond-the-reach"),
    ],
)
def test_the_shadow_of_the_given_setting_wants_what_the_plan_wants(
    parameters: PlanParameters, judged: int, skill: float
) -> None:
    state, planned, shadowed = PlanState(), [], []
    shadows: Shadows | None = None
    for minute in range(120):
        at = MONDAY + 60 * minute
        work = saw(at)
        seen = {
            Signal.RUNNING: work * 10,
            Signal.WAITING: 0.0,
            Signal.PROMPT_TOKENS: work * 1000,
            Signal.GENERATED_TOKENS: 0.0,
            Signal.REQUESTS: work * 10,
            Signal.REPLICAS: 18.0,
        }
        observation = Observation(
            at_seconds=at,
            readings={s: Value(value=value, at_seconds=at) for s, value in seen.items()},
        )
        demand = Demand(
            at_seconds=at,
            prompt_tokens=work * 1000,
            generated_tokens=0.0,
            requests=work * 10,
            in_flight=work * 10,
        )
        outlook = ahead(at, judged=judged, skill=skill)
        plan, state = decide(observation, demand, outlook, parameters, state)
        look = look_of(observation, demand, plan, parameters)
        assert look is not None
        shadows = after_look(shadows, look, outlook, parameters)
        planned.append(plan.planned)
        shadowed.append(int(shadows.fleets.wanted[GIVEN, 0]))

    # The first hold is of the replicas that ran before.
    assert shadowed[45:] == planned[45:]
    assert max(planned[45:]) > min(planned[45:])


def test_a_fleet_with_a_queue_releases_nothing() -> None:
    # Work of 5 replicas; more than what comes in a second waits with the first fleet only.
    present = Present(
        work=5.0, slots=0.0, outlook=None, lead_seconds=300.0, running=50.0, replica_requests=50.0
    )
    queued = np.full(SETTINGS, 4.0)
    queued[GIVEN] = 6.0
    fleets = SettingFleets(supply=np.full(SETTINGS, 20.0), queued=queued)

    needs = plan_needs(settings_of(BY_COST), present, fleets, queued_after=np.zeros(SETTINGS))

    assert needs[GIVEN] == 20
    assert needs[GIVEN + 1 :].max() == pytest.approx(5 / 0.5)
