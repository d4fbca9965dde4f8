"""The trigger spec: the metadata of a ScaledObject's trigger, as one validated record.

Each key is a field here; `scaler.trigger_parsing` makes the record from a tenant's strings.
"""

import re
from enum import StrEnum
from typing import Annotated, Final, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from fleet.objective import ATTAINMENT, ITL_SECONDS, TTFT_SECONDS
from scaler import events
from scaler.durations import parse_duration
from scaler.events import Event

METADATA_CHARACTERS_MAX: Final = 16_384
"""Of all keys and values of one trigger."""
METADATA_KEYS_MAX: Final = 128
"""Of one trigger: some forty are known, and each key costs time at each call."""
REPLICAS_MAX: Final = 100_000
"""More than any trigger may ask for."""
PRIORITY_MAX: Final = 1000
LATE_MINUTE_COST: Final = 15.0
"""GPU-minutes. Chosen with a prototype of the rule on five generated traces with jumps, at a told
capacity: 10 kept 96.9 % in time, 15 kept 99.0 %."""
KEDA_KEYS: Final = frozenset(
    {
        "scalerAddress",
        "enableTLS",
        "unsafeSsl",
        "caCert",
        "tlsCertFile",
        "tlsClientCert",
        "tlsClientKey",
    }
)
"""KEDA's own keys; KEDA sends the whole map, so they arrive too and are ignored."""

_ZONE_CHARACTERS_MAX: Final = 64
_LABEL: Final = re.compile(r"\s*([a-zA-Z_][a-zA-Z0-9_]*)=([^,]*)")


class Mode(StrEnum):
    """The effect of a plan. The full plan is computed, recorded and shown in every mode."""

    ADVISE = "advise"
    """No replica changes."""
    REACTIVE = "reactive"
    """The need of the present, with head-room, sets replicas."""
    ACT = "act"
    """The plan sets replicas."""


class LeadTimeUse(StrEnum):
    """What `leadTime` is to the plan."""

    LEARNED = "learned"
    """The start: the workload's own orders show more."""
    FIXED = "fixed"
    """The lead time, whatever orders show."""


class Capacity(StrEnum):
    """Where the capacity of a replica comes from."""

    LEARNED = "learned"
    """From the engine's own metrics; given figures are the start."""
    FIXED = "fixed"
    """The given figures alone."""


class Phase(StrEnum):
    """What the replicas of a workload do of a request."""

    BOTH = "both"
    PREFILL = "prefill"
    """They compute prompts, and send the cache to others."""
    DECODE = "decode"
    """They generate, from a cache that others computed."""


class TuningBy(StrEnum):
    """What sets the figures of the plan that the trigger does not give."""

    CORRECTED = "corrected"
    """The defaults, made more careful within the day while too many requests are late."""
    SHADOWS = "shadows"
    """Shadows choose them after the first days; corrected within the day too."""
    FIXED = "fixed"
    """The defaults."""


def _labels(text: object) -> object:
    if not isinstance(text, str):
        return text
    pairs = [_LABEL.fullmatch(part) for part in text.split(",")]
    if not all(pairs):
        message = "not of the form name=value,name=value"
        raise ValueError(message)
    return tuple(sorted((pair[1], pair[2].strip()) for pair in pairs if pair))


def _events(text: object) -> object:
    return events.parse(text) if isinstance(text, str) else text


def _share(text: object) -> object:
    if isinstance(text, str) and text.strip().endswith("%"):
        return float(text.strip()[:-1]) / 100
    return text


Attainment = Annotated[float, BeforeValidator(_share)]
Seconds = Annotated[float, BeforeValidator(parse_duration)]
Labels = Annotated[tuple[tuple[str, str], ...], BeforeValidator(_labels)]
Events = Annotated[tuple[Event, ...], BeforeValidator(_events)]
TokenRate = Annotated[float | None, Field(gt=0, lt=1e9, allow_inf_nan=False)]


