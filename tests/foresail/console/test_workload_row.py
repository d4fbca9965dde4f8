"""A plan as a row of the list: what it shows, what needs a person, and what stays unknown."""

import pytest

from foresail.console.records import Level
from foresail.console.workload_row import key_of, objective_kept, row_of, state_of
from foresail.plans_api.plan import Plan
from scaler.decision.answers import Reference
from scaler.rpc.foresail.v1 import plans_pb2 as pb
from tests.foresail.console.plans import plan


def test_a_row_has_what_was_measured() -> None:
    row = row_of(plan(), usd_per_hour=20.0)

    assert (row.title, row.model, row.mode) == ("llm/chat", "llama-70b", "act")
    assert (row.demand, row.planned, row.ready) == (3500.0, 5, 5)
    assert (row.objective_kept, row.usd_per_hour) == (True, 20.0)
    assert (row.state.level, row.state.text) == (Level.OK, "as planned")


def test_what_is_not_measured_is_unknown_and_never_zero() -> None:
    row = row_of(plan(demand=(3000.0, None), signals={}, planned=None), usd_per_hour=None)

    assert row.demand is row.planned is row.ready is row.usd_per_hour is None
    assert row.objective_kept is None


def test_a_measured_zero_is_zero() -> None:
    row = row_of(plan(demand=(0.0, 0.0), signals={"replicas": 0.0}, planned=0), usd_per_hour=0.0)
    assert (row.demand, row.planned, row.ready, row.usd_per_hour) == (0.0, 0, 0, 0.0)


@pytest.mark.parametrize(
    ("one", "level", "text"),
    [
        pytest.param(
            plan(refused=pb.Refused(code="unavailable", message="nothing for 5m")),
            Level.BAD,
            "KEDA gets an error: nothing for 5m",
            id="refused",
        ),
        pytest.param(
            plan(valid_for_seconds=None, age_seconds=400.0),
            Level.BAD,
            "the last plan stands no longer, 6m40s old",
            id="too-old",
        ),
        pytest.param(plan(failure="HTTP 503"), Level.BAD, "not read: HTTP 503", id="not-read"),
        pytest.param(plan(planned=None), Level.BAD, "no plan yet", id="no-plan"),
        pytest.param(
            plan(steps=(pb.PlanStep(rule="objective", text="maxReplicas 5 cannot"),)),
            Level.BAD,
            "maxReplicas 5 cannot",
            id="beyond-its-bounds",
        ),
        pytest.param(
            plan(signals={"replicas": 5.0, "ttft": 3.0, "itl": 0.03}),
            Level.WATCH,
            "late: TTFT p95 3 s of 2 s",
            id="late",
        ),
        pytest.param(
            plan(learned_lead=pb.LearnedLead(seconds=300, stuck_replicas=2)),
            Level.WATCH,
            "2 replicas were ordered and never got ready",
            id="stuck",
        ),
        pytest.param(plan(planned=8), Level.OK, "3 starting", id="starting"),
        pytest.param(plan(planned=4), Level.OK, "1 to go", id="to-go"),
        pytest.param(plan(mode=pb.MODE_ADVISE), Level.OK, "only advised", id="advises"),
    ],
)
def test_a_state_says_what_a_person_should_know_first(one: Plan, level: Level, text: str) -> None:
    assert (state_of(one).level, state_of(one).text) == (level, text)


def test_one_missed_limit_misses_the_objective_though_the_other_is_unknown() -> None:
    assert objective_kept(plan(signals={"ttft": 2.5})) is False
    assert objective_kept(plan(signals={"ttft": 1.5})) is None
    assert objective_kept(plan(objective=None)) is None


def test_two_triggers_of_one_object_have_two_keys() -> None:
    first, second = (Reference.of("llm", "chat", {"model": one}) for one in ("a", "b"))
    assert key_of(first) != key_of(second)
    assert key_of(first) == key_of(Reference.of("llm", "chat", {"model": "a"}))
