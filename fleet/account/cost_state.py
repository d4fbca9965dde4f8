"""A cost book as bytes, so that its totals survive a restart."""

from collections.abc import Iterable
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fleet.account.cost_book import CostBook, TokenCost
from fleet.account.gpu_hours import SERIES_MAX, Cost, Costs, GpuHours, Series
from fleet.invalid import first_fault
from fleet.reasons import Reason
from fleet.tokens import MODELS_MAX, Tokens

FORMAT: Final = 1
STATE_BYTES_MAX: Final = 16 * 2**20
"""Thousands of series with names as long as Kubernetes allows take a third of it."""
_ROWS_MAX: Final = SERIES_MAX + 2 * len(Reason)
"""Beyond the most series there are those of the names `other`, with a model and without."""

Amount = Annotated[float, Field(ge=0, le=1e18, allow_inf_nan=False)]
"""No cluster comes near; sums of larger ones would be no numbers."""
Moment = Annotated[float, Field(allow_inf_nan=False)]


class CostStateError(ValueError):
    """Bytes that are no cost book of this program; the message says why."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Row(_Part):
    cluster: str
    pool: str | None
    generation: str | None
    reason: Reason
    model: str | None
    gpu_hours: Amount
    usd: Amount
    unpriced_gpu_hours: Amount
    reserved_usd: Amount


class _Model(_Part):
    model: str
    usd: Amount
    generated: Amount
    prompt: Amount


class _State(_Part):
    format: int
    first_seconds: Moment | None
    at_seconds: Moment | None
    totals: Annotated[tuple[_Row, ...], Field(max_length=_ROWS_MAX)]
    hourly: Annotated[tuple[_Row, ...], Field(max_length=_ROWS_MAX)]
    models: Annotated[tuple[_Model, ...], Field(max_length=MODELS_MAX)]


class _Header(BaseModel):
    format: int


def encoded(book: CostBook) -> bytes:
    """The book as bytes."""
    hours = book.gpu_hours
    state = _State(
        format=FORMAT,
        first_seconds=hours.first_seconds,
        at_seconds=hours.at_seconds,
        totals=tuple(_rows(hours.totals)),
        hourly=tuple(_rows(hours.hourly)),
        models=tuple(
            _Model(
                model=model,
                usd=cost.usd,
                generated=cost.tokens.generated,
                prompt=cost.tokens.prompt,
            )
            for model, cost in book.models.items()
        ),
    )
    return state.model_dump_json().encode()


def decoded(content: bytes) -> CostBook:
    """The book in bytes.

    Raises:
        CostStateError: too large, damaged, or of a newer program.
    """
    if len(content) > STATE_BYTES_MAX:
        raise CostStateError(f"over {STATE_BYTES_MAX} bytes")
    try:
        found = _Header.model_validate_json(content).format
        if found != FORMAT:
            raise CostStateError(f"format {found}; this program reads {FORMAT}")
        state = _State.model_validate_json(content)
    except ValidationError as error:
        raise CostStateError(first_fault(error)) from error
    return CostBook(
        gpu_hours=GpuHours(
            totals=_costs(state.totals),
            first_seconds=state.first_seconds,
            at_seconds=state.at_seconds,
            hourly=_costs(state.hourly),
        ),
        models={
            one.model: TokenCost(
                usd=one.usd, tokens=Tokens(generated=one.generated, prompt=one.prompt)
            )
            for one in state.models
        },
    )


def _rows(costs: Costs) -> Iterable[_Row]:
    for series, cost in costs.items():
        yield _Row(
            cluster=series.cluster,
            pool=series.pool,
            generation=series.generation,
            reason=series.reason,
            model=series.model,
            gpu_hours=cost.gpu_hours,
            usd=cost.usd,
            unpriced_gpu_hours=cost.unpriced_gpu_hours,
            reserved_usd=cost.reserved_usd,
        )


def _costs(rows: Iterable[_Row]) -> Costs:
    return {
        Series(
            cluster=row.cluster,
            pool=row.pool,
            generation=row.generation,
            reason=row.reason,
            model=row.model,
        ): Cost(
            gpu_hours=row.gpu_hours,
            usd=row.usd,
            unpriced_gpu_hours=row.unpriced_gpu_hours,
            reserved_usd=row.reserved_usd,
        )
        for row in rows
    }
