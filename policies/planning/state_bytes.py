"""What planning remembers as bytes, so that it survives a restart."""

from base64 import b64decode, b64encode
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fleet.cluster.owners import Workload
from fleet.invalid import first_fault
from policies.decide import DecisionState
from policies.planning.demand import POOLS_MAX, SavedDemand
from policies.planning.node_planning import PlanningState
from policies.planning.planned_replicas import WORKLOADS_MAX, UsualPool
from policies.planning.spending import POLICIES_MAX, PolicySpending, SpendingBook
from policies.planning.tuning import EVIDENCE_MAX, Evidence, TunedPools, TuningRecord
from policies.reading.nodes import NodesSeen, UsualNode
from policies.rules.constants import RuleConstants

FORMAT: Final = 1
STATE_BYTES_MAX: Final = 128 * 2**20
"""256 pools with eight days of demand each take half of it."""
_LABELS_MAX: Final = 256
_NODES_MAX: Final = 65_536
_NOTES_MAX: Final = 65_536

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Moment = Annotated[float, Field(allow_inf_nan=False)]


class StateRefusedError(ValueError):
    """Bytes that are no state of this program; the message says why."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _UsualPool(_Part):
    kind: str
    namespace: str
    name: str
    pool: str
    gpus_per_replica: Amount
    seen_seconds: Moment
    labels: Annotated[dict[str, str], Field(max_length=_LABELS_MAX)] = {}
    """Left out where there are none, as by programs that did not know them."""


class _UsualNode(_Part):
    gpus: Annotated[int, Field(gt=0)]
    instance_type: str | None = None


class _Month(_Part):
    month: Annotated[str, Field(pattern=r"^\d{4}-\d{2}$")]
    usd: Amount


class _Spending(_Part):
    policies: Annotated[dict[str, _Month], Field(max_length=POLICIES_MAX)]
    at_seconds: Moment | None
    usd_per_hour: Annotated[dict[str, Amount], Field(max_length=POLICIES_MAX)]


class _Demand(_Part):
    forecaster: str
    step: int
    highest_gpus: Amount


class _Evidence(_Part):
    hold_factor: Factor
    order_factor: Factor
    cost: Amount


class _Factors(_Part):
    hold_factor: Factor
    order_factor: Factor


class _Tuning(_Part):
    at_seconds: Moment
    before: _Factors
    after: _Factors
    evidence: Annotated[tuple[_Evidence, ...], Field(min_length=1, max_length=EVIDENCE_MAX)]


class _State(_Part):
    format: int
    started_seconds: Moment | None
    noted: Annotated[
        dict[str, Annotated[dict[str, Moment], Field(max_length=_NOTES_MAX)]],
        Field(max_length=_NOTES_MAX),
    ]
    empty_since: Annotated[dict[str, Moment], Field(max_length=_NODES_MAX)]
    starting: Annotated[tuple[str, ...], Field(max_length=_NODES_MAX)]
    usual_pools: Annotated[tuple[_UsualPool, ...], Field(max_length=WORKLOADS_MAX)]
    spending: _Spending
    demand: Annotated[dict[str, _Demand], Field(max_length=POOLS_MAX)]
    tuned: Annotated[dict[str, _Tuning], Field(max_length=POOLS_MAX)] = {}
    """Left out where no pool is tuned, as by programs that did not know it."""
    usual_nodes: Annotated[dict[str, _UsualNode], Field(max_length=POOLS_MAX)] = {}
    """The same, where no NodePool has had nodes."""


class _Header(BaseModel):
    format: int


def encode_state(state: PlanningState) -> bytes:
    """The state as bytes."""
    spending = state.spending
    return (
        _State(
            format=FORMAT,
            started_seconds=state.decisions.started_seconds,
            noted={pool: dict(notes) for pool, notes in state.decisions.pools.items()},
            empty_since=dict(state.seen.empty_since_seconds),
            starting=tuple(sorted(state.seen.starting)),
            usual_pools=tuple(
                _UsualPool(
                    kind=workload.kind,
                    namespace=workload.namespace,
                    name=workload.name,
                    pool=usual.pool,
                    gpus_per_replica=usual.gpus_per_replica,
                    seen_seconds=usual.seen_seconds,
                    labels=dict(list(usual.labels.items())[:_LABELS_MAX]),
                )
                for workload, usual in state.usual_pools.items()
            ),
            spending=_Spending(
                policies={
                    name: _Month(month=one.month, usd=one.usd)
                    for name, one in spending.policies.items()
                },
                at_seconds=spending.at_seconds,
                usd_per_hour=dict(spending.usd_per_hour),
            ),
            demand={
                name: _Demand(
                    forecaster=b64encode(one.forecaster).decode(),
                    step=one.step,
                    highest_gpus=one.highest_gpus,
                )
                for name, one in state.demand.items()
            },
            tuned={name: _tuning(one) for name, one in state.tuned.records.items()},
            usual_nodes={
                name: _UsualNode(gpus=one.gpus, instance_type=one.instance_type)
                for name, one in list(state.seen.usual.items())[:POOLS_MAX]
            },
        )
        .model_dump_json(exclude_defaults=True)
        .encode()
    )


def decode_state(content: bytes) -> PlanningState:
    """The state in bytes.

    Raises:
        StateRefusedError: too large, damaged, or of a newer program.
    """
    if len(content) > STATE_BYTES_MAX:
        raise StateRefusedError(f"{len(content)} bytes, over {STATE_BYTES_MAX}")
    try:
        found = _Header.model_validate_json(content).format
        if found != FORMAT:
            raise StateRefusedError(f"format {found}; this program reads {FORMAT}")
        state = _State.model_validate_json(content)
    except ValidationError as error:
        raise StateRefusedError(first_fault(error)) from error
    return PlanningState(
        decisions=DecisionState(started_seconds=state.started_seconds, pools=state.noted),
        seen=NodesSeen(
            empty_since_seconds=state.empty_since,
            starting=frozenset(state.starting),
            usual={
                name: UsualNode(gpus=one.gpus, instance_type=one.instance_type)
                for name, one in state.usual_nodes.items()
            },
        ),
        usual_pools={
            Workload(kind=one.kind, namespace=one.namespace, name=one.name): UsualPool(
                pool=one.pool,
                gpus_per_replica=one.gpus_per_replica,
                seen_seconds=one.seen_seconds,
                labels=one.labels,
            )
            for one in state.usual_pools
        },
        spending=SpendingBook(
            policies={
                name: PolicySpending(month=one.month, usd=one.usd)
                for name, one in state.spending.policies.items()
            },
            at_seconds=state.spending.at_seconds,
            usd_per_hour=state.spending.usd_per_hour,
        ),
        demand={
            name: SavedDemand(
                forecaster=_bytes(name, one.forecaster),
                step=one.step,
                highest_gpus=one.highest_gpus,
            )
            for name, one in state.demand.items()
        },
        tuned=TunedPools(records={name: _record(one) for name, one in state.tuned.items()}),
    )


def _tuning(record: TuningRecord) -> _Tuning:
    return _Tuning(
        at_seconds=record.at_seconds,
        before=_factors(record.before),
        after=_factors(record.after),
        evidence=tuple(
            _Evidence(hold_factor=one.hold_factor, order_factor=one.order_factor, cost=one.cost)
            for one in record.evidence
        ),
    )


def _factors(constants: RuleConstants) -> _Factors:
    return _Factors(hold_factor=constants.hold_factor, order_factor=constants.order_factor)


def _record(tuning: _Tuning) -> TuningRecord:
    return TuningRecord(
        at_seconds=tuning.at_seconds,
        before=RuleConstants(**tuning.before.model_dump()),
        after=RuleConstants(**tuning.after.model_dump()),
        evidence=tuple(Evidence(**one.model_dump()) for one in tuning.evidence),
    )


def _bytes(pool: str, text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise StateRefusedError(f"demand.{pool}.forecaster: {error}") from error
