"""Any state, for property tests, and one for the others."""

from hypothesis import strategies as st

from scaler.decision.answers import Answer, Reference
from scaler.decision.backlog import Order
from scaler.decision.demand import Demand, DemandState, Mix
from scaler.decision.need import Step
from scaler.decision.plan import PlanState, ReplicaPlan
from scaler.decision.series import DemandSeries
from scaler.decision.tracker import TrackerState
from scaler.state.records import FeedState, Learned, WorkloadState
from scaler.trigger import REPLICAS_MAX

NOW = 1_790_000_000.0
REFERENCE = Reference.of("llm", "llama", {"model": "llama-70b", "maxReplicas": "40"})

times = st.floats(0, 4e9)
counts = st.integers(0, REPLICAS_MAX)
numbers = st.floats(allow_nan=False)
amounts = st.none() | st.floats(0, 1e15)
texts = st.text(st.characters(codec="utf-8"), max_size=30)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
learned = st.dictionaries(
    names, st.builds(Learned, version=st.integers(0, 2**32 - 1), value=st.binary(max_size=50))
)

workloads = st.builds(
    WorkloadState,
    reference=st.builds(Reference.of, names, names, st.dictionaries(texts, texts, max_size=4)),
    asked_at_seconds=times,
    answer=st.none()
    | st.builds(Answer, replicas=counts, active=st.booleans(), made_at_seconds=times),
    memory=st.builds(
        PlanState,
        needs=st.lists(st.tuples(times, counts), max_size=4).map(tuple),
        orders=st.lists(st.builds(Order, at_seconds=times, replicas=counts), max_size=4).map(tuple),
        handed=st.none() | counts,
        planned=st.none() | counts,
    ),
    plan=st.none()
    | st.builds(
        ReplicaPlan,
        at_seconds=times,
        desired=st.none() | counts,
        planned=counts,
        reactive=counts,
        active=st.booleans(),
        partly_measured=st.booleans(),
        steps=st.lists(
            st.builds(Step, rule=texts, text=texts, replicas=numbers, measured=st.booleans()),
            max_size=3,
        ).map(tuple),
    ),
    learned=learned,
)

demands = st.builds(
    Demand,
    at_seconds=times,
    prompt_tokens=amounts,
    generated_tokens=amounts,
    requests=amounts,
    in_flight=amounts,
)
feeds = st.builds(
    FeedState,
    key=names,
    taken_at_seconds=times,
    tracker=st.builds(
        TrackerState,
        step_seconds=st.floats(0.1, 1e5),
        open_step=st.none() | st.integers(-(2**40), 2**40),
        looks=st.lists(demands, max_size=4).map(tuple),
        demand=st.none() | demands,
        demand_state=st.none()
        | st.builds(
            DemandState,
            mix=st.builds(
                Mix,
                at_seconds=times,
                requests=numbers,
                prompt_tokens=numbers,
                generated_tokens=numbers,
            ),
            waiting=amounts,
            waiting_at_seconds=times,
        ),
        has_closed=st.booleans(),
        forecasters=st.dictionaries(st.sampled_from(list(DemandSeries)), st.binary(max_size=200)),
        clock_steps=st.lists(
            st.tuples(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40)), max_size=4
        ).map(tuple),
    ),
    learned=learned,
)


def workload(replicas: int = 7, *, at: float = NOW, name: str = "llama") -> WorkloadState:
    """A state as it is a moment after an answer."""
    return WorkloadState(
        reference=Reference.of("llm", name, dict(REFERENCE.metadata)),
        asked_at_seconds=at,
        answer=Answer(replicas=replicas, active=True, made_at_seconds=at),
        memory=PlanState(needs=((at, replicas),), handed=replicas),
    )


def feed(key: str = "feed", *, at: float = NOW, snapshot: bytes = b"") -> FeedState:
    return FeedState(
        key=key,
        taken_at_seconds=at,
        tracker=TrackerState(
            step_seconds=60.0,
            open_step=None,
            looks=(),
            demand=None,
            demand_state=None,
            has_closed=False,
            forecasters={
                DemandSeries.PROMPT_TOKENS: snapshot,
                DemandSeries.GENERATED_TOKENS: snapshot,
            },
        ),
    )