class TriggerSpec(BaseModel):
    """The metadata of one trigger. Field names are the metadata keys in snake case.

    Each description says what is allowed; error messages show it.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=False
    )

    model: str = Field(
        min_length=1, max_length=253, description="the served model's name, as its metrics show it"
    )
    engine: str = Field(default="vllm", description="an engine preset")
    source: str | None = Field(default=None, description="a source of the operator's settings")
    gateway: str | None = Field(
        default=None, description="the preset of a gateway that all requests of the model pass"
    )
    gateway_source: str | None = Field(
        default=None, description="a source of the operator's settings"
    )
    requesters: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="the Deployment of the model's requesters under Fast Model Actuation",
    )
    inference_server_config: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="the InferenceServerConfig of the model under Fast Model Actuation",
    )
    server_address: str | None = Field(
        default=None,
        max_length=2048,
        description="a Prometheus address that the operator's settings allow",
    )
    match_labels: Labels = Field(
        default=(), description="labels that a series must carry: name=value,name=value"
    )
    mode: Mode = Field(default=Mode.ADVISE, description="advise, reactive or act")
    other_triggers: bool = Field(
        default=False,
        description="true or false: whether the ScaledObject has other triggers, for mode advise",
    )
    lead_time: Seconds = Field(
        default=300.0,
        ge=1,
        le=7200,
        description="a duration such as 90s or 5m, from 1s to 2h: from one more replica to served",
    )
    lead: LeadTimeUse = Field(
        default=LeadTimeUse.LEARNED,
        description="learned or fixed: whether orders and starts move the lead time from leadTime",
    )
    hold: Seconds | None = Field(
        default=None,
        ge=0,
        le=86400,
        description="a duration such as 5m, from 0s to 24h: how long lower need must last",
    )
    ttft: Seconds = Field(
        default=TTFT_SECONDS,
        gt=0,
        le=3600,
        description="a duration such as 2s or 800ms, at most 1h: the limit of the time to first "
        "token",
    )
    itl: Seconds = Field(
        default=ITL_SECONDS,
        gt=0,
        le=60,
        description="a duration such as 50ms, at most 60s: the limit of the time between tokens",
    )
    attainment: Attainment = Field(
        default=ATTAINMENT,
        ge=0.5,
        le=0.9999,
        description="a share such as 99% or 0.99, from 50% to 99.99%: requests within ttft and itl",
    )
    capacity: Capacity = Field(default=Capacity.LEARNED, description="learned or fixed")
    min_replicas: int = Field(default=1, ge=0, le=REPLICAS_MAX, description="a whole number from 0")
    max_replicas: int | None = Field(
        default=None, ge=1, le=REPLICAS_MAX, description="a whole number from 1"
    )
    late_minute_cost: float = Field(
        default=LATE_MINUTE_COST,
        ge=1,
        le=10_000,
        description="a number from 1 to 10000: the GPU-minutes that a minute of one replica's "
        "requests is worth if they come late",
    )
    late_minute_cost_max: float | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="a number from 1 to 10000: the most GPU-minutes that late requests may make a "
        "late minute worth",
    )
    quantile: float | None = Field(
        default=None, ge=0.5, le=0.995, description="a number from 0.5 to 0.995"
    )
    utilization: float = Field(
        default=0.8, gt=0, le=1, description="a number above 0 and at most 1"
    )
    tuning: TuningBy = Field(default=TuningBy.CORRECTED, description="corrected, shadows or fixed")
    replica_prompt_tokens_per_second: TokenRate = Field(
        default=None,
        description="a number above 0: prompt tokens/s of one replica at the usual mix",
    )
    replica_generated_tokens_per_second: TokenRate = Field(
        default=None,
        description="a number above 0: generated tokens/s of one replica at the usual mix",
    )
    prefill_share: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        allow_inf_nan=False,
        description="a number between 0 and 1: the share of a replica's time that prompts take",
    )
    replica_requests: TokenRate = Field(
        default=None, description="a number above 0: requests one replica works on at a time"
    )
    pool: str | None = Field(default=None, description="a pool of the operator's settings")
    replica_gpus: int = Field(
        default=1, ge=1, le=1024, description="a whole number from 1: GPUs that one replica holds"
    )
    phase: Phase = Field(default=Phase.BOTH, description="both, prefill or decode")
    paired_with: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="the name of the ScaledObject that serves the other phase of the same requests",
    )
    replica_price: float | None = Field(
        default=None,
        gt=0,
        le=10_000,
        allow_inf_nan=False,
        description="a number above 0 and at most 10000: dollars an hour that one replica costs",
    )
    priority: float = Field(
        default=1.0,
        gt=0,
        le=PRIORITY_MAX,
        allow_inf_nan=False,
        description="a number above 0 and at most 1000: what a late request counts in its pool",
    )
    timezone: str = Field(default="UTC", description="an IANA time zone such as Europe/Berlin")
    events: Events = Field(
        default=(),
        description="WHEN [in ZONE] for LENGTH xFACTOR, with ; between events: five cron fields or "
        "a local date and time, such as 0 9 * * mon-fri for 30m x2.5; at most 48 begins a day in "
        "all",
    )

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value[:_ZONE_CHARACTERS_MAX])
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # `Europe` is a folder
            message = "not a known time zone"
            raise ValueError(message) from error
        return value

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            message = f"minReplicas {self.min_replicas} is above maxReplicas {self.max_replicas}"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _one_of_cost_and_quantile(self) -> Self:
        if self.quantile is not None and "late_minute_cost" in self.model_fields_set:
            message = (
                "keys 'quantile' and 'lateMinuteCost' exclude each other: both say how careful a "
                "plan is, so give one"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _price_that_can_move(self) -> Self:
        if self.late_minute_cost_max is None:
            return self
        for key, fixes in (
            ("lateMinuteCost", "late_minute_cost" in self.model_fields_set),
            ("quantile", self.quantile is not None),
            ("tuning: fixed", self.tuning is TuningBy.FIXED),
        ):
            if fixes:
                message = (
                    f"keys 'lateMinuteCostMax' and '{key}' exclude each other: nothing then moves "
                    "the price that the first one limits, so give one"
                )
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _source_of_a_gateway(self) -> Self:
        if self.gateway_source is not None and self.gateway is None:
            message = "key 'gatewaySource' needs the key 'gateway' with the preset of the gateway"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _pair_of_phases(self) -> Self:
        if self.paired_with is not None and self.phase is Phase.BOTH:
            message = "key 'pairedWith' needs the key 'phase' with the value prefill or decode"
            raise ValueError(message)
        if self.paired_with is not None and self.replica_price is not None:
            message = (
                "keys 'pairedWith' and 'replicaPrice' exclude each other: a ScaledObject is paired "
                "with one other, not with the variants of a model"
            )
            raise ValueError(message)
        return self

    @property
    def hold_seconds(self) -> float:
        """How long a lower need must last before replicas are removed; by default one lead time."""
        return self.lead_time if self.hold is None else self.hold


ALIASES: Final = {field.alias or name: name for name, field in TriggerSpec.model_fields.items()}
